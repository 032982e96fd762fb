//! What a recorded zone sent and REST does not take: statuses, insights, trusts, policies of a namespace. They are put
//! into the store before our zone starts; what it sends of them must be the recorded bytes.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use model::{Key, Kind, Resource, labels};
use prost::Message as _;
use store::{Precondition, ResourceStore as _, sqlite::SqliteStore};
use tempfile::TempDir;
use testkit::{client, kds_server::Server};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource},
    kuma::mesh::v1alpha1::DataplaneInsight,
};

use super::{
    compare,
    link::{Link, Pong},
    recording::{DOWN, Event, Recording, UP},
    zone::{Zone, kuma},
};

/// Folders with a real zone, and its name.
const ZONES: [(&str, &str); 8] = [
    ("global-2.14.3+zone-2.14.3", "zone-1"),
    ("global-2.14.3+zone-3.0-preview", "zone-1"),
    ("global-3.0-preview+zone-2.14.3", "zone-1"),
    ("global-3.0-preview+zone-3.0-preview", "zone-1"),
    ("refused-by-global-3.0-preview", "zone-1"),
    ("reverse-requests-2.14.3", "zone-1"),
    ("two-zones-2.14.3", "zone-1"),
    ("two-zones-3.0-preview", "zone-1"),
];

/// Every version of every resource that a recorded zone sent, by kind and name on the wire.
type Sent = BTreeMap<(String, String), Vec<WireResource>>;

fn sent() -> Option<Sent> {
    let mut sent = Sent::new();
    for (folder, zone) in ZONES {
        for event in Recording::read(folder, zone)?.events {
            let Event::Heard { method: UP, bytes } = event else { continue };
            let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
            for resource in response.resources {
                let versions = sent.entry((response.type_url.clone(), resource.name.clone())).or_default();
                if !versions.contains(&resource) {
                    versions.push(resource);
                }
            }
        }
    }
    Some(sent)
}

#[test]
fn what_is_in_the_store_is_sent_as_recorded() {
    let Some(sent) = sent() else { return };
    let rounds = sent.values().map(Vec::len).max().unwrap();
    assert!(rounds > 5, "{rounds} versions of one resource");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut deleted = 0;
    for round in 0..rounds {
        let versions = |(name, versions): (&(String, String), &Vec<WireResource>)| {
            Some((name.clone(), versions.get(round)?.clone()))
        };
        let now: BTreeMap<_, _> = sent.iter().filter_map(versions).collect();
        deleted += runtime.block_on(send(&now));
    }
    assert!(deleted > 0, "no round has a proxy with its insight");
}

/// Starts a zone over a store with these resources; it must send them, byte for byte, and nothing else of their kinds.
/// Returns how many proxies were deleted then.
async fn send(resources: &BTreeMap<(String, String), WireResource>) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut stored: Vec<Resource> = resources.iter().map(|((kind, _), resource)| unmapped(kind, resource)).collect();
    stored.push(mesh());
    let has_proxy = resources.keys().any(|(kind, name)| kind == "Dataplane" && name.starts_with("dp-1-"));
    if has_proxy {
        for insight in stored.iter_mut().filter(|resource| resource.key.kind == Kind::DATAPLANE_INSIGHT) {
            insight.owner = Some(Key::in_mesh(Kind::DATAPLANE, "default", insight.key.name.clone()));
        }
    }
    fill(folder.path(), "zone-1", stored).await;
    let (mut link, zone, _server) = connect(folder, "zone-1").await;
    let mut by_kind: BTreeMap<&str, Vec<WireResource>> = BTreeMap::new();
    for ((kind, _), resource) in resources {
        by_kind.entry(kind).or_default().push(resource.clone());
    }
    // The zone makes its generators when they are missing.
    by_kind.remove("HostnameGenerator");
    for (kind, expected) in &by_kind {
        let mut ours = ask(&mut link, kind).await.resources;
        ours.sort_by(|left, right| left.name.cmp(&right.name));
        assert_eq!(&ours, expected, "{kind}");
    }
    let deleted = delete_a_proxy(&mut link, &zone, resources).await;
    zone.stop();
    deleted
}

/// The insight of a proxy goes with it.
async fn delete_a_proxy(link: &mut Link, zone: &Zone, resources: &BTreeMap<(String, String), WireResource>) -> usize {
    let name = "dp-1-dff6z597w47d46xx.default";
    let kinds = ["Dataplane", "DataplaneInsight"];
    if !kinds.iter().all(|kind| resources.contains_key(&((*kind).to_owned(), name.to_owned()))) {
        return 0;
    }
    let (status, text) = client::ask(zone.http(), "DELETE", "/meshes/default/dataplanes/dp-1", None);
    assert_eq!(status, 200, "{text}");
    for kind in kinds {
        let response = link.response(kind).await;
        assert_eq!((response.resources.len(), response.removed_resources), (0, vec![name.to_owned()]), "{kind}");
    }
    1
}

