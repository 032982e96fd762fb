//! Who is connected: every stream of every zone, with the verdict it stands on.
//!
//! One lock admits streams and sweeps them when keys change. The registry remembers the newest key ring it has swept
//! with: a stream that was verified with an older ring is verified again when it is admitted, so nothing slips through
//! between the check and the entry. A newer token of the same zone is taken under that lock too. Closing is per stream and carries its reason; a session is the streams that share
//! zone and token, however many TCP connections a proxy spreads them over. Quotas are a session's: who holds a token
//! that is about to be revoked cannot use up what the zone's next token needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use tokens::{KeyRing, Rejection, VerifiedZone};
use tokio::{sync::watch, time::Instant};

mod bounds;
mod closing;
mod connections;
mod enforcement;
mod guard;
mod presenting;
mod reason;
mod renewal;
mod sessions;

use self::{
    connections::Connections,
    enforcement::Shadow,
    guard::{Closing, Ends, Told},
    sessions::{Session, Sessions},
};
pub use self::{
    connections::{ConnectionGuard, ConnectionId, Standing},
    enforcement::Swept,
    guard::{Enforcement, News, StreamGuard},
    presenting::Presented,
    reason::{CloseReason, Closed},
};
use crate::zones::caller::ZoneCaller;

/// Names one admitted stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

#[cfg(test)]
impl StreamId {
    /// The name of some stream.
    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// One stream that is about to be admitted.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who.
    pub caller: ZoneCaller,
    /// The generation of the ring that verified the caller.
    pub ring_generation: u64,
    /// The connection it came over.
    pub connection: ConnectionId,
    /// The method, for logs.
    pub method: &'static str,
    /// It is one call and no stream: it admits for itself and is no part of a session.
    pub unary: bool,
    /// The zone says that it pings: its silence means something.
    pub pings: bool,
}

/// A stream that is open.
#[derive(Clone, Debug)]
pub struct Open {
    /// On what it stands now: the zone, and which token signed with which key.
    pub caller: Arc<ZoneCaller>,
    /// The method.
    pub method: &'static str,
}

/// All live streams of the KDS port. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    state: Arc<Mutex<State>>,
    leeway: Duration,
}

struct State {
    next: u64,
    /// The newest ring that was swept with.
    ring: Arc<KeyRing>,
    draining: watch::Sender<bool>,
    streams: BTreeMap<StreamId, Live>,
    sessions: Sessions,
    connections: Connections,
    shadow: Shadow,
    /// The streams of each zone.
    by_zone: BTreeMap<ZoneName, BTreeSet<StreamId>>,
    /// Which instance of a zone a connection belongs to, once it said so and while it has a stream.
    instances: BTreeMap<(ZoneName, ConnectionId), String>,
    /// When each token expires that a stream stands on.
    expiries: BTreeSet<(Timestamp, StreamId)>,
    changed: watch::Sender<u64>,
    /// The earliest expiry, for the sweeper: it is not woken by streams that expire later.
    earliest: watch::Sender<Option<Timestamp>>,
}

struct Live {
    /// On what it stands now.
    caller: Arc<ZoneCaller>,
    session: Session,
    /// It is one call and no stream.
    unary: bool,
    connection: ConnectionId,
    method: &'static str,
    /// Its zone is in shadow, and it was told that it would have been closed, or refused.
    is_spared: bool,
    /// When it came, if its zone pings.
    pings_since: Option<Timestamp>,
    told: watch::Sender<Told>,
    /// Ends what goes out, whether or not its handler has been told.
    ends: Option<Ends>,
}

impl Live {
    fn is_closed(&self) -> bool {
        self.told.borrow().close.is_some()
    }
}

impl Registry {
    /// Returns an empty registry that has swept with `ring`. `leeway` is how long past `exp` a token is good.
    pub fn new(ring: Arc<KeyRing>, leeway: Duration) -> Self {
        let state = State {
            next: 0,
            ring,
            draining: watch::Sender::new(false),
            streams: BTreeMap::new(),
            sessions: Sessions::default(),
            connections: Connections::default(),
            shadow: Shadow::default(),
            by_zone: BTreeMap::new(),
            instances: BTreeMap::new(),
            expiries: BTreeSet::new(),
            changed: watch::Sender::new(0),
            earliest: watch::Sender::new(None),
        };
        Self { state: Arc::new(Mutex::new(state)), leeway }
    }

