//! Which connected zones read RSA keys and no others: real ones. The one owner of that rule.

use model::{Kind, insight, text};
use prost::Message as _;
use store::{Query, ResourceStore, StoreError};
use sync::Features;
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneInsight};

/// Returns the names of those zones, as all control planes on the store know them.
pub async fn zones(store: &dyn ResourceStore) -> Result<Vec<String>, StoreError> {
    let insights = store.list(&Query::all(Kind::ZONE_INSIGHT)).await?;
    let insights = insights.items.iter().map(|stored| &stored.resource);
    let read_rsa_alone = insights
        .filter(|resource| ZoneInsight::decode(resource.spec.clone()).is_ok_and(|insight| reads_rsa_alone(&insight)));
    Ok(read_rsa_alone.map(|resource| text::of_peer(&resource.key.name)).collect())
}

/// Whether something is connected to a zone, on any control plane, that reads RSA alone.
pub(crate) fn reads_rsa_alone(insight: &ZoneInsight) -> bool {
    let open = |one: &&KdsSubscription| one.disconnect_time.is_none();
    // One that did not say yet what it is may be any.
    let mut described = insight.subscriptions.iter().filter(open).filter(|one| one.version.is_some());
    let reads_more = |one: &KdsSubscription| {
        Features::from_names(one.features.iter().map(String::as_str)).contains(Features::KEY_ALGORITHMS)
    };
    insight::online(&insight.subscriptions) && described.any(|one| !reads_more(one))
}

#[cfg(test)]
mod tests {
    use wire::kuma::system::v1alpha1::Version;

    use super::*;

    /// A subscription that is open, or not, of a zone with these features; `None` said nothing yet.
    fn subscription(open: bool, features: Option<&[&str]>) -> KdsSubscription {
        let time = |second| Some(prost_types::Timestamp { seconds: second, nanos: 0 });
        KdsSubscription {
            connect_time: time(1_795_475_234),
            disconnect_time: if open { None } else { time(1_795_475_235) },
            version: features.map(|_| Version::default()),
            features: features.unwrap_or_default().iter().map(|name| (*name).to_owned()).collect(),
            ..KdsSubscription::default()
        }
    }

    #[test]
    fn one_end_that_reads_rsa_alone_is_enough() {
        let check = |subscriptions: &[KdsSubscription], expected: bool| {
            let insight = ZoneInsight { subscriptions: subscriptions.to_vec(), ..ZoneInsight::default() };
            assert_eq!(reads_rsa_alone(&insight), expected, "{subscriptions:?}");
        };
        let (real, ours) = (Some(&[][..]), Some(&["responses-in-parts", "key-algorithms"][..]));
        check(&[], false);
        check(&[subscription(true, real)], true);
        check(&[subscription(true, Some(&["responses-in-parts"]))], true);
        check(&[subscription(true, ours)], false);
        check(&[subscription(true, None)], false);
        check(&[subscription(false, real)], false);
        check(&[subscription(false, real), subscription(true, ours)], false);
        check(&[subscription(true, ours), subscription(true, real)], true);
        check(&[subscription(true, real), subscription(true, None)], true);
        check(&[subscription(true, real), subscription(true, ours)], true);
    }
}
