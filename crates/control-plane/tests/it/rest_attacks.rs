//! What callers who prove nothing can cost a running control plane, and what they are told.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::json;
use testkit::{client, program::LIMIT};

use crate::stage::world::World;

/// What marks a caller on this machine as somebody else.
const STRANGER: &str = "Host: remote.example\r\n";
const ADMINISTRATOR: &str = "Host: localhost\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// A connection on which a test writes what no client library would.
struct Raw(TcpStream);

impl Raw {
    fn send(address: SocketAddr, text: &str) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let mut raw = Self(stream);
        raw.write(text);
        raw
    }

    fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("write");
    }

    /// The head of the next answer.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {head:?}"));
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("text").to_ascii_lowercase()
    }

    /// The head of the next answer, and everything until the other end closes.
    fn until_closed(&mut self) -> (String, String) {
        let head = self.head();
        let mut rest = Vec::new();
        // What was sent and not read may reset the connection behind the answer.
        let _reset = self.0.read_to_end(&mut rest);
        (head, String::from_utf8_lossy(&rest).into_owned())
    }
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// Who a control plane takes the sender of these lines for.
fn who(address: SocketAddr, head: &str) -> String {
    let (head, body) = Raw::send(address, &format!("{head}Connection: close\r\n\r\n")).until_closed();
    assert_eq!(status(&head), "200", "{head}{body}");
    let body = serde_json::from_str::<serde_json::Value>(&body).expect("JSON");
    body["name"].as_str().expect("a name").to_owned()
}

#[test]
fn who_may_not_write_holds_no_memory_and_no_connection() {
    let world = World::of_programs(&[]);
    let address = world.http();
    let before = world.global.peak_kib();
    // Each promises 32 MiB and sends a megabyte of it.
    let head = format!("PUT /meshes/x HTTP/1.1\r\n{STRANGER}{JSON}Content-Length: 33000000\r\n\r\n");
    let mut slow: Vec<Raw> = (0..40).map(|_| Raw::send(address, &head)).collect();
    for raw in &mut slow {
        // The answer may be there, and the connection closed, before all of it is written.
        let _closed = raw.0.write_all(&vec![b' '; 1024 * 1024]);
    }
    let mesh = json!({"type": "Mesh", "name": "served"});
    assert_eq!(client::ask(address, "PUT", "/meshes/served", Some(&mesh)).0, 201, "the administrator is served");
    let grown = world.global.peak_kib().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB for forty bodies of strangers");
    // Without a byte of the body the refusal is as prompt, and it is the last thing on its connection.
    for _ in 0..40 {
        let (head, body) = Raw::send(address, &head).until_closed();
        assert_eq!(status(&head), "403", "{head}{body}");
        assert!(head.contains("connection: close"), "{head}");
    }
}

