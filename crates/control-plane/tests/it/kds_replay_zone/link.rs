//! One connection of our zone, as a global sees it: its RPCs, and what it says on them, sorted by kind.

use std::collections::{BTreeMap, VecDeque};

use prost::Message as _;
use testkit::kds_server::{Call, Connection, Server};
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    },
    kuma::mesh::v1alpha1::{ClustersResponse, StatsResponse, XdsConfigResponse},
};

use super::recording::{CONFIGS, DOWN, METHODS, PING, STATS, UP};

/// A kind that nobody knows. An answer to it shows that all that was asked before has been answered.
const MARKER: &str = "Marker";

/// How a ping is answered.
#[derive(Clone, Debug)]
pub(crate) enum Pong {
    /// With this message.
    Message(Vec<u8>),
    /// With this status.
    Status(u32, String),
}

/// One connection of our zone.
pub(crate) struct Link {
    connection: Connection,
    pong: Pong,
    calls: BTreeMap<&'static str, Call>,
    /// How many pings came.
    pub(crate) pings: usize,
    /// How many pings are of the connector before this zone: one looks like the other.
    of_a_connector: usize,
    /// The token that comes with each call.
    pub(crate) token: Option<String>,
    /// First requests of the zone.
    pub(crate) firsts: BTreeMap<String, Vec<u8>>,
    /// Responses of global that wait for their answer: nonces.
    unanswered: BTreeMap<String, VecDeque<String>>,
    /// The nonce that was answered last.
    answered: BTreeMap<String, String>,
    answers: BTreeMap<String, VecDeque<Vec<u8>>>,
    responses: BTreeMap<String, VecDeque<DeltaDiscoveryResponse>>,
    markers: usize,
}

impl Link {
    /// Takes the zone's next connection.
    pub(crate) async fn accept(server: &Server, pong: Pong) -> Self {
        Self {
            connection: server.connection().await,
            pong,
            calls: BTreeMap::new(),
            pings: 0,
            of_a_connector: 0,
            token: None,
            firsts: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            answered: BTreeMap::new(),
            answers: BTreeMap::new(),
            responses: BTreeMap::new(),
            markers: 0,
        }
    }

    /// Expects what a connector adds: this token, and a ping of its own.
    pub(crate) fn through_a_connector(self, token: Option<String>) -> Self {
        Self { of_a_connector: 1, token, ..self }
    }

    /// The RPC of this method; waits until the zone opens it. Pings are answered meanwhile.
    pub(crate) async fn call(&mut self, method: &str) -> &mut Call {
        while !self.calls.contains_key(method) {
            self.next_call().await;
        }
        self.calls.get_mut(method).unwrap()
    }

    /// Waits for so many pings.
    pub(crate) async fn pinged(&mut self, times: usize) {
        while self.pings < times + self.of_a_connector {
            self.next_call().await;
        }
    }

    async fn next_call(&mut self) {
        let mut call = self.connection.call().await.expect("the zone keeps its connection");
        let method = METHODS.into_iter().find(|method| *method == call.path);
        let method = method.unwrap_or_else(|| panic!("an RPC that no zone calls: {}", call.path));
        if method == PING {
            assert_eq!(call.next().await.as_deref(), Some(&[][..]), "a ping is an empty message");
            match &self.pong {
                Pong::Message(message) => {
                    call.send(message);
                    call.end(0, "");
                }
                Pong::Status(code, message) => call.end(*code, message),
            }
            self.pings += 1;
        }
        let again = self.calls.insert(method, call);
        assert!(again.is_none() || method == PING, "{method} was opened twice");
    }

    /// Waits until the zone has dropped the connection.
    pub(crate) async fn gone(&mut self) {
        self.connection.gone().await;
    }

    /// Sends a response on `GlobalToZoneSync`.
    pub(crate) async fn respond(&mut self, bytes: &[u8]) {
        if let Ok(response) = DeltaDiscoveryResponse::decode(bytes) {
            self.unanswered.entry(response.type_url).or_default().push_back(response.nonce);
        }
        self.call(DOWN).await.send(bytes);
    }

    /// Sends a request on `ZoneToGlobalSync`.
    pub(crate) async fn request(&mut self, request: &DeltaDiscoveryRequest) {
        self.call(UP).await.send(&request.encode_to_vec());
    }

    /// The first request of a kind.
    pub(crate) async fn first(&mut self, kind: &str) -> Vec<u8> {
        while !self.firsts.contains_key(kind) {
            self.next_request().await;
        }
        self.firsts[kind].clone()
    }

    /// The next answer of a kind: ACK or NACK.
    pub(crate) async fn answer(&mut self, kind: &str) -> Vec<u8> {
        loop {
            if let Some(answer) = self.answers.get_mut(kind).and_then(VecDeque::pop_front) {
                return answer;
            }
            self.next_request().await;
        }
    }

