//! Tells of tokens that end soon and that nobody renews.

use std::time::Duration;

use crate::{tasks::Tasks, zones::insight::Insights};

/// How often tokens are looked at: the last fifth of the shortest life that is used by hand is longer.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until the program stops.
pub async fn run(insights: Insights, tasks: Tasks) -> anyhow::Result<()> {
    loop {
        insights.tell_ageing();
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
