//! One stream of the simulation: a provider, a consumer, and the messages between them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use sync::{
    Audience, DeltaRequest, DeltaResponse, Entry, Features, Incoming, Outcome, Receiver, Sender, SizeNotice, Snapshot,
    WireName,
};

use super::{
    engine::{Engine, sees},
    feed::{Feed, decode},
    kinds,
};

/// What a response costs beside its resources, in the provider's estimate.
pub(crate) const ENVELOPE: usize = 256;

/// Who provides.
pub(crate) enum Provider {
    /// Our sender, and the largest message it may send.
    Ours {
        sender: Sender,
        limit: usize,
    },
    Real(Engine),
}

/// One stream. Messages of one kind keep their order.
pub(crate) struct Link {
    pub(crate) provider: Provider,
    pub(crate) receiver: Receiver,
    /// When it was opened.
    pub(crate) opened: i64,
    zone: String,
    features: Features,
    lanes: BTreeMap<&'static str, Lane>,
    /// Kinds that the provider said do not fit.
    pub(crate) too_large: BTreeSet<String>,
    /// Resources and removals that were sent, resources that were rejected, and responses that were taken.
    pub(crate) sent: usize,
    pub(crate) rejected: usize,
    pub(crate) taken: usize,
}

/// One kind of a stream.
#[derive(Default)]
pub(crate) struct Lane {
    requests: VecDeque<DeltaRequest>,
    responses: VecDeque<OnTheWay>,
    /// A request came since the last response: another one may be sent.
    released: bool,
    /// What the consumer rejected, and has not been sent anew.
    refused: BTreeMap<WireName, String>,
    /// The generation of a response that the consumer dropped whole, and what was in it.
    pub(crate) dropped: Option<(u64, Vec<WireName>)>,
    /// The consumer took a whole first response.
    pub(crate) complete: bool,
    /// When the consumer took a response last.
    pub(crate) applied: i64,
}

