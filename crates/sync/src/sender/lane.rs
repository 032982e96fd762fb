//! One kind of a stream: what the consumer has of it, and what to say next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::ordmap::DiffItem;

use super::{Audience, TooLarge};
use crate::{
    message::{DeltaResponse, Step},
    snapshot::{Entry, Snapshot},
    wire_name::WireName,
};

/// What a response costs beside its resources: type, nonce, control plane identifier, tags and lengths.
const ENVELOPE: usize = 256;

/// One kind of a stream.
#[derive(Debug)]
pub(super) struct Lane {
    /// Only these names, if the consumer listed names.
    names: Option<BTreeSet<String>>,
    /// What the consumer said it has, until the first response.
    initial_versions: BTreeMap<String, String>,
    /// What the consumer has.
    sent: Option<Arc<Snapshot>>,
    /// `sent` is a whole generation, and not a part of one.
    exact: bool,
    in_flight: bool,
    /// Answer even if there is nothing to say.
    answer_due: bool,
    /// The generation, and the limit, that was found too large for a first response.
    too_large: Option<(u64, usize)>,
    /// How many responses were parts of a change.
    parts: u64,
}

impl Lane {
    /// Returns the lane of a first request. An empty list of names means everything, as `*` does.
    pub(super) fn new(subscribe: Vec<String>, initial_versions: BTreeMap<String, String>, answer_due: bool) -> Self {
        Self {
            names: (!subscribe.is_empty() && !asks_for_everything(&subscribe)).then(|| subscribe.into_iter().collect()),
            initial_versions,
            sent: None,
            exact: true,
            in_flight: false,
            answer_due,
            too_large: None,
            parts: 0,
        }
    }

    /// How many names the consumer listed.
    pub(super) fn names(&self) -> usize {
        self.names.as_ref().map_or(0, BTreeSet::len)
    }

    /// How many names the consumer lists if it lists these too.
    pub(super) fn names_with(&self, more: &[String]) -> usize {
        match &self.names {
            Some(_) if asks_for_everything(more) => 0,
            Some(names) => {
                let new: BTreeSet<&String> = more.iter().filter(|name| !names.contains(*name)).collect();
                names.len() + new.len()
            }
            None => 0,
        }
    }

    /// Whether a response waits for its answer.
    pub(super) fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Takes any later request: each of them releases the next response.
    pub(super) fn answered(&mut self) {
        self.in_flight = false;
    }

    /// Takes a first request that came again: it is answered again.
    pub(super) fn ask_again(&mut self) {
        self.answer_due = true;
    }

    /// Adds names to the list, or makes it everything. What was not listed so far was never sent.
    pub(super) fn widen(&mut self, subscribe: Vec<String>) {
        let Some(names) = &mut self.names else { return };
        if subscribe.iter().all(|name| names.contains(name)) {
            return;
        }
        if let Some(sent) = &self.sent {
            let unlisted: Vec<_> =
                sent.entries().keys().filter(|name| !names.contains(&name.to_string())).cloned().collect();
            self.sent = Some(Arc::new(sent.with_changes(Vec::new(), &unlisted)));
            self.exact = false;
        }
        if asks_for_everything(&subscribe) {
            self.names = None;
        } else {
            names.extend(subscribe);
        }
    }

    /// Returns what to say now, if anything.
    pub(super) fn next(
        &mut self,
        kind: &str,
        current: &Arc<Snapshot>,
        audience: &Audience,
        limit: usize,
        too_large: &mut Vec<TooLarge>,
    ) -> Option<DeltaResponse> {
        let unchanged = self.exact && self.sent.as_ref().is_some_and(|sent| sent.generation() == current.generation());
        let nothing_yet = self.sent.is_none() && current.entries().is_empty() && self.initial_versions.is_empty();
        if !self.answer_due && (unchanged || nothing_yet) {
            return None;
        }
        if self.sent.is_none() && self.too_large == Some((current.generation(), limit)) {
            return None;
        }
        let difference = self.difference(current, audience);
        if difference.is_empty() && !self.answer_due {
            // Nothing of it is for this zone.
            self.sent = Some(Arc::clone(current));
            self.exact = true;
            return None;
        }
        let bytes = difference.bytes() + ENVELOPE;
        if bytes <= limit {
            return Some(self.whole(kind, current, difference));
        }
        if self.sent.is_none() {
            // A first response is authoritative: a part of it would delete the rest at the other end. Said once.
            if self.too_large.replace((current.generation(), limit)).is_none() {
                too_large.push(TooLarge { kind: kind.to_owned(), bytes });
            }
            return None;
        }
        self.part(kind, current, difference, limit, too_large)
    }

