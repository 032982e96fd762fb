//! What was proved on each connection of the port, and whether it still holds.
//!
//! A token that opened a call stays the proof of its connection when the call is over, and goes when it is no longer good:
//! a connection whose last proof is gone is told, so that it does not outlive what let it in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{CloseReason, Registry, State, expiry, sessions::Session};
use crate::zones::caller::ZoneCaller;

/// Names one TCP connection of the KDS port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a connection stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody on it has proved who they are.
    Unproven,
    /// Somebody has.
    Proven,
    /// Somebody had, and no token that was shown on it is good any more.
    Withdrawn,
}

/// All connections, and the tokens that were shown on them.
#[derive(Default)]
pub(super) struct Connections {
    next: u64,
    known: BTreeMap<ConnectionId, Known>,
    expiries: BTreeSet<(Timestamp, ConnectionId, Session)>,
}

struct Known {
    standing: watch::Sender<Standing>,
    proofs: BTreeMap<Session, Arc<ZoneCaller>>,
}

impl Connections {
    pub(super) fn earliest_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(expiry, _, _)| *expiry)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.expiries.is_empty()
    }
}

impl Registry {
    /// Notes a connection; it is forgotten when the guard is dropped.
    pub fn connect(&self) -> ConnectionGuard {
        let mut state = self.lock();
        state.connections.next += 1;
        let id = ConnectionId(state.connections.next);
        let (standing, told) = watch::channel(Standing::Unproven);
        state.connections.known.insert(id, Known { standing, proofs: BTreeMap::new() });
        ConnectionGuard { id, registry: self.clone(), standing: told }
    }
}

impl State {
    /// Notes that a token was shown on a connection, if it may be used on one more.
    pub(super) fn prove(
        &mut self,
        connection: ConnectionId,
        session: &Session,
        caller: &Arc<ZoneCaller>,
    ) -> Result<(), CloseReason> {
        // One that is gone already: the call ends with it.
        let Some(known) = self.connections.known.get_mut(&connection) else { return Ok(()) };
        if known.proofs.contains_key(session) {
            return Ok(());
        }
        self.sessions.connect(session)?;
        known.proofs.insert(Arc::clone(session), Arc::clone(caller));
        known.standing.send_replace(Standing::Proven);
        if let Some(expiry) = expiry(caller) {
            self.connections.expiries.insert((expiry, connection, Arc::clone(session)));
            self.tell_earliest();
        }
        Ok(())
    }

    /// Notes that a newer token stands on a connection in place of the one before, if it may be used on one more.
    pub(super) fn prove_anew(
        &mut self,
        connection: ConnectionId,
        before: &Session,
        session: &Session,
        caller: &Arc<ZoneCaller>,
    ) -> Result<(), CloseReason> {
        let Some(known) = self.connections.known.get_mut(&connection) else { return Ok(()) };
        if !known.proofs.contains_key(session) {
            self.sessions.connect(session)?;
        }
        for replaced in BTreeSet::from([before, session]) {
            let Some(caller) = known.proofs.remove(replaced) else { continue };
            if replaced != session {
                self.sessions.disconnect(replaced);
            }
            if let Some(expiry) = expiry(&caller) {
                self.connections.expiries.remove(&(expiry, connection, Arc::clone(replaced)));
            }
        }
        known.proofs.insert(Arc::clone(session), Arc::clone(caller));
        known.standing.send_replace(Standing::Proven);
        if let Some(expiry) = expiry(caller) {
            self.connections.expiries.insert((expiry, connection, Arc::clone(session)));
        }
        Ok(())
    }

    /// Takes back the proofs that have expired and are no longer good; one that stays is not looked at for its expiry again.
    pub(super) fn withdraw_expired(
        &mut self,
        is_due: impl Fn(Timestamp) -> bool,
        is_bad: impl Fn(&ZoneCaller) -> bool,
    ) {
        while let Some((expiry, id, session)) = self.connections.expiries.pop_first() {
            if !is_due(expiry) {
                self.connections.expiries.insert((expiry, id, session));
                break;
            }
            let Some(known) = self.connections.known.get_mut(&id) else { continue };
            if known.proofs.get(&session).is_some_and(|caller| is_bad(caller)) {
                known.proofs.remove(&session);
                self.sessions.disconnect(&session);
                if known.proofs.is_empty() {
                    known.standing.send_replace(Standing::Withdrawn);
                }
            }
        }
        self.tell_earliest();
    }

    /// Takes back the proofs that are no longer good; returns the connections that have none left and were not told.
    pub(super) fn withdraw_where(&mut self, is_bad: impl Fn(&ZoneCaller) -> bool) -> Vec<ConnectionId> {
        let mut untold = Vec::new();
        for (id, known) in &mut self.connections.known {
            let before = known.proofs.len();
            known.proofs.retain(|session, caller| {
                let stays = !is_bad(caller);
                if !stays {
                    self.sessions.disconnect(session);
                    if let Some(expiry) = expiry(caller) {
                        self.connections.expiries.remove(&(expiry, *id, Arc::clone(session)));
                    }
                }
                stays
            });
            if known.proofs.is_empty() && before > 0 {
                known.standing.send_if_modified(|standing| {
                    *standing = Standing::Withdrawn;
                    false
                });
                untold.push(*id);
            }
        }
        self.tell_earliest();
        untold
    }

    pub(super) fn tell_connection(&self, id: ConnectionId) {
        if let Some(known) = self.connections.known.get(&id) {
            known.standing.send_modify(|_standing| {});
        }
    }
}

/// One connection of the port: what was proved on it is forgotten when this is dropped.
pub struct ConnectionGuard {
    id: ConnectionId,
    registry: Registry,
    standing: watch::Receiver<Standing>,
}

impl ConnectionGuard {
    /// The name of the connection.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// What it stands on now.
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Resolves with the new standing when it changed. Cancel safe.
    pub async fn changed(&mut self) -> Standing {
        if self.standing.changed().await.is_err() {
            return std::future::pending().await;
        }
        *self.standing.borrow_and_update()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        let Some(known) = state.connections.known.remove(&self.id) else { return };
        for (session, caller) in known.proofs {
            state.sessions.disconnect(&session);
            if let Some(expiry) = expiry(&caller) {
                state.connections.expiries.remove(&(expiry, self.id, session));
            }
        }
        state.tell_earliest();
    }
}
