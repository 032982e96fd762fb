//! Zones of 2.9 to 2.14 against our global: what they say of themselves, how they name and answer (contract: kds 11.1).
//! Longer than usual because these are many small scenes with one stage, and documents name them by this file.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use flate2::{Compression, write::GzEncoder};
use prost::Message as _;
use testkit::{
    client,
    kds::Call,
    program::eventually,
    rpcs::{DOWN, UP},
    runtime::run_in_threads,
};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::stage::{
    plain_port::peer,
    played_zone::{Down, Played, Seen, dataplane, json, names, open_world, seen, sent},
    world::World,
};

/// The names of what global has.
fn dataplanes(world: &World) -> BTreeSet<String> {
    let list = client::get(world.http(), "/meshes/default/dataplanes");
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn policy(name: &str) -> String {
    format!(
        "type: MeshTimeout\nmesh: default\nname: {name}\nspec:\n  to:\n  - targetRef: {{kind: Mesh}}\n    default: {{idleTimeout: 1h}}\n"
    )
}

#[test]
fn names_come_from_the_meta_and_not_from_the_envelope() {
    let world = open_world();
    run_in_threads(async {
        let mut up = Played { version: "2.10.8", ..Played::new("old") }.up(&world).await;
        let mut unnamed = sent("default", "one", &[], dataplane());
        unnamed.name.clear();
        let mut misnamed = sent("default", "two", &[], dataplane());
        misnamed.name = "three.other".to_owned();
        assert_eq!(up.report("Dataplane", vec![unnamed, misnamed]).await, None);
    });
    assert_eq!(dataplanes(&world), ["one", "two"].map(str::to_owned).into());
}

fn compressed(call: &Call, message: &[u8]) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).unwrap();
    let bytes = encoder.finish().unwrap();
    let mut frame = vec![1];
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&bytes);
    call.raw(frame);
}

#[test]
fn compressed_and_plain_requests_are_taken_and_answered_in_plain() {
    let world = open_world();
    run_in_threads(async {
        let peer = peer(&world).await;
        let zone = Played::new("old");
        let gzip = [("client-id", "old"), ("features", "hash-suffix"), ("grpc-encoding", "gzip")];
        // From 2.10 on every request is compressed, those of 2.9 are not; both may come on one stream.
        let mut down = peer.open(DOWN, &gzip);
        compressed(&down, &zone.first_request("Mesh").encode_to_vec());
        assert!(down.next().await.is_some(), "the message is plain, or this would have failed");
        down.send(&zone.first_request("Secret").encode_to_vec());
        assert!(down.next().await.is_some());
        let mut up = peer.open(UP, &gzip);
        assert!(up.next().await.is_some());
        let report = DeltaDiscoveryResponse {
            type_url: "Dataplane".to_owned(),
            resources: vec![sent("default", "one", &[], dataplane())],
            ..Default::default()
        };
        compressed(&up, &report.encode_to_vec());
        while DeltaDiscoveryRequest::decode(up.next().await.unwrap()).unwrap().node.unwrap().metadata.is_some() {}
        let mut plain = Played { version: "2.9.19", ..zone }.down(&world).await;
        assert_eq!(names(&plain.first("Mesh").await), ["default"]);
    });
    assert_eq!(dataplanes(&world), ["one".to_owned()].into());
}

#[test]
fn header_features_may_be_joined_by_commas() {
    let world = open_world();
    run_in_threads(async {
        for (zone, header, expected) in [
            ("apart", vec!["zone-ping-health", "hash-suffix"], "apart-dp"),
            ("joined", vec!["zone-ping-health,hash-suffix"], "joined-dp"),
            ("blanks", vec!["zone-ping-health, hash-suffix"], "blanks-dp"),
            ("none", vec!["zone-ping-health"], "none.none-dp"),
        ] {
            let mut up = Played { header, ..Played::new(zone) }.up(&world).await;
            let name = format!("{zone}-dp");
            assert_eq!(up.report("Dataplane", vec![sent("default", &name, &[], dataplane())]).await, None);
            assert!(dataplanes(&world).contains(expected), "{zone}: {:?}", dataplanes(&world));
        }
    });
}

