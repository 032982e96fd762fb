//! GlobalToZoneSync: the zone asks, our global provides.

use store::Write;
use wire::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryResponse};

use super::{
    compare::{self, Masks},
    held::Told,
    play::Player,
    recording::{Event, Payload, Rpc},
    stream::CARRIER,
};

/// What no message may exceed; real peers end the stream.
const LARGEST: usize = 10 * 1024 * 1024;
/// What a recorded global sends so soon after an ACK it had ready: the change is older than the ACK.
const AT_ONCE: u64 = 50;

impl Player {
    /// Makes our store hold what the first responses on a connection tell, before the zone opens it.
    pub(crate) async fn seed(&mut self, connection: u64) {
        let told = self.first_responses(connection);
        let mut writes = Vec::new();
        for (response, told) in told {
            writes.extend(self.held.writes(&self.global, &response, told).await);
        }
        self.global.write(writes).await;
        self.settle().await;
    }

    /// The first response of each type on a connection, and whether it is the whole type.
    fn first_responses(&self, connection: u64) -> Vec<(DeltaDiscoveryResponse, Told)> {
        let mut asked = std::collections::BTreeMap::new();
        let hashed = self.hashed(connection);
        for line in self.recording.rest_of(self.index + 1, connection, Rpc::GlobalToZone) {
            let Event::FromZone(_, payload) = &line.event else { continue };
            let request = payload.request();
            let everything = request.resource_names_subscribe.iter().all(|name| name == "*");
            let complete = hashed && everything && request.initial_resource_versions.is_empty();
            asked.entry(request.type_url).or_insert(complete);
        }
        let mut first = Vec::new();
        for (_, _, response) in self.recording.responses(self.index + 1, connection) {
            if let Some(complete) = asked.remove(&response.type_url) {
                first.push((response, Told { hashed, complete }));
            }
        }
        first
    }

    /// Whether the names on a connection carry their hash: its first request says so.
    fn hashed(&self, connection: u64) -> bool {
        let mut requests = self.recording.rest_of(0, connection, Rpc::GlobalToZone);
        let first = requests.find_map(|line| match &line.event {
            Event::FromZone(_, payload) => Some(payload.request()),
            _ => None,
        });
        let metadata = first.and_then(|request| request.node).and_then(|node| node.metadata);
        let features = metadata.and_then(|metadata| metadata.fields.get("features").cloned());
        format!("{features:?}").contains("hash-suffix")
    }

    /// The zone sent a first request, an ACK or a NACK.
    pub(crate) async fn zone_asks(&mut self, connection: u64, payload: &Payload, at: u64) {
        let request = payload.request();
        if !request.response_nonce.is_empty() {
            let kind = request.type_url.clone();
            let next = self.recording.responses(self.index, connection).find(|(_, _, next)| next.type_url == kind);
            if let Some((_, _, response)) = next.filter(|(sent, ..)| sent - at <= AT_ONCE) {
                let writes = self.changes(connection, &response).await;
                self.global.write(writes).await;
                self.settle_but(&kind).await;
            }
        }
        let stream = self.stream((connection, Rpc::GlobalToZone));
        if stream.ended().is_none() {
            stream.request(&payload.bytes);
        }
    }

    /// The recorded global sent a response: ours has to send the same.
    pub(crate) async fn global_provides(&mut self, connection: u64, payload: &Payload) {
        let at = (connection, Rpc::GlobalToZone);
        let recorded = payload.response();
        let kind = recorded.type_url.clone();
        if self.stream(at).ended().is_some() {
            return;
        }
        if payload.size > LARGEST {
            return self.too_large(connection, &kind).await;
        }
        let first = self.stream(at).is_first(&kind);
        let mut settled = false;
        if !first {
            let writes = self.changes(connection, &recorded).await;
            if !writes.is_empty() {
                // Silence until the change, or what came would hide in it.
                self.settle().await;
            }
            self.global.write(writes).await;
            settled = self.settle_but(&kind).await.contains(&at);
        }
        let stream = self.stream(at);
        let ours = if settled { stream.arrived(&kind) } else { stream.response(&kind).await };
        let Some(ours) = ours else {
            if self.stream(at).ended().is_some() {
                return self.note_end(at, "goes on");
            }
            let names: Vec<_> = recorded.resources.iter().map(|one| one.name.as_str()).collect();
            let ours = format!("does not send {kind} {}", names.join(" "));
            let removed = recorded.removed_resources.join(" ");
            let ours = if removed.is_empty() { ours } else { format!("{ours}without {removed}") };
            return self.note(Rpc::GlobalToZone.name(), &ours, "a response");
        };
        self.stream(at).pair(&kind, &recorded.nonce, &ours.nonce);
        self.carry(connection).await;
        let masks = Masks { rebuilt: payload.rebuilt, ..self.masks };
        if let Some(what) = compare::response(&recorded, &ours, masks) {
            self.note(Rpc::GlobalToZone.name(), &format!("{kind} {what}"), "other content");
        }
    }

    /// A stream on which the zone never asks for the type of the markers asks for it by us, as soon as it was served.
    async fn carry(&mut self, connection: u64) {
        let asks = self
            .recording
            .rest_of(0, connection, Rpc::GlobalToZone)
            .any(|line| matches!(&line.event, Event::FromZone(_, payload) if payload.request().type_url == CARRIER));
        let stream = self.stream((connection, Rpc::GlobalToZone));
        if !asks && stream.is_first(CARRIER) {
            let node = Node { id: stream.zone.clone(), metadata: None };
            stream.subscribe(CARRIER, node);
            let first = stream.response(CARRIER).await.expect("the stream was served and lives");
            stream.pair(CARRIER, "", &first.nonce);
            stream.acknowledge(&first);
        }
    }

    /// The change of our store that a recorded response tells of.
    async fn changes(&mut self, connection: u64, response: &DeltaDiscoveryResponse) -> Vec<Write> {
        let mut writes = Vec::new();
        if self.masks.mesh_keys {
            writes = self.held.new_mesh(&self.global, (&self.recording, self.index, connection), response).await;
        }
        let told = Told { hashed: self.hashed(connection), complete: false };
        writes.extend(self.held.writes(&self.global, response, told).await);
        writes
    }

    /// What does not fit into one message is not sent, and said in the metrics; everything else goes on.
    pub(crate) async fn too_large(&mut self, connection: u64, kind: &str) {
        let at = (connection, Rpc::GlobalToZone);
        let settled = self.settle_but(kind).await.contains(&at);
        let stream = self.stream(at);
        let sent = stream.arrived(kind).is_some();
        stream.gave_up(kind);
        let zone = stream.zone.clone();
        assert!(settled && !sent, "{kind} is too large and must not be sent, and the stream lives");
        let metrics = self.global.metrics();
        let counted = |line: &&str| line.contains("too_large") && line.contains(kind) && line.contains(&zone);
        assert!(metrics.lines().find(counted).is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
        self.note(Rpc::GlobalToZone.name(), &format!("does not send {kind}"), "more than 10 MiB");
        self.withheld.insert(kind.to_owned());
    }
}
