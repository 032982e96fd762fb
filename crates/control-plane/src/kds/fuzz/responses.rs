//! Any responses on one stream, applied to a store: nothing outside the peer's scope is written, nothing that was not
//! asked for, and nothing that another peer could not read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::FutureExt as _;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, SpecForm, labels};
use prost::Message as _;
use prost_types::Any;
use store::{Batch, Precondition, Query, ResourceStore, Write, memory::MemoryStore};
use sync::{Passage, Receiver};
use testkit::fuzz::{Form, Inputs};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{ZONE, dataplane, decoded, encoded, proto_resource, recorded_responses, resource, response};
use crate::{
    clock::Clock,
    kds::{
        apply::{Applier, Origin},
        messages::{convert, node},
    },
    observe::kds_metrics::KdsMetrics,
};

type Picture = BTreeMap<Key, Arc<Resource>>;

#[test]
fn a_zone_writes_only_what_is_its_own() {
    let store = Started::new(&global());
    let kinds: Vec<Kind> = Kind::all().filter(|kind| kind.flow.zone_to_global()).collect();
    testkit::fuzz!(inputs("ZoneToGlobalSync").runs(1_200), |input| {
        let responses: Vec<DeltaDiscoveryResponse> = decoded(input);
        for prefix_names in [false, true] {
            let origin = Origin::Zone { name: ZONE.to_owned(), prefix_names };
            let Taken { before, after, .. } = store.take_in(origin, &kinds, &responses);
            for (key, resource) in &before {
                let owned = of_zone(resource);
                assert!(owned || after.get(key) == Some(resource), "{key} is not the zone's and has changed");
            }
            for (key, resource) in after.iter().filter(|(key, resource)| before.get(*key) != Some(*resource)) {
                assert!(kinds.contains(&key.kind), "{key} was not asked for");
                assert!(responses.iter().any(|one| one.type_url == key.kind.name), "{key} was not sent");
                assert!(of_zone(resource), "{key} says that it is {:?}", resource.labels);
                assert_eq!(resource.owner, Some(Key::global(Kind::ZONE, ZONE)), "{key} goes with its zone");
                assert!(!prefix_names || key.name.starts_with("zone-1."), "{key} has no prefix");
                can_be_shown(resource);
                can_be_passed_on(resource);
            }
        }
    });
}

#[test]
fn global_touches_nothing_that_a_zone_made() {
    let store = Started::new(&zone());
    let kinds: Vec<Kind> = Kind::all().filter(|kind| kind.flow.global_to_zone()).collect();
    testkit::fuzz!(inputs("GlobalToZoneSync").runs(1_800), |input| {
        let responses: Vec<DeltaDiscoveryResponse> = decoded(input);
        let Taken { before, after, meshes_gone } = store.take_in(Origin::Global, &kinds, &responses);
        let of_global = |resource: &Resource| {
            !resource.key.kind.flow.provided_by_zone() || label(resource, labels::ORIGIN) == Some(labels::ORIGIN_GLOBAL)
        };
        for (key, resource) in &before {
            // What is in a mesh goes with it.
            let may_change = (of_global(resource) && kinds.contains(&key.kind)) || meshes_gone.contains(&key.mesh);
            assert!(may_change || after.get(key) == Some(resource), "{key} is the zone's and has changed");
        }
        for (key, resource) in after.iter().filter(|(key, resource)| before.get(*key) != Some(*resource)) {
            assert!(kinds.contains(&key.kind), "{key} was not asked for");
            assert!(responses.iter().any(|one| one.type_url == key.kind.name), "{key} was not sent");
            assert!(of_global(resource), "{key} says that it is {:?}", resource.labels);
            can_be_shown(resource);
            let sent_back = sync::from_zone(resource) == Passage::Pass && key.kind.flow.provided_by_zone();
            assert!(!sent_back, "{key} would be sent back");
        }
    });
}

/// A store that begins anew with each input.
struct Started {
    resources: Vec<Resource>,
    clock: Clock,
    metrics: KdsMetrics,
}

impl Started {
    fn new(resources: &[Resource]) -> Self {
        let metrics = KdsMetrics::register(&mut Default::default());
        Self { resources: resources.to_vec(), clock: Clock::starting_at(Timestamp::UNIX_EPOCH), metrics }
    }

