//! One RPC of the recorded zone at our global, and what our global said on it so far.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use model::{Key, Kind, Labels, Resource, Scope, SpecForm};
use prost::Message as _;
use testkit::kds::{Call, Ended};
use wire::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

/// A resource of this name is nobody's: it shows that everything before it has arrived.
const MARKER: &str = "replay-marker";
/// The type that carries the marker.
pub(crate) const CARRIER: &str = "MeshTLS";
/// The first of these is taken that can.
const CARRIERS: [&str; 5] = [CARRIER, "MeshProxyPatch", "MeshRetry", "HostnameGenerator", "Mesh"];

/// One RPC.
pub(crate) struct Stream {
    pub(crate) zone: String,
    call: Call,
    ended: Option<Ended>,
    /// By type, on GlobalToZoneSync.
    lanes: BTreeMap<String, Lane>,
    /// Responses that came and were not asked for yet.
    waiting: VecDeque<DeltaDiscoveryResponse>,
    /// Whether the newest marker is there, by type.
    marked: BTreeMap<String, bool>,
    /// By type, markers included.
    pub(crate) counters: BTreeMap<String, Counters>,
    /// Ids of requests on an admin stream: recorded and ours.
    pub(crate) ids: BTreeMap<String, String>,
}

/// What went over a GlobalToZoneSync stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) rejected: u64,
    /// How many of those sent carried a marker.
    pub(crate) markers: u64,
}

/// One type of a GlobalToZoneSync stream.
#[derive(Default)]
struct Lane {
    /// A response was not acknowledged or rejected yet.
    unanswered: bool,
    /// The zone asked without a nonce: a response is due, be it an empty one.
    due: bool,
    /// The zone asked for some names only.
    by_name: bool,
    /// Recorded nonces and ours.
    nonces: BTreeMap<String, String>,
}

