//! Finds the one resource for which a consumer, a zone before 2.9.4, drops a whole batch (contract: kds 11.1), so that it
//! keeps nothing else back.
//!
//! Of a later response halves are tried, until the bad resource stands alone. A first response cannot be halved: the
//! consumer deletes what the first one that it takes does not name, and says nothing of which resource is bad. So it is
//! tried without one resource at a time. It is taken if that one was the only bad one: nothing good is ever deleted, but an
//! older version of the bad one that the consumer still had (so a Mesh, which much hangs on, is not left out). If several are bad, the kind waits until one of them changes, as before.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    snapshot::{Entry, Snapshot},
    wire_name::WireName,
};

/// How often a first response is tried without one resource, for one generation.
const TRIES: usize = 256;
/// And how much may be sent for that, in bytes.
const BYTES: usize = 256 * 1024 * 1024;

/// What is known of the resources of a kind that a consumer refuses.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Refused when they stood alone, in this version: not sent again before they change.
    refused: BTreeMap<WireName, String>,
    /// Only these of what changed are tried now.
    narrowed: Option<BTreeSet<WireName>>,
    /// A first response is tried without one resource at a time.
    sweep: Option<Sweep>,
    /// The one that was left out last: the next sweep goes on behind it.
    cursor: Option<WireName>,
}

#[derive(Debug)]
struct Sweep {
    /// Of this generation; another one is tried whole first.
    generation: u64,
    tried: usize,
    left_out: WireName,
}

/// What to do after a batch was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try another one.
    Again,
    /// Wait until something changes.
    Wait,
}

impl Search {
    /// Nothing is known.
    pub(super) const NONE: Self = Self { refused: BTreeMap::new(), narrowed: None, sweep: None, cursor: None };

    /// Whether there is nothing to remember.
    pub(super) fn is_over(&self) -> bool {
        let Self { refused, narrowed, sweep, cursor } = self;
        refused.is_empty() && narrowed.is_none() && sweep.is_none() && cursor.is_none()
    }

    /// Whether an entry is not sent now.
    pub(super) fn holds_back(&self, entry: &Entry) -> bool {
        self.is_refused(entry) || self.postpones(&entry.name)
    }

    fn is_refused(&self, entry: &Entry) -> bool {
        self.refused.get(&entry.name).is_some_and(|version| *version == entry.version)
    }

    /// Whether an entry is not sent now and will be, as soon as this try is over.
    pub(super) fn postpones(&self, name: &WireName) -> bool {
        self.narrowed.as_ref().is_some_and(|narrowed| !narrowed.contains(name))
            || self.sweep.as_ref().is_some_and(|sweep| sweep.left_out == *name)
    }

    /// Looks at what is to be sent next.
    pub(super) fn on_generation(&mut self, current: &Snapshot) {
        self.refused.retain(|name, version| current.entries().get(name).is_some_and(|entry| entry.version == *version));
        self.sweep.take_if(|sweep| sweep.generation != current.generation());
    }

    /// None of what is tried is there any more.
    pub(super) fn widen(&mut self) {
        self.narrowed = None;
    }

    /// The consumer took a batch.
    pub(super) fn taken(&mut self) {
        // What was left out comes next, alone: if it was bad it is refused now, and is found.
        (self.narrowed, self.sweep, self.cursor) = (None, None, None);
    }

    /// The consumer dropped a later batch, in which these were new.
    pub(super) fn dropped(&mut self, batch: &[(WireName, String)]) -> Next {
        match batch {
            [] => Next::Wait,
            [(name, version)] => {
                self.refused.insert(name.clone(), version.clone());
                self.narrowed = None;
                Next::Again
            }
            several => {
                let half = several.iter().take(several.len() / 2);
                self.narrowed = Some(half.map(|(name, _)| name.clone()).collect());
                Next::Again
            }
        }
    }

    /// The consumer dropped a first response of these resources and of so many bytes.
    pub(super) fn dropped_first(&mut self, batch: &[(WireName, String)], bytes: usize, generation: u64) -> Next {
        let tried = match self.sweep.take() {
            Some(sweep) if sweep.generation == generation => {
                self.cursor = Some(sweep.left_out);
                sweep.tried
            }
            _ => 0,
        };
        let mut names: BTreeSet<&WireName> = batch.iter().map(|(name, _)| name).collect();
        if tried > 0 {
            names.extend(&self.cursor);
        }
        let tries = names.len().min(TRIES).min(BYTES / bytes.max(1));
        // Without its only resource it would say that nothing is left.
        if names.len() < 2 || tried >= tries {
            return Next::Wait;
        }
        let behind = names.iter().find(|name| self.cursor.as_ref().is_none_or(|cursor| **name > cursor));
        let Some(left_out) = behind.or_else(|| names.first()).map(|name| (*name).clone()) else { return Next::Wait };
        self.sweep = Some(Sweep { generation, tried: tried + 1, left_out });
        Next::Again
    }
}