#[test]
fn without_the_hash_feature_names_travel_as_they_are() {
    let world = open_world();
    world.apply(&policy("t1"));
    world.apply("type: MeshMultiZoneService\nmesh: default\nname: mz\nspec:\n  selector: {meshService: {matchLabels: {app: a}}}\n  ports: [{port: 80, appProtocol: http}]\n");
    run_in_threads(async {
        let zone = Played { version: "2.9.0", ..Played::new("old") }.without("hash-suffix");
        let mut up = zone.up(&world).await;
        let dps = ["dp-1", "dp-2"].map(|name| sent("default", name, &[], dataplane()));
        assert_eq!(up.report("Dataplane", dps.to_vec()).await, None);
        assert_eq!(dataplanes(&world), ["old.dp-1", "old.dp-2"].map(str::to_owned).into());
        assert_eq!(up.remove("Dataplane", &["dp-1.default"]).await, None);
        assert_eq!(dataplanes(&world), ["old.dp-2".to_owned()].into());
        // A new stream: what the first response does not name is gone, under the prefixed name too.
        let mut up = zone.up(&world).await;
        assert_eq!(up.report("Dataplane", Vec::new()).await, None);
        assert_eq!(dataplanes(&world), BTreeSet::new());
        // The name of a service is checked as the zone gave it: with its prefix it would not be a DNS label.
        let service = sent("default", "backend", &[], json(r#"{"ports":[{"port":80}]}"#));
        assert_eq!(up.report("MeshService", vec![service]).await, None);
        assert_eq!(client::ask(world.http(), "GET", "/meshes/default/meshservices/old.backend", None).0, 200);

        let mut down = zone.down(&world).await;
        let timeouts = down.first("MeshTimeout").await;
        assert!(names(&timeouts).contains(&"t1"), "{timeouts:?}");
        // A real global blanks the names of types with a status here.
        let services = down.first("MeshMultiZoneService").await;
        assert_eq!((names(&services), services[0].status.as_deref()), (vec!["mz"], Some("{}")));
        let mut hashed = Played::new("new").down(&world).await;
        assert!(!names(&hashed.first("MeshTimeout").await).contains(&"t1"));
    });
}

#[test]
fn the_first_request_decides() {
    let world = open_world();
    world.apply(&policy("t1"));
    run_in_threads(async {
        let (with, without) = (Played::new("one"), Played::new("two").without("hash-suffix"));
        for (first, later, plain) in [(&with, &without, false), (&without, &with, true)] {
            let mut down = first.down(&world).await;
            down.first("Mesh").await;
            let mut request = later.first_request("MeshTimeout");
            request.node.as_mut().unwrap().id.clone_from(&first.name);
            down.call.send(&request.encode_to_vec());
            let response = down.next().await;
            assert_eq!(names(&seen(&response)).contains(&"t1"), plain, "{}", first.name);
        }
    });
}

#[test]
fn a_policy_of_another_zone_needs_its_feature() {
    let world = open_world();
    run_in_threads(async {
        let spec = r#"{"to":[{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}},"default":{"idleTimeout":"1h"}}]}"#;
        let labels = [
            ("kuma.io/display-name", "produced"),
            ("kuma.io/policy-role", "producer"),
            ("k8s.kuma.io/namespace", "ns"),
        ];
        let mut west = Played::new("west").up(&world).await;
        assert_eq!(west.report("MeshTimeout", vec![sent("default", "produced", &labels, json(spec))]).await, None);
        let produced = |seen: &[Seen]| {
            seen.iter().any(|one| one.labels.get("kuma.io/display-name").is_some_and(|name| name == "produced"))
        };
        let mut east = Played::new("east").down(&world).await;
        east.ask("MeshTimeout");
        let response = east.until(|response| produced(&seen(response))).await;
        let policy = seen(&response).into_iter().find(|one| produced(std::slice::from_ref(one))).unwrap();
        assert_eq!(
            (policy.labels["kuma.io/zone"].as_str(), policy.labels["kuma.io/origin"].as_str()),
            ("west", "global")
        );
        // What all zones see is the same now, so what does not come was held back.
        let mut old =
            Played { version: "2.9.0", ..Played::new("old") }.without("producer-policy-flow").down(&world).await;
        assert!(!produced(&old.first("MeshTimeout").await));
        let mut back = Played::new("west").down(&world).await;
        assert!(!produced(&back.first("MeshTimeout").await), "it does not go back to its zone");
    });
}

#[test]
fn a_generator_for_multi_zone_services_needs_its_feature() {
    let world = open_world();
    run_in_threads(async {
        let selects = |seen: &[Seen]| {
            let text = |one: &Seen| String::from_utf8(one.spec.value.clone()).unwrap();
            seen.iter().filter(|one| text(one).contains("meshMultiZoneService")).count()
        };
        let with = Played::new("with").down(&world).await.first("HostnameGenerator").await;
        let without = Played::new("out").without("hg-mz-selector").down(&world).await.first("HostnameGenerator").await;
        assert!(selects(&with) > 0);
        assert_eq!((selects(&without), without.len()), (0, with.len() - selects(&with)));
    });
}

#[test]
fn a_policy_without_a_top_level_target_needs_no_feature() {
    let world = open_world();
    world.apply(&policy("t1"));
    run_in_threads(async {
        let old = Played { version: "2.10.0", ..Played::new("old") }.without("optional-top-level-target-ref");
        let mut names = Vec::new();
        for zone in [old, Played::new("new")] {
            let policies = zone.down(&world).await.first("MeshTimeout").await;
            assert!(policies.iter().any(|one| one.labels.get("kuma.io/display-name").is_some_and(|name| name == "t1")));
            names.push(policies.into_iter().map(|one| one.name).collect::<BTreeSet<_>>());
        }
        assert_eq!(names[0], names[1]);
    });
}

/// What a zone of 2.9.3 has of MeshTimeout, by display name. It drops a batch whole if it cannot read one policy of it,
/// says which rule that breaks, and takes the first batch that it does not drop for all there is.
struct Timeouts {
    known: BTreeMap<String, String>,
    first: bool,
}

impl Timeouts {
    async fn take(&mut self, down: &mut Down) {
        let response = down.next().await;
        assert_eq!(response.type_url, "MeshTimeout");
        let text = |one: &Seen| String::from_utf8(one.spec.value.clone()).unwrap();
        let unreadable = |one: &&Seen| {
            let spec: serde_json::Value = serde_json::from_str(&text(one)).unwrap();
            (spec.get("from").is_none() && spec.get("to").is_none()) || text(one).contains("7h")
        };
        let seen = seen(&response);
        if seen.iter().any(|one| unreadable(&one)) {
            down.nack(&response, "spec: at least one of 'from', 'to' has to be defined");
            return;
        }
        if std::mem::take(&mut self.first) {
            self.known.clear();
        }
        self.known.extend(seen.iter().map(|one| (one.name.clone(), text(one))));
        for removed in &response.removed_resources {
            self.known.remove(removed.strip_suffix(".default").unwrap());
        }
        down.ack(&response);
    }

    /// Takes responses until it has these, and the value for one of them.
    async fn until(&mut self, down: &mut Down, names: &[&str], value: &str) {
        let display = |name: &String| name.rsplit_once('-').unwrap().0.to_owned();
        loop {
            let found: Vec<String> = self.known.keys().map(display).filter(|name| !name.starts_with("mesh-")).collect();
            if found == names && self.known.values().any(|spec| spec.contains(value)) {
                return;
            }
            self.take(down).await;
        }
    }
}

fn timeout(name: &str, member: &str, idle: &str) -> String {
    let target = if member == "rules" { "" } else { "targetRef: {kind: Mesh}, " };
    format!(
        "type: MeshTimeout\nmesh: default\nname: {name}\nspec:\n  {member}: [{{{target}default: {{idleTimeout: {idle}}}}}]\n"
    )
}

#[test]
fn a_zone_2_9_3_gets_every_policy_that_it_can_read() {
    let world = open_world();
    // The mesh's own default policies have `rules` too.
    world.apply(&timeout("a", "to", "1h"));
    world.apply(&timeout("new", "rules", "1h"));
    let trouble = || client::get(world.http(), "/zones/old/_overview")["zoneInsight"]["typeTroubles"].clone();
    run_in_threads(async {
        let mut down = Played { version: "2.9.3", ..Played::new("old") }.down(&world).await;
        let mut zone = Timeouts { known: BTreeMap::from([("gone-1".to_owned(), String::new())]), first: true };
        down.ask("MeshTimeout");
        zone.until(&mut down, &["a"], "1h").await;
        let shown = eventually("what it cannot read", trouble, |one| one.get("MeshTimeout").is_some());
        let unreadable = &shown["MeshTimeout"]["unreadable"];
        assert_eq!(unreadable["sinceVersion"], "2.10", "{shown}");
        assert!(unreadable["resources"].to_string().contains("new-"), "{shown}");
        assert_eq!(shown["MeshTimeout"].get("rejectedByZone"), None, "nothing was sent that it rejects: {shown}");

        // Policies that it cannot read come, change and go in between.
        world.apply(&timeout("newer", "rules", "1h"));
        world.apply(&timeout("b", "to", "2h"));
        zone.until(&mut down, &["a", "b"], "2h").await;
        world.apply(&timeout("newer", "rules", "2h"));
        world.apply(&timeout("a", "to", "3h"));
        zone.until(&mut down, &["a", "b"], "3h").await;
        world.kumactl.ok(&["delete", "meshtimeout", "newer"], "");
        world.apply(&timeout("new", "to", "4h"));
        zone.until(&mut down, &["a", "b", "new"], "4h").await;
        world.apply(&timeout("new", "rules", "5h"));
        zone.until(&mut down, &["a", "b"], "3h").await;
        // And one that it rejects for a reason that nobody foresaw.
        world.apply(&timeout("c", "to", "7h"));
        world.apply(&timeout("d", "to", "8h"));
        zone.until(&mut down, &["a", "b", "d"], "8h").await;
        eventually("what it rejects", trouble, |one| one["MeshTimeout"].get("rejectedByZone").is_some());

        // A new stream: the one bad policy keeps nothing from the first response.
        let mut down = Played { version: "2.9.3", ..Played::new("old") }.down(&world).await;
        let mut zone = Timeouts { known: BTreeMap::new(), first: true };
        down.ask("MeshTimeout");
        zone.until(&mut down, &["a", "b", "d"], "8h").await;
    });
    let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
    let counted = r#"kds_type_unreadable_total{zone="Global",zone_name="old",resource_type="MeshTimeout"}"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_zone_gets_what_its_version_reads() {
    let world = open_world();
    world.apply(&timeout("new", "rules", "1h"));
    run_in_threads(async {
        for (zone, version, expected) in
            [("z9", "2.9.19", false), ("z10", "2.10.0", true), ("z0", "0.0.0-preview.vabc", true), ("z", "", true)]
        {
            let seen = Played { version, ..Played::new(zone) }.down(&world).await.first("MeshTimeout").await;
            assert_eq!(names(&seen).iter().any(|name| name.starts_with("new-")), expected, "{version}");
        }
    });
}

#[test]
fn the_first_answer_does_not_wait_for_the_last_request() {
    let world = open_world();
    run_in_threads(async {
        let mut down = Played::new("slow").down(&world).await;
        for kind in ["Mesh", "Secret", "Dataplane"] {
            down.ask(kind);
            assert_eq!(down.next().await.type_url, kind, "the ACKs come after all first requests");
        }
    });
}

#[test]
fn a_report_may_come_before_all_types_were_asked_for() {
    let world = open_world();
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut call = Played::new("eager").call(&peer, UP);
        let first = DeltaDiscoveryRequest::decode(call.next().await.unwrap()).unwrap();
        let report =
            DeltaDiscoveryResponse { type_url: first.type_url.clone(), nonce: "1".to_owned(), ..Default::default() };
        call.send(&report.encode_to_vec());
        let mut others = 0;
        loop {
            let request = DeltaDiscoveryRequest::decode(call.next().await.unwrap()).unwrap();
            if request.response_nonce.is_empty() {
                others += 1;
                continue;
            }
            assert_eq!((request.type_url, request.response_nonce.as_str()), (first.type_url.clone(), "1"));
            break;
        }
        assert!(others <= 30);
    });
}

