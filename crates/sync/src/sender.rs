//! The provider's end of one stream.
//!
//! For each kind it remembers the snapshot it sent last, not the resources: memory follows the number of kinds. At most
//! one response of a kind is unacknowledged; what changes meanwhile goes into the next one. A rejected response counts
//! as delivered: it is not sent again until it changes (contract: kds 4.5).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::ordmap::DiffItem;
use thiserror::Error;

use crate::{
    feature::Features,
    message::{DeltaRequest, DeltaResponse, Step},
    snapshot::{Entry, Snapshot},
    wire_name::WireName,
};

/// Who listens: decides what is visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The zone: does not get its own resources back.
    pub zone: String,
    /// The features it has.
    pub features: Features,
}

impl Audience {
    fn sees(&self, entry: &Entry) -> bool {
        self.features.contains(entry.needs) && entry.origin_zone.as_ref().is_none_or(|zone| *zone != self.zone)
    }
}

/// What a request was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// A first request.
    Subscribed {
        /// The type.
        kind: String,
    },
    /// An ACK.
    Acknowledged {
        /// The type.
        kind: String,
        /// The nonce.
        nonce: String,
    },
    /// A NACK.
    Rejected {
        /// The type.
        kind: String,
        /// The nonce.
        nonce: String,
        /// The consumer's text.
        reason: String,
    },
    /// A first request again: it will be answered again.
    Repeated {
        /// The type.
        kind: String,
    },
}

/// A request that makes no sense: the stream ends.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It names no type.
    #[error("type URL is required")]
    NoType,
    /// It names more initial versions than any kind has.
    #[error("more than {limit} initial resource versions")]
    TooManyVersions {
        /// How many are allowed.
        limit: usize,
    },
}

/// Something that does not fit into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The type.
    pub kind: String,
    /// How large the message would be, in bytes.
    pub bytes: usize,
}

/// A consumer may say what it has of so many resources of one kind.
const VERSIONS: usize = 200_000;

/// The provider's end of one stream.
#[derive(Debug)]
pub struct Sender {
    audience: Audience,
    snapshots: BTreeMap<String, Arc<Snapshot>>,
    lanes: BTreeMap<String, Lane>,
    too_large: Vec<TooLarge>,
}

/// One kind of a stream.
#[derive(Debug)]
struct Lane {
    /// Only these names, if the consumer listed names.
    names: Option<BTreeSet<String>>,
    /// What the consumer said it has, until the first response.
    initial_versions: BTreeMap<String, String>,
    /// What the consumer has.
    sent: Option<Arc<Snapshot>>,
    /// `sent` is a whole generation, and not the part of one that fitted.
    exact: bool,
    in_flight: bool,
    /// Answer even if there is nothing to say.
    answer_due: bool,
    /// The generation that was found too large for a first response.
    too_large_at: Option<u64>,
    parts: u64,
}

impl Sender {
    /// Returns the end of a stream that nobody has spoken on.
    pub fn new(audience: Audience) -> Self {
        Self { audience, snapshots: BTreeMap::new(), lanes: BTreeMap::new(), too_large: Vec::new() }
    }

    /// Takes a request.
    pub fn on_request(&mut self, request: DeltaRequest) -> Result<Reaction, RequestError> {
        let DeltaRequest { kind, nonce, error, subscribe, initial_versions } = request;
        if kind.is_empty() {
            return Err(RequestError::NoType);
        }
        if initial_versions.len() > VERSIONS {
            return Err(RequestError::TooManyVersions { limit: VERSIONS });
        }
        let Some(lane) = self.lanes.get_mut(&kind) else {
            let everything = subscribe.is_empty() || subscribe.iter().any(|name| name == "*");
            let lane = Lane {
                names: (!everything).then(|| subscribe.into_iter().collect()),
                initial_versions,
                sent: None,
                exact: true,
                in_flight: false,
                answer_due: nonce.is_empty(),
                too_large_at: None,
                parts: 0,
            };
            self.lanes.insert(kind.clone(), lane);
            return Ok(Reaction::Subscribed { kind });
        };
        lane.in_flight = false;
        Ok(match error {
            Some(reason) => Reaction::Rejected { kind, nonce, reason },
            None if nonce.is_empty() => {
                lane.answer_due = true;
                Reaction::Repeated { kind }
            }
            None => Reaction::Acknowledged { kind, nonce },
        })
    }

    /// Takes the current snapshot of a kind.
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        match self.snapshots.get_mut(snapshot.kind()) {
            Some(current) => *current = snapshot,
            None => {
                self.snapshots.insert(snapshot.kind().to_owned(), snapshot);
            }
        }
    }

    /// Returns the next response to send now, of at most about `limit` bytes; `None` until something happens.
    pub fn next_within(&mut self, limit: usize) -> Option<DeltaResponse> {
        let Self { audience, snapshots, lanes, too_large } = self;
        for (kind, lane) in lanes.iter_mut().filter(|(_, lane)| !lane.in_flight) {
            // A kind that is unknown here, or not provided, is an empty one.
            let current = snapshots.get(kind).cloned().unwrap_or_else(|| Arc::new(Snapshot::empty(kind.as_str())));
            if let Some(response) = lane.next(kind, &current, audience, limit, too_large) {
                return Some(response);
            }
        }
        None
    }

    /// Returns what did not fit since the last call.
    pub fn take_too_large(&mut self) -> Vec<TooLarge> {
        std::mem::take(&mut self.too_large)
    }
}

