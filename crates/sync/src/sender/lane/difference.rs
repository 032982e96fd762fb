//! What differs between two generations, for one audience.

use std::sync::Arc;

use imbl::ordmap::DiffItem;

use super::super::{Audience, search::Search, unreadable::reads_all};
use crate::{
    feature::Features,
    snapshot::{Entry, Snapshot},
    wire_name::WireName,
};

/// What changed from one generation to another; what both share is skipped without a look.
pub(super) fn difference(
    sent: &Snapshot,
    current: &Snapshot,
    audience: &Audience,
    listed: impl Fn(&Entry) -> bool,
    search: &Search,
) -> Difference {
    let visible = |entry: &Entry| audience.sees(entry) && listed(entry);
    let mut difference = Difference::default();
    for item in sent.entries().diff(current.entries()) {
        let (name, old, new) = match item {
            DiffItem::Add(name, new) => (name, None, Some(new)),
            DiffItem::Update { old: (name, old), new: (_, new) } => (name, Some(old), Some(new)),
            DiffItem::Remove(name, old) => (name, Some(old), None),
        };
        for entry in old.into_iter().chain(new) {
            difference.unreadable |= !reads_all(audience, entry.needs_for_all);
            if !audience.reads(entry) {
                difference.readers = Some(audience.features.common(Features::GATES));
            } else if !visible(entry) {
                difference.hidden = true;
            }
        }
        match new.filter(|new| visible(new)) {
            // It has not got it, and has what it had before.
            Some(new) if search.holds_back(new) => {
                difference.hidden = true;
                difference.postponed |= search.postpones(name);
            }
            Some(new) => difference.changed.push(Arc::clone(new)),
            None if old.is_some_and(|old| visible(old)) => difference.removed.push(name.clone()),
            None => {}
        }
    }
    difference
}

/// What differs for one audience.
#[derive(Default)]
pub(super) struct Difference {
    pub(super) changed: Vec<Arc<Entry>>,
    pub(super) removed: Vec<WireName>,
    /// Something differs for others that this audience does not see.
    pub(super) hidden: bool,
    /// Something differs that not all zones can read: the same for those who can read what these can.
    pub(super) readers: Option<Features>,
    /// Something differs that this audience cannot read, or not all of.
    pub(super) unreadable: bool,
    /// Something is sent later.
    pub(super) postponed: bool,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        let changed = self.changed.iter().map(|entry| entry.payload.len());
        changed.chain(self.removed.iter().map(removal_bytes)).sum()
    }
}

/// A removal costs its text, a dot, tag and length.
pub(super) fn removal_bytes(name: &WireName) -> usize {
    name.name.len() + name.mesh.len() + 6
}
