//! The decisions of real peers, replayed: given the same requests and the same changes, our provider says the same at
//! the same moment and is silent when they were; our consumer answers in the same form.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use model::Kind;
use serde_json::Value;
use sync::{
    Audience, DeltaRequest, DeltaResponse, Entry, Features, Incoming, Outcome, Reaction, Receiver, Sender, Snapshot,
    WireName,
};

use crate::captures::{Message, Recorded, streams, strings, text};

#[test]
fn our_provider_says_what_real_ones_said() {
    let mut responses = 0;
    for stream in streams().iter().filter(|stream| stream.real_provider) {
        let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
        for message in &stream.messages {
            let kind = text(&message.body["typeUrl"]);
            if kind.is_empty() {
                continue;
            }
            let lane = lanes.entry(kind.clone()).or_insert_with(|| Lane::new(&kind));
            if message.from_provider {
                lane.response(stream, message);
                responses += 1;
            } else {
                lane.request(stream, message);
            }
        }
    }
    eprintln!("{responses} recorded responses");
    assert!(responses == 0 || responses > 1500, "{responses}");
}

/// One kind of a stream. Which kind a real provider answers first is chance, so each has a sender of its own.
struct Lane {
    kind: String,
    sender: Sender,
    snapshot: Snapshot,
    /// The peer has not answered the request before; until then its silence says nothing.
    waiting: bool,
}

impl Lane {
    fn new(kind: &str) -> Self {
        let sender =
            Sender::new(Audience { zone: String::new(), features: Features::ALL, drops_rejected_batches: false });
        Self { kind: kind.to_owned(), sender, snapshot: Snapshot::empty(kind), waiting: false }
    }

    fn change(&mut self, upserts: Vec<Entry>, removed: &[WireName]) {
        self.snapshot = self.snapshot.with_changes(upserts, removed);
        self.sender.on_snapshot(Arc::new(self.snapshot.clone()));
    }

    fn request(&mut self, stream: &Recorded, message: &Message) {
        let request = request(&message.body);
        if !self.waiting && self.snapshot.generation() == 0 {
            // What the consumer has is there, unless the response will say otherwise.
            let has = request.initial_versions.iter().map(|(name, version)| entry(WireName::parse(name), version));
            self.change(has.collect(), &[]);
        }
        let nonce = request.nonce.clone();
        let reaction = self.sender.on_request(request).unwrap();
        self.waiting |= matches!(reaction, Reaction::Subscribed { .. } | Reaction::Repeated { .. });
        if !self.waiting {
            let more = self.sender.next_within(usize::MAX);
            assert_eq!(more, None, "{}: {} after the answer to {nonce}", stream.name, self.kind);
        }
    }

    fn response(&mut self, stream: &Recorded, message: &Message) {
        let recorded = incoming(&message.body);
        let resources = message.body["resources"].as_array().cloned().unwrap_or_default();
        let changed: Vec<Entry> = recorded
            .resources
            .iter()
            .zip(&resources)
            .map(|(received, resource)| entry(received.name.clone(), &text(&resource["version"])))
            .collect();
        let mut expected: Vec<String> =
            changed.iter().map(|entry| format!("{}@{}", entry.name, entry.version)).collect();
        let mut removed: Vec<String> = recorded.removed.iter().map(WireName::to_string).collect();
        self.change(changed, &recorded.removed);
        let place = format!("{}: {} nonce {}", stream.name, self.kind, recorded.nonce);
        let ours = self.sender.next_within(usize::MAX).unwrap_or_else(|| panic!("{place}: we would have been silent"));
        expected.sort();
        removed.sort();
        let mut ours_removed: Vec<String> = ours.removed.iter().map(WireName::to_string).collect();
        ours_removed.sort();
        assert_eq!((names(&ours), ours_removed), (expected, removed), "{place}");
        assert_eq!(self.sender.next_within(usize::MAX), None, "{place}: nothing more before an answer");
        self.waiting = false;
    }
}

fn names(response: &DeltaResponse) -> Vec<String> {
    let mut names: Vec<String> =
        response.changed.iter().map(|entry| format!("{}@{}", entry.name, entry.version)).collect();
    names.sort();
    names
}

fn entry(name: WireName, version: &str) -> Entry {
    let needs = Features::NONE;
    Entry { name, version: version.to_owned(), payload: Bytes::new(), origin_zone: None, needs, needs_for_all: needs }
}

fn request(body: &Value) -> DeltaRequest {
    let versions = body["initialResourceVersions"].as_object();
    DeltaRequest {
        kind: text(&body["typeUrl"]),
        nonce: text(&body["responseNonce"]),
        error: body["errorDetail"].get("message").map(text),
        subscribe: strings(&body["resourceNamesSubscribe"]),
        initial_versions: versions.into_iter().flatten().map(|(name, version)| (name.clone(), text(version))).collect(),
    }
}

fn incoming(body: &Value) -> Incoming {
    let received = |resource: &Value| sync::Received {
        name: WireName { mesh: text(&resource["meta"]["mesh"]), name: text(&resource["meta"]["name"]) },
        labels: model::Labels::new(),
        spec: Bytes::new(),
        status: None,
    };
    Incoming {
        kind: text(&body["typeUrl"]),
        nonce: text(&body["nonce"]),
        resources: body["resources"].as_array().into_iter().flatten().map(received).collect(),
        removed: strings(&body["removedResources"]).iter().map(|entry| WireName::parse(entry)).collect(),
        more: false,
    }
}

#[test]
fn our_consumer_answers_in_the_form_of_real_ones() {
    let mut answers = 0;
    for stream in streams().iter().filter(|stream| stream.real_provider && stream.real_consumer) {
        let firsts = stream
            .messages
            .iter()
            .filter(|message| !message.from_provider && message.body.get("responseNonce").is_none());
        let kinds: Vec<Kind> = firsts.map(|message| Kind::by_name(&text(&message.body["typeUrl"])).unwrap()).collect();
        let mut receiver = Receiver::new(kinds.clone());
        let ours: BTreeMap<String, DeltaRequest> =
            receiver.first_requests().into_iter().map(|request| (request.kind.clone(), request)).collect();
        assert_eq!(ours.len(), kinds.len(), "{}: one first request a kind", stream.name);
        let mut initial: BTreeMap<String, bool> = ours.keys().map(|kind| (kind.clone(), true)).collect();
        for message in &stream.messages {
            if message.from_provider {
                let response = incoming(&message.body);
                let kind = response.kind.clone();
                assert_eq!(receiver.on_response(response).unwrap().initial, initial[&kind], "{}: {kind}", stream.name);
                continue;
            }
            let recorded = request(&message.body);
            if recorded.nonce.is_empty() {
                assert_eq!(recorded, ours[&recorded.kind], "{}", stream.name);
                continue;
            }
            let rejected = recorded.error.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect();
            let answer = receiver.applied(&recorded.kind, &recorded.nonce, Outcome { rejected });
            assert_eq!(answer, recorded, "{}", stream.name);
            initial.insert(recorded.kind, false);
            answers += 1;
        }
    }
    eprintln!("{answers} recorded answers");
    assert!(answers == 0 || answers > 1500, "{answers}");
}