#[test]
fn the_status_of_a_service_of_another_zone_is_kept() {
    let Some(recording) = Recording::read("two-zones-2.14.3", "zone-2") else { return };
    let services: Vec<_> = recording
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Said { method: DOWN, bytes } => Some(bytes),
            _ => None,
        })
        .map(|bytes| (DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap(), bytes))
        .filter(|(response, _)| response.type_url == "MeshService" && !response.resources.is_empty())
        .collect();
    let [(first, _), (second, bytes), ..] = services.as_slice() else { panic!("two versions of a service") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let status = r#"{"vips":[{"ip":"241.0.0.0"}],"tls":{},"dataplaneProxies":{}}"#;
        let before = Resource { status: Some(status.into()), ..verbatim("MeshService", &first.resources[0]) };
        let name = before.key.name.clone();
        fill(folder.path(), "zone-2", vec![mesh(), before]).await;
        let (mut link, zone, _server) = connect(folder, "zone-2").await;
        link.first("MeshService").await;
        link.respond(bytes).await;
        link.answer("MeshService").await;
        let service = client::get(zone.http(), &format!("/meshes/default/meshservices/{name}"));
        let spec: serde_json::Value = serde_json::from_slice(&kuma(&second.resources[0]).spec.unwrap().value).unwrap();
        assert_ne!(kuma(&first.resources[0]).spec, kuma(&second.resources[0]).spec);
        assert_eq!(service["spec"], spec, "what global says of a service is taken");
        assert_eq!(service["status"], serde_json::from_str::<serde_json::Value>(status).unwrap(), "its status is not");
        zone.stop();
    });
}

async fn connect(folder: TempDir, name: &str) -> (Link, Zone, Server) {
    let server = Server::start().await;
    let zone = Zone::over(folder, name, server.address(), &[]);
    let link = Link::accept(&server, Pong::Message(Vec::new())).await;
    (link, zone, server)
}

/// Asks the zone for a kind, and acknowledges what it sends.
async fn ask(link: &mut Link, kind: &str) -> DeltaDiscoveryResponse {
    let first = DeltaDiscoveryRequest {
        node: Some(compare::node("zone-1")),
        type_url: kind.to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        ..Default::default()
    };
    link.request(&first).await;
    let response = link.response(kind).await;
    let ack =
        DeltaDiscoveryRequest { resource_names_subscribe: Vec::new(), response_nonce: response.nonce.clone(), ..first };
    link.request(&ack).await;
    response
}

async fn fill(folder: &Path, zone: &str, resources: Vec<Resource>) {
    let store = SqliteStore::open(&folder.join(format!("zone-{zone}.db"))).unwrap();
    // What is owned comes after its owner.
    let (owners, owned): (Vec<_>, Vec<_>) = resources.into_iter().partition(|resource| resource.owner.is_none());
    for resource in owners.into_iter().chain(owned) {
        store.put(resource, Precondition::Absent).await.unwrap();
    }
}

fn mesh() -> Resource {
    let labels = [(labels::ORIGIN.to_owned(), labels::ORIGIN_GLOBAL.to_owned())].into();
    resource(Key::global(Kind::MESH, "default"), labels)
}

fn resource(key: Key, labels: model::Labels) -> Resource {
    let (created, modified) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    Resource { key, labels, spec: Default::default(), status: None, owner: None, created, modified }
}

/// A resource on the wire as the receiver stores it.
fn verbatim(kind: &str, wire: &WireResource) -> Resource {
    let kuma = kuma(wire);
    let meta = kuma.meta.unwrap();
    let key = Key { kind: Kind::by_name(kind).unwrap(), mesh: meta.mesh, name: meta.name };
    Resource {
        spec: kuma.spec.unwrap().value.into(),
        status: kuma.status.map(|status| status.value.into()),
        ..resource(key, meta.labels.into_iter().collect())
    }
}

/// A resource of a zone as it was before it was mapped for its way to global.
fn unmapped(kind: &str, wire: &WireResource) -> Resource {
    let mut resource = verbatim(kind, wire);
    resource.key.name = resource.labels.remove(labels::DISPLAY_NAME).unwrap();
    resource.labels.remove(labels::ORIGIN);
    resource.labels.remove(labels::ZONE);
    if kind == "DataplaneInsight" {
        // The counter of the zone's own bookkeeping does not leave it.
        let mut insight = DataplaneInsight::decode(resource.spec.clone()).unwrap();
        for subscription in &mut insight.subscriptions {
            subscription.generation = 7;
        }
        assert!(!insight.subscriptions.is_empty());
        resource.spec = insight.encode_to_vec().into();
    }
    resource
}
