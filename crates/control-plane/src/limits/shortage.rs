//! Says that a port is short of places: one line an interval, with how often since the last one.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::places::Port;

/// Lines of one port are so far apart.
const INTERVAL: Duration = Duration::from_secs(10);

/// What happened since the last line of a port.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    said: Option<Instant>,
    displaced: u64,
    waited: u64,
}

impl Shortage {
    /// A connection was closed for a new one.
    pub(super) fn displaced(&mut self, port: &Port, now: Instant) {
        self.displaced += 1;
        self.say(port, now);
    }

    /// A connection has to wait for a place.
    pub(super) fn waits(&mut self, port: &Port, now: Instant) {
        self.waited += 1;
        self.say(port, now);
    }

    /// Whether there is a line now.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.said.is_none_or(|said| now.duration_since(said) >= INTERVAL);
        if due {
            self.said = Some(now);
        }
        due
    }

    fn say(&mut self, port: &Port, now: Instant) {
        if !self.is_due(now) {
            return;
        }
        let (connections, address) =
            port.heaviest().map_or((0, String::new()), |(count, group)| (count, group.to_string()));
        warn!(
            port = port.name(),
            places = port.capacity().unproven,
            displaced = std::mem::take(&mut self.displaced),
            waited = std::mem::take(&mut self.waited),
            most = connections,
            from = address,
            "connections on which nobody proves who they are take all places of a port; the oldest of them are closed for new ones"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_one_line_an_interval() {
        let mut shortage = Shortage::default();
        let mut lines = 0;
        for _ in 0..1000 {
            lines += u32::from(shortage.is_due(Instant::now()));
            tokio::time::advance(INTERVAL / 100).await;
        }
        assert_eq!(lines, 10);
    }
}
