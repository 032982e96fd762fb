//! Attacks with connections: whoever proves who they are is served while somebody holds all places that there are.
//!
//! The program may have few files open, so that few connections are a flood.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use testkit::{
    client,
    program::{LIMIT, eventually},
};

use crate::stage::world::{World, decode};

/// Files that the program may have open.
const FILES: u32 = 384;
const MIB: u64 = 1024;

fn world() -> World {
    World::with_files(FILES, &[])
}

/// On loopback, whatever address the program named.
fn loopback(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.port()))
}

/// So many connections, each of which says this and then nothing. The kernel takes those that the program does not.
fn connections(count: usize, address: SocketAddr, say: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(loopback(address)).expect("connect");
        // One that had to go already does not take it.
        let _had_to_go = stream.write_all(say);
        stream
    };
    (0..count).map(connect).collect()
}

/// The files that the program has open.
fn files(world: &World) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", world.global.id())).expect("the program runs").count()
}

/// A zone connects, the administrator writes and revokes nobody's right, probes are answered; memory and files stay.
fn everybody_is_served(world: &World, zone: &str, before: u64) {
    let zone = world.connected_zone(zone);
    let mesh = json!({"type": "Mesh", "name": "meanwhile"});
    let (status, body) = client::ask(world.http(), "PUT", "/meshes/meanwhile", Some(&mesh));
    assert!(matches!(status, 200 | 201), "{status} {body}");
    crate::stage::world::wait_for(zone.address("http"), "/meshes/meanwhile");
    let healthy = client::ask(loopback(world.global.address("diagnostics")), "GET", "/healthy", None);
    assert_eq!(healthy.0, 200);
    let (now, open) = (world.global.resident_kib(), files(world));
    eprintln!("memory went from {before} to {now} KiB, {open} files are open");
    assert!(now < before + 32 * MIB, "memory went from {before} to {now} KiB");
    assert!(open < FILES as usize, "{open} files of {FILES}");
}

#[test]
fn idle_connections_to_the_diagnostics_port_take_nothing_from_the_others() {
    let world = world();
    let before = world.global.resident_kib();
    let idle = connections(FILES as usize + 50, world.global.address("diagnostics"), b"");
    everybody_is_served(&world, "west", before);
    drop(idle);
}

#[test]
fn silent_connections_do_not_keep_zones_out() {
    let world = world();
    let before = world.global.resident_kib();
    // All places that the port has, and more that wait for one.
    let silent = connections(FILES as usize, world.global.address("kds"), b"");
    everybody_is_served(&world, "west", before);
    // Nor do those that begin with TLS and go on no more.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
    let begun = connections(FILES as usize, world.global.address("kds"), &hello);
    everybody_is_served(&world, "east", before);
    world.global.line(&["WARN", "take all places of a port", "\"kds\"", "127.0.0.1"]);
    drop((silent, begun));
}

#[test]
fn requests_that_never_end_do_not_lock_the_administrator_out() {
    let world = world();
    let before = world.global.resident_kib();
    let put =
        b"PUT /meshes/default/meshtimeouts/x HTTP/1.1\r\nhost: remote.example\r\ncontent-type: application/json\r\n\
                content-length: 33000000\r\n\r\n{";
    let bodies = connections(FILES as usize, world.http(), put);
    let heads = connections(FILES as usize, world.global.address("https"), &[0x16, 3, 1]);
    everybody_is_served(&world, "west", before);
    drop((bodies, heads));
}

#[test]
fn a_zone_that_is_there_stays_there() {
    let world = world();
    let west = world.connected_zone("west");
    let mark = west.mark();
    let mut flood = Vec::new();
    for what in ["kds", "http", "https", "diagnostics"] {
        flood.extend(connections(FILES as usize, world.global.address(what), b""));
    }
    let mesh = json!({"type": "Mesh", "name": "meanwhile"});
    assert_eq!(client::ask(world.http(), "PUT", "/meshes/meanwhile", Some(&mesh)).0, 201);
    crate::stage::world::wait_for(west.address("http"), "/meshes/meanwhile");
    assert!(!west.logged_after(mark, &["not connected"]), "{}", west.text());
    drop(flood);
}

