//! What happens to a `ZoneInsight` when something happens to a zone. Pure.

use jiff::{SignedDuration, Timestamp};
use model::ProxyView;
use sync::Features;
use wire::kuma::system::v1alpha1::{
    EnvoyAdminStreams, HealthCheck, KdsServiceStats, KdsStream, KdsSubscription, KdsSubscriptionStatus, KumaCpVersion,
    Version, ZoneInsight,
};

use super::instances;

/// The five long-lived streams of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamName {
    /// What global provides.
    GlobalToZoneSync,
    /// What the zone provides.
    ZoneToGlobalSync,
    /// Reverse requests for what a proxy says.
    Admin(ProxyView),
}

/// An instance of a control plane, by what it says of itself in a first request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// `<hostname>-<4 hex>`.
    pub id: String,
    /// Its build.
    pub version: KumaCpVersion,
    /// Its configuration as JSON, secrets masked.
    pub config: String,
    /// The features it has.
    pub features: Vec<String>,
}

pub(super) fn time(now: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() })
}

pub(super) fn stream_opened(insight: &mut ZoneInsight, stream: StreamName, instance: &str, now: Timestamp) {
    let opened = Some(KdsStream { global_instance_id: instance.to_owned(), connect_time: time(now) });
    let streams = insight.kds_streams.get_or_insert_default();
    let admin = insight.envoy_admin_streams.get_or_insert_with(EnvoyAdminStreams::default);
    match stream {
        StreamName::Admin(ProxyView::Clusters) => {
            streams.clusters = opened;
            instance.clone_into(&mut admin.clusters_global_instance_id);
        }
        StreamName::Admin(ProxyView::ConfigDump) => {
            streams.config_dump = opened;
            instance.clone_into(&mut admin.config_dump_global_instance_id);
        }
        StreamName::Admin(ProxyView::Stats) => {
            streams.stats = opened;
            instance.clone_into(&mut admin.stats_global_instance_id);
        }
        StreamName::GlobalToZoneSync => streams.global_to_zone = opened,
        StreamName::ZoneToGlobalSync => streams.zone_to_global = opened,
    }
}

/// Appends a new subscription; what may be ended of the others is ended before (contract: kds 8.1, "append rule").
pub(super) fn subscribe(insight: &mut ZoneInsight, id: &str, instance: &str, token_provided: bool, now: Timestamp) {
    insight.subscriptions.push(KdsSubscription {
        id: id.to_owned(),
        global_instance_id: instance.to_owned(),
        connect_time: time(now),
        status: Some(KdsSubscriptionStatus {
            last_update_time: time(now),
            total: Some(KdsServiceStats::default()),
            ..Default::default()
        }),
        version: Some(Version { kuma_cp: Some(KumaCpVersion::default()) }),
        auth_token_provided: token_provided,
        ..KdsSubscription::default()
    });
}

/// Keeps the last `limit` subscriptions, and of finished ones only the essentials if `compact`. What goes first is what tells
/// nothing of an instance that may come back: one that is started again and again must not make that be forgotten.
pub(super) fn keep_last(insight: &mut ZoneInsight, limit: usize, compact: bool) {
    let surplus = insight.subscriptions.len().saturating_sub(limit.max(1));
    for _ in 0..surplus {
        let before = insight.subscriptions.split_last().map(|(_, before)| before).unwrap_or_default();
        let standing = instances::standing(&insight.subscriptions);
        let tells = |one: &KdsSubscription| standing.iter().any(|other| other.id == one.id);
        let goes = before.iter().position(|one| one.disconnect_time.is_some() && !tells(one)).unwrap_or_default();
        insight.subscriptions.remove(goes);
    }
    if compact && let Some((_, finished)) = insight.subscriptions.split_last_mut() {
        for subscription in finished {
            subscription.config.clear();
            if let Some(status) = &mut subscription.status {
                status.stat.clear();
            }
        }
    }
}

pub(super) fn described(insight: &mut ZoneInsight, id: &str, said: &Instance) {
    let Some(subscription) = find(insight, id) else { return };
    let compatible = compatible(&said.version.version);
    let version = KumaCpVersion { kuma_cp_global_compatible: compatible, ..said.version.clone() };
    subscription.version = Some(Version { kuma_cp: Some(version) });
    subscription.config.clone_from(&said.config);
    subscription.zone_instance_id.clone_from(&said.id);
    let ours = Features::from_names(said.features.iter().map(String::as_str)).common(Features::OURS);
    subscription.features = ours.names().map(str::to_owned).collect();
}

pub(super) fn count(
    insight: &mut ZoneInsight,
    id: &str,
    kind: &str,
    now: Timestamp,
    add: impl Fn(&mut KdsServiceStats),
) {
    let Some(subscription) = find(insight, id) else { return };
    let status = subscription.status.get_or_insert_default();
    status.last_update_time = time(now);
    add(status.total.get_or_insert_default());
    add(status.stat.entry(kind.to_owned()).or_default());
}

/// Ends a subscription. One that a newer one has ended before, while its stream went on, ends now.
pub(super) fn unsubscribe(insight: &mut ZoneInsight, id: &str, now: Timestamp) {
    if let Some(subscription) = find(insight, id) {
        subscription.disconnect_time = time(now);
    }
}

/// Takes an end back: the stream of the subscription is open.
pub(super) fn reopen(insight: &mut ZoneInsight, id: &str) {
    if let Some(subscription) = find(insight, id) {
        subscription.disconnect_time = None;
    }
}