    async fn next_request(&mut self) {
        let bytes = self.call(DOWN).await.next().await.expect("GlobalToZoneSync goes on");
        let request = DeltaDiscoveryRequest::decode(bytes.as_ref()).unwrap();
        assert_eq!(request.encode_to_vec(), bytes, "no other fields than those that are known");
        let kind = request.type_url.clone();
        let expected = self.unanswered.get(&kind).and_then(VecDeque::front);
        let is_first = request.response_nonce.is_empty() && expected.is_none_or(|nonce| !nonce.is_empty());
        if is_first && !self.firsts.contains_key(&kind) {
            self.firsts.insert(kind, bytes.to_vec());
            return;
        }
        // After a long silence a zone says again what it said last of each kind.
        let is_last_word = is_first || self.answered.get(&kind) == Some(&request.response_nonce);
        if expected != Some(&request.response_nonce) && is_last_word && request.error_detail.is_none() {
            return;
        }
        self.unanswered.entry(kind.clone()).or_default().pop_front();
        self.answered.insert(kind.clone(), request.response_nonce);
        self.answers.entry(kind).or_default().push_back(bytes.to_vec());
    }

    /// The next response of a kind on `ZoneToGlobalSync`.
    pub(crate) async fn response(&mut self, kind: &str) -> DeltaDiscoveryResponse {
        loop {
            if let Some(response) = self.responses.get_mut(kind).and_then(VecDeque::pop_front) {
                return response;
            }
            let bytes = self.call(UP).await.next().await.expect("ZoneToGlobalSync goes on");
            let response = DeltaDiscoveryResponse::decode(bytes.as_ref()).unwrap();
            assert_eq!(response.encode_to_vec().len(), bytes.len(), "no other fields than those that are known");
            self.responses.entry(response.type_url.clone()).or_default().push_back(response);
        }
    }

    /// The response of a kind that came already and was not taken.
    pub(crate) fn untaken(&self, kind: &str) -> Option<&DeltaDiscoveryResponse> {
        self.responses.get(kind).and_then(VecDeque::front)
    }

    /// Everything on `ZoneToGlobalSync` that came already and was not taken.
    pub(crate) fn all_untaken(&self) -> impl Iterator<Item = &DeltaDiscoveryResponse> {
        self.responses.values().flatten()
    }

    /// Asks for a kind that nobody knows: what the zone has to say on `ZoneToGlobalSync` comes before that answer.
    pub(crate) async fn mark_up(&mut self, zone: &str) {
        let node = Some(Node { id: zone.to_owned(), metadata: None });
        let first = DeltaDiscoveryRequest {
            node,
            type_url: MARKER.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..Default::default()
        };
        self.request(&first).await;
        let response = self.response(MARKER).await;
        assert!(response.resources.is_empty() && response.removed_resources.is_empty(), "{response:?}");
    }

    /// Sends an empty response of a kind that was answered before: what the zone has to say on `GlobalToZoneSync` comes
    /// before that answer. Without such a kind there is nothing to send that changes nothing.
    pub(crate) async fn mark_down(&mut self) {
        let Some(kind) = self.answered.keys().next().cloned() else { return };
        self.markers += 1;
        let nonce = format!("marker {}", self.markers);
        let empty = DeltaDiscoveryResponse { type_url: kind.clone(), nonce: nonce.clone(), ..Default::default() };
        self.respond(&empty.encode_to_vec()).await;
        let answer = DeltaDiscoveryRequest::decode(self.answer(&kind).await.as_slice()).unwrap();
        assert_eq!((answer.response_nonce, answer.error_detail), (nonce, None), "{kind}: an answer nobody waits for");
        let more: Vec<_> = self.answers.iter().filter(|(_, answers)| !answers.is_empty()).collect();
        assert!(more.is_empty(), "answers nobody waits for: {more:?}");
    }

    /// The answer to a reverse request.
    pub(crate) async fn reverse_answer(&mut self, method: &str, known: &mut Vec<Answer>, id: &str) -> Answer {
        loop {
            if let Some(place) = known.iter().position(|answer| answer.id == id) {
                return known.remove(place);
            }
            let bytes = self.call(method).await.next().await.expect("the stream goes on");
            known.push(Answer::of(method, &bytes));
        }
    }
}

/// The answer to a reverse request, whatever its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: String,
    /// The payload, or the error's text; nothing if neither is there.
    pub(crate) result: Option<Result<Vec<u8>, String>>,
}

impl Answer {
    pub(crate) fn of(method: &str, bytes: &[u8]) -> Self {
        use wire::kuma::mesh::v1alpha1::{
            clusters_response::Result as Clusters, stats_response::Result as Stats, xds_config_response::Result as Xds,
        };
        if method == CONFIGS {
            let answer = XdsConfigResponse::decode(bytes).unwrap();
            let result = answer.result.map(|result| match result {
                Xds::Config(body) => Ok(body.to_vec()),
                Xds::Error(text) => Err(text),
            });
            return Self { id: answer.request_id, result };
        }
        if method == STATS {
            let answer = StatsResponse::decode(bytes).unwrap();
            let result = answer.result.map(|result| match result {
                Stats::Stats(body) => Ok(body.to_vec()),
                Stats::Error(text) => Err(text),
            });
            return Self { id: answer.request_id, result };
        }
        let answer = ClustersResponse::decode(bytes).unwrap();
        let result = answer.result.map(|result| match result {
            Clusters::Clusters(body) => Ok(body.to_vec()),
            Clusters::Error(text) => Err(text),
        });
        Self { id: answer.request_id, result }
    }
}
