//! Which instance of the global holds the streams of a zone, as far as all of them told. Pure.

use model::{ProxyView, ZoneName};
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneInsight};

use super::Insights;

impl Insights {
    /// The instances of this control plane that a question to the zone may go to, the likeliest first.
    pub(crate) fn holders(&self, zone: &ZoneName, view: ProxyView) -> Vec<String> {
        self.lock().get(zone).map(|live| holders(&live.insight, view)).unwrap_or_default()
    }
}

/// The stream of a view is where it was opened last (contract: kds 8.5); if it is not there any more, it may be where the
/// zone is connected, with its newest connection first.
fn holders(insight: &ZoneInsight, view: ProxyView) -> Vec<String> {
    let streams = insight.kds_streams.as_ref();
    let stream = streams.and_then(|streams| match view {
        ProxyView::ConfigDump => streams.config_dump.as_ref(),
        ProxyView::Stats => streams.stats.as_ref(),
        ProxyView::Clusters => streams.clusters.as_ref(),
    });
    let mut open: Vec<&KdsSubscription> =
        insight.subscriptions.iter().filter(|one| one.disconnect_time.is_none()).collect();
    open.sort_by_key(|one| one.connect_time.as_ref().map(|time| (time.seconds, time.nanos)));
    let mut holders: Vec<String> = Vec::new();
    let connected = open.into_iter().rev().map(|one| &one.global_instance_id);
    for instance in stream.map(|stream| &stream.global_instance_id).into_iter().chain(connected) {
        if !instance.is_empty() && !holders.contains(instance) {
            holders.push(instance.clone());
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{
        super::record::{self, StreamName},
        *,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_stream_counts_first_and_then_the_newest_connection() {
        let mut insight = ZoneInsight::default();
        assert!(holders(&insight, ProxyView::Stats).is_empty());
        record::subscribe(&mut insight, "1", "a", true, at(1));
        record::subscribe(&mut insight, "2", "b", true, at(2));
        assert_eq!(holders(&insight, ProxyView::Stats), ["b", "a"]);
        record::stream_opened(&mut insight, StreamName::Admin(ProxyView::Stats), "c", at(3));
        assert_eq!(holders(&insight, ProxyView::Stats), ["c", "b", "a"]);
        assert_eq!(holders(&insight, ProxyView::Clusters), ["b", "a"]);
        record::stream_opened(&mut insight, StreamName::Admin(ProxyView::Stats), "a", at(4));
        assert_eq!(holders(&insight, ProxyView::Stats), ["a", "b"]);
        record::unsubscribe(&mut insight, "2", at(5));
        assert_eq!(holders(&insight, ProxyView::Stats), ["a"]);
        assert_eq!(holders(&insight, ProxyView::ConfigDump), ["a"]);
    }

    #[test]
    fn of_two_that_claim_a_zone_the_newest_counts_in_whatever_order_they_are_kept() {
        let mut insight = ZoneInsight::default();
        record::subscribe(&mut insight, "2", "b", true, at(2));
        record::subscribe(&mut insight, "1", "a", true, at(1));
        assert_eq!(holders(&insight, ProxyView::ConfigDump), ["b", "a"]);
    }
}