/// Ends the open subscriptions that may be ended; returns whether there was one.
pub(super) fn end_open_subscriptions(
    insight: &mut ZoneInsight,
    now: Timestamp,
    may_end: impl Fn(&KdsSubscription) -> bool,
) -> bool {
    let mut ended = false;
    for subscription in &mut insight.subscriptions {
        if subscription.disconnect_time.is_none() && may_end(subscription) {
            subscription.disconnect_time = time(now);
            ended = true;
        }
    }
    ended
}

pub(super) fn pinged(insight: &mut ZoneInsight, now: Timestamp, clock_ahead: Option<SignedDuration>) {
    let clock_ahead =
        clock_ahead.map(|ahead| prost_types::Duration { seconds: ahead.as_secs(), nanos: ahead.subsec_nanos() });
    insight.health_check = Some(HealthCheck { time: time(now), clock_ahead });
}

pub(super) fn last_ping(insight: &ZoneInsight) -> Option<Timestamp> {
    let time = insight.health_check.as_ref()?.time.as_ref()?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// Online: some subscription was opened and not closed (contract: kds 8.1).
pub(super) fn online(insight: &ZoneInsight) -> bool {
    model::insight::online(&insight.subscriptions)
}

pub(super) fn find<'a>(insight: &'a mut ZoneInsight, id: &str) -> Option<&'a mut KdsSubscription> {
    insight.subscriptions.iter_mut().rev().find(|subscription| subscription.id == id)
}

/// Whether a zone of this version counts as compatible: same major, minor within two of ours; what cannot be read and
/// previews count as compatible (contract: kds 3.2).
fn compatible(version: &str) -> bool {
    const OURS: (u64, u64) = (3, 0);
    if version.is_empty() {
        return false;
    }
    if version.contains("preview") {
        return true;
    }
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => major == OURS.0 && minor.abs_diff(OURS.1) <= 2,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_what_may_be_ended_is_ended() {
        let mut insight = ZoneInsight::default();
        subscribe(&mut insight, "a", "g", true, at(1));
        assert!(!end_open_subscriptions(&mut insight, at(2), |one| one.global_instance_id == "another"));
        assert!(end_open_subscriptions(&mut insight, at(2), |one| one.global_instance_id == "g"));
        subscribe(&mut insight, "b", "g", true, at(2));
        let ended: Vec<_> = insight.subscriptions.iter().map(|one| one.disconnect_time.is_some()).collect();
        assert_eq!(ended, [true, false]);
        assert!(online(&insight));
    }

    #[test]
    fn only_the_last_subscriptions_are_kept() {
        let mut insight = ZoneInsight::default();
        for index in 0..15 {
            subscribe(&mut insight, &index.to_string(), "g", true, at(index));
            keep_last(&mut insight, 10, false);
        }
        assert_eq!(insight.subscriptions.len(), 10);
        assert_eq!(insight.subscriptions.last().unwrap().id, "14");
    }

    #[test]
    fn who_is_started_again_and_again_does_not_make_others_be_forgotten() {
        let mut insight = ZoneInsight::default();
        let come = |insight: &mut ZoneInsight, instance: &str, second: i64| {
            subscribe(insight, &second.to_string(), "g", true, at(second));
            described(insight, &second.to_string(), &Instance { id: instance.to_owned(), ..Instance::default() });
            keep_last(insight, 3, false);
            unsubscribe(insight, &second.to_string(), at(second));
        };
        come(&mut insight, "other-1111", 0);
        (1..15).for_each(|second| come(&mut insight, &format!("host-{second:04}"), second));
        let ids: Vec<_> = insight.subscriptions.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["0", "13", "14"]);
    }

    #[test]
    fn compaction_keeps_the_last_subscription_whole() {
        let mut insight = ZoneInsight::default();
        for id in ["a", "b"] {
            subscribe(&mut insight, id, "g", true, at(1));
            described(&mut insight, id, &Instance { config: "{}".to_owned(), ..Instance::default() });
            count(&mut insight, id, "Mesh", at(1), |stats| stats.responses_sent += 1);
        }
        keep_last(&mut insight, 10, true);
        let configs: Vec<_> = insight.subscriptions.iter().map(|one| one.config.as_str()).collect();
        assert_eq!(configs, ["", "{}"]);
        let kinds: Vec<_> = insight.subscriptions.iter().map(|one| one.status.as_ref().unwrap().stat.len()).collect();
        assert_eq!(kinds, [0, 1]);
    }

    #[test]
    fn a_late_count_of_an_old_stream_does_not_reach_the_new_one() {
        let mut insight = ZoneInsight::default();
        subscribe(&mut insight, "a", "g", true, at(1));
        subscribe(&mut insight, "b", "g", true, at(2));
        count(&mut insight, "a", "Mesh", at(3), |stats| stats.responses_sent += 1);
        unsubscribe(&mut insight, "a", at(4));
        assert_eq!(insight.subscriptions[1].status.as_ref().unwrap().total.as_ref().unwrap().responses_sent, 0);
        assert!(online(&insight));
    }

    #[test]
    fn compatibility_is_two_minor_versions_of_the_same_major() {
        for (version, expected) in [
            ("3.0.0", true),
            ("3.2.1", true),
            ("3.3.0", false),
            ("2.14.3", false),
            ("3.0.0-preview.1", true),
            ("x", true),
            ("", false),
        ] {
            assert_eq!(compatible(version), expected, "{version}");
        }
    }
}
