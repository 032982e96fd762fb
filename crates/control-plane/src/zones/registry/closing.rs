//! Closing streams: what goes out of them ends, their expiry is forgotten, their handlers are told.

use model::ZoneName;
use tokio::time::Instant;

use super::{CloseReason, Closed, Closing, Live, State, StreamId, expiry};

impl State {
    pub(super) fn close_where(&mut self, verdict: impl Fn(&Live) -> Option<CloseReason>) -> Vec<Closed> {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        self.close(ids, None, verdict)
    }

    pub(super) fn close_of(
        &mut self,
        zone: &ZoneName,
        since: Option<Instant>,
        verdict: impl Fn(&Live) -> Option<CloseReason>,
    ) -> Vec<Closed> {
        let ids: Vec<StreamId> = self.by_zone.get(zone).into_iter().flatten().copied().collect();
        self.close(ids, since, verdict)
    }

    pub(super) fn close(
        &mut self,
        ids: Vec<StreamId>,
        since: Option<Instant>,
        verdict: impl Fn(&Live) -> Option<CloseReason>,
    ) -> Vec<Closed> {
        let mut closed = Vec::new();
        for id in ids {
            let reason = self.streams.get(&id).filter(|live| !live.is_closed()).and_then(&verdict);
            closed.extend(reason.and_then(|reason| self.close_one(id, reason, since)));
        }
        self.tell_earliest();
        closed
    }

    pub(super) fn close_one(&mut self, id: StreamId, reason: CloseReason, since: Option<Instant>) -> Option<Closed> {
        let closed = self.end_one(id, reason, since);
        self.tell_handler(id);
        closed
    }

    /// Ends what goes out of a stream; its handler hears of it with [`State::tell_handler`], or when it looks.
    pub(super) fn end_one(&mut self, id: StreamId, reason: CloseReason, since: Option<Instant>) -> Option<Closed> {
        let live = self.streams.get_mut(&id)?;
        let closing = Closing { reason: reason.clone(), since };
        live.told.send_if_modified(|told| {
            told.close = Some(closing);
            false
        });
        if let Some(end) = live.ends.take() {
            end(&reason);
        }
        if let Some(expiry) = expiry(&live.caller) {
            // It is closed: its expiry is nobody's business any more.
            self.expiries.remove(&(expiry, id));
        }
        Some(Closed { zone: live.caller.zone().clone(), method: live.method, reason })
    }

    pub(super) fn tell_handler(&self, id: StreamId) {
        if let Some(live) = self.streams.get(&id) {
            live.told.send_modify(|_told| {});
        }
    }
}
