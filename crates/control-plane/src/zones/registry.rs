//! Who is connected: every stream of every zone, with the verdict it stands on.
//!
//! One lock admits streams and sweeps them when keys change. The registry remembers the newest key ring it has swept
//! with: a stream that was verified with an older ring is verified again when it is admitted, so nothing slips through
//! between the check and the entry. Closing is per stream and carries its reason; a session is the streams that share
//! zone and token, however many TCP connections a proxy spreads them over.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use tokens::{KeyRing, Rejection};
use tokio::sync::watch;

use crate::zones::caller::ZoneCaller;

/// Why a live stream is ended by the global control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The token it stands on is good no more: key deleted, token revoked or expired.
    Refused(Rejection),
    /// Another instance of the zone connected later.
    Replaced {
        /// The instance that took over.
        by: String,
    },
    /// The control plane is shutting down.
    Draining,
    /// The zone was deleted.
    ZoneDeleted,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(rejection) => rejection.fmt(f),
            Self::Replaced { by } => write!(f, "another instance of this zone connected: `{by}`"),
            Self::Draining => f.write_str("stream unavailable: the global control plane is stopping"),
            Self::ZoneDeleted => f.write_str("the zone was deleted"),
        }
    }
}

/// Names one admitted stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

/// Names one TCP connection of the KDS port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

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
}

/// A stream that a sweep closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The zone.
    pub zone: ZoneName,
    /// The method.
    pub method: &'static str,
    /// Why.
    pub reason: CloseReason,
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
    draining: bool,
    streams: BTreeMap<StreamId, Live>,
    /// How many streams each session has: (zone, token identity).
    sessions: BTreeMap<(ZoneName, String), usize>,
    changed: watch::Sender<u64>,
}

struct Live {
    caller: ZoneCaller,
    connection: ConnectionId,
    instance: Option<String>,
    method: &'static str,
    close: watch::Sender<Option<CloseReason>>,
}

impl Registry {
    /// Returns an empty registry that has swept with `ring`. `leeway` is how long past `exp` a token is good.
    pub fn new(ring: Arc<KeyRing>, leeway: Duration) -> Self {
        let state = State {
            next: 0,
            ring,
            draining: false,
            streams: BTreeMap::new(),
            sessions: BTreeMap::new(),
            changed: watch::Sender::new(0),
        };
        Self { state: Arc::new(Mutex::new(state)), leeway }
    }

    /// Admits a stream, or says why its verdict no longer holds.
    pub fn admit(&self, arrival: Arrival, now: Timestamp) -> Result<StreamGuard, CloseReason> {
        let mut state = self.lock();
        if state.draining {
            return Err(CloseReason::Draining);
        }
        if let ZoneCaller::Verified(verified) = &arrival.caller
            && arrival.ring_generation < state.ring.generation()
        {
            verified.still_good(&state.ring, now, self.leeway).map_err(CloseReason::Refused)?;
        }
        state.next += 1;
        let id = StreamId(state.next);
        let (close, closed) = watch::channel(None);
        let session = (arrival.caller.zone().clone(), arrival.caller.token_identity());
        let streams_of_session = state.sessions.entry(session).or_default();
        *streams_of_session += 1;
        let opens_session = *streams_of_session == 1;
        let live = Live {
            caller: arrival.caller.clone(),
            connection: arrival.connection,
            instance: None,
            method: arrival.method,
            close,
        };
        state.streams.insert(id, live);
        state.changed.send_modify(|count| *count += 1);
        drop(state);
        Ok(StreamGuard { id, registry: self.clone(), caller: arrival.caller, closed, opens_session })
    }

