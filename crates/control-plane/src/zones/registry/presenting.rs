//! A zone shows a newer token: what it has open on the connection stands on that from then on.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{CloseReason, ConnectionId, Live, Registry, State, StreamId, expiry, sessions::Session};
use crate::zones::caller::ZoneCaller;

/// What became of the streams of a zone on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// They stand on the token that was shown.
    pub moved: usize,
    /// They stand on another one.
    pub left: usize,
}

impl Registry {
    /// Takes the proof of a call for the streams of its zone that came over the same connection and stand on the token
    /// called `former`; whatever it is, if nothing is said. Streams of other tokens stay on those: a proxy may have put
    /// somebody else's on the connection, who gains nothing by the renewal.
    ///
    /// As with [`StreamGuard::renew`](super::StreamGuard::renew), a stream that was told to close or whose token has expired is not saved.
    pub fn present(&self, call: StreamId, former: &str, now: Timestamp) -> Result<Presented, CloseReason> {
        let mut state = self.lock();
        let Some(call) = state.streams.get(&call) else { return Err(CloseReason::Draining) };
        // No sweep ended the call since it was admitted: what it stands on is good.
        if let Some(closing) = &call.told.borrow().close {
            return Err(closing.reason.clone());
        }
        let (connection, session, newer) = (call.connection, Arc::clone(&call.session), Arc::clone(&call.caller));
        for before in state.to_be_moved(self, connection, &newer, former, now) {
            if before != session {
                state.renew(connection, &before, &newer)?;
            }
        }
        let streams = state.streams_of(connection, &newer);
        let moved = streams.iter().filter(|live| live.session == session).count();
        Ok(Presented { moved, left: streams.len() - moved })
    }
}

impl State {
    /// The open streams of a zone on a connection, without calls.
    fn streams_of(&self, connection: ConnectionId, caller: &ZoneCaller) -> Vec<&Live> {
        let ids = self.by_zone.get(caller.zone()).into_iter().flatten();
        ids.filter_map(|id| self.streams.get(id))
            .filter(|live| live.connection == connection && !live.unary && !live.is_closed())
            .collect()
    }

    fn to_be_moved(
        &self,
        registry: &Registry,
        connection: ConnectionId,
        newer: &ZoneCaller,
        former: &str,
        now: Timestamp,
    ) -> BTreeSet<Session> {
        let is_meant = |live: &Live| match &*live.caller {
            ZoneCaller::Verified(proof) => former.is_empty() || proof.id() == former,
            // A stream without a good token gets one with a connection of its own.
            ZoneCaller::Unverified(_) | ZoneCaller::Shadowed { .. } => false,
        };
        let is_in_time =
            |live: &Live| expiry(&live.caller).is_none_or(|expiry| now.duration_since(expiry) < registry.leeway());
        let streams = self.streams_of(connection, newer).into_iter();
        streams.filter(|live| is_meant(live) && is_in_time(live)).map(|live| Arc::clone(&live.session)).collect()
    }
}
