//! Says on `/ready` and in a metric how the connection to the global control plane stands.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    kds::link::{Link, LinkState},
    observe::readiness::Readiness,
    tasks::Tasks,
};

/// All that a connection can be.
const STATES: [&str; 4] = ["connecting", "connected", "stands_by", "down"];

/// The gauge `kds_global_link`: 1 for the state that the connection is in.
pub(super) struct Gauges(Family<State, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Family::default();
        registry.register(
            "kds_global_link",
            "1 for the state that the connection to the global control plane is in",
            gauges.clone(),
        );
        Self(gauges)
    }

    fn set(&self, now: &LinkState) {
        let now = word(now);
        for state in STATES {
            self.0.get_or_create(&State { state }).set(i64::from(state == now));
        }
    }
}

fn word(state: &LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Connected { .. } => "connected",
        LinkState::StandsBy { .. } => "stands_by",
        LinkState::Down { .. } => "down",
    }
}

fn show(state: &LinkState, readiness: &Readiness, gauges: &Gauges) {
    // Another instance has the connection then: nothing is wrong with the way to global, and nobody is told to mend it.
    let stands_by = matches!(state, LinkState::StandsBy { .. });
    for (part, is_told) in [("global", !stands_by), ("leader", stands_by)] {
        readiness.trouble(part, state.trouble().filter(|_| is_told));
    }
    gauges.set(state);
}

/// Tells until the program stops.
pub(super) async fn tell(link: Link, readiness: Readiness, gauges: Gauges, tasks: Tasks) -> anyhow::Result<()> {
    let mut state = link.subscribe();
    loop {
        show(&state.borrow_and_update(), &readiness, &gauges);
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = state.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn who_stands_by_has_no_trouble_with_global() {
        let (readiness, gauges) = (Readiness::default(), Gauges::register(&mut Registry::default()));
        let parts = |state| {
            show(&state, &readiness, &gauges);
            readiness.troubles().into_keys().collect::<Vec<_>>()
        };
        assert_eq!(parts(LinkState::Down { reason: "why".to_owned(), advice: "" }), ["global"]);
        assert_eq!(parts(LinkState::StandsBy { leader: "another".to_owned() }), ["leader"]);
        assert!(parts(LinkState::Connected { since: Timestamp::UNIX_EPOCH }).is_empty());
    }

    #[test]
    fn each_state_has_a_series_and_one_is_on() {
        let mut registry = Registry::default();
        let gauges = Gauges::register(&mut registry);
        let states = [
            LinkState::Connecting,
            LinkState::Connected { since: Timestamp::UNIX_EPOCH },
            LinkState::StandsBy { leader: "another".to_owned() },
            LinkState::Down { reason: "why".to_owned(), advice: "" },
        ];
        for (now, on) in states.iter().zip(STATES) {
            gauges.set(now);
            for state in STATES {
                let value = gauges.0.get_or_create(&State { state }).get();
                assert_eq!(value, i64::from(state == on), "{state} while {now:?}");
            }
        }
    }
}