    /// Takes in the responses of one stream until it would end.
    fn take_in(&self, origin: Origin, kinds: &[Kind], responses: &[DeltaDiscoveryResponse]) -> Taken {
        let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
        let put = |resource: &Resource| Write::Put { resource: resource.clone(), expect: Precondition::Absent };
        now(store.apply(Batch::of(self.resources.iter().map(put).collect()))).unwrap();
        let before = picture(store.as_ref());
        let applier = Applier::new(Arc::clone(&store), self.clock.clone(), origin, self.metrics.clone());
        let mut receiver = Receiver::new(kinds.to_vec());
        let mut meshes_gone = BTreeSet::new();
        for message in responses {
            let Ok(incoming) = convert::incoming(message.clone()) else { break };
            let (kind, nonce) = (incoming.kind.clone(), incoming.nonce.clone());
            let Ok(plan) = receiver.on_response(incoming) else { break };
            let outcome = now(applier.apply(plan)).expect("what a peer sends is no fault of the store");
            let answer = receiver.applied(&kind, &nonce, outcome);
            let frame = convert::request_frame(answer, node::later(ZONE));
            let answer = DeltaDiscoveryRequest::decode(frame).unwrap();
            assert_eq!((answer.type_url, answer.response_nonce), (kind, nonce), "each response has its answer");
            let gone = before.keys().filter(|key| key.kind == Kind::MESH && now(store.get(key)).unwrap().is_none());
            meshes_gone.extend(gone.map(|key| key.name.clone()));
        }
        Taken { after: picture(store.as_ref()), before, meshes_gone }
    }
}

/// What became of a store.
struct Taken {
    before: Picture,
    after: Picture,
    /// Meshes that were gone at some time.
    meshes_gone: BTreeSet<String>,
}

/// Nothing in memory waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

fn picture(store: &dyn ResourceStore) -> Picture {
    let all = Kind::all().flat_map(|kind| now(store.list(&Query::all(kind))).unwrap().items);
    all.map(|stored| (stored.resource.key.clone(), stored.resource)).collect()
}

fn label<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    resource.labels.get(key).map(String::as_str)
}

fn of_zone(resource: &Resource) -> bool {
    label(resource, labels::ZONE) == Some(ZONE) && label(resource, labels::ORIGIN) == Some(labels::ORIGIN_ZONE)
}

/// REST shows it, and what is JSON is JSON to the end.
fn can_be_shown(resource: &Resource) {
    model::document::to_rest_text(&model::document::to_rest(resource, None, model::Audience::Everybody));
    if resource.key.kind.spec == SpecForm::Json {
        let spec = serde_json::from_slice::<serde_json::Value>(&resource.spec);
        assert!(spec.is_ok(), "the spec of {} is no JSON", resource.key);
    }
    if let Some(status) = &resource.status {
        let read = serde_json::from_slice::<serde_json::Value>(status);
        assert!(read.is_ok(), "the status of {} is no JSON: {}", resource.key, String::from_utf8_lossy(status));
    }
}

/// What one zone made must not end the stream of another.
fn can_be_passed_on(resource: &Resource) {
    if sync::from_global(resource, &|_| true) != Passage::Pass {
        return;
    }
    let entry = convert::entry(resource.key.kind, sync::to_zone(resource, true, &[]));
    let message = DeltaDiscoveryResponse::decode(
        [&entry.payload[..], &response(resource.key.kind.name, Vec::new(), &[]).encode_to_vec()].concat().as_slice(),
    )
    .unwrap();
    let incoming = convert::incoming(message).expect("another zone reads it");
    assert_eq!(incoming.resources.first().map(|one| &one.name), Some(&entry.name));
}

