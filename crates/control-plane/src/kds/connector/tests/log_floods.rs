//! Whoever reaches a connector: how many lines of its log that causes is not their decision.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt as _;
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
};

use super::*;

/// More than the log has lines for within some windows of a budget.
const MANY: usize = 400;

/// Counts lines.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Counts {
    fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// Looks for no more lines than the budget has for the time since `start`.
    fn check(&self, start: Instant) {
        let windows = usize::try_from(start.elapsed().as_secs() / 10).unwrap() + 2;
        let lines = self.0.load(Ordering::Relaxed);
        assert!((1..=50 * windows).contains(&lines), "{lines} lines in {windows} windows");
    }
}

#[tokio::test]
async fn who_is_refused_over_and_over_does_not_fill_the_log() {
    let lines = Counts::default();
    let shown = lines.clone().with_filter(LevelFilter::INFO);
    let _here = tracing::subscriber::set_default(Registry::default().with(shown));
    let (played, start) = (Played::start().await, Instant::now());
    let zone = played.zone().await;
    for _ in 0..MANY {
        assert_eq!(zone.open(DOWN, &[("client-id", "east")]).ended().await.code, 7);
    }
    lines.check(start);
    for _ in 0..MANY {
        let mut other = TcpStream::connect(played.port).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut other, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        // A reset is an end, too.
        let _end = other.read_to_end(&mut said).await;
    }
    lines.check(start);
}
