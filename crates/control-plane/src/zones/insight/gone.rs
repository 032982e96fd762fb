//! Ends what instances left open that are gone. Their leader does it, for whoever is gone ends nothing.

use std::{collections::BTreeSet, time::Duration};

use tracing::info;
use wire::kuma::system::v1alpha1::KdsSubscription;

use super::{Insights, record};
use crate::{
    cluster::{Epoch, Members},
    tasks::Tasks,
};

/// How often is looked when nothing is heard: what one ended, a write of another may have opened again.
const LOOK: Duration = Duration::from_secs(1);

impl Insights {
    /// Looks until the program stops.
    pub(super) async fn end_what_is_left(self, tasks: Tasks) -> anyhow::Result<()> {
        let cluster = self.shared.options.cluster.clone();
        let (mut members, mut leading) = (cluster.members(), cluster.leading());
        loop {
            let there = members.borrow_and_update().clone();
            leading.borrow_and_update();
            if cluster.leads().is_some() {
                let left = self.left_open(&there);
                if !left.is_empty() {
                    // Who has just come may have opened one before it was seen.
                    let there = tokio::select! {
                        () = tasks.stopping() => return Ok(()),
                        there = cluster.look_again() => there,
                    };
                    if let Some(epoch) = cluster.leads() {
                        self.end(&left, &there, epoch);
                    }
                }
            }
            tokio::select! {
                () = tasks.stopping() => return Ok(()),
                changed = members.changed() => changed?,
                changed = leading.changed() => changed?,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// The open subscriptions of instances that are not there.
    pub(super) fn left_open(&self, there: &Members) -> BTreeSet<String> {
        let zones = self.lock();
        let all = zones.values().flat_map(|live| &live.insight.subscriptions);
        all.filter(|one| is_left_open(one, there)).map(|one| one.id.clone()).collect()
    }

    /// Ends those of them whose instances are still not there.
    pub(super) fn end(&self, left: &BTreeSet<String>, there: &Members, epoch: Epoch) {
        let now = self.shared.clock.now();
        let mut is_urgent = false;
        for (zone, live) in self.lock().iter_mut() {
            let is_over = |one: &KdsSubscription| left.contains(&one.id) && is_left_open(one, there);
            if record::end_open_subscriptions(&mut live.insight, now, is_over) {
                (live.dirty, live.urgent, live.fence, is_urgent) = (true, true, Some(epoch), true);
                info!(%zone, "a subscription is ended whose instance is gone");
            }
        }
        if is_urgent {
            self.shared.urgent.notify_one();
        }
    }
}

/// Whether nobody is there who would end it: on global the end that was called, on a zone the one that called.
fn is_left_open(one: &KdsSubscription, there: &Members) -> bool {
    // Most have ended, and all of them are looked at every second.
    one.disconnect_time.is_none()
        && ![&one.global_instance_id, &one.zone_instance_id].into_iter().any(|name| there.contains_key(name))
}
