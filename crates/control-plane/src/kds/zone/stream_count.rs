//! How many streams a connection of the zone has: those that are being opened, and those that stand.

use tokio::sync::watch;

/// The streams of one connection.
#[derive(Default)]
pub(crate) struct Streams(watch::Sender<Counts>);

#[derive(Clone, Copy, Default)]
struct Counts {
    opening: usize,
    open: usize,
}

/// One stream: counts until this is dropped.
pub(crate) struct Counted {
    counts: watch::Sender<Counts>,
    stands: bool,
}

impl Streams {
    /// Counts a stream that is being opened.
    pub(crate) fn opening(&self) -> Counted {
        self.0.send_modify(|counts| counts.opening += 1);
        Counted { counts: self.0.clone(), stands: false }
    }

    /// How many stand.
    pub(super) fn open(&self) -> usize {
        self.0.borrow().open
    }

    /// Resolves when none is being opened. Cancel safe.
    pub(super) async fn settled(&self) {
        let mut counts = self.0.subscribe();
        let _kept_by_us = counts.wait_for(|counts| counts.opening == 0).await;
    }
}

impl Counted {
    /// The stream stands.
    pub(crate) fn stands(mut self) -> Self {
        self.stands = true;
        self.counts.send_modify(|counts| {
            counts.opening -= 1;
            counts.open += 1;
        });
        self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let stands = self.stands;
        self.counts.send_modify(|counts| *if stands { &mut counts.open } else { &mut counts.opening } -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_stream_counts_from_its_opening_to_its_end() {
        let streams = Streams::default();
        let is_settled = || streams.settled().now_or_never().is_some();
        let refused = streams.opening();
        let opening = streams.opening();
        assert_eq!((streams.open(), is_settled()), (0, false));
        drop(refused);
        let stands = opening.stands();
        assert_eq!((streams.open(), is_settled()), (1, true));
        drop(stands);
        assert_eq!((streams.open(), is_settled()), (0, true));
    }
}