/// What differs for one audience.
#[derive(Default)]
struct Difference {
    changed: Vec<Arc<Entry>>,
    removed: Vec<WireName>,
    /// Something differs for others that this audience does not see.
    hidden: bool,
}

impl Difference {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    fn bytes(&self) -> usize {
        // A removal costs its text, a dot, tag and length.
        self.changed.iter().map(|entry| entry.payload.len()).sum::<usize>()
            + self.removed.iter().map(|name| name.name.len() + name.mesh.len() + 6).sum::<usize>()
    }
}

impl Lane {
    fn next(
        &mut self,
        kind: &str,
        current: &Arc<Snapshot>,
        audience: &Audience,
        limit: usize,
        too_large: &mut Vec<TooLarge>,
    ) -> Option<DeltaResponse> {
        let unchanged = self.exact && self.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, current) || sent.generation() == current.generation());
        if (unchanged && !self.answer_due) || (self.sent.is_none() && !self.answer_due && current.entries().is_empty()) {
            return None;
        }
        let difference = self.difference(current, audience);
        if difference.is_empty() && !self.answer_due {
            // Nothing of it is for this zone.
            self.sent = Some(Arc::clone(current));
            self.exact = true;
            return None;
        }
        // Envelope: type, nonce, control plane identifier.
        let bytes = difference.bytes() + 256;
        if bytes <= limit {
            let from = self.sent.as_ref().map(|sent| sent.generation());
            let shared = self.exact && !difference.hidden && self.names.is_none() && self.initial_versions.is_empty();
            let step = Step { from, to: current.generation() };
            self.initial_versions.clear();
            self.sent = Some(Arc::clone(current));
            self.exact = true;
            return Some(self.respond(kind, difference, shared.then_some(step), step));
        }
        if self.sent.is_none() {
            // A first response is authoritative: a part of it would delete the rest at the other end.
            if self.too_large_at != Some(current.generation()) {
                self.too_large_at = Some(current.generation());
                too_large.push(TooLarge { kind: kind.to_owned(), bytes });
            }
            return None;
        }
        self.part(kind, current, difference, limit, too_large)
    }

    /// Later responses only say what changed, so a large change may come in parts.
    fn part(
        &mut self,
        kind: &str,
        current: &Arc<Snapshot>,
        difference: Difference,
        limit: usize,
        too_large: &mut Vec<TooLarge>,
    ) -> Option<DeltaResponse> {
        let sent = self.sent.clone()?;
        let mut part = Difference { removed: difference.removed, hidden: true, ..Difference::default() };
        part.removed.truncate(limit / 1024);
        let mut room = limit.saturating_sub(part.bytes() + 256);
        let mut known = Vec::new();
        for entry in difference.changed {
            if entry.payload.len() + 256 > limit {
                // It will never fit: it counts as known until it changes, or it would be tried for ever.
                too_large.push(TooLarge { kind: kind.to_owned(), bytes: entry.payload.len() });
                known.push((*entry).clone());
            } else if entry.payload.len() <= room {
                room -= entry.payload.len();
                known.push((*entry).clone());
                part.changed.push(entry);
            }
        }
        self.sent = Some(Arc::new(sent.with_changes(known, &part.removed)));
        self.exact = false;
        if part.is_empty() {
            return None;
        }
        let step = Step { from: Some(sent.generation()), to: current.generation() };
        Some(self.respond(kind, part, None, step))
    }

    fn respond(&mut self, kind: &str, difference: Difference, shared: Option<Step>, step: Step) -> DeltaResponse {
        self.in_flight = true;
        self.answer_due = false;
        let from = step.from.map_or_else(|| "0".to_owned(), |from| (from + 1).to_string());
        let nonce = if self.exact {
            format!("{from}.{}", step.to + 1)
        } else {
            self.parts += 1;
            format!("{from}.{}.{}", step.to + 1, self.parts)
        };
        DeltaResponse { kind: kind.to_owned(), nonce, changed: difference.changed, removed: difference.removed, step: shared }
    }

    fn difference(&self, current: &Snapshot, audience: &Audience) -> Difference {
        let visible = |entry: &Entry| {
            audience.sees(entry) && self.names.as_ref().is_none_or(|names| names.contains(&entry.name.to_string()))
        };
        let mut difference = Difference::default();
        let changed = |entry: &Arc<Entry>, difference: &mut Difference| {
            if visible(entry) {
                difference.changed.push(Arc::clone(entry));
            } else {
                difference.hidden = true;
            }
        };
        let Some(sent) = &self.sent else {
            for entry in current.entries().values() {
                let known = self.initial_versions.get(&entry.name.to_string());
                if known.is_none_or(|version| *version != entry.version) {
                    changed(entry, &mut difference);
                }
            }
            for name in self.initial_versions.keys() {
                let name = WireName::parse(name);
                if !current.entries().get(&name).is_some_and(|entry| visible(entry)) {
                    difference.removed.push(name);
                }
            }
            return difference;
        };
        for item in sent.entries().diff(current.entries()) {
            match item {
                DiffItem::Add(_, entry) => changed(entry, &mut difference),
                DiffItem::Update { old: (name, old), new: (_, new) } => {
                    if visible(new) {
                        difference.changed.push(Arc::clone(new));
                        difference.hidden |= !visible(old);
                    } else {
                        difference.hidden = true;
                        if visible(old) {
                            difference.removed.push(name.clone());
                        }
                    }
                }
                DiffItem::Remove(name, old) => {
                    if visible(old) {
                        difference.removed.push(name.clone());
                    } else {
                        difference.hidden = true;
                    }
                }
            }
        }
        difference
    }
}

#[cfg(test)]
mod tests;