    /// Admits a stream, or says why its verdict no longer holds.
    pub fn admit(&self, arrival: Arrival, now: Timestamp) -> Result<StreamGuard, CloseReason> {
        let mut state = self.lock();
        // Who is connected still pings.
        let goes_on = arrival.unary && state.by_zone.contains_key(arrival.caller.zone());
        if *state.draining.borrow() && !goes_on {
            return Err(CloseReason::Draining);
        }
        let would_be_refused = self.may_enter(&state, &arrival, now)?;
        let caller = Arc::new(arrival.caller);
        let session = state.sessions.enter(&caller, arrival.unary)?;
        if let Err(reason) = state.prove(arrival.connection, &session, &caller) {
            state.sessions.leave(&session, arrival.unary);
            return Err(reason);
        }
        let opens_session = !arrival.unary && state.sessions.streams(&session) == 1;
        state.next += 1;
        let id = StreamId(state.next);
        let (told, hears) = watch::channel(Told { close: None, caller: Arc::clone(&caller) });
        let live = Live {
            caller: Arc::clone(&caller),
            session,
            unary: arrival.unary,
            connection: arrival.connection,
            method: arrival.method,
            is_spared: would_be_refused.is_some(),
            pings_since: (arrival.pings && !arrival.unary).then_some(now),
            told,
            ends: None,
        };
        state.streams.insert(id, live);
        state.by_zone.entry(caller.zone().clone()).or_default().insert(id);
        if let Some(expiry) = expiry(&caller) {
            state.expiries.insert((expiry, id));
            state.tell_earliest();
        }
        if !arrival.unary {
            state.changed.send_modify(|count| *count += 1);
        }
        drop(state);
        let known = Arc::clone(&caller);
        Ok(StreamGuard {
            id,
            registry: self.clone(),
            caller,
            known,
            unary: arrival.unary,
            told: hears,
            opens_session,
            would_be_refused,
        })
    }

    /// Lets a caller in, refuses it, or says why it would be refused were its zone not in shadow.
    fn may_enter(&self, state: &State, arrival: &Arrival, now: Timestamp) -> Result<Option<Rejection>, CloseReason> {
        let entered = match &arrival.caller {
            ZoneCaller::Verified(verified) => self.still_good(state, verified, arrival.ring_generation, now),
            ZoneCaller::Shadowed { why, .. } => Err(CloseReason::Refused(why.clone())),
            ZoneCaller::Unverified(_) => Ok(()),
        };
        match entered {
            Ok(()) => Ok(None),
            Err(CloseReason::Refused(why)) if state.shadow.has(arrival.caller.zone()) => Ok(Some(why)),
            Err(reason) => Err(reason),
        }
    }

    /// Verifies again what an older ring than the newest one swept with has verified.
    fn still_good(
        &self,
        state: &State,
        verified: &VerifiedZone,
        ring_generation: u64,
        now: Timestamp,
    ) -> Result<(), CloseReason> {
        if ring_generation >= state.ring.generation() {
            return Ok(());
        }
        verified.still_good(&state.ring, now, self.leeway).map_err(CloseReason::Refused)
    }

    /// Notes which instance of the zone a stream (and what came over the same connection) belongs to, and closes the
    /// streams of an older instance under the same name.
    pub fn identify(&self, stream: StreamId, instance: &str) -> Vec<Closed> {
        let mut state = self.lock();
        let Some((zone, connection)) =
            state.streams.get(&stream).map(|live| (live.caller.zone().clone(), live.connection))
        else {
            return Vec::new();
        };
        // Streams of the connection that come later belong to the instance too.
        state.instances.insert((zone.clone(), connection), instance.to_owned());
        state.replace(&zone, instance)
    }

    /// Closes the streams of other instances of the zone than this one, which came to another control plane later.
    pub fn replaced(&self, zone: &ZoneName, by: &str) -> Vec<Closed> {
        self.lock().replace(zone, by)
    }

    /// Closes all streams of a zone. `heard` is when it was heard that they have to go, if somebody waits for it.
    pub fn close_zone(&self, zone: &ZoneName, reason: &CloseReason, heard: Option<Instant>) -> Vec<Closed> {
        self.lock().close_of(zone, heard, |_live| Some(reason.clone()))
    }

