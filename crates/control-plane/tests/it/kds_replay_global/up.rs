//! ZoneToGlobalSync: our global asks, the zone provides; and what became of it in our REST API.

use std::collections::BTreeSet;

use model::{Key, Kind, Labels, Scope, SpecForm, labels};
use prost::Message as _;
use serde_json::Value;
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    kuma::mesh::v1alpha1::{KumaResource, kuma_resource::Meta},
};

use super::{
    compare,
    play::Player,
    recording::{Event, Payload, Rpc},
};

/// A response that the zone sent.
pub(crate) struct Sent {
    response: DeltaDiscoveryResponse,
    /// It is the first of its type on the stream.
    first: bool,
}

impl Player {
    /// Our global opens with a request for each type, as the recorded one does.
    pub(crate) async fn first_requests(&mut self, connection: u64) {
        let at = (connection, Rpc::ZoneToGlobal);
        let recorded: Vec<DeltaDiscoveryRequest> = self
            .recording
            .rest_of(self.index, connection, Rpc::ZoneToGlobal)
            .filter_map(|line| match &line.event {
                Event::FromGlobal(_, payload) => Some(payload.request()),
                _ => None,
            })
            .filter(is_first)
            .collect();
        let Some(model) = recorded.first() else { return };
        let mut asked = BTreeSet::new();
        for _ in Kind::all().filter(|kind| kind.flow.zone_to_global()) {
            let Some(message) = self.stream(at).next().await else { return self.note_end(at, "goes on") };
            let request = DeltaDiscoveryRequest::decode(message).expect("a request");
            if let Some(what) = compare::first_request(model, &request) {
                self.note("ZoneToGlobalSync", &what, "another first request");
            }
            assert!(asked.insert(request.type_url), "each type is asked for once");
        }
        let recorded: BTreeSet<String> = recorded.into_iter().map(|request| request.type_url).collect();
        let listed = |kinds: Vec<&String>| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        let more = listed(asked.difference(&recorded).collect());
        if !more.is_empty() {
            self.note_anywhere("ZoneToGlobalSync", &format!("also asks for {more}"));
        }
        let less = listed(recorded.difference(&asked).collect());
        assert!(less.is_empty(), "our global does not ask for {less}");
    }

    /// The zone sent a response.
    pub(crate) fn zone_reports(&mut self, connection: u64, payload: &Payload) {
        let at = (connection, Rpc::ZoneToGlobal);
        let response = payload.response();
        let lines = &self.recording.lines[..self.index];
        let first = !lines.iter().any(|line| {
            line.connection == connection
                && matches!(&line.event, Event::FromZone(Rpc::ZoneToGlobal, earlier)
                    if earlier.response().type_url == response.type_url)
        });
        self.stream(at).send(&payload.bytes);
        self.unanswered.entry(connection).or_default().push_back(Sent { response, first });
    }

    /// The recorded global answered a response of the zone: ours has to answer the same.
    pub(crate) async fn global_answers(&mut self, connection: u64, recorded: &DeltaDiscoveryRequest) {
        let at = (connection, Rpc::ZoneToGlobal);
        if is_first(recorded) || self.stream(at).ended().is_some() {
            return;
        }
        let Some(message) = self.stream(at).next().await else { return self.note_end(at, "goes on") };
        let ours = DeltaDiscoveryRequest::decode(message).expect("a request");
        if let Some(what) = compare::answer(recorded, &ours) {
            self.note("ZoneToGlobalSync", &what, &format!("{recorded:?}"));
        }
        let sent = self.unanswered.entry(connection).or_default().pop_front().expect("something to answer");
        let rejected = ours.error_detail.map(|status| status.message.lines().count()).unwrap_or_default();
        self.shows(connection, &sent, rejected).await;
    }

    /// What was sent stands in our REST API, and what was removed does not.
    async fn shows(&mut self, connection: u64, sent: &Sent, rejected: usize) {
        let zone = self.stream((connection, Rpc::ZoneToGlobal)).zone.clone();
        let prefix = if self.prefixed(connection) { format!("{zone}.") } else { String::new() };
        let kind = Kind::by_name(&sent.response.type_url).expect("a kind that was asked for");
        let mut names = BTreeSet::new();
        let mut missing = 0;
        for wire in &sent.response.resources {
            let any = wire.resource.as_ref().expect("content");
            let kuma = KumaResource::decode(any.value.as_slice()).expect("a resource");
            let meta = kuma.meta.clone().expect("meta");
            let key = key(kind, &meta.mesh, &format!("{prefix}{}", meta.name));
            let stored = self.global.get(&key).await;
            if stored.is_none() {
                missing += 1;
                continue;
            }
            names.insert(shown(&key));
            let stored = stored.expect("a resource");
            assert_eq!(stored.labels, taken_over(meta, &zone), "the labels of {key}");
            assert_eq!(stored.owner, Some(Key::global(Kind::ZONE, &zone)), "the owner of {key}");
            self.in_rest(&key, &kuma).await;
        }
        assert_eq!(missing, rejected, "what is not rejected is stored: {:?}", sent.response.type_url);
        let removed = sent.response.removed_resources.iter();
        let removed: BTreeSet<String> = removed.map(|name| format!("{prefix}{name}")).collect();
        for name in removed.difference(&names) {
            let (name, mesh) = name.rsplit_once('.').unwrap_or((name, ""));
            let path = path(&key(kind, mesh, name));
            assert_eq!(self.global.rest("GET", &path, None).0, 404, "{path} is removed");
        }
        let reported = self.reported.entry((zone, kind.name)).or_default();
        if sent.first {
            reported.clear();
        }
        reported.retain(|name| !removed.contains(name));
        reported.extend(names);
    }

