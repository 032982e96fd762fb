//! What becomes of live streams whose token is good no more: they are closed, or, where authentication is in shadow, counted.
//!
//! A sweep with a new ring looks at every stream. The end of tokens costs what ends: streams and proofs wait in the order of
//! their expiry.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use tokens::{KeyRing, Rejection};
use tokio::time::Instant;

use super::{CloseReason, Closed, ConnectionId, Live, Registry, State, StreamId, expiry, sessions::Session};
use crate::zones::caller::ZoneCaller;

/// Whose authentication is in shadow: nobody of them is refused, and no stream of theirs is closed for its token.
#[derive(Default)]
pub(super) struct Shadow {
    everybody: bool,
    zones: BTreeSet<ZoneName>,
}

impl Shadow {
    pub(super) fn has(&self, zone: &ZoneName) -> bool {
        self.everybody || self.zones.contains(zone)
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "who serves what it closed hears of it with `tell`"]
pub struct Swept {
    /// The streams that it closed.
    pub closed: Vec<Closed>,
    /// The streams that it would have closed, were their zones not in shadow; each is told of once.
    pub spared: Vec<Closed>,
    /// Streams whose handlers have not been told.
    untold: Vec<StreamId>,
    /// Connections that have nothing to stand on any more and have not been told.
    withdrawn: Vec<ConnectionId>,
}

impl Registry {
    /// Sweeps with a ring: every stream whose verdict no longer holds is closed with the reason, and a connection that
    /// nothing good was proved on any more is told so. `heard` is when what made the ring was heard.
    ///
    /// An older ring than the newest one swept with is not taken over.
    pub fn sweep(&self, ring: &Arc<KeyRing>, now: Timestamp, heard: Instant) -> Swept {
        let mut state = self.lock();
        state.take_over(ring);
        // Those of a zone one after the other: they go out together.
        let ids = state.by_zone.values().flatten().copied().collect();
        let mut swept = self.enforce(&mut state, ids, now, |_live| heard);
        let is_bad = self.verdicts(&state, now);
        swept.withdrawn = state.withdraw_where(|caller| is_bad(caller).is_some());
        swept
    }

    /// Tells those who serve what was closed. Nothing goes out of these streams any more and nothing that comes in is taken;
    /// what is done at the end of a stream and of a connection would be in the way of the end of others.
    pub fn tell(&self, swept: &Swept) {
        let state = self.lock();
        for stream in &swept.untold {
            state.tell_handler(*stream);
        }
        for connection in &swept.withdrawn {
            state.tell_connection(*connection);
        }
    }

    /// Takes a ring over for those who come from now on, and leaves those who are here alone.
    pub fn adopt(&self, ring: &Arc<KeyRing>) {
        self.lock().take_over(ring);
    }

    /// Closes the streams whose token has expired and takes back the proofs that have; looks at nothing else. `at` is the
    /// same moment as `now`.
    pub fn expire(&self, now: Timestamp, at: Instant) -> Swept {
        let leeway = self.leeway();
        let is_due = |expiry: Timestamp| now.duration_since(expiry) >= leeway;
        let mut state = self.lock();
        let mut ids = Vec::new();
        while let Some((_, id)) = state.expiries.first().copied().filter(|(expiry, _)| is_due(*expiry)) {
            state.expiries.pop_first();
            ids.push(id);
        }
        let since = |live: &Live| {
            let late = expiry(&live.caller).map_or(SignedDuration::ZERO, |expiry| now.duration_since(expiry) - leeway);
            late.try_into().ok().and_then(|late| at.checked_sub(late)).unwrap_or(at)
        };
        let swept = self.enforce(&mut state, ids, now, since);
        let is_bad = self.verdicts(&state, now);
        state.withdraw_expired(is_due, |caller| is_bad(caller).is_some());
        swept
    }

    /// From now on authentication is in shadow for everybody.
    pub fn shadow_everybody(&self) {
        self.lock().shadow.everybody = true;
    }

    /// From now on authentication of this zone is in shadow.
    pub fn shadow(&self, zone: &ZoneName) {
        self.lock().shadow.zones.insert(zone.clone());
    }