    /// Closes the streams of zones that say they ping and have not done so since `timeout`: the later of the last ping and
    /// the youngest stream counts (contract: kds 8.2).
    pub fn close_silent(
        &self,
        now: Timestamp,
        timeout: SignedDuration,
        last_ping: impl Fn(&ZoneName) -> Option<Timestamp>,
    ) -> Vec<Closed> {
        let mut state = self.lock();
        let mut heard: BTreeMap<ZoneName, Timestamp> = BTreeMap::new();
        for live in state.streams.values() {
            let Some(since) = live.pings_since else { continue };
            let zone = live.caller.zone();
            let last = heard.entry(zone.clone()).or_insert_with(|| last_ping(zone).unwrap_or(since));
            *last = since.max(*last);
        }
        heard.retain(|_, last| now.duration_since(*last) > timeout);
        let silent = |live: &Live| live.pings_since.is_some() && heard.contains_key(live.caller.zone());
        state.close_where(|live| silent(live).then_some(CloseReason::Silent))
    }

    /// Refuses new streams and returns the zones that are connected, so that they can be told one after the other.
    pub fn drain(&self) -> Vec<ZoneName> {
        let state = self.lock();
        state.draining.send_replace(true);
        let mut zones: Vec<_> = state.streams.values().map(|live| live.caller.zone().clone()).collect();
        zones.sort();
        zones.dedup();
        zones
    }

    /// Resolves when new streams are refused. Cancel safe.
    pub async fn draining(&self) {
        let mut draining = self.lock().draining.subscribe();
        // The state outlives whoever waits here.
        let _drains = draining.wait_for(|draining| *draining).await;
    }

    /// When the first token expires that a stream stands on, leeway included; tells when that becomes earlier or later.
    pub fn earliest_expiry(&self) -> watch::Receiver<Option<Timestamp>> {
        self.lock().earliest.subscribe()
    }

    /// How long past its expiry a token is good.
    pub fn leeway(&self) -> SignedDuration {
        SignedDuration::try_from(self.leeway).unwrap_or(SignedDuration::ZERO)
    }

    /// Tells when streams come and go.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.lock().changed.subscribe()
    }

    /// The streams that are open now and not told to close.
    pub fn open(&self) -> Vec<Open> {
        let state = self.lock();
        state
            .streams
            .values()
            .filter(|live| !live.is_closed())
            .map(|live| Open { caller: Arc::clone(&live.caller), method: live.method })
            .collect()
    }

    /// A panic while holding the lock cannot leave the maps half changed in a way that matters; go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Closes what belongs to another instance of the zone.
    fn replace(&mut self, zone: &ZoneName, by: &str) -> Vec<Closed> {
        let others: BTreeSet<ConnectionId> = self
            .instances
            .range((zone.clone(), ConnectionId(0))..=(zone.clone(), ConnectionId(u64::MAX)))
            .filter(|(_, known)| *known != by)
            .map(|((_, connection), _)| *connection)
            .collect();
        let reason = CloseReason::Replaced { by: by.to_owned() };
        self.close_of(zone, None, |live| others.contains(&live.connection).then(|| reason.clone()))
    }

    fn remove(&mut self, id: StreamId) {
        let Some(live) = self.streams.remove(&id) else { return };
        self.sessions.leave(&live.session, live.unary);
        let zone = live.caller.zone();
        if let Some(expiry) = expiry(&live.caller) {
            self.expiries.remove(&(expiry, id));
        }
        if let Some(streams) = self.by_zone.get_mut(zone) {
            streams.remove(&id);
            let last_of_connection =
                !streams.iter().any(|id| self.streams.get(id).is_some_and(|other| other.connection == live.connection));
            if streams.is_empty() {
                self.by_zone.remove(zone);
            }
            if last_of_connection {
                self.instances.remove(&(zone.clone(), live.connection));
            }
        }
        self.tell_earliest();
    }

    fn tell_earliest(&self) {
        let stream = self.expiries.first().map(|(expiry, _)| *expiry);
        let earliest = stream.into_iter().chain(self.connections.earliest_expiry()).min();
        self.earliest.send_if_modified(|known| {
            let differs = *known != earliest;
            *known = earliest;
            differs
        });
    }
}

fn expiry(caller: &ZoneCaller) -> Option<Timestamp> {
    match caller {
        ZoneCaller::Verified(verified) => verified.expires_at(),
        ZoneCaller::Shadowed { .. } | ZoneCaller::Unverified(_) => None,
    }
}

#[cfg(test)]
mod tests;