#[test]
fn global_asks_for_31_types_in_the_name_of_the_zone() {
    let world = open_world();
    run_in_threads(async {
        let up = Played::new("old").up(&world).await;
        assert_eq!(up.asked.len(), 31);
        for request in up.asked.values() {
            let node = request.node.as_ref().unwrap();
            assert_eq!(
                (node.id.as_str(), request.resource_names_subscribe.as_slice()),
                ("old", ["*".to_owned()].as_slice())
            );
            assert!(request.initial_resource_versions.is_empty() && request.response_nonce.is_empty());
            let keys: Vec<_> = node.metadata.as_ref().unwrap().fields.keys().map(String::as_str).collect();
            assert_eq!(keys, ["config", "control-plane-id", "features", "version"]);
        }
    });
}

#[test]
fn a_zone_that_restarts_its_stream_gets_the_whole_state_again() {
    let world = open_world();
    run_in_threads(async {
        let zone = Played { version: "2.13.0", ..Played::new("old") };
        let before = zone.down(&world).await.first("MeshTimeout").await;
        // Its store refused something: it drops the stream and comes back (before 3.0).
        let after = zone.down(&world).await.first("MeshTimeout").await;
        assert_eq!(names(&before), names(&after));
        assert!(!after.is_empty());
    });
}