#[test]
fn who_waits_for_100_continue_is_judged_first() {
    let world = World::new(&[]);
    let put = |host: &str| {
        format!("PUT /meshes/demo HTTP/1.1\r\n{host}{JSON}Expect: 100-continue\r\nContent-Length: 29\r\n\r\n")
    };
    let (head, body) = Raw::send(world.http(), &put(STRANGER)).until_closed();
    assert_eq!(status(&head), "403", "{head}{body}");
    let token = "POST /tokens/zone HTTP/1.1\r\n".to_owned() + STRANGER + JSON;
    let token = token + "Expect: 100-continue\r\nContent-Length: 15\r\n\r\n";
    let (head, body) = Raw::send(world.http(), &token).until_closed();
    assert_eq!(status(&head), "403", "{head}{body}");
    let mut raw = Raw::send(world.http(), &put(ADMINISTRATOR));
    assert_eq!(status(&raw.head()), "100");
    raw.write(r#"{"type":"Mesh","name":"demo"}"#);
    assert_eq!(status(&raw.head()), "201");
}

#[test]
fn a_body_that_is_late_or_broken_or_too_large_is_the_clients_fault() {
    let world = World::new(&[("KUMA_API_SERVER_READ_TIMEOUT", "300ms")]);
    let put = |rest: &str| {
        let head = format!("PUT /meshes/demo HTTP/1.1\r\n{ADMINISTRATOR}{JSON}{rest}");
        let (head, body) = Raw::send(world.http(), &head).until_closed();
        assert!(head.contains("connection: close"), "{head}");
        (status(&head).to_owned(), body)
    };
    let (late, body) = put("Content-Length: 100\r\n\r\n{");
    assert!(late == "408" && body.contains("apiServer.readTimeout"), "{late} {body}");
    assert_eq!(put("Transfer-Encoding: chunked\r\n\r\nzz\r\n").0, "400");
    assert_eq!(put("Transfer-Encoding: chunked\r\n\r\n3\r\n{\"tyxx").0, "400");
    assert_eq!(put("Content-Length: 33554433\r\n\r\n").0, "413");
    let token = format!("POST /tokens/user HTTP/1.1\r\n{ADMINISTRATOR}{JSON}Content-Length: 65537\r\n\r\n");
    let (head, body) = Raw::send(world.http(), &token).until_closed();
    assert_eq!(status(&head), "413", "{head}{body}");
}

#[test]
fn what_a_proxy_leaves_behind_makes_nobody_an_administrator() {
    let world = World::new(&[]);
    let address = world.http();
    let (admin, nobody) = ("mesh-system:admin", "mesh-system:anonymous");
    let get = "GET /who-am-i HTTP/1.1\r\n";
    assert_eq!(who(address, &format!("{get}{ADMINISTRATOR}User-Agent: curl/8.5.0\r\nAccept: */*\r\n")), admin);
    assert_eq!(who(address, &format!("{get}{STRANGER}")), nobody);
    for header in ["Via: 1.1 proxy", "X-Forwarded-Host: localhost", "CF-Connecting-IP: 127.0.0.1", "X-Odd: 1"] {
        assert_eq!(who(address, &format!("{get}{ADMINISTRATOR}{header}\r\n")), nobody, "{header}");
    }
    for host in ["localhost:1@evil", "localhost:x", "evil@localhost"] {
        assert_eq!(who(address, &format!("{get}Host: {host}\r\n")), nobody, "{host}");
    }
    let absolute = |target: &str, host: &str| who(address, &format!("GET http://{target}/who-am-i HTTP/1.1\r\n{host}"));
    assert_eq!(absolute("evil.example", ADMINISTRATOR), nobody, "the target is asked, not the header");
    assert_eq!(absolute("localhost", STRANGER), admin, "the target is asked, not the header");
    assert_eq!(who(address, &format!("GET /who-am-i HTTP/1.0\r\n{ADMINISTRATOR}")), nobody);
    let two = format!("{get}{ADMINISTRATOR}{STRANGER}Connection: close\r\n\r\n");
    let (head, body) = Raw::send(address, &two).until_closed();
    assert_eq!(status(&head), "400", "{head}{body}");
}

#[test]
fn readers_who_do_not_read_share_a_bounded_memory() {
    let world = World::of_programs(&[]);
    let address = world.http();
    let format = "x".repeat(2 * 1024 * 1024);
    for number in 0..12 {
        let backend = json!({"name": "f", "type": "file", "format": format, "conf": {"path": "/dev/null"}});
        let name = format!("large-{number}");
        let mesh = json!({"type": "Mesh", "name": name, "logging": {"backends": [backend]}});
        assert_eq!(client::ask(address, "PUT", &format!("/meshes/{name}"), Some(&mesh)).0, 201);
    }
    let list = |host: &str| format!("GET /meshes?size=100 HTTP/1.1\r\n{host}\r\n");
    let mut before = 0;
    let mut readers = Vec::new();
    for number in 0..16 {
        let mut raw = Raw::send(address, &list(STRANGER));
        let head = raw.head();
        assert!(matches!(status(&head), "200" | "503"), "{head}");
        readers.push((raw, head));
        if number == 0 {
            before = world.global.peak_kib();
        }
    }
    let held = readers.iter().filter(|(_, head)| status(head) == "200").count();
    assert!(held < readers.len(), "all {held} lists of 24 MiB are held");
    assert_eq!(status(&Raw::send(address, &list(ADMINISTRATOR)).head()), "200", "the administrator is served");
    let grown = world.global.peak_kib().saturating_sub(before);
    assert!(grown < 256 * 1024, "{grown} KiB for lists that nobody reads");
}