    /// From now on this zone has to authenticate as any other: what would have been closed or refused meanwhile is closed.
    pub fn enforce_again(&self, zone: &ZoneName, now: Timestamp, heard: Instant) -> Swept {
        let mut state = self.lock();
        if !state.shadow.zones.remove(zone) || state.shadow.everybody {
            return Swept::default();
        }
        let ids = state.by_zone.get(zone).into_iter().flatten().copied().collect();
        let mut swept = self.enforce(&mut state, ids, now, |_live| heard);
        let is_bad = self.verdicts(&state, now);
        swept.withdrawn = state.withdraw_where(|caller| caller.zone() == zone && is_bad(caller).is_some());
        swept
    }

    /// Whether authentication of this zone is in shadow.
    pub fn is_in_shadow(&self, zone: &ZoneName) -> bool {
        self.lock().shadow.has(zone)
    }

    /// Says of any caller why it must not be here: nothing for those who may, and for zones in shadow.
    fn verdicts(&self, state: &State, now: Timestamp) -> impl Fn(&ZoneCaller) -> Option<Rejection> + use<> {
        let (ring, leeway) = (Arc::clone(&state.ring), self.leeway);
        let (everybody, zones) = (state.shadow.everybody, state.shadow.zones.clone());
        move |caller| {
            let is_in_shadow = everybody || zones.contains(caller.zone());
            if is_in_shadow { None } else { caller.rejection(&ring, now, leeway) }
        }
    }

    /// Closes those of these streams whose verdict no longer holds.
    fn enforce(
        &self,
        state: &mut State,
        ids: Vec<StreamId>,
        now: Timestamp,
        since: impl Fn(&Live) -> Instant,
    ) -> Swept {
        let (ring, leeway) = (Arc::clone(&state.ring), self.leeway);
        let mut spared = Vec::new();
        let mut bad = Vec::new();
        // The streams of a session follow each other mostly, and stand on the same token.
        let mut known: Option<(Session, Option<Rejection>)> = None;
        for id in ids {
            let Some(live) = state.streams.get_mut(&id).filter(|live| !live.is_closed()) else { continue };
            let rejection = match &known {
                Some((session, rejection)) if Arc::ptr_eq(session, &live.session) => rejection.clone(),
                Some(_) | None => live.caller.rejection(&ring, now, leeway),
            };
            known = Some((Arc::clone(&live.session), rejection.clone()));
            let zone = live.caller.zone();
            if !state.shadow.has(zone) {
                bad.extend(rejection.map(|rejection| (id, reason(&live.caller, rejection, &ring))));
                continue;
            }
            if let Some(rejection) = &rejection
                && !live.is_spared
            {
                let reason = CloseReason::Refused(rejection.clone());
                spared.push(Closed { zone: zone.clone(), method: live.method, reason });
            }
            live.is_spared = rejection.is_some();
        }
        let mut closed = Vec::with_capacity(bad.len());
        let untold: Vec<StreamId> = bad.iter().map(|(id, _)| *id).collect();
        for (id, reason) in bad {
            let since = state.streams.get(&id).map(&since);
            closed.extend(state.end_one(id, reason, since));
        }
        state.tell_earliest();
        Swept { closed, spared, untold, withdrawn: Vec::new() }
    }
}

/// A key that a rotation retired is gone for a reason that its owner should hear.
fn reason(caller: &ZoneCaller, rejection: Rejection, ring: &KeyRing) -> CloseReason {
    match caller {
        ZoneCaller::Verified(verified) if ring.is_retired(verified.key()) => CloseReason::KeyRetired,
        ZoneCaller::Verified(_) | ZoneCaller::Shadowed { .. } | ZoneCaller::Unverified(_) => {
            CloseReason::Refused(rejection)
        }
    }
}

impl State {
    fn take_over(&mut self, ring: &Arc<KeyRing>) {
        if ring.generation() > self.ring.generation() {
            self.ring = Arc::clone(ring);
        }
    }
}
