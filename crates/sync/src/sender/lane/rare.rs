//! What few lanes need: apart, because there are as many lanes as zones and kinds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::super::{search::Search, unreadable::Unreadable};
use crate::{snapshot::Snapshot, wire_name::WireName};

/// What is usual in a lane and stays in few. Apart, because there are as many lanes as zones and kinds.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Only these names, if the consumer listed names.
    pub(super) names: Option<BTreeSet<String>>,
    /// What the consumer said it has, until the first response.
    pub(super) initial_versions: BTreeMap<String, String>,
    /// The first response came in parts so far, and its last one is still to come.
    pub(super) unfinished: bool,
    /// Resources that fit into no message: they count as sent, or they would be tried for ever.
    pub(super) withheld: BTreeSet<WireName>,
    /// The generation, and the limit, that was found too large for a first response.
    pub(super) too_large: Option<(u64, usize)>,
    /// How many responses were parts of a change.
    pub(super) parts: u64,
    /// For a consumer that drops a batch whole when it rejects it: what it has then.
    pub(super) before: Option<Before>,
    /// The generation that such a consumer rejected: it is not tried again.
    pub(super) rejected: Option<u64>,
    /// What such a consumer rejects, as far as it is found.
    pub(super) search: Search,
    /// What the consumer's version cannot read, as it was told.
    pub(super) unreadable: Option<Unreadable>,
    /// That has changed, perhaps.
    pub(super) look_for_unreadable: bool,
}

/// What a consumer had before a response.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) sent: Option<Arc<Snapshot>>,
    pub(super) exact: bool,
    /// The generation of the response.
    pub(super) generation: u64,
    /// What was new in the response, and in which version.
    pub(super) batch: Vec<(WireName, String)>,
    /// How large it was.
    pub(super) bytes: usize,
}

/// What most lanes have instead.
pub(super) static NOTHING: Rare = Rare {
    names: None,
    initial_versions: BTreeMap::new(),
    unfinished: false,
    withheld: BTreeSet::new(),
    too_large: None,
    parts: 0,
    before: None,
    rejected: None,
    search: Search::NONE,
    unreadable: None,
    look_for_unreadable: false,
};

impl Rare {
    /// Whether there is nothing in it that [`NOTHING`] does not have.
    pub(super) fn is_usual(&self) -> bool {
        let Self {
            names,
            initial_versions,
            unfinished,
            withheld,
            too_large,
            parts,
            before,
            rejected,
            search,
            unreadable,
            look_for_unreadable,
        } = self;
        names.is_none()
            && initial_versions.is_empty()
            && !unfinished
            && withheld.is_empty()
            && too_large.is_none()
            && *parts == 0
            && before.is_none()
            && rejected.is_none()
            && search.is_over()
            && unreadable.is_none()
            && !look_for_unreadable
    }
}
