//! One kind of a stream: what the consumer has of it, and what to say next. Longer than usual because it is one machine:
//! each step reads and writes the same few fields.

mod difference;
mod rare;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use model::Kind;

use self::{
    difference::{Difference, difference, removal_bytes},
    rare::{Before, NOTHING, Rare},
};
use super::{Audience, SizeNotice, search::Next, unreadable::Unreadable};
use crate::{
    feature::Features,
    message::{DeltaResponse, Step},
    snapshot::{Entry, Snapshot},
    wire_name::WireName,
};

/// What a response costs beside its resources: type, nonce, control plane identifier, tags and lengths.
const ENVELOPE: usize = 256;

/// One kind of a stream.
#[derive(Debug)]
pub(super) struct Lane {
    kind: Arc<str>,
    /// What the consumer has.
    sent: Option<Arc<Snapshot>>,
    /// `sent` is a whole generation, and not a part of one.
    exact: bool,
    in_flight: bool,
    /// Answer even if there is nothing to say.
    answer_due: bool,
    /// There was nothing to say, and nothing happened since.
    settled: bool,
    /// Nothing, as a rule.
    rare: Option<Box<Rare>>,
}

impl Lane {
    /// Returns the lane of a first request. An empty list of names means everything, as `*` does.
    pub(super) fn new(
        kind: Arc<str>,
        subscribe: Vec<String>,
        initial_versions: BTreeMap<String, String>,
        answer_due: bool,
    ) -> Self {
        let names: Option<BTreeSet<String>> =
            (!subscribe.is_empty() && !asks_for_everything(&subscribe)).then(|| subscribe.into_iter().collect());
        let usual = names.is_none() && initial_versions.is_empty();
        let rare = (!usual).then(|| Box::new(Rare { names, initial_versions, ..Rare::default() }));
        Self { kind, sent: None, exact: true, in_flight: false, answer_due, settled: false, rare }
    }

    /// The type name.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// How many names the consumer listed.
    pub(super) fn names(&self) -> usize {
        self.rare().names.as_ref().map_or(0, BTreeSet::len)
    }

    /// How many names the consumer lists if it lists these too.
    pub(super) fn names_with(&self, more: &[String]) -> usize {
        match &self.rare().names {
            Some(_) if asks_for_everything(more) => 0,
            Some(names) => {
                let new: BTreeSet<&String> = more.iter().filter(|name| !names.contains(*name)).collect();
                names.len() + new.len()
            }
            None => 0,
        }
    }

    /// Whether [`Lane::next`] may have something to say: nothing waits for its answer, and something happened.
    pub(super) fn may_speak(&self) -> bool {
        !self.in_flight && !self.settled
    }

    /// What was sent and answered; nothing while something is under way.
    pub(super) fn delivered(&self) -> Option<&Snapshot> {
        self.sent.as_deref().filter(|_| !self.in_flight)
    }

    /// There is a new snapshot.
    pub(super) fn look_again(&mut self) {
        self.settled = false;
    }

    /// Takes any later request: each of them releases the next response.
    pub(super) fn answered(&mut self, rejected: bool) {
        self.in_flight = false;
        self.settled = false;
        let Some(rare) = &mut self.rare else { return };
        let Some(before) = rare.before.take() else { return };
        if !rejected {
            rare.search.taken();
            return;
        }
        let Before { sent, exact, generation, batch, bytes } = before;
        let next = if sent.is_none() && *self.kind == *Kind::MESH.name {
            // An older version of a bad Mesh would go, and with it everything in the mesh.
            Next::Wait
        } else if sent.is_none() {
            rare.search.dropped_first(&batch, bytes, generation)
        } else {
            rare.search.dropped(&batch)
        };
        rare.rejected = (next == Next::Wait).then_some(generation);
        // It still waits for a first response, and takes an empty one for the truth too.
        self.answer_due |= sent.is_none();
        self.sent = sent;
        self.exact = exact;
    }

    /// Takes a first request that came again: it is answered again.
    pub(super) fn ask_again(&mut self) {
        self.answer_due = true;
        self.settled = false;
        if let Some(rare) = &mut self.rare {
            rare.rejected = None;
        }
    }

    fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Adds names to the list, or makes it everything. What was not listed so far was never sent.
    pub(super) fn widen(&mut self, subscribe: Vec<String>) {
        let Some(rare) = &mut self.rare else { return };
        let Some(names) = &mut rare.names else { return };
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
            rare.names = None;
        } else {
            names.extend(subscribe);
        }
        self.settled = false;
    }

    /// Returns what to say now, if anything.
    pub(super) fn next(
        &mut self,
        current: &Arc<Snapshot>,
        audience: &Audience,
        limit: usize,
        notices: &mut Vec<SizeNotice>,
    ) -> Option<DeltaResponse> {
        self.forget_withheld(current, audience, notices);
        if let Some(rare) = &mut self.rare {
            rare.search.on_generation(current);
        }
        let rare = self.rare();
        let generation = current.generation();
        let ends_parts = rare.unfinished && rare.withheld.is_empty();
        let unchanged = self.exact && self.sent.as_ref().is_some_and(|sent| sent.generation() == generation);
        let nothing_yet = self.sent.is_none() && current.entries().is_empty() && rare.initial_versions.is_empty();
        let nothing = !self.answer_due && !ends_parts && (unchanged || nothing_yet);
        if nothing || rare.rejected == Some(generation) {
            self.settled = true;
            return None;
        }
        if self.sent.is_none() && rare.too_large == Some((generation, limit)) {
            return None;
        }
        let base = self.sent.clone().unwrap_or_else(|| Arc::new(self.said_to_have(current)));
        let mut difference = self.difference(&base, current, audience);
        if difference.is_empty()
            && difference.postponed
            && let Some(rare) = self.rare.as_mut().filter(|_| self.sent.is_some())
        {
            rare.search.widen();
            difference = self.difference(&base, current, audience);
        }
        if difference.unreadable {
            self.rare_mut().look_for_unreadable = true;
        }
        if difference.is_empty() && !self.answer_due && !ends_parts {
            // Nothing of it is for this zone.
            self.sent = Some(Arc::clone(current));
            self.exact = true;
            self.settled = true;
            return None;
        }
        let bytes = difference.bytes() + ENVELOPE;
        if audience.drops_rejected_batches {
            let (sent, exact) = (self.sent.clone(), self.exact);
            self.rare_mut().before = Some(Before { sent, exact, generation, batch: Vec::new(), bytes });
        }
        if bytes <= limit {
            if difference.postponed {
                return Some(self.some(&base, current, difference, notices));
            }
            return Some(self.whole(current, difference, notices));
        }
        if self.sent.is_none() && !audience.features.contains(Features::PARTS) {
            // A first response is authoritative: a part of it would delete the rest at the other end. Said once.
            if self.rare_mut().too_large.replace((generation, limit)).is_none() {
                notices.push(SizeNotice::TooLarge { kind: self.kind.to_string(), resource: None, bytes });
            }
            return None;
        }
        self.part(&base, current, difference, limit, notices)
    }

    /// Returns what the consumer's version cannot read of the kind, if that has changed since it was told.
    pub(super) fn take_unreadable(&mut self, current: &Snapshot, audience: &Audience) -> Option<Unreadable> {
        let rare = self.rare.as_mut().filter(|rare| rare.look_for_unreadable)?;
        rare.look_for_unreadable = false;
        let found = Unreadable::of(current, audience);
        let known = rare.unreadable.take();
        rare.unreadable = Some(found.clone()).filter(|found| !found.is_over());
        let changed = known != rare.unreadable;
        self.rare.take_if(|rare| rare.is_usual());
        changed.then_some(found)
    }

    /// What is gone is not too large any more. A consumer that drops batches may never hear of it.
    fn forget_withheld(&mut self, current: &Snapshot, audience: &Audience, notices: &mut Vec<SizeNotice>) {
        let Some(rare) = self.rare.as_mut().filter(|rare| !rare.withheld.is_empty()) else { return };
        let visible = |name: &WireName| current.entries().get(name).is_some_and(|entry| audience.sees(entry));
        rare.withheld.retain(visible);
        if rare.withheld.is_empty() {
            notices.push(SizeNotice::Fits { kind: self.kind.to_string() });
        }
    }

    fn whole(
        &mut self,
        current: &Arc<Snapshot>,
        difference: Difference,
        notices: &mut Vec<SizeNotice>,
    ) -> DeltaResponse {
        let step = Step { readers: difference.readers, ..self.step(current) };
        let rare = self.rare();
        let for_all = self.exact && !difference.hidden && rare.names.is_none() && rare.initial_versions.is_empty();
        self.sent = Some(Arc::clone(current));
        self.exact = true;
        let fitted = self.rare.as_mut().is_some_and(|rare| {
            rare.initial_versions = BTreeMap::new();
            rare.too_large.take().is_some()
        });
        let response = self.respond(difference, for_all.then_some(step), step, notices);
        if fitted {
            notices.push(SizeNotice::Fits { kind: self.kind.to_string() });
        }
        self.rare.take_if(|rare| rare.is_usual());
        response
    }

    /// All but what is postponed: what that is follows.
    fn some(
        &mut self,
        base: &Snapshot,
        current: &Arc<Snapshot>,
        difference: Difference,
        notices: &mut Vec<SizeNotice>,
    ) -> DeltaResponse {
        let step = self.step(current);
        let said = difference.changed.iter().map(|entry| (**entry).clone()).collect();
        self.rare_mut().initial_versions = BTreeMap::new();
        self.sent = Some(Arc::new(base.with_changes(said, &difference.removed)));
        self.exact = false;
        self.respond(difference, None, step, notices)
    }

    fn step(&self, current: &Snapshot) -> Step {
        let from = self.sent.as_ref().map(|sent| sent.generation());
        Step { from, to: current.generation(), readers: None }
    }

    /// Later responses only say what changed, so a large change may come in parts; a first one may towards a peer that
    /// takes parts.
    fn part(
        &mut self,
        base: &Snapshot,
        current: &Arc<Snapshot>,
        difference: Difference,
        limit: usize,
        notices: &mut Vec<SizeNotice>,
    ) -> Option<DeltaResponse> {
        let rare = self.rare.get_or_insert_default();
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
                let (resource, bytes) = (Some(entry.name.clone()), entry.payload.len());
                notices.push(SizeNotice::TooLarge { kind: self.kind.to_string(), resource, bytes });
                rare.withheld.insert(entry.name.clone());
                known.push((*entry).clone());
            } else if fits(entry.payload.len()) {
                known.push((*entry).clone());
                part.changed.push(entry);
            }
        }
        let step = self.step(current);
        let rare = self.rare.get_or_insert_default();
        rare.unfinished |= self.sent.is_none();
        rare.initial_versions = BTreeMap::new();
        self.sent = Some(Arc::new(base.with_changes(known, &part.removed)));
        self.exact = false;
        if part.is_empty() && !self.answer_due {
            return None;
        }
        Some(self.respond(part, None, step, notices))
    }

    fn respond(
        &mut self,
        difference: Difference,
        shared: Option<Step>,
        step: Step,
        notices: &mut Vec<SizeNotice>,
    ) -> DeltaResponse {
        self.in_flight = true;
        self.answer_due = false;
        let mut more = false;
        if let Some(rare) = &mut self.rare {
            rare.rejected = None;
            if let Some(before) = &mut rare.before {
                before.batch =
                    difference.changed.iter().map(|entry| (entry.name.clone(), entry.version.clone())).collect();
            }
            if !rare.withheld.is_empty() {
                let said = difference.changed.iter().map(|entry| &entry.name).chain(&difference.removed);
                said.for_each(|name| {
                    rare.withheld.remove(name);
                });
                if rare.withheld.is_empty() {
                    notices.push(SizeNotice::Fits { kind: self.kind.to_string() });
                }
            }
            // While something is withheld the consumer must not take its absence for a deletion.
            more = rare.unfinished && !(self.exact && rare.withheld.is_empty());
            rare.unfinished = more;
        }
        let from = step.from.map_or_else(|| "0".to_owned(), |from| (from + 1).to_string());
        let nonce = if self.exact {
            format!("{from}.{}", step.to + 1)
        } else {
            let parts = &mut self.rare_mut().parts;
            *parts += 1;
            format!("{from}.{}.{parts}", step.to + 1)
        };
        DeltaResponse {
            kind: self.kind.to_string(),
            nonce,
            changed: difference.changed,
            removed: difference.removed,
            more,
            step: shared.filter(|_| !more),
        }
    }

    fn lists(&self, name: &str) -> bool {
        self.rare().names.as_ref().is_none_or(|names| names.contains(name))
    }

    fn difference(&self, base: &Snapshot, current: &Snapshot, audience: &Audience) -> Difference {
        let listed = |entry: &Entry| self.names() == 0 || self.lists(&entry.name.to_string());
        difference(base, current, audience, listed, &self.rare().search)
    }

    /// What the consumer has before its first response, if it is to be believed. Only its word for a version is known;
    /// where that is the present one, the resource is the present one.
    fn said_to_have(&self, current: &Snapshot) -> Snapshot {
        let entry = |(name, version): (&String, &String)| {
            let name = WireName::parse(name);
            match current.entries().get(&name).filter(|entry| entry.version == *version) {
                Some(entry) => (**entry).clone(),
                None => Entry {
                    name,
                    version: version.clone(),
                    payload: Bytes::new(),
                    origin_zone: None,
                    needs: Features::NONE,
                    needs_for_all: Features::NONE,
                },
            }
        };
        Snapshot::empty(Arc::clone(&self.kind))
            .with_changes(self.rare().initial_versions.iter().map(entry).collect(), &[])
    }
}

fn asks_for_everything(names: &[String]) -> bool {
    names.iter().any(|name| name == "*")
}
