//! Tells connected zones to go before this control plane ends: one after the other, so that they do not all come to the
//! others, or back, in one instant.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::info;

use crate::{
    cluster::Members,
    observe::readiness::Readiness,
    zones::registry::{CloseReason, Registry},
};

/// A tenth of the zones a second: the others serve them while they come.
const TO_OTHERS: Duration = Duration::from_secs(10);
/// Nobody else serves them: they wait for the next start, which had better be soon.
const TO_NOBODY: Duration = Duration::from_secs(1);
/// Zones are told in so many portions at most.
const PORTIONS: usize = 100;

/// How the zones of a control plane are told.
pub(super) struct Drain {
    pub(super) registry: Registry,
    pub(super) readiness: Readiness,
    pub(super) members: watch::Receiver<Members>,
    /// The longest that it takes.
    pub(super) time: Duration,
}

impl Drain {
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Refuses new zones, and tells those that are connected; a balancer hears it at once.
    pub(super) async fn run(&self) {
        self.readiness.not_ready("kds", "this control plane is stopping".to_owned());
        let zones = self.registry.drain();
        if zones.is_empty() {
            return;
        }
        let others = self.members.borrow().len().saturating_sub(1);
        let takes = self.time.min(if others > 0 { TO_OTHERS } else { TO_NOBODY });
        info!(
            zones = zones.len(),
            other_instances = others,
            seconds = takes.as_secs_f64(),
            "telling the connected zones that this control plane stops"
        );
        let began = Instant::now();
        let portions: Vec<_> = zones.chunks(zones.len().div_ceil(PORTIONS)).collect();
        let pause = takes.div_f64(portions.len() as f64);
        for (number, zones) in (0..).zip(portions) {
            sleep_until(began + pause * number).await;
            for zone in zones {
                self.registry.close_zone(zone, &CloseReason::Draining, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::Timestamp;
    use model::ZoneName;
    use tokens::KeyRing;

    use super::*;
    use crate::{
        cluster::Member,
        zones::{
            caller::ZoneCaller,
            registry::{Arrival, StreamGuard},
        },
    };

    fn connected(registry: &Registry, number: usize) -> StreamGuard {
        let arrival = Arrival {
            caller: ZoneCaller::Unverified(ZoneName::parse(&format!("zone-{number}")).unwrap()),
            ring_generation: 0,
            connection: registry.connect().id(),
            method: "GlobalToZoneSync",
            unary: false,
            pings: false,
        };
        registry.admit(arrival, Timestamp::UNIX_EPOCH).unwrap()
    }

    /// Drains so many zones beside so many other instances; returns how many were told at the end of each second.
    async fn told(zones: usize, others: usize, time: Duration) -> Vec<usize> {
        let member = |number| Member { instance: format!("cp-{number}"), inter_cp: None };
        let members: BTreeMap<_, _> = (0..=others).map(member).map(|one| (one.instance.clone(), one)).collect();
        let (_stays, members) = watch::channel(Arc::new(members));
        let registry = Registry::new(Arc::new(KeyRing::empty()), Duration::ZERO);
        let guards: Vec<_> = (0..zones).map(|number| connected(&registry, number)).collect();
        let readiness = Readiness::default();
        let drain = Drain { registry, readiness: readiness.clone(), members, time };
        let mut drained = Box::pin(drain.run());
        let mut counts = Vec::new();
        // A little before the next ones are told.
        let mut until = Instant::now() + Duration::from_millis(950);
        loop {
            let is_over = tokio::time::timeout_at(until, &mut drained).await.is_ok();
            until += Duration::from_secs(1);
            counts.push(guards.iter().filter(|guard| guard.close_reason() == Some(CloseReason::Draining)).count());
            assert!(!readiness.report().0, "a balancer sends nobody any more");
            if is_over {
                return counts;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenth_of_the_zones_a_second_goes_to_the_others() {
        let tenths: Vec<_> = (1..=10).map(|tenth| tenth * 100).collect();
        assert_eq!(told(1_000, 2, Duration::from_secs(30)).await, tenths);
        assert_eq!(told(10, 1, Duration::from_secs(30)).await, (1..=10).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_no_longer_than_it_may() {
        assert_eq!(told(10, 1, Duration::from_secs(2)).await, [5, 10]);
        assert_eq!(told(100, 1, Duration::ZERO).await, [100]);
    }

    #[tokio::test(start_paused = true)]
    async fn zones_of_the_only_one_are_told_soon() {
        assert_eq!(told(10, 0, Duration::from_secs(30)).await, [10]);
        assert_eq!(told(0, 0, Duration::from_secs(30)).await, [0]);
    }
}
