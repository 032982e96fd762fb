//! What a zone does not get, or not all of, because its version cannot read it. Pure, and bounded: few names stand for all.

use super::Audience;
use crate::{feature::Features, forms::readable_since, snapshot::Snapshot, wire_name::WireName};

/// So many names are told.
const EXAMPLES: usize = 5;

/// What a zone cannot read of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// The type.
    pub kind: String,
    /// The first version of a zone that reads all of it.
    pub since: &'static str,
    /// How many resources are not sent.
    pub not_sent: usize,
    /// How many are sent although a part of them means nothing to the zone.
    pub in_part: usize,
    /// The first few of them.
    pub examples: Vec<WireName>,
}

impl Unreadable {
    /// Looks through a kind.
    pub(super) fn of(current: &Snapshot, audience: &Audience) -> Self {
        let mut found =
            Self { kind: current.kind().to_owned(), since: readable_since(current.kind()), ..Self::default() };
        for (name, entry) in current.entries() {
            if audience.made(entry) || reads_all(audience, entry.needs_for_all) {
                continue;
            }
            if audience.reads(entry) {
                found.in_part += 1;
            } else {
                found.not_sent += 1;
            }
            if found.examples.len() < EXAMPLES {
                found.examples.push(name.clone());
            }
        }
        found
    }

    /// Whether there is nothing of the sort.
    pub fn is_over(&self) -> bool {
        self.not_sent == 0 && self.in_part == 0
    }
}

/// Whether the version of the zone is new enough.
pub(super) fn reads_all(audience: &Audience, needs: Features) -> bool {
    audience.features.contains(needs)
}
