//! What REST asks of a zone's proxies, and what a zone answers (contract: kds 8.5).

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use prost::Message as _;
use serde_json::{Value, json};
use testkit::{client, kds::Call, program::eventually, rpcs::ADMIN, runtime::run_in_threads};
use wire::kuma::mesh::v1alpha1::{
    ClustersRequest, ClustersResponse, Dataplane, EnvoyAdmin, StatsRequest, StatsResponse, XdsConfigRequest,
    XdsConfigResponse, clusters_response,
    dataplane::{Networking, networking::Inbound},
    stats_response, xds_config_response,
};

use crate::stage::{
    plain_port::peer,
    played_zone::{Down, Played, open_world, proto, sent},
    world::{World, wait_for},
};

/// A zone with all its streams, and one Dataplane `d` that it reported.
struct Zone {
    _down: Down,
    configs: Call,
    stats: Call,
    clusters: Call,
    _peer: testkit::kds::Peer,
}

async fn zone(world: &World, played: &Played, labels: &[(&str, &str)]) -> Zone {
    let networking = Networking {
        address: "127.0.0.1".to_owned(),
        inbound: vec![Inbound { port: 80, ..Default::default() }],
        admin: Some(EnvoyAdmin { port: 9901 }),
        ..Default::default()
    };
    let spec = Dataplane { networking: Some(networking), ..Default::default() }.encode_to_vec();
    let mut up = played.up(world).await;
    assert_eq!(up.report("Dataplane", vec![sent("default", "hashed", labels, proto("Dataplane", spec))]).await, None);
    let peer = peer(world).await;
    let [configs, stats, clusters] = ADMIN.map(|path| played.call(&peer, path));
    let mut down = played.down(world).await;
    down.first("Mesh").await;
    world.wait_online(&played.name);
    eventually(
        "all streams are served",
        || client::get(world.http(), &format!("/zones/{}/_overview", played.name))["zoneInsight"]["kdsStreams"].clone(),
        |streams| streams.as_object().is_some_and(|streams| streams.len() == 5),
    );
    Zone { _down: down, configs, stats, clusters, _peer: peer }
}

/// Asks over REST in a thread of its own: the answer comes from the test.
fn ask(world: &World, path: &str) -> JoinHandle<(u16, String)> {
    let (address, path) = (world.http(), format!("/meshes/default/dataplanes/hashed/{path}"));
    std::thread::spawn(move || client::ask(address, "GET", &path, None))
}

async fn question(call: &mut Call) -> XdsConfigRequest {
    XdsConfigRequest::decode(call.next().await.expect("a question")).unwrap()
}

fn answer(call: &Call, request_id: &str, config: &str) {
    let result = Some(xds_config_response::Result::Config(config.as_bytes().to_vec().into()));
    call.send(&XdsConfigResponse { request_id: request_id.to_owned(), result }.encode_to_vec());
}