    /// Sweeps with a ring: every stream whose verdict no longer holds is closed with the reason.
    ///
    /// An older ring than the newest one swept with is not taken over.
    pub fn sweep(&self, ring: &Arc<KeyRing>, now: Timestamp) -> Vec<Closed> {
        let mut state = self.lock();
        if ring.generation() > state.ring.generation() {
            state.ring = Arc::clone(ring);
        }
        let ring = Arc::clone(&state.ring);
        let leeway = self.leeway;
        state.close_where(|live| match &live.caller {
            ZoneCaller::Verified(verified) => verified.still_good(&ring, now, leeway).err().map(CloseReason::Refused),
            ZoneCaller::Unverified(_) => None,
        })
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
        for live in state.streams.values_mut() {
            if live.connection == connection && *live.caller.zone() == zone {
                live.instance = Some(instance.to_owned());
            }
        }
        state.close_where(|live| {
            let other = live.instance.as_deref().is_some_and(|known| known != instance);
            (*live.caller.zone() == zone && live.connection != connection && other)
                .then(|| CloseReason::Replaced { by: instance.to_owned() })
        })
    }

    /// Closes all streams of a zone.
    pub fn close_zone(&self, zone: &ZoneName, reason: &CloseReason) -> Vec<Closed> {
        self.lock().close_where(|live| (live.caller.zone() == zone).then(|| reason.clone()))
    }

    /// Refuses new streams and returns the zones that are connected, so that they can be told one after the other.
    pub fn drain(&self) -> Vec<ZoneName> {
        let mut state = self.lock();
        state.draining = true;
        let mut zones: Vec<_> = state.streams.values().map(|live| live.caller.zone().clone()).collect();
        zones.sort();
        zones.dedup();
        zones
    }

    /// When the first live token expires, leeway included.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let leeway = SignedDuration::try_from(self.leeway).unwrap_or(SignedDuration::ZERO);
        let state = self.lock();
        state
            .streams
            .values()
            .filter(|live| live.close.borrow().is_none())
            .filter_map(|live| match &live.caller {
                ZoneCaller::Verified(verified) => verified.expires_at(),
                ZoneCaller::Unverified(_) => None,
            })
            .filter_map(|expiry| expiry.checked_add(leeway).ok())
            .min()
    }

    /// Tells when streams come and go.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.lock().changed.subscribe()
    }

    /// The streams that are open now and not told to close: zone and method.
    pub fn open(&self) -> Vec<(ZoneName, &'static str)> {
        let state = self.lock();
        state
            .streams
            .values()
            .filter(|live| live.close.borrow().is_none())
            .map(|live| (live.caller.zone().clone(), live.method))
            .collect()
    }

    /// A panic while holding the lock cannot leave the maps half changed in a way that matters; go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_where(&mut self, verdict: impl Fn(&Live) -> Option<CloseReason>) -> Vec<Closed> {
        let mut closed = Vec::new();
        for live in self.streams.values() {
            if live.close.borrow().is_some() {
                continue;
            }
            let Some(reason) = verdict(live) else { continue };
            live.close.send_replace(Some(reason.clone()));
            closed.push(Closed { zone: live.caller.zone().clone(), method: live.method, reason });
        }
        closed
    }
}

/// An admitted stream: leaves the registry when dropped.
pub struct StreamGuard {
    id: StreamId,
    registry: Registry,
    caller: ZoneCaller,
    closed: watch::Receiver<Option<CloseReason>>,
    opens_session: bool,
}

impl StreamGuard {
    /// The name of the stream.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Who it belongs to.
    pub fn caller(&self) -> &ZoneCaller {
        &self.caller
    }

    /// Whether this is the first stream of its session.
    pub fn opens_session(&self) -> bool {
        self.opens_session
    }

    /// Resolves with the reason when the stream has to end. Cancel safe.
    pub async fn closed(&mut self) -> CloseReason {
        match self.closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Draining),
            Err(_) => CloseReason::Draining,
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.streams.remove(&self.id);
        let session = (self.caller.zone().clone(), self.caller.token_identity());
        if let Some(count) = state.sessions.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                state.sessions.remove(&session);
            }
        }
        state.changed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