fn of(kind: &str, mesh: &str, name: &str, labels: &[(&str, &str)], spec: &[u8]) -> Resource {
    let kind = Kind::by_name(kind).unwrap();
    Resource {
        key: Key { kind, mesh: mesh.to_owned(), name: name.to_owned() },
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Labels>(),
        spec: Bytes::copy_from_slice(spec),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

const OF_GLOBAL: [(&str, &str); 1] = [("kuma.io/origin", "global")];
const OF_ZONE: [(&str, &str); 2] = [("kuma.io/origin", "zone"), ("kuma.io/zone", ZONE)];
const OF_EAST: [(&str, &str); 2] = [("kuma.io/origin", "zone"), ("kuma.io/zone", "east")];

/// Names that are also in the recordings: a peer reaches for what is there.
fn global() -> Vec<Resource> {
    let mut resources = vec![
        of("Mesh", "", "default", &[], b""),
        of("Zone", "", ZONE, &[], b""),
        of("Zone", "", "east", &[], b""),
        of("Secret", "default", "s1", &[], b""),
        of("GlobalSecret", "", "control-plane-signing-key-0001", &[], b""),
        of("MeshTimeout", "default", "mesh-timeout-all-default", &OF_GLOBAL, b"{}"),
        of("MeshTimeout", "default", "zone-1.timeout", &[], b"{}"),
        of("HostnameGenerator", "", "local-mesh-service", &[], b"{}"),
        // Taken by other owners, under names that the zone sends.
        of("MeshRetry", "default", "taken", &OF_EAST, b"{}"),
        of("MeshRetry", "default", "made-here", &OF_GLOBAL, b"{}"),
        of("Dataplane", "default", "east-1", &OF_EAST, b""),
    ];
    let owner = Some(Key::global(Kind::ZONE, ZONE));
    let own = [
        of("Dataplane", "default", "known", &OF_ZONE, b""),
        of("MeshRetry", "default", "known", &OF_ZONE, b"{}"),
        of("MeshService", "default", "known", &OF_ZONE, b"{}"),
    ];
    resources.extend(own.map(|resource| Resource { owner: owner.clone(), ..resource }));
    resources
}

fn zone() -> Vec<Resource> {
    vec![
        of("Mesh", "", "default", &OF_GLOBAL, b""),
        of("Mesh", "", "m2", &OF_GLOBAL, b""),
        of("Zone", "", ZONE, &[], b""),
        of("Dataplane", "default", "dp-1", &[], b""),
        of("Dataplane", "m2", "dp-2", &OF_ZONE, b""),
        of("MeshTimeout", "default", "zt", &OF_ZONE, b"{}"),
        of("MeshTimeout", "default", "known", &OF_GLOBAL, b"{}"),
        of("MeshRetry", "default", "taken", &[], b"{}"),
        of("HostnameGenerator", "", "local-mesh-service", &[], b"{}"),
        of("Secret", "default", "zsec", &[], b""),
        of("Secret", "default", "same", &[], b""),
        of("Secret", "default", "s1", &OF_GLOBAL, b""),
        of("GlobalSecret", "", "admin-user-token", &[], b""),
        of("GlobalSecret", "", "gs1", &OF_GLOBAL, b""),
    ]
}

fn inputs(method: &str) -> Inputs {
    let dataplane = Any {
        type_url: "type.googleapis.com/kuma.mesh.v1alpha1.Dataplane".to_owned(),
        value: dataplane("other").encode_to_vec(),
    };
    let secret = Any { type_url: "type.googleapis.com/kuma.system.v1alpha1.Secret".to_owned(), value: Vec::new() };
    let mesh = Any { type_url: "type.googleapis.com/kuma.mesh.v1alpha1.Mesh".to_owned(), value: Vec::new() };
    let timeout = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1s"}}]}"#;
    let status = r#"{"tls":{"status":"Ready"},"dataplaneProxies":{"connected":1}}"#;
    let names = |kind: &str, origin: &str| {
        let named =
            ["known", "taken", "made-here", "zt", "new"].map(|name| resource("default", name, origin, "{}", None));
        response(kind, named.into(), &["known.default", "made-here.default", "east-1.default", "a.b.c", "nothing"])
    };
    let mut made = Vec::new();
    for origin in ["global", "zone", ""] {
        let labels = [("kuma.io/origin", origin)];
        made.extend([
            encoded(&[names("MeshRetry", origin), names("MeshRetry", origin)]),
            encoded(&[response(
                "MeshTimeout",
                vec![resource("default", "t", origin, timeout, None)],
                &["known.default"],
            )]),
            encoded(&[response("MeshService", vec![resource("default", "s", origin, "{}", Some(status))], &[])]),
            encoded(&[response(
                "HostnameGenerator",
                vec![resource("", "local-mesh-service", origin, "{}", None)],
                &[],
            )]),
            encoded(&[response(
                "Dataplane",
                vec![proto_resource("default", "dp-1", &labels, dataplane.clone(), None)],
                &[],
            )]),
            encoded(&[response(
                "Secret",
                vec![proto_resource("default", "same", &labels, secret.clone(), None)],
                &["zsec.default"],
            )]),
            encoded(&[response(
                "GlobalSecret",
                vec![proto_resource("", "admin-user-token", &labels, secret.clone(), None)],
                &[],
            )]),
            encoded(&[response("Mesh", vec![proto_resource("", "default", &labels, mesh.clone(), None)], &["m2."])]),
            encoded(&[response("Dataplane", Vec::new(), &[]), response("NoSuchKind", Vec::new(), &[])]),
        ]);
    }
    let words =
        ["known", "taken", "made-here", "dp-1", "zsec", "known.default", "zone-1.timeout", "zone-1", "MeshService"];
    Inputs::new(Form::Messages).recorded(recorded_responses(method)).made(made).words(words)
}