#[test]
fn answers_come_in_any_order_and_late_ones_are_ignored() {
    let world = open_world();
    run_in_threads(async {
        let mut zone = zone(&world, &Played::new("west"), &[]).await;
        let plain = ask(&world, "xds");
        let one = question(&mut zone.configs).await;
        let with_eds = ask(&world, "xds?include_eds=true");
        let two = question(&mut zone.configs).await;
        assert_eq!((one.include_eds, two.include_eds), (false, true));
        // Nobody waits for the first one: a real global ends the stream here, and the zone loses all of them.
        answer(&zone.configs, "nobody-asked", "{}");
        answer(&zone.configs, &two.request_id, r#"{"second":true}"#);
        answer(&zone.configs, &one.request_id, r#"{"first":true}"#);
        answer(&zone.configs, &one.request_id, r#"{"again":true}"#);
        assert_eq!(plain.join().unwrap(), (200, r#"{"first":true}"#.to_owned()));
        assert_eq!(with_eds.join().unwrap(), (200, r#"{"second":true}"#.to_owned()));
        // An impatient caller hangs up; what comes afterwards costs nobody anything.
        let mut impatient = std::net::TcpStream::connect(world.http()).unwrap();
        impatient.write_all(b"GET /meshes/default/dataplanes/hashed/xds HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let late = question(&mut zone.configs).await;
        drop(impatient);
        answer(&zone.configs, &late.request_id, "{}");
        let next = ask(&world, "xds");
        let request = question(&mut zone.configs).await;
        answer(&zone.configs, &request.request_id, r#"{"third":true}"#);
        assert_eq!(next.join().unwrap(), (200, r#"{"third":true}"#.to_owned()));
    });
}

#[test]
fn a_proxy_is_asked_about_under_its_name_in_the_zone() {
    let labels = [("kuma.io/display-name", "d"), ("k8s.kuma.io/namespace", "ns")];
    for (config, name) in [(r#"{"store":{"type":"memory"}}"#, "d"), (r#"{"store":{"type":"kubernetes"}}"#, "d.ns")] {
        let world = open_world();
        run_in_threads(async {
            let mut zone = zone(&world, &Played { config, ..Played::new("west") }, &labels).await;
            let asked = ask(&world, "xds");
            let request = question(&mut zone.configs).await;
            let subject = [request.resource_type.as_str(), &request.resource_mesh, &request.resource_name];
            assert_eq!(subject, ["Dataplane", "default", name]);
            answer(&zone.configs, &request.request_id, "{}");
            assert_eq!(asked.join().unwrap().0, 200);

            for (path, format) in [("stats", 0), ("stats?format=json", 1)] {
                let asked = ask(&world, path);
                let request = StatsRequest::decode(zone.stats.next().await.unwrap()).unwrap();
                assert_eq!((request.used_only, request.format, request.resource_name.as_str()), (true, format, name));
                let result = Some(stats_response::Result::Stats(b"stats".to_vec().into()));
                zone.stats.send(&StatsResponse { request_id: request.request_id, result }.encode_to_vec());
                assert_eq!(asked.join().unwrap(), (200, "stats".to_owned()));
            }
            for (path, format) in [("clusters", 0), ("clusters?format=json", 1)] {
                let asked = ask(&world, path);
                let request = ClustersRequest::decode(zone.clusters.next().await.unwrap()).unwrap();
                assert_eq!((request.format, request.resource_name.as_str()), (format, name));
                let result = Some(clusters_response::Result::Clusters(b"clusters".to_vec().into()));
                zone.clusters.send(&ClustersResponse { request_id: request.request_id, result }.encode_to_vec());
                assert_eq!(asked.join().unwrap(), (200, "clusters".to_owned()));
            }
        });
    }
}

#[test]
fn errors_of_a_zone_reach_the_caller_in_its_words() {
    let world = open_world();
    run_in_threads(async {
        let mut zone = zone(&world, &Played::new("west"), &[]).await;
        let asked = ask(&world, "xds");
        let request = question(&mut zone.configs).await;
        let text = "resource not found: type=\"Dataplane\" name=\"hashed\" mesh=\"default\"".to_owned();
        let result = Some(xds_config_response::Result::Error(text.clone()));
        zone.configs.send(&XdsConfigResponse { request_id: request.request_id, result }.encode_to_vec());
        let (status, body) = asked.join().unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["title"]), (400, &"Could not execute admin operation".into()));
        assert_eq!(body["detail"], format!("could not send XDSConfigRequest: {text}"));
    });
}

#[test]
fn a_zone_that_is_gone_is_said_to_be_offline_at_once() {
    let world = open_world();
    run_in_threads(async {
        let there = zone(&world, &Played::new("west"), &[]).await;
        drop(there);
        world.wait_offline("west");
        for (path, operation) in [("xds", "XDS Config Dump"), ("stats", "Stats"), ("clusters", "Clusters")] {
            let (status, body) = ask(&world, path).join().unwrap();
            assert_eq!(status, 400, "{body}");
            assert!(body.contains(&format!("couldn't execute {operation} operation, zone is offline")), "{body}");
        }
    });
}

/// What an Envoy was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// An admin port that answers with a configuration that holds secrets.
fn envoy() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Asked::default());
    let paths = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = match path.as_str() {
                "/config_dump" => {
                    json!({"configs": [{"private_key": {"inline_string": "SECRET"}, "name": "a"}]}).to_string()
                }
                "/config_dump?include_eds=true" => "<html>SECRET</html>".to_owned(),
                other => other.to_owned(),
            };
            paths.lock().unwrap().push(path);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    (address, asked)
}

#[test]
fn envoy_is_asked_as_real_zones_ask_it() {
    let world = World::new(&[]);
    let west = world.connected_zone("west");
    let (address, asked) = envoy();
    let dataplane = json!({
        "type": "Dataplane", "mesh": "default", "name": "d", "labels": {"kuma.io/origin": "zone"},
        "networking": {
            "address": "127.0.0.1", "inbound": [{"port": 8080, "name": "http"}], "admin": {"port": address.port()},
        },
    });
    wait_for(west.address("http"), "/meshes/default");
    let path = "/meshes/default/dataplanes/d";
    let (status, body) = client::ask(west.address("http"), "PUT", path, Some(&dataplane));
    assert_eq!(status, 201, "{body}");
    let list = eventually(
        "global knows it",
        || client::get(world.http(), "/meshes/default/dataplanes"),
        |list| list["total"] == 1,
    );
    let path = format!("/meshes/default/dataplanes/{}", list["items"][0]["name"].as_str().unwrap());
    let get = |view: &str| client::ask(world.http(), "GET", &format!("{path}/{view}"), None);
    let (status, config) = get("xds");
    assert_eq!(status, 200, "{config}");
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config, json!({"configs": [{"private_key": {"inline_string": "[redacted]"}, "name": "a"}]}));
    let (status, refused) = get("xds?include_eds=true");
    assert_eq!(status, 400);
    assert!(refused.contains("is no JSON") && !refused.contains("SECRET"), "{refused}");
    for (view, path) in [
        ("stats", "/stats?usedonly="),
        ("stats?format=json", "/stats?format=json&usedonly="),
        ("clusters", "/clusters"),
        ("clusters?format=json", "/clusters?format=json"),
    ] {
        assert_eq!(get(view), (200, path.to_owned()));
    }
    assert_eq!(asked.lock().unwrap()[..2], ["/config_dump", "/config_dump?include_eds=true"]);
}
