//! On which tokens zones came, as far as it is known.

use jiff::Timestamp;
use model::ZoneName;
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneAuth};

use super::{Insights, Live, instances, record};

/// One connection of a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// It is open.
    pub live: bool,
    /// It is one to this instance: who it is is known better from the streams themselves.
    pub ours: bool,
    /// When it was used last.
    pub last_seen: Option<Timestamp>,
    /// It came with a token.
    pub with_token: bool,
    /// What is known of the token.
    pub auth: Option<ZoneAuth>,
    /// The name of the instance of the zone that had it, if that is not the one that came last: it may come back as it was.
    pub left: Option<String>,
}

impl Insights {
    /// The zones that ever came, each with the connections that are open, or else with the last one, and with the last one of
    /// each other instance.
    pub fn uses(&self) -> Vec<(ZoneName, Vec<Use>)> {
        let zones = self.lock();
        let uses = zones.iter().map(|(zone, live)| (zone.clone(), self.uses_of(live)));
        uses.filter(|(_, uses)| !uses.is_empty()).collect()
    }

    fn uses_of(&self, live: &Live) -> Vec<Use> {
        let pinged = record::last_ping(&live.insight);
        let of = |subscription: &KdsSubscription| Use {
            live: subscription.disconnect_time.is_none(),
            ours: self.shared.options.is_ours(subscription),
            last_seen: last_seen(subscription).max(pinged),
            with_token: subscription.auth_token_provided,
            auth: subscription.auth.clone(),
            left: None,
        };
        let all = &live.insight.subscriptions;
        let open = |one: &&KdsSubscription| one.disconnect_time.is_none();
        let current: Vec<&KdsSubscription> = match all.iter().any(|one| open(&one)) {
            true => all.iter().filter(open).collect(),
            false => all.last().into_iter().collect(),
        };
        // Whose streams are open has not left, even if a newer subscription ended its own.
        let is_here =
            |one: &KdsSubscription| live.open.contains(&one.id) || current.iter().any(|other| other.id == one.id);
        let left = instances::standing(all).into_iter().filter(|one| !is_here(one));
        let left = left.map(|one| Use {
            // Whoever pings is another one.
            last_seen: last_seen(one),
            left: Some(one.zone_instance_id.clone()),
            ..of(one)
        });
        let current = current.iter().copied().map(of);
        current.chain(left).collect()
    }
}

fn last_seen(subscription: &KdsSubscription) -> Option<Timestamp> {
    let times = [&subscription.connect_time, &subscription.disconnect_time].into_iter().flatten();
    times.filter_map(|time| Timestamp::new(time.seconds, time.nanos).ok()).max()
}
