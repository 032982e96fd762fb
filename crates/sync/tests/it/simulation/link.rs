//! One stream of the simulation: a provider, a consumer, and the messages between them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use model::Labels;
use serde_json::{Value, json};
use sync::{
    Audience, DeltaRequest, DeltaResponse, Entry, Incoming, Outcome, Outgoing, Received, Receiver, Sender, Snapshot,
    WireName,
};

use crate::network::kinds;

/// What one end provides.
#[derive(Default)]
pub(crate) struct Snapshots(pub(crate) BTreeMap<&'static str, Arc<Snapshot>>);

impl Snapshots {
    pub(crate) fn publish(&mut self, outgoing: &BTreeMap<&'static str, Vec<Outgoing>>) {
        for kind in kinds() {
            let entries: Vec<Entry> = outgoing.get(kind.name).into_iter().flatten().map(encode).collect();
            let before = self.0.entry(kind.name).or_insert_with(|| Arc::new(Snapshot::empty(kind.name)));
            let gone: Vec<WireName> = before
                .entries()
                .keys()
                .filter(|name| !entries.iter().any(|entry| entry.name == **name))
                .cloned()
                .collect();
            *before = Arc::new(before.with_changes(entries, &gone));
        }
    }
}

/// One stream: a provider, a consumer, and what is on the way. Messages of one kind keep their order.
pub(crate) struct Link {
    sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) requests: BTreeMap<String, VecDeque<DeltaRequest>>,
    pub(crate) responses: BTreeMap<String, VecDeque<DeltaResponse>>,
    /// Responses less answers, and how often the consumer asked again.
    unanswered: BTreeMap<String, usize>,
    repeated: BTreeMap<String, usize>,
}

impl Link {
    pub(crate) fn new(audience: Audience, snapshots: &Snapshots, receiver: Receiver) -> Self {
        let mut sender = Sender::new(audience);
        for snapshot in snapshots.0.values() {
            sender.on_snapshot(Arc::clone(snapshot));
        }
        let mut link = Self {
            sender,
            receiver,
            requests: BTreeMap::new(),
            responses: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            repeated: BTreeMap::new(),
        };
        for request in link.receiver.first_requests() {
            link.requests.entry(request.kind.clone()).or_default().push_back(request);
        }
        link
    }

    /// Puts on the way what the provider wants to say; returns how many resources and removals that is.
    pub(crate) fn pump(&mut self, snapshots: &Snapshots) -> usize {
        let mut sent = 0;
        for snapshot in snapshots.0.values() {
            self.sender.on_snapshot(Arc::clone(snapshot));
        }
        while let Some(response) = self.sender.next_within(usize::MAX) {
            sent += response.changed.len() + response.removed.len();
            let unanswered = self.unanswered.entry(response.kind.clone()).or_default();
            *unanswered += 1;
            let allowed = 1 + self.repeated.get(&response.kind).copied().unwrap_or_default();
            assert!(*unanswered <= allowed, "{} responses of {} in flight", unanswered, response.kind);
            self.responses.entry(response.kind.clone()).or_default().push_back(response);
        }
        sent
    }

    /// Delivers one request to the provider.
    pub(crate) fn deliver_request(&mut self, kind: &str) {
        let Some(request) = self.requests.get_mut(kind).and_then(VecDeque::pop_front) else { return };
        if !request.nonce.is_empty()
            && let Some(unanswered) = self.unanswered.get_mut(kind)
        {
            *unanswered = unanswered.saturating_sub(1);
        }
        self.sender.on_request(request).unwrap();
    }

    /// Takes one response off the network, decoded, with the versions of its resources.
    pub(crate) fn take_response(&mut self, kind: &str) -> Option<(Incoming, Vec<(WireName, String)>)> {
        let response = self.responses.get_mut(kind).and_then(VecDeque::pop_front)?;
        let versions = response.changed.iter().map(|entry| (entry.name.clone(), entry.version.clone())).collect();
        let resources = response.changed.iter().map(|entry| decode(&entry.payload)).collect();
        Some((
            Incoming {
                kind: response.kind,
                nonce: response.nonce,
                resources,
                removed: response.removed,
                more: response.more,
            },
            versions,
        ))
    }

    pub(crate) fn answer(&mut self, kind: &str, nonce: &str, rejected: Vec<String>) {
        let answer = self.receiver.applied(kind, nonce, Outcome { rejected });
        self.requests.entry(kind.to_owned()).or_default().push_back(answer);
    }

    /// The consumer asks again, as one that has heard nothing for long.
    pub(crate) fn ask_again(&mut self, kind: &str) {
        *self.repeated.entry(kind.to_owned()).or_default() += 1;
        let again = self.receiver.repeat().into_iter().find(|request| request.kind == kind).unwrap();
        self.requests.entry(kind.to_owned()).or_default().push_back(again);
    }
}

fn encode(outgoing: &Outgoing) -> Entry {
    let utf8 = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let content = json!({
        "mesh": outgoing.name.mesh, "name": outgoing.name.name, "labels": outgoing.labels,
        "spec": utf8(&outgoing.spec), "status": outgoing.status.as_ref().map(utf8),
    });
    Entry {
        name: outgoing.name.clone(),
        version: content.to_string(),
        payload: content.to_string().into(),
        origin_zone: outgoing.origin_zone.clone(),
        needs: outgoing.needs,
    }
}

fn decode(payload: &[u8]) -> Received {
    let content: Value = serde_json::from_slice(payload).unwrap();
    let text = |key: &str| content[key].as_str().map(str::to_owned);
    let labels: Labels = content["labels"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    Received {
        name: WireName { mesh: text("mesh").unwrap(), name: text("name").unwrap() },
        labels,
        spec: text("spec").unwrap().into(),
        status: text("status").map(Bytes::from),
    }
}
