//! With which instances of a zone one has to reckon: each that came has a token of its own, and may come back with it. Pure.
//!
//! An instance that is started again has another name each time, and is the same as before all the same: it comes from the
//! same home, after the one of before went. Two that were there at once, or in turns, are two.

use wire::kuma::system::v1alpha1::KdsSubscription;

/// The letters of which Kubernetes makes the ends of the names of pods.
const POD_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";
/// And of which it makes what stands before them.
const REVISION_LETTERS: &str = "0123456789abcdefghjklmnpqrstvwxz";

/// How much later than its successor comes the end of one may be noticed, in seconds: a machine that lost its power says
/// nothing, and what comes from it next ends what was left.
const NOTICED_WITHIN: i64 = 10;

type Time = (i64, i32);

/// One instance: when it was there, and its last subscription.
struct Instance<'a> {
    home: &'a str,
    first: Option<Time>,
    /// When it came last.
    came: Option<Time>,
    /// When it was gone; none while it is there.
    gone: Option<Time>,
    last: &'a KdsSubscription,
}

impl Instance<'_> {
    /// Whether it went for good when another one first came.
    fn is_over_before(&self, first: Option<Time>) -> bool {
        let (Some((gone, _)), Some((begun, _))) = (self.gone, first) else { return false };
        self.came < first && gone <= begun.saturating_add(NOTICED_WITHIN)
    }
}

/// The last subscription of each instance that no other one took the place of, the oldest instance first. One that never
/// said its name is none.
pub(super) fn standing(subscriptions: &[KdsSubscription]) -> Vec<&KdsSubscription> {
    let mut standing: Vec<Instance<'_>> = Vec::new();
    for newer in instances(subscriptions) {
        let is_followed = |older: &&Instance<'_>| older.home == newer.home && older.is_over_before(newer.first);
        let followed =
            standing.iter().filter(is_followed).max_by_key(|older| older.gone).map(|older| older.last.id.clone());
        standing.retain(|older| Some(&older.last.id) != followed.as_ref());
        standing.push(newer);
    }
    standing.into_iter().map(|instance| instance.last).collect()
}

/// All of them, by when they first came.
fn instances(subscriptions: &[KdsSubscription]) -> Vec<Instance<'_>> {
    let mut instances: Vec<Instance<'_>> = Vec::new();
    for one in subscriptions.iter().filter(|one| !one.zone_instance_id.is_empty()) {
        let (came, gone) = (time(one.connect_time.as_ref()), time(one.disconnect_time.as_ref()));
        match instances.iter_mut().find(|instance| instance.last.zone_instance_id == one.zone_instance_id) {
            Some(known) => {
                known.gone = known.gone.zip(gone).map(|(before, now)| before.max(now));
                (known.came, known.last) = (came, one);
            }
            None => instances.push(Instance { home: home(&one.zone_instance_id), first: came, came, gone, last: one }),
        }
    }
    instances.sort_by_key(|instance| instance.first);
    instances
}

fn time(time: Option<&prost_types::Timestamp>) -> Option<Time> {
    time.map(|time| (time.seconds, time.nanos))
}

/// What stays of the name of an instance, `<hostname>-<4 hex>`, when it is started again: the name of the host, or, as pods
/// and containers have a new one each time, of what makes them.
fn home(instance: &str) -> &str {
    let host = instance.rsplit_once('-').map_or(instance, |(host, _life)| host);
    let is_of = |text: &str, letters: &str| text.chars().all(|letter| letters.contains(letter));
    if host.len() == 12 && is_of(host, "0123456789abcdef") {
        return "";
    }
    match host.rsplit_once('-') {
        Some((rest, end)) if end.len() == 5 && is_of(end, POD_LETTERS) => match rest.rsplit_once('-') {
            Some((name, revision)) if (8..=10).contains(&revision.len()) && is_of(revision, REVISION_LETTERS) => name,
            Some(_) | None => rest,
        },
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A subscription of an instance, from second to second.
    fn of(instance: &str, from: i64, to: Option<i64>) -> KdsSubscription {
        let time = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        KdsSubscription {
            id: format!("{instance}@{from}"),
            zone_instance_id: instance.to_owned(),
            connect_time: Some(time(from)),
            disconnect_time: to.map(time),
            ..KdsSubscription::default()
        }
    }

    #[track_caller]
    fn check(subscriptions: &[KdsSubscription], expected: &[&str]) {
        let found: Vec<&str> = standing(subscriptions).into_iter().map(|one| one.id.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn of_one_instance_the_last_subscription_counts() {
        check(&[of("a-1111", 1, Some(2)), of("a-1111", 3, Some(4)), of("a-1111", 5, None)], &["a-1111@5"]);
        check(&[of("", 1, Some(2)), of("a-1111", 3, None)], &["a-1111@3"]);
    }

    #[test]
    fn who_is_started_again_is_the_same() {
        check(&[of("a-1111", 1, Some(2)), of("a-2222", 2, Some(3)), of("a-3333", 4, None)], &["a-3333@4"]);
        check(&[of("a-1111", 1, Some(14)), of("a-2222", 4, None)], &["a-2222@4"]);
        let pods = [of("cp-7d9f8b6c5d-x2k4z-1111", 1, Some(2)), of("cp-6c8d9f7b5-qwrtz-2222", 3, None)];
        check(&pods, &["cp-6c8d9f7b5-qwrtz-2222@3"]);
        check(&[of("0123456789ab-1111", 1, Some(2)), of("ba9876543210-2222", 3, None)], &["ba9876543210-2222@3"]);
    }

    #[test]
    fn who_was_there_at_once_or_in_turns_or_elsewhere_is_another() {
        check(&[of("a-1111", 1, Some(15)), of("a-2222", 4, None)], &["a-1111@1", "a-2222@4"]);
        check(
            &[of("a-1111", 1, Some(2)), of("a-2222", 3, Some(4)), of("a-1111", 5, Some(6))],
            &["a-1111@5", "a-2222@3"],
        );
        check(&[of("a-1111", 1, Some(2)), of("b-2222", 3, None)], &["a-1111@1", "b-2222@3"]);
        check(
            &[of("cp-7d9f8b6c5d-x2k4z-1111", 1, Some(2)), of("other-6c8d9f7b5-qwrtz-2222", 3, None)],
            &["cp-7d9f8b6c5d-x2k4z-1111@1", "other-6c8d9f7b5-qwrtz-2222@3"],
        );
    }

    #[test]
    fn who_is_started_again_takes_the_place_of_one() {
        let two = [of("a-1111", 1, Some(99)), of("a-2222", 2, Some(98)), of("a-3333", 100, None)];
        check(&two, &["a-2222@2", "a-3333@100"]);
    }
}