/// A response, and what the provider had when it made it.
pub(crate) struct OnTheWay {
    pub(crate) response: DeltaResponse,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Link {
    /// Opens the stream: the consumer asks for its kinds.
    pub(crate) fn new(provider: Provider, receiver: Receiver, opened: i64, zone: &str, features: Features) -> Self {
        let mut lanes: BTreeMap<&'static str, Lane> = BTreeMap::new();
        for kind in receiver.kinds() {
            lanes.insert(kind.name, Lane::default());
        }
        let mut link = Self {
            provider,
            receiver,
            opened,
            zone: zone.to_owned(),
            features,
            lanes,
            too_large: BTreeSet::new(),
            sent: 0,
            rejected: 0,
            taken: 0,
        };
        for request in link.receiver.first_requests() {
            link.request(request);
        }
        link
    }

    pub(crate) fn lane(&self, kind: &str) -> &Lane {
        &self.lanes[kind]
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&'static str, &Lane)> {
        self.lanes.iter().map(|(kind, lane)| (*kind, lane))
    }

    fn lane_mut(&mut self, kind: &str) -> &mut Lane {
        self.lanes.get_mut(kind).unwrap()
    }

    /// Whether a first response may come in parts.
    pub(crate) fn takes_parts(&self) -> bool {
        self.features.contains(Features::PARTS)
    }

    /// Whether the consumer may see an entry.
    pub(crate) fn sees(&self, entry: &Entry) -> bool {
        sees(&self.zone, self.features, entry)
    }

    /// Puts on the way what the provider wants to say; returns how many responses that is.
    pub(crate) fn pump(&mut self, feed: &Feed) -> usize {
        let responses = match &mut self.provider {
            Provider::Real(engine) => engine.responses(feed),
            Provider::Ours { sender, limit } => {
                for snapshot in feed.snapshots().values() {
                    sender.on_snapshot(Arc::clone(snapshot));
                }
                let said = std::iter::from_fn(|| sender.next_within(*limit));
                let with_snapshot = |response: DeltaResponse| {
                    let snapshot = Arc::clone(&feed.snapshots()[response.kind.as_str()]);
                    OnTheWay { response, snapshot }
                };
                said.map(with_snapshot).collect()
            }
        };
        self.take_notices();
        let count = responses.len();
        for sent in responses {
            self.check(&sent);
            self.sent += sent.response.changed.len() + sent.response.removed.len();
            let kind = sent.response.kind.clone();
            self.lane_mut(&kind).responses.push_back(sent);
        }
        count
    }

    fn take_notices(&mut self) {
        let Provider::Ours { sender, .. } = &mut self.provider else { return };
        for notice in sender.take_size_notices() {
            match notice {
                SizeNotice::TooLarge { kind, resource, .. } => {
                    // What became too large has changed: what it was before may be said again.
                    let refused = self.lanes.get_mut(kind.as_str()).map(|lane| &mut lane.refused);
                    refused.zip(resource).map(|(refused, name)| refused.remove(&name));
                    self.too_large.insert(kind)
                }
                SizeNotice::Fits { kind } => self.too_large.remove(&kind),
            };
        }
    }

    /// What must hold for each response.
    fn check(&mut self, sent: &OnTheWay) {
        let OnTheWay { response, snapshot } = sent;
        if let Provider::Ours { limit, .. } = self.provider {
            let changed: usize = response.changed.iter().map(|entry| entry.payload.len()).sum();
            assert!(changed + ENVELOPE <= limit.max(ENVELOPE), "a message of {changed} bytes");
        }
        assert!(!response.more || self.takes_parts(), "a part for a peer that takes none");
        let lane = self.lanes.get_mut(response.kind.as_str()).unwrap();
        assert!(std::mem::take(&mut lane.released), "two responses of {} in flight", response.kind);
        if let Some((generation, batch)) = lane.dropped.take()
            && generation == snapshot.generation()
        {
            let names: Vec<_> = response.changed.iter().map(|entry| entry.name.clone()).collect();
            assert_ne!(names, batch, "{} was dropped and nothing has changed", response.kind);
        }
        for entry in &response.changed {
            let refused = lane.refused.remove(&entry.name);
            assert_ne!(refused.as_ref(), Some(&entry.version), "{} was rejected already", entry.name);
        }
        for name in &response.removed {
            lane.refused.remove(name);
        }
    }

    /// Delivers one request to the provider.
    pub(crate) fn deliver_request(&mut self, kind: &'static str) {
        let lane = self.lane_mut(kind);
        let Some(request) = lane.requests.pop_front() else { return };
        lane.released = true;
        match &mut self.provider {
            Provider::Real(engine) => engine.on_request(kind, &request),
            Provider::Ours { sender, .. } => {
                sender.on_request(request).unwrap();
            }
        }
    }

    /// Takes one response off the network, decoded.
    pub(crate) fn take_response(&mut self, kind: &str, now: i64) -> Option<(Incoming, OnTheWay)> {
        let lane = self.lane_mut(kind);
        let sent = lane.responses.pop_front()?;
        lane.applied = now;
        self.taken += 1;
        let response = &sent.response;
        let incoming = Incoming {
            kind: response.kind.clone(),
            nonce: response.nonce.clone(),
            resources: response.changed.iter().map(|entry| decode(&entry.payload)).collect(),
            removed: response.removed.clone(),
            more: response.more,
        };
        Some((incoming, sent))
    }

    /// The consumer took what it did not reject; tells whether that was the end of a first response.
    pub(crate) fn took(&mut self, sent: &OnTheWay, refused: &[WireName], reasons: Vec<String>) -> bool {
        let response = &sent.response;
        self.rejected += refused.len();
        let lane = self.lanes.get_mut(response.kind.as_str()).unwrap();
        for entry in response.changed.iter().filter(|entry| refused.contains(&entry.name)) {
            lane.refused.insert(entry.name.clone(), entry.version.clone());
        }
        let completed = !lane.complete && !response.more;
        lane.complete |= completed;
        self.answer(response, reasons);
        completed
    }

    /// The consumer took nothing, as zones before 2.9.4 do when they reject one resource.
    pub(crate) fn dropped(&mut self, sent: &OnTheWay, reasons: Vec<String>) {
        let batch = sent.response.changed.iter().map(|entry| entry.name.clone()).collect();
        self.lane_mut(&sent.response.kind).dropped = Some((sent.snapshot.generation(), batch));
        self.answer(&sent.response, reasons);
    }

    fn answer(&mut self, response: &DeltaResponse, rejected: Vec<String>) {
        let answer = self.receiver.applied(&response.kind, &response.nonce, Outcome { rejected });
        self.request(answer);
    }

    fn request(&mut self, request: DeltaRequest) {
        let kind = request.kind.clone();
        self.lane_mut(&kind).requests.push_back(request);
    }

    /// The consumer asks for one kind again.
    pub(crate) fn ask_again(&mut self, kind: &str) {
        let again = self.receiver.repeat().into_iter().find(|request| request.kind == kind);
        again.into_iter().for_each(|request| self.request(request));
    }

    /// The consumer has heard nothing for long: it asks for all kinds again, and for one so that there is an answer.
    /// Returns whether there has to be one.
    pub(crate) fn ask_all_again(&mut self) -> bool {
        let (again, probe) = (self.receiver.repeat(), self.receiver.probe());
        let must_answer = probe.is_some();
        again.into_iter().chain(probe).for_each(|request| self.request(request));
        must_answer
    }

    /// Which kinds have a request, or a response, on the way.
    pub(crate) fn on_the_way(&self, requests: bool) -> impl Iterator<Item = &'static str> {
        let waits = move |lane: &Lane| if requests { !lane.requests.is_empty() } else { !lane.responses.is_empty() };
        self.lanes().filter(move |(_, lane)| waits(lane)).map(|(kind, _)| kind)
    }
}

/// Returns the end of our own provider.
pub(crate) fn ours(audience: Audience, limit: usize, feed: &Feed) -> Provider {
    let mut sender = Sender::new(audience);
    for kind in kinds() {
        sender.on_snapshot(Arc::clone(&feed.snapshots()[kind.name]));
    }
    Provider::Ours { sender, limit }
}