/// A connection on which this user asks who they are; the status of the answer, if there is one.
fn asking(address: SocketAddr, token: &str) -> (TcpStream, Option<String>) {
    let mut stream = TcpStream::connect(loopback(address)).expect("connect");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let head = format!("GET /who-am-i HTTP/1.1\r\nHost: remote.example\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut start = [0; 12];
    // One that had to go already has no answer.
    let answered = stream.write_all(head.as_bytes()).and_then(|()| stream.read_exact(&mut start)).is_ok();
    (stream, answered.then(|| String::from_utf8_lossy(&start[9..]).into_owned()))
}

/// How many connections with a proof the REST port has.
fn proven(world: &World) -> u64 {
    let (status, text) = client::ask(loopback(world.global.address("diagnostics")), "GET", "/metrics", None);
    let name = "connections_open{zone=\"Global\",port=\"http\",standing=\"proven\"}";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{status}, no {name} in {text}"));
    line.trim().parse().expect("a number")
}

#[test]
fn a_user_without_rights_does_not_lock_the_administrator_out_and_can_be_revoked() {
    let world = world();
    let token = |name: &str, group: &str| {
        let asked = json!({"name": name, "groups": [group], "validFor": "1h"});
        let (status, token) = client::ask(world.http(), "POST", "/tokens/user", Some(&asked));
        assert_eq!(status, 200, "{token}");
        token
    };
    let (joe, admin) = (token("joe", "nobody-group"), token("ann", "mesh-system:admin"));
    let flood: Vec<_> = (0..FILES).map(|_| asking(world.http(), &joe)).collect();
    assert!(flood.iter().all(|(_, status)| status.as_deref() == Some("200")), "an idle one makes room for each");
    // A user has an eighth of the places, and a port an eighth of the files.
    let held = proven(&world);
    assert!((1..=u64::from(FILES / 64)).contains(&held), "{held} connections of one user");
    assert_eq!(asking(world.http(), &admin).1.as_deref(), Some("200"));
    // Many users of one kind take what is for users, and no more.
    let crowd: Vec<String> = (0..20).map(|nth| token(&format!("joe-{nth}"), "nobody-group")).collect();
    let crowd: Vec<_> = crowd.iter().flat_map(|token| [(); 5].map(|()| asking(world.http(), token))).collect();
    assert_eq!(asking(world.http(), &admin).1.as_deref(), Some("200"));
    drop(crowd);
    // The newest connection of joe is there until now, and its proof goes with the token.
    let (_open, status) = asking(world.http(), &joe);
    assert_eq!(status.as_deref(), Some("200"));
    let claims: serde_json::Value = serde_json::from_str(&decode(&joe).1).unwrap();
    let list = STANDARD.encode(claims["jti"].as_str().unwrap());
    world.apply(&format!("type: GlobalSecret\nname: user-token-revocations\ndata: {list}\n"));
    eventually("no proof is left", || proven(&world), |proven| *proven == 0);
    assert_eq!(asking(world.http(), &joe).1.as_deref(), Some("401"));
    drop(flood);
}

#[test]
fn both_address_families_are_served_on_every_port() {
    let mut settings = vec![];
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    settings.push(("KUMA_API_SERVER_HTTP_INTERFACE", "0.0.0.0"));
    settings.push(("KUMA_API_SERVER_HTTPS_INTERFACE", "[::1]"));
    let world = World::new(&settings);
    for what in ["http", "diagnostics", "kds"] {
        let port = world.global.address(what).port();
        for address in [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))] {
            TcpStream::connect(address).unwrap_or_else(|error| panic!("{what} on {address}: {error}"));
        }
    }
    assert_eq!(world.global.address("https").ip().to_string(), "::1");
    // The administrator of this machine is one in both families.
    for host in ["127.0.0.1", "[::1]"] {
        let address: SocketAddr = format!("{host}:{}", world.http().port()).parse().unwrap();
        assert_eq!(client::ask(address, "GET", "/global-secrets", None).0, 200, "{host}");
    }
    let token = world.token_file("west");
    let address = format!("grpcs://[::1]:{}", world.global.address("kds").port());
    let _zone = world.zone(
        "west",
        &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", &token), ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &address)],
    );
    world.wait_online("west");
}

#[test]
fn a_client_that_is_too_slow_is_closed_by_the_settings() {
    let mut said = Vec::new();
    let world = World::new(&[("KUMA_API_SERVER_READ_HEADER_TIMEOUT", "200ms")]);
    let mut silent = TcpStream::connect(loopback(world.http())).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    silent.read_to_end(&mut said).expect("closed within the limit");
    assert!(said.is_empty(), "without a word");
    let world = World::new(&[("KUMA_API_SERVER_IDLE_TIMEOUT", "200ms")]);
    let mut idle = TcpStream::connect(loopback(world.http())).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    idle.read_to_end(&mut said).expect("closed within the limit");
    assert!(said.starts_with(b"HTTP/1.1 200 OK"), "answered first");
    let _already_closed = idle.shutdown(Shutdown::Both);
}
