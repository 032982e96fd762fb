//! A newer token for a session that goes on: nothing is closed, opened or sent again.

use std::sync::Arc;

use jiff::Timestamp;
use tokens::{Rejection, VerifiedZone};

use super::{CloseReason, ConnectionId, Live, State, StreamGuard, StreamId, expiry, sessions::Session};
use crate::zones::caller::ZoneCaller;

impl StreamGuard {
    /// Takes a newer proof of the same zone, verified with a ring of this generation, or says why not; then nothing
    /// changes. From then on the stream stands on it and no more on the token it came with, and so do the streams and calls
    /// that came with the same token *over the same connection*. Streams of the token on other connections stay on it:
    /// whoever else holds a token that is about to be revoked gains nothing by the renewal.
    ///
    /// Too late is too late: a stream that was told to close, or whose token has expired, is not saved.
    pub fn renew(&self, newer: VerifiedZone, ring_generation: u64, now: Timestamp) -> Result<(), CloseReason> {
        let mut state = self.registry.lock();
        let Some(live) = state.streams.get(&self.id) else { return Err(CloseReason::Draining) };
        if let Some(closing) = &live.told.borrow().close {
            return Err(closing.reason.clone());
        }
        let zone = live.caller.zone();
        if newer.zone() != zone {
            let (token, peer) = (newer.zone().as_str().to_owned(), zone.as_str().to_owned());
            return Err(CloseReason::Refused(Rejection::WrongZone { token, peer }));
        }
        // What a ring took away was told in the sweep with it; time needs no sweep.
        if let Some(by) = expiry(&live.caller).map(|expiry| now.duration_since(expiry))
            && by >= self.registry.leeway()
        {
            return Err(CloseReason::Refused(Rejection::Expired { by }));
        }
        self.registry.still_good(&state, &newer, ring_generation, now)?;
        let (connection, before) = (live.connection, Arc::clone(&live.session));
        state.renew(connection, &before, &Arc::new(ZoneCaller::Verified(newer)))
    }
}

impl State {
    /// Puts the open streams of a session on a connection on a newer token of its zone.
    pub(super) fn renew(
        &mut self,
        connection: ConnectionId,
        before: &Session,
        newer: &Arc<ZoneCaller>,
    ) -> Result<(), CloseReason> {
        let of_session = |live: &Live| live.connection == connection && live.session == *before && !live.is_closed();
        let streams = self.by_zone.get(newer.zone()).into_iter().flatten();
        let streams: Vec<StreamId> =
            streams.filter(|id| self.streams.get(id).is_some_and(of_session)).copied().collect();
        let session = self.sessions.of(newer);
        if session != *before {
            self.sessions.room(&session, streams.len())?;
        }
        self.prove_anew(connection, before, &session, newer)?;
        for id in streams {
            let Some(live) = self.streams.get_mut(&id) else { continue };
            let expired = expiry(&live.caller);
            live.caller = Arc::clone(newer);
            live.is_spared = false;
            live.told.send_modify(|told| told.caller = Arc::clone(newer));
            self.sessions.pass(before, &session, live.unary);
            live.session = Arc::clone(&session);
            if let Some(expired) = expired {
                self.expiries.remove(&(expired, id));
            }
            if let Some(expiry) = expiry(newer) {
                self.expiries.insert((expiry, id));
            }
        }
        self.tell_earliest();
        Ok(())
    }
}