#[test]
fn a_zone_gets_only_the_types_it_asked_for() {
    let world = open_world();
    run_in_threads(async {
        let mut down = Played { version: "2.9.0", ..Played::new("old") }.down(&world).await;
        down.first("Mesh").await;
        world.apply("type: MeshIdentity\nmesh: default\nname: identity\nspec:\n  provider: {type: Bundled, bundled: {insecureAllowSelfSigned: true, meshTrustCreation: Enabled, certificateParameters: {expiry: 24h}, autogenerate: {enabled: true}}}\n  selector: {dataplane: {matchLabels: {}}}\n  spiffeID: {trustDomain: x.y, path: /a}\n");
        world.apply(&policy("t1"));
        world.apply("type: Mesh\nname: later\n");
        let response = down.next().await;
        assert_eq!((response.type_url.as_str(), names(&seen(&response))), ("Mesh", vec!["later"]));
    });
}

#[test]
fn no_sync_stream_ends_with_ok() {
    let mut world = open_world();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut standing = runtime.block_on(async {
        let zone = Played { version: "2.9.0", ..Played::new("old") };
        for path in [DOWN, UP] {
            for breaks in [
                (|call: &mut Call| call.half_close()) as fn(&mut Call),
                |call| call.send(&[0xff; 8]),
                |call| call.send(&[]),
                |call| call.raw(vec![9; 64]),
            ] {
                let peer = peer(&world).await;
                let mut call = zone.call(&peer, path);
                breaks(&mut call);
                let ended = call.ended().await;
                assert!(ended.code != 0 && ended.code != 1, "neither OK nor Canceled: {ended:?}");
            }
        }
        let mut down = zone.down(&world).await;
        down.first("Mesh").await;
        (down, zone.up(&world).await)
    });
    let ends = runtime.spawn(async move { (standing.0.call.ended().await, standing.1.ended().await) });
    world.global.terminate();
    let (down, up) = runtime.block_on(ends).unwrap();
    assert_eq!((down.code, up.code), (14, 14), "{down:?} {up:?}");
}