    fn whole(&mut self, kind: &str, current: &Arc<Snapshot>, difference: Difference) -> DeltaResponse {
        let step = Step { from: self.sent.as_ref().map(|sent| sent.generation()), to: current.generation() };
        let for_all = self.exact && !difference.hidden && self.names.is_none() && self.initial_versions.is_empty();
        self.initial_versions.clear();
        self.sent = Some(Arc::clone(current));
        self.exact = true;
        self.respond(kind, difference, for_all.then_some(step), step)
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
        let mut part = Difference { hidden: true, ..Difference::default() };
        let mut room = limit.saturating_sub(ENVELOPE);
        let mut fits = |bytes: usize| {
            let left = room.checked_sub(bytes);
            room = left.unwrap_or(room);
            left.is_some()
        };
        part.removed = difference.removed.into_iter().filter(|name| fits(removal_bytes(name))).collect();
        let mut known = Vec::new();
        for entry in difference.changed {
            if entry.payload.len() + ENVELOPE > limit {
                // It will never fit: it counts as known until it changes, or it would be tried for ever.
                too_large.push(TooLarge { kind: kind.to_owned(), bytes: entry.payload.len() });
                known.push((*entry).clone());
            } else if fits(entry.payload.len()) {
                known.push((*entry).clone());
                part.changed.push(entry);
            }
        }
        self.sent = Some(Arc::new(sent.with_changes(known, &part.removed)));
        self.exact = false;
        if part.is_empty() && !self.answer_due {
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
        DeltaResponse {
            kind: kind.to_owned(),
            nonce,
            changed: difference.changed,
            removed: difference.removed,
            step: shared,
        }
    }

    fn lists(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }

    fn difference(&self, current: &Snapshot, audience: &Audience) -> Difference {
        let visible =
            |entry: &Entry| audience.sees(entry) && (self.names.is_none() || self.lists(&entry.name.to_string()));
        match &self.sent {
            None => self.first_difference(current, visible),
            Some(sent) => later_difference(sent, current, visible),
        }
    }

    /// Everything, less what the consumer has already; and what it has that is gone.
    fn first_difference(&self, current: &Snapshot, visible: impl Fn(&Entry) -> bool) -> Difference {
        let mut difference = Difference::default();
        for entry in current.entries().values() {
            let known =
                || self.initial_versions.get(&entry.name.to_string()).is_some_and(|version| *version == entry.version);
            if !visible(entry) {
                difference.hidden = true;
            } else if self.initial_versions.is_empty() || !known() {
                difference.changed.push(Arc::clone(entry));
            }
        }
        for known in self.initial_versions.keys().filter(|known| self.lists(known)) {
            let name = WireName::parse(known);
            if !current.entries().get(&name).is_some_and(|entry| visible(entry)) {
                difference.removed.push(name);
            }
        }
        difference
    }
}

fn asks_for_everything(names: &[String]) -> bool {
    names.iter().any(|name| name == "*")
}

/// What changed from one generation to another; what both share is skipped without a look.
fn later_difference(sent: &Snapshot, current: &Snapshot, visible: impl Fn(&Entry) -> bool) -> Difference {
    let mut difference = Difference::default();
    for item in sent.entries().diff(current.entries()) {
        let (name, old, new) = match item {
            DiffItem::Add(name, new) => (name, None, Some(new)),
            DiffItem::Update { old: (name, old), new: (_, new) } => (name, Some(old), Some(new)),
            DiffItem::Remove(name, old) => (name, Some(old), None),
        };
        let sees = |entry: Option<&Arc<Entry>>| entry.is_some_and(|entry| visible(entry));
        difference.hidden |= old.is_some() != sees(old) || new.is_some() != sees(new);
        match new.filter(|new| visible(new)) {
            Some(new) => difference.changed.push(Arc::clone(new)),
            None if sees(old) => difference.removed.push(name.clone()),
            None => {}
        }
    }
    difference
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
        let changed = self.changed.iter().map(|entry| entry.payload.len());
        changed.chain(self.removed.iter().map(removal_bytes)).sum()
    }
}

/// A removal costs its text, a dot, tag and length.
fn removal_bytes(name: &WireName) -> usize {
    name.name.len() + name.mesh.len() + 6
}
