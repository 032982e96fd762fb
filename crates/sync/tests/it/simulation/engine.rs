//! A real control plane as provider: the generic engine, with what makes it go silent (contract: kds 4.5 and 13.1).
//!
//! What a stream knows is its own; snapshot and watches belong to the node, that is to all streams of one zone. When one
//! of these stops, both are gone for the others too, and those say nothing until they are asked again.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use sync::{DeltaRequest, DeltaResponse, Features, Snapshot, WireName};

use super::{feed::Feed, kinds, link::OnTheWay};

/// What a real control plane keeps of one node.
#[derive(Default)]
pub(crate) struct Node {
    stored: Option<BTreeMap<&'static str, Arc<Snapshot>>>,
    /// By stream and kind; whether it is answered even when nothing differs.
    watches: BTreeMap<(i64, &'static str), bool>,
}

impl Node {
    /// Whether nothing was worth storing so far: then no first request is answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.stored.is_none()
    }
}

/// Whether a provider has something to store when it provides nothing of the kinds that the simulation plays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Besides {
    /// A global always has the identifier of its cluster.
    ClusterId,
    Nothing,
}

/// One stream of a real provider.
pub(crate) struct Engine {
    stream: i64,
    node: Rc<RefCell<Node>>,
    besides: Besides,
    zone: String,
    features: Features,
    known: BTreeMap<&'static str, BTreeMap<WireName, String>>,
    asked: BTreeSet<&'static str>,
    nonce: u64,
}

impl Engine {
    pub(crate) fn new(stream: i64, node: Rc<RefCell<Node>>, besides: Besides, zone: &str, features: Features) -> Self {
        let (known, asked) = (BTreeMap::new(), BTreeSet::new());
        Self { stream, node, besides, zone: zone.to_owned(), features, known, asked, nonce: 0 }
    }

    pub(crate) fn node(&self) -> std::cell::Ref<'_, Node> {
        self.node.borrow()
    }

    /// Each request of a kind opens a watch; the first one says what the consumer has.
    pub(crate) fn on_request(&mut self, kind: &'static str, request: &DeltaRequest) {
        if self.asked.insert(kind) {
            let known = request.initial_versions.iter();
            self.known.insert(kind, known.map(|(name, version)| (WireName::parse(name), version.clone())).collect());
        }
        self.node.borrow_mut().watches.insert((self.stream, kind), request.nonce.is_empty());
    }

    /// Stores what has changed, and answers the watches for which something differs. A watch is good for one response.
    pub(crate) fn responses(&mut self, feed: &Feed) -> Vec<OnTheWay> {
        if self.asked.is_empty() {
            return Vec::new();
        }
        self.flush(feed);
        let mut node = self.node.borrow_mut();
        let Node { stored: Some(stored), watches } = &mut *node else { return Vec::new() };
        let mut responses = Vec::new();
        for kind in kinds() {
            let Some(answer) = watches.get(&(self.stream, kind.name)).copied() else { continue };
            let snapshot = &stored[kind.name];
            let known = self.known.entry(kind.name).or_default();
            let visible = || snapshot.entries().values().filter(|entry| sees(&self.zone, self.features, entry));
            let changed: Vec<_> =
                visible().filter(|entry| known.get(&entry.name) != Some(&entry.version)).cloned().collect();
            let now: BTreeMap<WireName, String> =
                visible().map(|entry| (entry.name.clone(), entry.version.clone())).collect();
            let removed: Vec<_> = known.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
            if changed.is_empty() && removed.is_empty() && !answer {
                continue;
            }
            watches.remove(&(self.stream, kind.name));
            *known = now;
            self.nonce += 1;
            let nonce = self.nonce.to_string();
            let response =
                DeltaResponse { kind: kind.name.to_owned(), nonce, changed, removed, more: false, step: None };
            responses.push(OnTheWay { response, snapshot: Arc::clone(snapshot) });
        }
        responses
    }

    /// The first snapshot is stored only if something is in it.
    fn flush(&self, feed: &Feed) {
        let mut node = self.node.borrow_mut();
        let visible =
            |snapshot: &Arc<Snapshot>| snapshot.entries().values().any(|entry| sees(&self.zone, self.features, entry));
        let worth_it =
            node.stored.is_some() || self.besides == Besides::ClusterId || feed.snapshots().values().any(visible);
        if worth_it {
            node.stored = Some(feed.snapshots().clone());
        }
    }

    /// The stream ends, and takes with it what its node had.
    pub(crate) fn stop(&mut self) {
        *self.node.borrow_mut() = Node::default();
    }
}

/// Who may see an entry (contract: kds 6.3).
pub(crate) fn sees(zone: &str, features: Features, entry: &sync::Entry) -> bool {
    features.contains(entry.needs) && entry.origin_zone.as_deref() != Some(zone)
}
