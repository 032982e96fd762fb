//! The provider's end of one stream.
//!
//! For each kind it remembers the snapshot it sent last, not the resources: memory follows the number of kinds. At most
//! one response of a kind is unacknowledged; what changes meanwhile goes into the next one. A rejected response counts
//! as delivered: it is not sent again until it changes (contract: kds 4.5).

mod lane;

use std::{collections::BTreeMap, sync::Arc};

use thiserror::Error;

use self::lane::Lane;
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
    snapshots: BTreeMap<String, Arc<Snapshot>>,
    lanes: BTreeMap<String, Lane>,
    notices: Vec<SizeNotice>,
}

impl Sender {
    /// Returns the end of a stream that nobody has spoken on.
    ///
    /// Give it the snapshots of all kinds before it is asked what to send: a kind without a snapshot counts as empty, and
    /// an empty first response deletes everything at the other end.
    pub fn new(audience: Audience) -> Self {
        Self { audience, snapshots: BTreeMap::new(), lanes: BTreeMap::new(), notices: Vec::new() }
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
        let Some(lane) = self.lanes.get_mut(&kind) else {
            let lane = Lane::new(subscribe, initial_versions, nonce.is_empty());
            if lane.names() > NAMES {
                return Err(RequestError::TooManyNames { limit: NAMES });
            }
            self.lanes.insert(kind.clone(), lane);
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
        match self.snapshots.get_mut(snapshot.kind()) {
            Some(current) => *current = snapshot,
            None => {
                self.snapshots.insert(snapshot.kind().to_owned(), snapshot);
            }
        }
    }

    /// Returns the next response to send now, of at most about `limit` bytes; `None` until something happens.
    pub fn next_within(&mut self, limit: usize) -> Option<DeltaResponse> {
        let Self { audience, snapshots, lanes, notices } = self;
        for (kind, lane) in lanes.iter_mut().filter(|(_, lane)| !lane.in_flight()) {
            // A kind that is unknown here, or not provided, is an empty one.
            let current = snapshots.get(kind).cloned().unwrap_or_else(|| Arc::new(Snapshot::empty(kind.as_str())));
            if let Some(response) = lane.next(kind, &current, audience, limit, notices) {
                return Some(response);
            }
        }
        None
    }

    /// Returns what was found not to fit, or to fit again, since the last call.
    pub fn take_size_notices(&mut self) -> Vec<SizeNotice> {
        std::mem::take(&mut self.notices)
    }
}

#[cfg(test)]
mod tests;
