//! The consumer's end of one stream: asks for its kinds, takes responses of those and of no other, answers each.

use std::collections::{BTreeMap, BTreeSet};

use model::{Kind, text};
use thiserror::Error;

use crate::{
    message::{DeltaRequest, Incoming, Received},
    wire_name::WireName,
};

/// A response that must not be applied: the stream ends.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// Its type was not asked for; a real peer would store it all the same.
    #[error("type {kind} was not asked for")]
    NotAskedFor {
        /// The type, as the peer named it.
        kind: String,
    },
}

/// What a response wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kind.
    pub kind: Kind,
    /// It is the first of its kind on the stream: what it does not name is gone.
    pub initial: bool,
    /// What to create or update.
    pub resources: Vec<Received>,
    /// What to delete.
    pub removed: Vec<WireName>,
    /// What the caller found invalid: neither created, nor updated, nor deleted.
    pub invalid: Vec<WireName>,
    /// What earlier parts of a first response named: it is not gone.
    pub named_before: BTreeSet<WireName>,
}

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why resources were rejected, a text each; the rest is in force.
    pub rejected: Vec<String>,
}

/// The consumer's end of one stream.
#[derive(Debug)]
pub struct Receiver {
    lanes: BTreeMap<&'static str, Lane>,
}

#[derive(Debug)]
struct Lane {
    kind: Kind,
    /// Nothing of the kind was answered yet.
    initial: bool,
    /// What is here already, as `<name>.<mesh>` and version: then the first response only says what differs.
    initial_versions: BTreeMap<String, String>,
    /// The nonce that was answered last.
    answered: String,
    /// What the parts of an unfinished first response named so far.
    named: BTreeSet<WireName>,
    /// The response that waits for its answer is a part, and not the last one.
    more: bool,
}

impl Receiver {
    /// Returns the end of a stream that will ask for these kinds.
    pub fn new(kinds: Vec<Kind>) -> Self {
        Self { lanes: kinds.into_iter().map(|kind| (kind.name, Lane::new(kind))).collect() }
    }

    /// Says what is here of a kind already, as `<name>.<mesh>` and the version it came with. The first response then
    /// names what differs, and deletes nothing by silence (contract: kds 4.7).
    #[must_use]
    pub fn with_initial_versions(mut self, kind: Kind, versions: BTreeMap<String, String>) -> Self {
        if let Some(lane) = self.lanes.get_mut(kind.name) {
            lane.initial_versions = versions;
        }
        self
    }

    /// The kinds that it asks for.
    pub fn kinds(&self) -> Vec<Kind> {
        self.lanes.values().map(|lane| lane.kind).collect()
    }

    /// The requests that open the stream: one a kind, for everything.
    pub fn first_requests(&self) -> Vec<DeltaRequest> {
        self.lanes.values().map(Lane::first_request).collect()
    }

    /// What to say when the stream has been silent for long: the last ACK of each kind again, or its first request.
    ///
    /// A real provider that lost its watch sends what is due then; one that did not says nothing new (contract: kds 13.1).
    pub fn repeat(&self) -> Vec<DeltaRequest> {
        let again =
            |lane: &Lane| if lane.answered.is_empty() { lane.first_request() } else { lane.answer(&lane.answered) };
        self.lanes.values().map(again).collect()
    }

    /// A request that every provider answers, with nothing if nothing differs: the first one of a kind that was answered
    /// before. `None` while nothing was.
    pub fn probe(&self) -> Option<DeltaRequest> {
        let lane = self.lanes.values().find(|lane| !lane.initial)?;
        Some(DeltaRequest { initial_versions: BTreeMap::new(), ..lane.first_request() })
    }

