//! How much each session has: the streams, calls and connections that share zone and token.

use std::{collections::BTreeMap, sync::Arc};

use model::ZoneName;

use super::{
    CloseReason,
    bounds::{CONNECTIONS, STREAMS},
};
use crate::zones::caller::{TokenIdentity, ZoneCaller};

/// Zone and token; shared, because each stream keeps it.
pub(super) type Session = Arc<(ZoneName, Option<TokenIdentity>)>;

#[derive(Default)]
struct Held {
    streams: usize,
    calls: usize,
    connections: usize,
}

/// What is open on each token.
#[derive(Default)]
pub(super) struct Sessions(BTreeMap<Session, Held>);

impl Sessions {
    /// Counts a stream, or a unary call, for the session of its caller, if there is room for it.
    pub(super) fn enter(&mut self, caller: &ZoneCaller, unary: bool) -> Result<Session, CloseReason> {
        let session = self.of(caller);
        self.room(&session, 1)?;
        *self.0.entry(Arc::clone(&session)).or_default().of(unary) += 1;
        Ok(session)
    }

    /// Returns the session that a caller belongs to; it holds nothing yet if nobody of it is here.
    pub(super) fn of(&self, caller: &ZoneCaller) -> Session {
        let session = Arc::new((caller.zone().clone(), caller.token()));
        self.0.get_key_value(&session).map_or(session, |(known, _)| Arc::clone(known))
    }

    /// Says whether a session may have so many more streams and calls.
    pub(super) fn room(&self, session: &Session, more: usize) -> Result<(), CloseReason> {
        let held = self.0.get(session).map_or(0, |held| held.streams + held.calls);
        if held + more > STREAMS { Err(CloseReason::TooManyStreams) } else { Ok(()) }
    }

    /// Counts a stream, or a unary call, for another session than before.
    pub(super) fn pass(&mut self, from: &Session, to: &Session, unary: bool) {
        *self.0.entry(Arc::clone(to)).or_default().of(unary) += 1;
        self.leave(from, unary);
    }

    /// Takes back what [`Sessions::enter`] counted.
    pub(super) fn leave(&mut self, session: &Session, unary: bool) {
        self.less(session, |held| held.of(unary));
    }

    /// How many streams a session has, without calls.
    pub(super) fn streams(&self, session: &Session) -> usize {
        self.0.get(session).map_or(0, |held| held.streams)
    }

    /// Counts a connection on which the token of the session was shown, if there is room for it.
    pub(super) fn connect(&mut self, session: &Session) -> Result<(), CloseReason> {
        let held = self.0.entry(Arc::clone(session)).or_default();
        if held.connections >= CONNECTIONS {
            return Err(CloseReason::TooManyConnections);
        }
        held.connections += 1;
        Ok(())
    }

    /// Takes back what [`Sessions::connect`] counted.
    pub(super) fn disconnect(&mut self, session: &Session) {
        self.less(session, |held| &mut held.connections);
    }

    fn less(&mut self, session: &Session, which: impl Fn(&mut Held) -> &mut usize) {
        let Some(held) = self.0.get_mut(session) else { return };
        let count = which(held);
        *count = count.saturating_sub(1);
        if held.streams + held.calls + held.connections == 0 {
            self.0.remove(session);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Held {
    fn of(&mut self, unary: bool) -> &mut usize {
        if unary { &mut self.calls } else { &mut self.streams }
    }
}
