//! Peers at and beyond the limits, each of them authenticated: nobody else notices, and the global does not fill up.
//!
//! How many resources make a kind "many" is 50,000, or what `ARCTOS_MANY` says (see `limits/many.rs`).

mod many;
mod trickle;
mod zone;

use std::{collections::BTreeMap, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use prost::Message as _;
use serde_json::json;
use testkit::{
    client,
    kds::Peer,
    program::eventually,
    rpcs::{DOWN, UP},
    runtime::run,
};
use wire::envoy::service::discovery::v3::DeltaDiscoveryResponse;

use self::{
    trickle::Trickle,
    zone::{FEATURES_OF_2_14, GoodZone, first_with, kinds},
};
use crate::stage::{
    plain_port::{open, peer, peer_at, plain_program},
    relays::{Guarded, connector},
    world::World,
};

/// What one change writes.
const LARGE: usize = 100 * 1024;
const MIB: u64 = 1024;

/// Changes one of five secrets of 100 KiB, or a policy, so many times; the good zone has each change before the next.
fn changes_reach(good: &GoodZone, world: &World, count: usize) {
    for number in 0..count {
        let name = format!("changing-{}", number % 5);
        let mut content = format!("{number:08}").into_bytes();
        content.resize(LARGE, b'x');
        let document = json!({"type": "Secret", "mesh": "default", "name": name, "data": STANDARD.encode(&content)});
        let path = format!("/meshes/default/secrets/{name}");
        let (status, body) = client::ask(world.http(), "PUT", &path, Some(&document));
        assert!(matches!(status, 200 | 201), "{status} {body}");
        let arrived = || good.has("Secret", &name).is_some_and(|spec| spec.ends_with(&content));
        eventually(&format!("change {number} is at the good zone"), arrived, |arrived| *arrived);
    }
}

/// Checks that what happens adds at most so much to the memory of global. 450 changes that somebody keeps are 44 MiB.
fn stays_within(world: &World, mib: u64, what: &str, happens: impl FnOnce()) {
    let before = world.global.resident_kib();
    happens();
    let after = world.global.resident_kib();
    eprintln!("{what}: memory went from {before} to {after} KiB");
    assert!(after < before + mib * MIB, "{what}: memory went from {before} to {after} KiB");
}

#[test]
fn a_zone_that_never_acknowledges_gets_one_response_a_kind_and_holds_nobody_up() {
    let world = plain_program();
    let good = GoodZone::start(&world, "good");
    changes_reach(&good, &world, 50);
    let token = world.token("silent");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (counted, mut counts) = tokio::sync::watch::channel(BTreeMap::<String, usize>::new());
    let (_connection, mut call) = runtime.block_on(async {
        let connection = peer(&world).await;
        let call = open(&connection, DOWN, "silent", &token);
        for kind in kinds() {
            call.send(&first_with("silent", kind, FEATURES_OF_2_14));
        }
        (connection, call)
    });
    runtime.spawn(async move {
        while let Some(message) = call.message().await {
            let response = DeltaDiscoveryResponse::decode(message).unwrap();
            counted.send_modify(|counts| *counts.entry(response.type_url).or_default() += 1);
        }
    });
    runtime.block_on(async {
        let all = counts.wait_for(|counts| counts.len() == kinds().len());
        tokio::time::timeout(testkit::program::LIMIT, all).await.expect("every kind is answered").unwrap();
    });
    changes_reach(&good, &world, 50);
    stays_within(&world, 24, "a zone that never acknowledges", || changes_reach(&good, &world, 450));
    let counts = counts.borrow().clone();
    assert!(counts.values().all(|count| *count == 1), "one response a kind: {counts:?}");
}

#[test]
fn zones_that_read_a_byte_a_second_hold_nobody_up() {
    let world = plain_program();
    slow_zones_add(48, 500, &world, &world);
}

#[test]
fn zones_that_read_a_byte_a_second_hold_a_window_each_at_a_gateway() {
    let plain = ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false");
    let behind = Guarded::open_global();
    let gate = Guarded::program_before(&behind, &[plain]);
    // Half a MiB is the window of a connection to the global behind it; what the global has to say is 50 MiB.
    slow_zones_add(12, 500, &gate, &behind);
}

#[test]
fn messages_that_come_byte_by_byte_are_kept_by_no_relay_and_end_as_others() {
    const STREAMS: usize = 32;
    let behind = Guarded::open_global();
    let gate = Guarded::program_before(&behind, &[]);
    let beside_good = connector(&gate, "good", &gate.token_file("good"));
    let good = GoodZone::at(beside_good.address("connector"), "good", &[("features", "hash-suffix,zone-ping-health")]);
    changes_reach(&good, &behind, 50);
    // What a connector takes without that.
    let before = [gate.global.peak_kib(), beside_good.peak_kib()];
    let connector = connector(&gate, "slow", &gate.token_file("slow"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A field that nobody knows, of a MiB, and then what is asked for.
    let mut message = [&[0x7a, 0x80, 0x80, 0x40], &*vec![b'x'; 1 << 20]].concat();
    message.extend(first_with("slow", "Mesh", FEATURES_OF_2_14));
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let (last, most) = frame.split_last().unwrap();
    let (at_once, one_by_one) = most.split_at(most.len() - 20);
    let (zone, mut calls) = runtime.block_on(async {
        let zone = peer_at(connector.address("connector")).await;
        let calls: Vec<_> = (0..STREAMS).map(|_| zone.open(DOWN, &[("client-id", "slow")])).collect();
        for call in &calls {
            at_once.chunks(4096).for_each(|piece| call.raw(piece.to_vec()));
            one_by_one.iter().for_each(|byte| call.raw(vec![*byte]));
        }
        (zone, calls)
    });
    gate.wait_online("slow");
    changes_reach(&good, &behind, 10);
    runtime.block_on(async {
        for call in &mut calls {
            call.raw(vec![*last]);
            let Some(answer) = call.next().await else { panic!("no answer: {:?}", call.ended().await) };
            assert_eq!(DeltaDiscoveryResponse::decode(answer).unwrap().type_url, "Mesh");
        }
    });
    // The messages are 32 MiB.
    for (name, process, before) in [("gateway", &gate.global, before[0]), ("connector", &connector, before[1])] {
        let after = process.peak_kib();
        eprintln!("messages byte by byte: the {name} had {before} KiB, and {after} KiB at most");
        assert!(after < before + 16 * MIB, "the {name} had {before} KiB, and {after} KiB at most");
    }
    drop((zone, calls));
    gate.wait_offline("slow");
    behind.wait_offline("slow");
    changes_reach(&good, &behind, 10);
}

/// Changes things so often while four zones read a byte a second, and checks that these add at most so many MiB to whoever lets
/// them in, and that a good zone beside them has each change.
fn slow_zones_add(mib: u64, changes: usize, world: &World, global: &World) {
    let good = GoodZone::start(world, "good");
    changes_reach(&good, global, 50);
    let tokens = [0, 1, 2, 3].map(|number| world.token(&format!("slow-{number}")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _slow = runtime.block_on(async {
        let mut slow = Vec::new();
        for (number, token) in tokens.iter().enumerate() {
            let name = format!("slow-{number}");
            let connection = Peer::over(Trickle::connect(world.global.address("kds")).await).await;
            let call = open(&connection, DOWN, &name, token);
            for kind in kinds() {
                call.send(&first_with(&name, kind, FEATURES_OF_2_14));
            }
            slow.push((connection, call));
        }
        slow
    });
    for number in 0..4 {
        world.wait_online(&format!("slow-{number}"));
    }
    stays_within(world, mib, "four zones that read a byte a second", || changes_reach(&good, global, changes));
}

#[test]
fn a_message_that_inflates_beyond_the_limit_ends_its_stream_only() {
    let world = plain_program();
    let good = GoodZone::start(&world, "good");
    let token = world.token("bomber");
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![0; 100 * 1024 * 1024]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1024 * 1024, "100 MiB are sent as {} bytes", bomb.len());
    let mut frame = vec![1];
    frame.extend_from_slice(&u32::try_from(bomb.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&bomb);
    let explode = |count: usize| {
        let (world, token, frame) = (&world, &token, &frame);
        run(async move {
            let connection = peer(world).await;
            let mut healthy = open(&connection, DOWN, "bomber", token);
            healthy.send(&first_with("bomber", "Mesh", FEATURES_OF_2_14));
            assert!(healthy.next().await.is_some());
            for number in 0..count {
                let path = if number % 2 == 0 { DOWN } else { UP };
                let headers = [
                    ("client-id", "bomber"),
                    ("authorization", token.as_str()),
                    ("features", "hash-suffix"),
                    ("grpc-encoding", "gzip"),
                ];
                let mut call = connection.open(path, &headers);
                call.raw(frame.clone());
                let ended = call.ended().await;
                assert_eq!(ended.code, 8, "ResourceExhausted, and not {ended:?}");
            }
            // The other stream of the same connection lives.
            healthy.send(&first_with("bomber", "Secret", FEATURES_OF_2_14));
            assert!(healthy.next().await.is_some());
        });
    };
    explode(4);
    stays_within(&world, 32, "gzip bombs", || explode(30));
    changes_reach(&good, &world, 5);
}

#[test]
fn a_message_full_of_empty_parts_does_not_fill_the_memory() {
    let world = plain_program();
    let good = GoodZone::start(&world, "good");
    let token = world.token("hollow");
    // Tag and length 0: two bytes on the wire, up to a hundred in memory. 10 MiB of them are half a GiB.
    let empty = |tag: u8| [tag, 0].repeat(5 * 1024 * 1024 - 64);
    let nested = |tag: u8, inner: Vec<u8>| {
        let mut field = vec![tag];
        prost::encode_length_delimiter(inner.len(), &mut field).unwrap();
        field.extend(inner);
        field
    };
    // node.metadata.fields["features"] is a list of nothing.
    let features = [nested(0x0a, b"features".to_vec()), nested(0x12, nested(0x32, empty(0x0a)))].concat();
    let node = nested(0x0a, nested(0x1a, nested(0x0a, features)));
    let (resources, removals, names, versions) = (empty(0x12), empty(0x32), empty(0x1a), empty(0x2a));
    run(async {
        let connection = peer(&world).await;
        for (path, message) in [(UP, resources), (UP, removals), (DOWN, names), (DOWN, versions), (DOWN, node)] {
            let mut call = open(&connection, path, "hollow", &token);
            call.send(&message);
            let ended = call.ended().await;
            assert_eq!(ended.code, 8, "ResourceExhausted, and not {ended:?}");
        }
    });
    let peak = world.global.peak_kib();
    eprintln!("messages full of nothing: peak {peak} KiB");
    assert!(peak < 160 * MIB, "10 MiB of nothing took {peak} KiB");
    changes_reach(&good, &world, 5);
}
