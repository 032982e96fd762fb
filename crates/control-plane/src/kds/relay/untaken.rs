//! Calls that are over here while the far side has not taken what they said last.
//!
//! Whoever writes a request looks at it again when the far side has taken what it said, and not before: such a call can be
//! neither ended nor reset. The far side would go on with it for as long as the connection stands, for a zone whose token was
//! revoked, too; so the connection goes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// How long the far side may take to take it.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many at once are not waited for.
const MOST: usize = 256;

/// The calls of one far connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Untaken(watch::Sender<usize>);

/// One call of them, with both of its sides.
pub(super) struct Call {
    all: Untaken,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// The near side has heard the end, or is gone.
    is_over: bool,
    /// What was said last is not taken.
    waits: bool,
}

/// The near side of a call; it is over when this is dropped.
pub(super) struct Near(Arc<Call>);

impl Default for Untaken {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Untaken {
    /// Counts a call; returns it with its near side.
    pub(super) fn call(&self) -> (Arc<Call>, Near) {
        let call = Arc::new(Call { all: self.clone(), state: Mutex::default() });
        (Arc::clone(&call), Near(call))
    }

    /// Resolves when there were some for too long, or too many. Cancel safe.
    pub(super) async fn too_long(&self) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is here.
            drop(count.wait_for(|count| *count > 0).await);
            let none_or_many = count.wait_for(|count| *count == 0 || *count > MOST);
            match tokio::time::timeout(PATIENCE, none_or_many).await {
                Ok(Ok(count)) if *count == 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl Call {
    /// Something was said.
    pub(super) fn said(&self) {
        self.change(|state| state.waits = true);
    }

    /// All that was said is taken, or nobody waits for that.
    pub(super) fn taken(&self) {
        self.change(|state| state.waits = false);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let counts = |state: State| state.is_over && state.waits;
        let mut state = self.lock();
        let before = counts(*state);
        change(&mut state);
        match (before, counts(*state)) {
            (false, true) => self.all.0.send_modify(|count| *count += 1),
            (true, false) => self.all.0.send_modify(|count| *count = count.saturating_sub(1)),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        self.0.change(|state| state.is_over = true);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_in_time_ends_nothing() {
        let all = Untaken::default();
        let (call, near) = all.call();
        call.said();
        let waiting = tokio::time::timeout(2 * PATIENCE, all.too_long());
        assert!(waiting.await.is_err(), "the near side waits for it itself");
        drop(near);
        assert!(tokio::time::timeout(PATIENCE / 2, all.too_long()).await.is_err());
        call.taken();
        assert!(tokio::time::timeout(2 * PATIENCE, all.too_long()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_and_what_is_too_much_ends_the_connection() {
        let all = Untaken::default();
        let (call, near) = all.call();
        drop(near);
        call.said();
        let start = Instant::now();
        all.too_long().await;
        assert_eq!(start.elapsed(), PATIENCE);
        let calls: Vec<_> = (0..MOST).map(|_| all.call()).collect();
        calls.iter().for_each(|(call, _)| call.said());
        drop(calls);
        all.too_long().await;
        assert_eq!(start.elapsed(), PATIENCE, "at once");
    }
}
