//! The diagnostics port of a control plane that cannot start yet: alive, not ready, and why.

use std::time::Duration;

use prometheus_client::registry::Registry;
use tracing::warn;

use super::control_plane;
use crate::{
    limits::{self, Limits, PortName},
    observe::{diagnostics, readiness::Readiness},
    tasks::{OnError, Tasks},
};

const PART: &str = "store";
/// An answer that is under way is given.
const GRACE: Duration = Duration::from_secs(1);

/// Serves until it is ended; the port is free then.
pub(super) struct Waiting {
    readiness: Readiness,
    tasks: Tasks,
}

impl Waiting {
    /// Starts, unless the port is taken: the start itself will say so.
    pub(super) fn start(port: u16, why: &str) -> Option<Self> {
        let listener = match limits::bind(control_plane::any(port), "diagnostics (diagnostics.serverPort)") {
            Ok(listener) => listener,
            Err(error) => {
                warn!(%error, "nobody is told that this control plane waits");
                return None;
            }
        };
        // Its places are counted by nobody: metrics come with the start.
        let places = Limits::start(&mut Registry::default()).port(PortName::Diagnostics);
        let waiting = Self { readiness: Readiness::default(), tasks: Tasks::new() };
        waiting.say(why);
        let _told = control_plane::listening("diagnostics", &listener);
        let (readiness, tasks) = (waiting.readiness.clone(), waiting.tasks.clone());
        waiting.tasks.spawn("waiting", OnError::Log, diagnostics::serve_readiness(listener, readiness, places, tasks));
        Some(waiting)
    }

    /// Says why it waits.
    pub(super) fn say(&self, why: &str) {
        self.readiness.not_ready(PART, format!("waiting: {why}"));
    }

    /// Frees the port.
    pub(super) async fn end(self) {
        self.tasks.stop();
        self.tasks.finished(GRACE).await;
    }
}
