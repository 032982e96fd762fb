//! On which tokens zones came, as far as it is known.

use jiff::Timestamp;
use model::ZoneName;
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneAuth};

use super::{Insights, Live, record};

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
}

impl Insights {
    /// The zones that ever came, each with the connections that are open, or else with the last one.
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
        };
        let mut all = live.insight.subscriptions.iter();
        let open: Vec<Use> = all.clone().filter(|one| one.disconnect_time.is_none()).map(of).collect();
        if open.is_empty() { all.next_back().map(of).into_iter().collect() } else { open }
    }
}

fn last_seen(subscription: &KdsSubscription) -> Option<Timestamp> {
    let times = [&subscription.connect_time, &subscription.disconnect_time].into_iter().flatten();
    times.filter_map(|time| Timestamp::new(time.seconds, time.nanos).ok()).max()
}
