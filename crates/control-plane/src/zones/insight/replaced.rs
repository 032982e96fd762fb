//! Another instance of a zone that came to another control plane, while one is connected here: of two the older one has to
//! go (contract: kds 13.2), and only the insight that all share says so.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use model::ZoneName;
use tokio::sync::Notify;
use wire::kuma::system::v1alpha1::KdsSubscription;

use super::{Insights, Live, Options};

/// The zones whose instance here was replaced, and by which one; nobody has looked yet.
#[derive(Default)]
pub(super) struct Replaced {
    zones: Mutex<BTreeMap<ZoneName, String>>,
    told: Notify,
}

impl Insights {
    /// Waits for the next zone of which another instance came to another control plane, and returns that one. Cancel safe.
    pub(crate) async fn next_replaced(&self) -> (ZoneName, String) {
        let replaced = &self.shared.replaced;
        loop {
            let told = replaced.told.notified();
            if let Some(next) = replaced.zones.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return next;
            }
            told.await;
        }
    }

    /// Looks whether what is connected here was replaced, after something was heard of the zone.
    pub(super) fn look_for_another(&self, zone: &ZoneName, live: &Live) {
        let Some(by) = another(&live.insight.subscriptions, &live.open, &self.shared.options) else { return };
        let replaced = &self.shared.replaced;
        replaced.zones.lock().unwrap_or_else(PoisonError::into_inner).insert(zone.clone(), by);
        replaced.told.notify_one();
    }
}

/// The instance of the zone that came later than each that is open here, if that is another one. The times are those of two
/// machines: both judge by the same two, so that one goes and the other one stays.
fn another(subscriptions: &[KdsSubscription], open_here: &[String], options: &Options) -> Option<String> {
    let came = |one: &KdsSubscription| one.connect_time.as_ref().map(|time| (time.seconds, time.nanos));
    // Two that came at the same moment differ in their ids.
    let order = |one: &&KdsSubscription| (came(one), one.id.clone());
    let says_who_it_is = |one: &&KdsSubscription| !one.zone_instance_id.is_empty();
    let open = subscriptions.iter().filter(|one| one.disconnect_time.is_none()).filter(says_who_it_is);
    let (ours, theirs): (Vec<_>, Vec<_>) = open.partition(|one| options.is_ours(one));
    let here = ours.into_iter().filter(|one| open_here.contains(&one.id)).max_by_key(order)?;
    let there = theirs.into_iter().max_by_key(order)?;
    let is_newer = order(&there) > order(&here);
    (is_newer && there.zone_instance_id != here.zone_instance_id).then(|| there.zone_instance_id.clone())
}