    /// Takes a response; returns what it wants done.
    pub fn on_response(&mut self, response: Incoming) -> Result<Plan, ProtocolError> {
        let Some(lane) = self.lanes.get_mut(response.kind.as_str()) else {
            return Err(ProtocolError::NotAskedFor { kind: response.kind });
        };
        // Of several resources under one name the last one counts.
        let by_name: BTreeMap<_, _> = response.resources.into_iter().map(|one| (one.name.clone(), one)).collect();
        lane.more = response.more && lane.initial;
        for name in &response.removed {
            lane.named.remove(name);
        }
        if lane.more {
            lane.named.extend(by_name.keys().cloned());
        }
        Ok(Plan {
            kind: lane.kind,
            initial: lane.initial && lane.initial_versions.is_empty() && !lane.more,
            resources: by_name.into_values().collect(),
            removed: response.removed,
            invalid: Vec::new(),
            named_before: if lane.more { BTreeSet::new() } else { std::mem::take(&mut lane.named) },
        })
    }

    /// Answers a response: an ACK, or a NACK with the reasons.
    pub fn applied(&mut self, kind: &str, nonce: &str, outcome: Outcome) -> DeltaRequest {
        let Outcome { rejected } = outcome;
        if let Some(lane) = self.lanes.get_mut(kind) {
            if !lane.more {
                lane.initial = false;
                lane.initial_versions = BTreeMap::new();
            }
            nonce.clone_into(&mut lane.answered);
        }
        let answer = DeltaRequest { kind: kind.to_owned(), nonce: nonce.to_owned(), ..DeltaRequest::default() };
        if rejected.is_empty() {
            return answer;
        }
        DeltaRequest { error: Some(bounded(rejected.join("\n"))), subscribe: everything(), ..answer }
    }
}

impl Lane {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            initial: true,
            initial_versions: BTreeMap::new(),
            answered: String::new(),
            named: BTreeSet::new(),
            more: false,
        }
    }

    fn first_request(&self) -> DeltaRequest {
        DeltaRequest {
            kind: self.kind.name.to_owned(),
            subscribe: everything(),
            initial_versions: self.initial_versions.clone(),
            ..DeltaRequest::default()
        }
    }

    fn answer(&self, nonce: &str) -> DeltaRequest {
        DeltaRequest { kind: self.kind.name.to_owned(), nonce: nonce.to_owned(), ..DeltaRequest::default() }
    }
}

