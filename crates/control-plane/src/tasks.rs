//! The only place that spawns tasks: every task has a name, an owner that waits for it, and a policy for its end.

use std::{future::Future, time::Duration};

use anyhow::anyhow;
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{Instrument as _, debug, error, info, info_span};

/// What the end of a task with an error does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Log it; the program goes on (a connection, a request).
    Log,
    /// Log it and stop the program: without this task it would only pretend to work (a listener, the store's feed).
    StopProgram,
}

/// Owns the tasks of one control plane. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    failure: watch::Sender<Option<String>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// Returns an owner without tasks.
    pub fn new() -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), failure: watch::Sender::new(None) }
    }

    /// Starts a task, in a span with its name. It should end soon after [`Tasks::stopping`] resolves.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, on_error: OnError, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let owner = self.clone();
        let task = tokio::spawn(future.instrument(info_span!("task", name)));
        drop(self.tracker.spawn(async move {
            let ended = match task.await {
                Ok(ended) => ended,
                Err(broken) if broken.is_panic() => Err(anyhow!("the task panicked")),
                Err(_) => Ok(()),
            };
            let Err(cause) = ended else { return };
            match on_error {
                // What it worked with went away before it saw that it should stop.
                OnError::StopProgram if owner.stop.is_cancelled() => {
                    debug!(task = name, error = %format!("{cause:#}"), "task ended with an error while stopping");
                }
                OnError::Log => info!(task = name, error = %format!("{cause:#}"), "task ended with an error"),
                OnError::StopProgram => {
                    error!(task = name, error = %format!("{cause:#}"), "a part that cannot be missed failed, stopping");
                    owner.failure.send_if_modified(|failure| {
                        failure.get_or_insert_with(|| format!("{name}: {cause:#}"));
                        true
                    });
                    owner.stop.cancel();
                }
            }
        }));
    }

    /// Asks all tasks to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks all tasks to stop when the guard is dropped, unless it is disarmed: tasks should hear of a start that failed
    /// before what they work with goes away.
    pub fn stop_on_drop(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }

    /// Resolves when tasks should stop. Cancel safe.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Returns whether tasks were asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits up to `grace` until all tasks ended; returns whether they did.
    pub async fn finished(&self, grace: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }

    /// Why the program stops by itself, if a task that cannot be missed failed.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_failure_before_the_stop_is_a_failure_of_the_program() {
        let tasks = Tasks::new();
        tasks.spawn("part", OnError::StopProgram, async { Err(anyhow!("broken")) });
        tasks.stopping().await;
        let stopping = tasks.clone();
        tasks.spawn("other", OnError::StopProgram, async move {
            stopping.stopping().await;
            Err(anyhow!("channel closed"))
        });
        assert!(tasks.finished(Duration::from_secs(5)).await);
        assert_eq!(tasks.failure().as_deref(), Some("part: broken"));

        let tasks = Tasks::new();
        tasks.stop();
        tasks.spawn("part", OnError::StopProgram, async { Err(anyhow!("channel closed")) });
        assert!(tasks.finished(Duration::from_secs(5)).await);
        assert_eq!(tasks.failure(), None);
    }
}