    /// Compares a resource in REST with what the zone sent.
    async fn in_rest(&self, key: &Key, kuma: &KumaResource) {
        // REST shows nothing of a mesh that is not there; a zone may report it all the same.
        let mesh = Key::global(Kind::MESH, &key.mesh);
        if key.kind.scope == Scope::Mesh && self.global.get(&mesh).await.is_none() {
            return;
        }
        let path = path(key);
        let (status, body) = self.global.rest("GET", &path, None);
        assert_eq!(status, 200, "GET {path}: {body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let spec = &kuma.spec.as_ref().expect("a spec").value;
        match key.kind.spec {
            SpecForm::Json => {
                let spec: Value = serde_json::from_slice(spec).expect("JSON");
                assert!(holds(&body["spec"], &spec), "the spec of {key}: {} and not {spec}", body["spec"]);
            }
            SpecForm::Proto(_) => {
                for (name, value) in model::proto::spec_to_json(key.kind, spec).expect("a spec") {
                    assert!(holds(&body[&name], &value), "{name} of {key}: {} and not {value}", body[&name]);
                }
            }
        }
        if let Some(status) = kuma.status.as_ref().filter(|_| key.kind.empty_status.is_some()) {
            let status: Value = serde_json::from_slice(&status.value).expect("JSON");
            assert_eq!(body["status"], status, "the status of {key}");
        }
    }

    /// Each zone has exactly what it reported.
    pub(crate) async fn nothing_else_of_zones(&self) {
        for ((zone, kind), reported) in &self.reported {
            let kind = Kind::by_name(kind).expect("a kind");
            let all = self.global.all(kind).await;
            let of_zone = all.iter().filter(|one| one.labels.get(labels::ZONE) == Some(zone));
            let here: BTreeSet<String> = of_zone.map(|one| shown(&one.key)).collect();
            assert_eq!(here, *reported, "{} of {zone}, {}", kind.name, self.step);
        }
    }

    /// Whether the zone does not hash its names: its header says so.
    fn prefixed(&self, connection: u64) -> bool {
        !self.recording.rest_of(0, connection, Rpc::ZoneToGlobal).any(|line| {
            matches!(&line.event, Event::Open(_, headers)
                if headers.iter().any(|(name, value)| name == "features" && value == "hash-suffix"))
        })
    }
}

/// A first request asks for everything and answers nothing.
fn is_first(request: &DeltaDiscoveryRequest) -> bool {
    request.response_nonce.is_empty() && !request.resource_names_subscribe.is_empty() && request.error_detail.is_none()
}

/// The labels of a zone's resource at global: where it comes from is not the zone's to say.
fn taken_over(meta: Meta, zone: &str) -> Labels {
    let mut labels = meta.labels;
    labels.insert(labels::ORIGIN.to_owned(), labels::ORIGIN_ZONE.to_owned());
    labels.insert(labels::ZONE.to_owned(), zone.to_owned());
    labels
}

fn key(kind: Kind, mesh: &str, name: &str) -> Key {
    Key { kind, mesh: mesh.to_owned(), name: name.to_owned() }
}

fn shown(key: &Key) -> String {
    format!("{}.{}", key.name, key.mesh)
}

fn path(key: &Key) -> String {
    match key.kind.scope {
        Scope::Mesh => format!("/meshes/{}/{}/{}", key.mesh, key.kind.path, key.name),
        Scope::Global => format!("/{}/{}", key.kind.path, key.name),
    }
}

/// Whether what is shown has everything that was sent; what is empty may be left out.
fn holds(shown: &Value, sent: &Value) -> bool {
    match (shown, sent) {
        (Value::Object(shown), Value::Object(sent)) => {
            sent.iter().all(|(key, value)| holds(shown.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(shown), Value::Array(sent)) => {
            shown.len() == sent.len() && shown.iter().zip(sent).all(|(shown, sent)| holds(shown, sent))
        }
        (Value::Null, Value::Object(sent)) => sent.is_empty(),
        (Value::Null, Value::Array(sent)) => sent.is_empty(),
        (shown, sent) => shown == sent,
    }
}
