//! What goes wrong with a zone, kept in its insight: an operator reads it over REST and in `inspect zones -o yaml`. Pure.
//!
//! Each trouble is the last of its sort, shortened, and known types only: a peer does not decide how much is kept.

use jiff::Timestamp;
use model::{Kind, text::of_peer};
use sync::Unreadable;
use wire::kuma::system::v1alpha1::{KdsRefusal, KdsRejection, KdsTooLarge, KdsTypeTrouble, KdsUnreadable, ZoneInsight};

use super::record::time;

/// Which end refused what the other one provided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectedBy {
    /// The zone.
    Zone,
    /// This global.
    Global,
}

/// Notes that a response was not taken whole.
pub(super) fn rejected(insight: &mut ZoneInsight, kind: &str, by: RejectedBy, reason: &str, now: Timestamp) {
    let rejection = Some(KdsRejection { time: time(now), reason: of_peer(reason) });
    change(insight, kind, |trouble| match by {
        RejectedBy::Zone => trouble.rejected_by_zone = rejection,
        RejectedBy::Global => trouble.rejected_by_global = rejection,
    });
}

/// Notes that a type, or one resource of it, does not fit into one message.
pub(super) fn too_large(
    insight: &mut ZoneInsight,
    kind: &str,
    resource: &str,
    bytes: usize,
    limit: usize,
    now: Timestamp,
) {
    let [bytes, limit] = [bytes, limit].map(|size| u64::try_from(size).unwrap_or(u64::MAX));
    let too_large = Some(KdsTooLarge { time: time(now), resource: of_peer(resource), bytes, limit });
    change(insight, kind, |trouble| trouble.too_large = too_large);
}

/// Notes that everything of a type fits again.
pub(super) fn fits(insight: &mut ZoneInsight, kind: &str) {
    change(insight, kind, |trouble| trouble.too_large = None);
}

/// Notes what the zone's version cannot read of a type, or that it reads all of it.
pub(super) fn unreadable(insight: &mut ZoneInsight, unreadable: &Unreadable, now: Timestamp) {
    let Unreadable { kind, since, not_sent, in_part, examples } = unreadable;
    let [not_sent, sent_in_part] = [*not_sent, *in_part].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let trouble = KdsUnreadable {
        time: time(now),
        since_version: (*since).to_owned(),
        not_sent,
        sent_in_part,
        resources: examples.iter().map(|name| of_peer(&name.to_string())).collect(),
    };
    change(insight, kind, |known| known.unreadable = Some(trouble).filter(|_| !unreadable.is_over()));
}

/// Notes that a response waits for its answer since then, or that it has one.
pub(super) fn unacknowledged(insight: &mut ZoneInsight, kind: &str, since: Option<Timestamp>) {
    change(insight, kind, |trouble| trouble.unacknowledged_since = since.and_then(time));
}

/// A new subscription starts with first responses: what was too large, unreadable or unanswered on the last one is over.
pub(super) fn start_anew(insight: &mut ZoneInsight) {
    insight.type_troubles.retain(|_, trouble| {
        (trouble.too_large, trouble.unreadable, trouble.unacknowledged_since) = (None, None, None);
        *trouble != KdsTypeTrouble::default()
    });
}

/// Notes that somebody who says to be this zone was refused.
pub(super) fn refused(insight: &mut ZoneInsight, reason: &str, detail: &str, now: Timestamp) {
    insight.last_refusal = Some(KdsRefusal { time: time(now), reason: of_peer(reason), detail: of_peer(detail) });
}

fn change(insight: &mut ZoneInsight, kind: &str, change: impl FnOnce(&mut KdsTypeTrouble)) {
    let Some(kind) = Kind::by_name(kind) else { return };
    let trouble = insight.type_troubles.entry(kind.name.to_owned()).or_default();
    change(trouble);
    if *trouble == KdsTypeTrouble::default() {
        insight.type_troubles.remove(kind.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_last_reason_of_a_kind_is_kept_and_each_side_has_its_own() {
        let mut insight = ZoneInsight::default();
        rejected(&mut insight, "MeshRetry", RejectedBy::Zone, "one", at(1));
        rejected(&mut insight, "MeshRetry", RejectedBy::Zone, "two", at(2));
        rejected(&mut insight, "MeshRetry", RejectedBy::Global, "three", at(3));
        let trouble = &insight.type_troubles["MeshRetry"];
        assert_eq!(trouble.rejected_by_zone.as_ref().unwrap().reason, "two");
        assert_eq!(trouble.rejected_by_global.as_ref().unwrap().reason, "three");
    }

    #[test]
    fn texts_and_kinds_of_a_peer_are_bounded() {
        let mut insight = ZoneInsight::default();
        rejected(&mut insight, "NoSuchKind", RejectedBy::Zone, "x", at(1));
        assert!(insight.type_troubles.is_empty());
        rejected(&mut insight, "Mesh", RejectedBy::Zone, &"é".repeat(100_000), at(1));
        assert!(insight.type_troubles["Mesh"].rejected_by_zone.as_ref().unwrap().reason.len() < 3000);
    }

    #[test]
    fn a_trouble_that_is_over_is_gone() {
        let mut insight = ZoneInsight::default();
        too_large(&mut insight, "Secret", "", 20, 10, at(1));
        unacknowledged(&mut insight, "Mesh", Some(at(1)));
        rejected(&mut insight, "Mesh", RejectedBy::Zone, "x", at(1));
        assert_eq!(insight.type_troubles["Secret"].too_large.as_ref().unwrap().bytes, 20);
        fits(&mut insight, "Secret");
        unacknowledged(&mut insight, "Mesh", None);
        assert_eq!(insight.type_troubles.keys().collect::<Vec<_>>(), ["Mesh"]);
        unacknowledged(&mut insight, "Mesh", Some(at(1)));
        too_large(&mut insight, "Secret", "", 20, 10, at(1));
        start_anew(&mut insight);
        assert_eq!(insight.type_troubles.keys().collect::<Vec<_>>(), ["Mesh"], "a rejection stays");
        assert_eq!(insight.type_troubles["Mesh"].unacknowledged_since, None);
    }
}
