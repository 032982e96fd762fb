//! The provider's end of one stream.
//!
//! For each kind it remembers the snapshot it sent last, not the resources: memory follows the number of kinds, and a
//! global has as many of these as zones, so what only few of them need is apart. At most
//! one response of a kind is unacknowledged; what changes meanwhile goes into the next one. A rejected response counts
//! as delivered: it is not sent again until it changes (contract: kds 4.5).

mod lane;
mod search;
mod unreadable;

use std::sync::Arc;

use thiserror::Error;

use self::lane::Lane;
pub use self::unreadable::Unreadable;
use crate::{
    feature::Features,
    message::{DeltaRequest, DeltaResponse},
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
    /// It drops a batch whole when it rejects one resource of it, and takes the next one for a first response if that
    /// was the first: zones before 2.9.4 (contract: kds 11.1).
    pub drops_rejected_batches: bool,
}

impl Audience {
    fn sees(&self, entry: &Entry) -> bool {
        self.reads(entry) && !self.made(entry)
    }

    /// Whether it has the features for it. The same for every zone of its class.
    fn reads(&self, entry: &Entry) -> bool {
        self.features.contains(entry.needs)
    }

    /// Whether it made it.
    fn made(&self, entry: &Entry) -> bool {
        entry.origin_zone.as_ref().is_some_and(|zone| *zone == self.zone)
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
    /// Its type is longer than any name of a type.
    #[error("the type URL is longer than {limit} bytes")]
    LongType {
        /// How many are allowed.
        limit: usize,
    },
    /// It lists more names than a peer has reason to.
    #[error("more than {limit} resource names")]
    TooManyNames {
        /// How many are allowed.
        limit: usize,
    },
    /// It names more initial versions than any kind has.
    #[error("more than {limit} initial resource versions")]
    TooManyVersions {
        /// How many are allowed.
        limit: usize,
    },
}

/// What fits into a message, or does not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeNotice {
    /// Something does not fit into one message and is not sent.
    TooLarge {
        /// The type.
        kind: String,
        /// The resource that is too large by itself; without one it is the type as a whole.
        resource: Option<WireName>,
        /// How large the message would be, in bytes.
        bytes: usize,
    },
    /// Everything of the type that did not fit does now.
    Fits {
        /// The type.
        kind: String,
    },
}

/// A consumer may say what it has of so many resources of one kind.
const VERSIONS: usize = 200_000;
/// A consumer may ask for so many resources of one kind by name; real ones ask for everything.
const NAMES: usize = 10_000;
/// A type name is echoed and kept, also an unknown one.
const TYPE_LENGTH: usize = 253;

/// The provider's end of one stream.
#[derive(Debug)]
pub struct Sender {
    audience: Audience,
    /// Sorted by kind.
    snapshots: Vec<Arc<Snapshot>>,
    /// Sorted by kind.
    lanes: Vec<Lane>,
    notices: Vec<SizeNotice>,
    unreadable: Vec<Unreadable>,
}

impl Sender {
    /// Returns the end of a stream that nobody has spoken on.
    ///
    /// Give it the snapshots of all kinds before it is asked what to send: a kind without a snapshot counts as empty, and
    /// an empty first response deletes everything at the other end.
    pub fn new(audience: Audience) -> Self {
        Self { audience, snapshots: Vec::new(), lanes: Vec::new(), notices: Vec::new(), unreadable: Vec::new() }
    }

    /// Takes a request.
    pub fn on_request(&mut self, request: DeltaRequest) -> Result<Reaction, RequestError> {
        let DeltaRequest { kind, nonce, error, subscribe, initial_versions } = request;
        if kind.is_empty() {
            return Err(RequestError::NoType);
        }
        if kind.len() > TYPE_LENGTH {
            return Err(RequestError::LongType { limit: TYPE_LENGTH });
        }
        if initial_versions.len() > VERSIONS {
            return Err(RequestError::TooManyVersions { limit: VERSIONS });
        }
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.kind() == kind) else {
            let name =
                snapshot(&self.snapshots, &kind).map_or_else(|| Arc::from(kind.as_str()), |known| known.shared_kind());
            let lane = Lane::new(name, subscribe, initial_versions, nonce.is_empty());
            if lane.names() > NAMES {
                return Err(RequestError::TooManyNames { limit: NAMES });
            }
            self.lanes.insert(self.lanes.partition_point(|other| other.kind() < kind.as_str()), lane);
            return Ok(Reaction::Subscribed { kind });
        };
        // What is refused changes nothing.
        if lane.names_with(&subscribe) > NAMES {
            return Err(RequestError::TooManyNames { limit: NAMES });
        }
        lane.answered(error.is_some());
        lane.widen(subscribe);
        Ok(match error {
            Some(reason) => Reaction::Rejected { kind, nonce, reason },
            None if nonce.is_empty() => {
                lane.ask_again();
                Reaction::Repeated { kind }
            }
            None => Reaction::Acknowledged { kind, nonce },
        })
    }

    /// Takes the current snapshot of a kind.
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let place = self.snapshots.partition_point(|known| known.kind() < snapshot.kind());
        if self.snapshots.get(place).is_some_and(|known| Arc::ptr_eq(known, &snapshot)) {
            return;
        }
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.kind() == snapshot.kind()) {
            lane.look_again();
        }
        match self.snapshots.get_mut(place).filter(|known| known.kind() == snapshot.kind()) {
            Some(known) => *known = snapshot,
            None => self.snapshots.insert(place, snapshot),
        }
    }

    /// Returns the next response to send now, of at most about `limit` bytes; `None` until something happens.
    pub fn next_within(&mut self, limit: usize) -> Option<DeltaResponse> {
        let Self { audience, snapshots, lanes, notices, unreadable } = self;
        for lane in lanes.iter_mut().filter(|lane| lane.may_speak()) {
            // A kind that is unknown here, or not provided, is an empty one.
            let current =
                snapshot(snapshots, lane.kind()).map_or_else(|| Arc::new(Snapshot::empty(lane.kind())), Arc::clone);
            let response = lane.next(&current, audience, limit, notices);
            unreadable.extend(lane.take_unreadable(&current, audience));
            if response.is_some() {
                return response;
            }
        }
        None
    }

    /// The names of all that the consumer has of a kind; of nothing while an answer is due.
    pub fn delivered(&self, kind: &str) -> impl Iterator<Item = &WireName> {
        let lane = self.lanes.iter().find(|lane| lane.kind() == kind);
        let entries = lane.and_then(Lane::delivered).into_iter().flat_map(|sent| sent.entries().values());
        entries.filter(|entry| self.audience.sees(entry)).map(|entry| &entry.name)
    }

    /// Returns of which kinds it has changed, since the last call, what the peer's version cannot read.
    pub fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }

    /// Returns what was found not to fit, or to fit again, since the last call.
    pub fn take_size_notices(&mut self) -> Vec<SizeNotice> {
        std::mem::take(&mut self.notices)
    }
}

fn snapshot<'a>(snapshots: &'a [Arc<Snapshot>], kind: &str) -> Option<&'a Arc<Snapshot>> {
    snapshots.get(snapshots.binary_search_by(|known| known.kind().cmp(kind)).ok()?)
}

#[cfg(test)]
mod tests;
