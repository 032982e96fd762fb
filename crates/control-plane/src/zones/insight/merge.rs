//! How the insight that is stored and the one that is known here become one: of each subscription the instance knows best
//! whose it is; of all else the later word counts. Pure.

use std::collections::BTreeMap;

use wire::kuma::system::v1alpha1::{EnvoyAdminStreams, KdsStream, KdsStreams, KdsSubscription, ZoneInsight};

use super::auth::merge_events;

/// What an instance knows of an insight besides its content.
pub(super) struct Known<'a> {
    /// Whether a subscription is one of this instance.
    pub(super) is_ours: &'a dyn Fn(&KdsSubscription) -> bool,
    /// The subscriptions whose streams are open here.
    pub(super) open: &'a [String],
    /// Something was noted that may not be stored yet.
    pub(super) unwritten: bool,
    pub(super) troubled: bool,
}

/// Takes what is stored over into `mine`. Returns whether it denies a stream that is open here: then it has to be said
/// again.
pub(super) fn merge(mine: &mut ZoneInsight, stored: ZoneInsight, known: &Known<'_>) -> bool {
    let is_open = |id: &String| known.open.contains(id);
    let mut denied = false;
    let mut ours: BTreeMap<String, KdsSubscription> = std::mem::take(&mut mine.subscriptions)
        .into_iter()
        .filter(known.is_ours)
        .map(|subscription| (subscription.id.clone(), subscription))
        .collect();
    for theirs in stored.subscriptions {
        match ours.remove(&theirs.id) {
            Some(own) => {
                denied |= own.disconnect_time.is_none() && theirs.disconnect_time.is_some() && is_open(&own.id);
                mine.subscriptions.push(own);
            }
            // One of ours that is remembered no more.
            None if (known.is_ours)(&theirs) => {}
            None => mine.subscriptions.push(theirs),
        }
    }
    // Not stored yet, or removed by who keeps only the last ones: that is right for those that are over.
    for (id, own) in ours {
        denied |= is_open(&id);
        if is_open(&id) || known.unwritten {
            mine.subscriptions.push(own);
        }
    }
    mine.subscriptions.sort_by_key(|one| one.connect_time.as_ref().map(|time| (time.seconds, time.nanos)));
    if time_of_ping(&stored.health_check) > time_of_ping(&mine.health_check) {
        mine.health_check = stored.health_check;
    }
    streams(mine, stored.kds_streams, stored.envoy_admin_streams);
    merge_events(&mut mine.auth_events, stored.auth_events);
    if !known.troubled {
        mine.type_troubles = stored.type_troubles;
        mine.last_refusal = stored.last_refusal;
    }
    denied
}

fn time_of_ping(check: &Option<wire::kuma::system::v1alpha1::HealthCheck>) -> Option<(i64, i32)> {
    check.as_ref()?.time.as_ref().map(|time| (time.seconds, time.nanos))
}

/// Each stream is where it was opened last.
fn streams(mine: &mut ZoneInsight, stored: Option<KdsStreams>, admin: Option<EnvoyAdminStreams>) {
    let Some(stored) = stored else { return };
    let streams = mine.kds_streams.get_or_insert_default();
    later(&mut streams.global_to_zone, stored.global_to_zone);
    later(&mut streams.zone_to_global, stored.zone_to_global);
    let later_admin = [
        later(&mut streams.clusters, stored.clusters),
        later(&mut streams.config_dump, stored.config_dump),
        later(&mut streams.stats, stored.stats),
    ];
    let Some(admin) = admin else { return };
    let instances = mine.envoy_admin_streams.get_or_insert_default();
    let [clusters, config_dump, stats] = later_admin;
    if clusters {
        instances.clusters_global_instance_id = admin.clusters_global_instance_id;
    }
    if config_dump {
        instances.config_dump_global_instance_id = admin.config_dump_global_instance_id;
    }
    if stats {
        instances.stats_global_instance_id = admin.stats_global_instance_id;
    }
}

/// Takes the other stream if it was opened later; returns whether it was.
fn later(mine: &mut Option<KdsStream>, other: Option<KdsStream>) -> bool {
    let opened = |stream: &Option<KdsStream>| {
        stream.as_ref().and_then(|stream| stream.connect_time.as_ref()).map(|time| (time.seconds, time.nanos))
    };
    let is_later = opened(&other) > opened(mine);
    if is_later {
        *mine = other;
    }
    is_later
}