impl Stream {
    pub(crate) fn new(zone: &str, call: Call) -> Self {
        Self {
            zone: zone.to_owned(),
            call,
            ended: None,
            lanes: BTreeMap::new(),
            waiting: VecDeque::new(),
            marked: BTreeMap::new(),
            counters: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    pub(crate) fn send(&self, message: &[u8]) {
        self.call.send(message);
    }

    pub(crate) fn half_close(&mut self) {
        self.call.half_close();
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if self.ended.is_some() {
            return None;
        }
        let message = self.call.next().await;
        if message.is_none() {
            self.ended = Some(self.call.ended().await);
        }
        message
    }

    /// Waits for the end; returns it and the messages before it.
    pub(crate) async fn end(&mut self) -> (Ended, Vec<Bytes>) {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        (self.ended.clone().expect("an end"), messages)
    }

    /// Sends a request of the zone; the nonce becomes the one that we gave.
    pub(crate) fn request(&mut self, recorded: &[u8]) {
        let mut request = DeltaDiscoveryRequest::decode(recorded).expect("a recorded request");
        let first = request.response_nonce.is_empty();
        let lane = self.lanes.entry(request.type_url.clone()).or_insert_with(|| Lane {
            by_name: !request.resource_names_subscribe.is_empty() && request.resource_names_subscribe != ["*"],
            ..Lane::default()
        });
        lane.unanswered = false;
        lane.due = first;
        let counters = self.counters.entry(request.type_url.clone()).or_default();
        match request.error_detail {
            Some(_) => counters.rejected += 1,
            None => counters.acknowledged += u64::from(!first),
        }
        match lane.nonces.get(&request.response_nonce).filter(|_| !first) {
            Some(ours) => {
                request.response_nonce.clone_from(ours);
                self.call.send(&request.encode_to_vec());
            }
            None => self.call.send(recorded),
        }
    }

    /// The next response of a type; waits for it. `None` at the end of the stream.
    pub(crate) async fn response(&mut self, kind: &str) -> Option<DeltaDiscoveryResponse> {
        loop {
            if let Some(response) = self.arrived(kind) {
                return Some(response);
            }
            self.take_one().await?;
        }
    }

    /// The next response of a type, if it came already.
    pub(crate) fn arrived(&mut self, kind: &str) -> Option<DeltaDiscoveryResponse> {
        let at = self.waiting.iter().position(|response| response.type_url == kind)?;
        self.waiting.remove(at)
    }

    /// Everything that came and was not taken.
    pub(crate) fn leftovers(&mut self) -> Vec<DeltaDiscoveryResponse> {
        self.waiting.drain(..).collect()
    }

    /// A type for which a response is due.
    pub(crate) fn due(&self) -> Option<String> {
        self.lanes.iter().find(|(_, lane)| lane.due).map(|(kind, _)| kind.clone())
    }

    /// Nothing will come for this type, and nobody waits for it.
    pub(crate) fn gave_up(&mut self, kind: &str) {
        if let Some(lane) = self.lanes.get_mut(kind) {
            lane.due = false;
        }
    }

    /// Whether no response of a type was taken yet.
    pub(crate) fn is_first(&self, kind: &str) -> bool {
        self.lanes.get(kind).is_none_or(|lane| lane.nonces.is_empty())
    }

    /// Remembers our nonce for a recorded one.
    pub(crate) fn pair(&mut self, kind: &str, recorded: &str, ours: &str) {
        if let Some(lane) = self.lanes.get_mut(kind) {
            lane.nonces.insert(recorded.to_owned(), ours.to_owned());
        }
    }

    /// The type that can carry a marker now, other than `but`.
    pub(crate) fn carrier(&self, but: &str) -> Option<Kind> {
        if self.ended.is_some() {
            return None;
        }
        let idle = |lane: &Lane| !lane.unanswered && !lane.due && !lane.by_name;
        let can = |kind: &&str| *kind != but && self.lanes.get(*kind).is_some_and(idle);
        CARRIERS.into_iter().find(can).and_then(Kind::by_name)
    }

    /// Waits until a marker came or went on a type; `false` if the stream ended before.
    pub(crate) async fn marker(&mut self, kind: Kind, is_there: bool) -> bool {
        while self.marked.get(kind.name).copied().unwrap_or(false) != is_there {
            if self.take_one().await.is_none() {
                return false;
            }
        }
        true
    }

    /// Asks for a type by ourselves.
    pub(crate) fn subscribe(&mut self, kind: &str, node: Node) {
        let request = DeltaDiscoveryRequest {
            node: Some(node),
            type_url: kind.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        self.request(&request.encode_to_vec());
    }

    /// Acknowledges a response by ourselves.
    pub(crate) fn acknowledge(&mut self, response: &DeltaDiscoveryResponse) {
        let request = DeltaDiscoveryRequest {
            node: Some(Node { id: self.zone.clone(), metadata: None }),
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        self.request(&request.encode_to_vec());
    }

    /// Takes the next message of a GlobalToZoneSync stream; markers are acknowledged and not shown.
    async fn take_one(&mut self) -> Option<()> {
        let message = self.next().await?;
        let mut response = DeltaDiscoveryResponse::decode(message).expect("a response");
        let kind = response.type_url.clone();
        let lane = self.lanes.entry(kind.clone()).or_default();
        assert!(!lane.unanswered, "{kind}: at most one response is in flight");
        lane.unanswered = true;
        lane.due = false;
        let counters = self.counters.entry(kind.clone()).or_default();
        counters.sent += 1;
        let (before, gone) = (response.resources.len(), response.removed_resources.len());
        response.resources.retain(|resource| !resource.name.starts_with(MARKER));
        response.removed_resources.retain(|name| !name.starts_with(MARKER));
        let (came, went) = (before > response.resources.len(), gone > response.removed_resources.len());
        if came || went {
            counters.markers += 1;
            self.marked.insert(kind, came);
            assert!(response.resources.is_empty() && response.removed_resources.is_empty(), "a marker comes alone");
            self.acknowledge(&response);
        } else {
            self.waiting.push_back(response);
        }
        Some(())
    }
}

/// The marker of a type.
pub(crate) fn marker(kind: Kind) -> Resource {
    let key = match kind.scope {
        Scope::Mesh => Key::in_mesh(kind, MARKER, MARKER),
        Scope::Global => Key::global(kind, MARKER),
    };
    let spec = match kind.spec {
        SpecForm::Json => Bytes::from_static(b"{}"),
        SpecForm::Proto(_) => Bytes::new(),
    };
    Resource {
        key,
        labels: Labels::new(),
        spec,
        status: None,
        owner: None,
        created: jiff::Timestamp::UNIX_EPOCH,
        modified: jiff::Timestamp::UNIX_EPOCH,
    }
}
