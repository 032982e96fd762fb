//! What holds for a connection whatever is said on it.

use crate::kds::relay::http2::Connection;

impl Connection {
    /// All that the peer may send, sent or is told of later is what it may send at most; and who can say something stands in
    /// the row.
    pub(in crate::kds::relay) fn check(&self) {
        let held: u32 = self.streams.values().map(|stream| stream.held).sum();
        assert_eq!(self.receive + self.owed + held, self.limits.connection_window, "of the connection");
        assert!(self.owed < self.limits.connection_window / 2);
        for (id, stream) in &self.streams {
            if !stream.heard_end {
                let window = stream.receive + stream.owed + stream.held;
                assert_eq!(window, self.limits.stream_window, "of stream {id}");
                assert!(stream.owed < self.limits.stream_window / 2, "stream {id}");
            }
            let places = self.row.iter().filter(|one| *one == id).count();
            assert_eq!(places, usize::from(stream.in_row), "stream {id}");
            let waits = stream.queue.as_ref().is_some_and(|queue| !queue.data.is_empty());
            assert_eq!(waits, stream.queue.is_some(), "stream {id}");
            assert!(stream.in_row || !waits || stream.send <= 0, "stream {id} is forgotten");
            assert!(!stream.is_over(), "stream {id} is over");
        }
        assert!(self.row.len() <= 2 * super::super::connection::FEW.max(self.streams.len()));
    }

    /// Opens no more streams: all ids are used up.
    pub(in crate::kds::relay) fn use_up(&mut self) {
        self.highest = u32::MAX >> 1;
    }

    /// How much of what came on a stream has not gone on.
    pub(in crate::kds::relay) fn held(&self, id: u32) -> Option<u32> {
        Some(self.streams.get(&id)?.held)
    }

    /// How much waits to be said on a stream on which something may be said.
    pub(in crate::kds::relay) fn waiting(&self, id: u32) -> Option<u32> {
        let stream = self.streams.get(&id).filter(|stream| !stream.is_reset)?;
        Some(stream.queue.as_ref().map_or(0, |queue| queue.data.len() as u32))
    }
}
