//! Says on `/ready`, in the index and in metrics what cannot be read of that which decides whose tokens are good.
//!
//! It does not make this control plane unready: another one on the same store reads the same.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::sync::watch;

use crate::{
    keys::{Sort, Unreadable},
    observe::readiness::Readiness,
    tasks::Tasks,
};

const PART: &str = "keys";
/// How many of them are named; the log names all.
const NAMED: usize = 3;

/// The gauge `auth_unreadable`.
#[derive(Clone)]
pub(super) struct Gauges(Family<What, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Family::default();
        registry.register(
            "auth_unreadable",
            "What cannot be read of that which decides which tokens are good, by what it is",
            gauges.clone(),
        );
        Self(gauges)
    }

    fn set(&self, unreadable: &[Unreadable]) {
        for sort in Sort::ALL {
            let count = unreadable.iter().filter(|one| one.sort == sort).count();
            let gauge = self.0.get_or_create(&What { what: sort.as_str() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Tells until the program stops.
pub(super) async fn tell(
    mut unreadable: watch::Receiver<Arc<[Unreadable]>>,
    readiness: Readiness,
    gauges: Gauges,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let now = Arc::clone(&unreadable.borrow_and_update());
        gauges.set(&now);
        readiness.trouble(PART, told(&now));
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = unreadable.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

fn told(unreadable: &[Unreadable]) -> Option<String> {
    let mut lines: Vec<String> = unreadable.iter().take(NAMED).map(ToString::to_string).collect();
    if unreadable.len() > NAMED {
        lines.push(format!("and {} more, which the log names", unreadable.len() - NAMED));
    }
    (!lines.is_empty()).then(|| lines.join("; "))
}