/// A rejection is text for people; one that does not fit into a message would end the stream.
fn bounded(text: String) -> String {
    const LONGEST: usize = 64 * 1024;
    if text.len() <= LONGEST { text } else { format!("{}\n…", text::first_bytes(&text, LONGEST)) }
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(kind: &str) -> Incoming {
        Incoming { kind: kind.to_owned(), nonce: "1".to_owned(), ..Incoming::default() }
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        let mut receiver = Receiver::new(vec![Kind::DATAPLANE]);
        assert!(receiver.on_response(response("Dataplane")).is_ok());
        for kind in ["Secret", "NoSuchKind", ""] {
            assert_eq!(receiver.on_response(response(kind)), Err(ProtocolError::NotAskedFor { kind: kind.to_owned() }));
        }
    }

    #[test]
    fn the_first_response_is_authoritative_until_it_was_answered() {
        let mut receiver = Receiver::new(vec![Kind::MESH]);
        assert!(receiver.on_response(response("Mesh")).unwrap().initial);
        receiver.applied("Mesh", "1", Outcome { rejected: vec!["spec: bad".to_owned()] });
        assert!(!receiver.on_response(response("Mesh")).unwrap().initial, "a rejected first response counts too");
    }

    #[test]
    fn with_initial_versions_the_first_response_deletes_nothing_by_silence() {
        let versions = BTreeMap::from([("default.".to_owned(), "1".to_owned())]);
        let mut receiver =
            Receiver::new(vec![Kind::MESH, Kind::SECRET]).with_initial_versions(Kind::MESH, versions.clone());
        assert!(!receiver.on_response(response("Mesh")).unwrap().initial);
        assert!(receiver.on_response(response("Secret")).unwrap().initial, "nothing was said of this kind");
        let said: Vec<_> =
            receiver.first_requests().into_iter().map(|request| (request.kind, request.initial_versions)).collect();
        assert_eq!(said, [("Mesh".to_owned(), versions), ("Secret".to_owned(), BTreeMap::new())]);
    }

    #[test]
    fn each_response_has_an_answer_of_its_own() {
        let mut receiver = Receiver::new(vec![Kind::MESH]);
        for (index, nonce) in ["1", "1", "", "2"].into_iter().enumerate() {
            let plan = receiver.on_response(Incoming { nonce: nonce.to_owned(), ..response("Mesh") }).unwrap();
            assert_eq!(plan.initial, index == 0);
            let answer = receiver.applied("Mesh", nonce, Outcome::default());
            assert_eq!((answer.nonce.as_str(), answer.error), (nonce, None));
        }
    }

    #[test]
    fn one_first_request_a_kind_asks_for_everything() {
        let requests = Receiver::new(vec![Kind::MESH, Kind::SECRET]).first_requests();
        for (request, kind) in requests.iter().zip(["Mesh", "Secret"]) {
            assert_eq!((request.kind.as_str(), request.nonce.as_str(), &request.error), (kind, "", &None));
            assert_eq!(request.subscribe, everything());
        }
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn a_silent_stream_is_asked_again_with_the_last_ack_or_the_first_request() {
        let mut receiver = Receiver::new(vec![Kind::MESH, Kind::SECRET]);
        receiver.applied("Mesh", "7", Outcome { rejected: vec!["spec: bad".to_owned()] });
        let [mesh, secret] = receiver.repeat().try_into().unwrap();
        assert_eq!((mesh.nonce.as_str(), mesh.error, mesh.subscribe.len()), ("7", None, 0));
        assert_eq!(secret, receiver.first_requests()[1]);
        let probe = receiver.probe().unwrap();
        assert_eq!((probe.kind.as_str(), probe.nonce.as_str()), ("Mesh", ""), "what was answered once will be again");
        assert_eq!(Receiver::new(vec![Kind::MESH]).probe(), None);
    }

    #[test]
    fn of_two_resources_under_one_name_the_last_counts() {
        let one = |spec: &str| Received {
            name: WireName::parse("a.default"),
            labels: model::Labels::new(),
            spec: spec.to_owned().into(),
            status: None,
        };
        let incoming = Incoming { resources: vec![one("1"), one("2")], ..response("Mesh") };
        let plan = Receiver::new(vec![Kind::MESH]).on_response(incoming).unwrap();
        assert_eq!(plan.resources, [one("2")]);
    }

    #[test]
    fn the_last_part_of_a_first_response_deletes_what_no_part_named() {
        let one = |name: &str| Received {
            name: WireName::parse(name),
            labels: model::Labels::new(),
            spec: "{}".into(),
            status: None,
        };
        let mut receiver = Receiver::new(vec![Kind::MESH]);
        let first = Incoming { resources: vec![one("a."), one("b.")], more: true, ..response("Mesh") };
        let plan = receiver.on_response(first).unwrap();
        assert!(!plan.initial, "what a part does not name is not gone");
        receiver.applied("Mesh", "1", Outcome::default());
        let second = Incoming {
            resources: vec![one("c.")],
            removed: vec![WireName::parse("a.")],
            more: true,
            ..response("Mesh")
        };
        assert!(!receiver.on_response(second).unwrap().initial);
        receiver.applied("Mesh", "2", Outcome::default());
        let plan = receiver.on_response(response("Mesh")).unwrap();
        assert!(plan.initial);
        assert_eq!(plan.named_before, [WireName::parse("b."), WireName::parse("c.")].into());
        receiver.applied("Mesh", "3", Outcome::default());
        let later = receiver.on_response(Incoming { more: true, ..response("Mesh") }).unwrap();
        assert!(!later.initial && later.named_before.is_empty());
    }

    #[test]
    fn answers_carry_the_nonce_and_the_reasons() {
        let mut receiver = Receiver::new(vec![Kind::MESH]);
        let ack = receiver.applied("Mesh", "7", Outcome::default());
        assert_eq!((ack.nonce.as_str(), ack.error, ack.subscribe.len()), ("7", None, 0));
        let nack = receiver.applied("Mesh", "8", Outcome { rejected: vec!["a".to_owned(), "b".to_owned()] });
        assert_eq!((nack.nonce.as_str(), nack.error.as_deref(), nack.subscribe), ("8", Some("a\nb"), everything()));
    }
}
