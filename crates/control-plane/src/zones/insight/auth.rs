//! On which token each connection of a zone stands, and what an operator should know of it, kept in its insight. Pure.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use model::text::of_peer;
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneAuth, ZoneAuthEvent, ZoneInsight};

use super::{
    record::{find, time},
    trouble,
};
use crate::zones::caller::{Origin, Renews, TokenIdentity, ZoneCaller};

/// So many events of a zone are kept.
pub(super) const EVENTS: usize = 10;
/// The word for what would have been refused.
const WOULD_BE_REFUSED: &str = "would-be-refused";
/// The word for a token that ends soon.
const ENDS: &str = "token-ends";
/// A token that renews by itself is renewed long before so many tenths of its life.
const TENTHS_OF_LIFE: i32 = 8;
/// A zone that renews and comes back late renews soon after: it has so long for it.
const RENEWED_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// What a token says of itself, and where it comes from; nothing without authentication.
pub(super) fn of(caller: &ZoneCaller, origin: &Origin, now: Timestamp) -> Option<ZoneAuth> {
    let ZoneCaller::Verified(verified) = caller else { return None };
    Some(ZoneAuth {
        family: verified.key().family.key_word().to_owned(),
        key: verified.kid().to_owned(),
        algorithm: verified.algorithm().as_str().to_owned(),
        token_id: verified.id().to_owned(),
        issued_at: verified.issued_at().and_then(time),
        expires_at: verified.token_expires_at().and_then(time),
        since: time(now),
        // An address of IPv4 came in over a socket of both families.
        address: SocketAddr::new(origin.address.ip().to_canonical(), origin.address.port()).to_string(),
        renews: origin.renews.as_str().to_owned(),
    })
}

/// Notes on what a subscription stands from now on. What the zone said of its renewal since it was opened stays said.
pub(super) fn stands_on(insight: &mut ZoneInsight, id: &str, auth: Option<ZoneAuth>) {
    let Some(subscription) = find(insight, id) else { return };
    let said = subscription.auth.take().map(|before| before.renews);
    subscription.auth = auth.map(|auth| match said {
        Some(renews) => ZoneAuth { renews, ..auth },
        None => auth,
    });
}

/// Notes what the zone says of the renewal of a token; returns whether that is news. Only the open subscriptions that
/// `is_ours` are looked at.
pub(super) fn renews(
    insight: &mut ZoneInsight,
    token: &TokenIdentity,
    renews: Renews,
    is_ours: impl Fn(&KdsSubscription) -> bool,
) -> bool {
    let open = insight.subscriptions.iter_mut().filter(|one| one.disconnect_time.is_none() && is_ours(one));
    let mut is_new = false;
    for auth in open.filter_map(|one| one.auth.as_mut()) {
        let is_of_it = auth.token_id == token.id && auth.family == token.key.family.key_word();
        if is_of_it && auth.renews != renews.as_str() {
            renews.as_str().clone_into(&mut auth.renews);
            is_new = true;
        }
    }
    is_new
}

/// Notes something that happened. What is known already is the last thing that happened, not one more.
pub(super) fn happened(insight: &mut ZoneInsight, reason: &str, text: &str, now: Timestamp) {
    let event = ZoneAuthEvent { time: time(now), reason: reason.to_owned(), text: of_peer(text) };
    insight.auth_events.retain(|known| !same(known, &event));
    insight.auth_events.push(event);
    keep_last(&mut insight.auth_events);
}

/// With it begins what is noted as the refusal of somebody who was let in all the same.
pub(crate) const LET_IN: &str = "let in, authentication is in shadow: ";

/// Notes that somebody who says to be this zone would have been refused for this reason, were it not in shadow.
pub(super) fn would_be_refused(insight: &mut ZoneInsight, reason: &str, detail: &str, now: Timestamp) {
    happened(insight, WOULD_BE_REFUSED, &format!("{reason}: {detail}"), now);
    trouble::refused(insight, reason, &format!("{LET_IN}{detail}"), now);
}

/// Joins the events that two control planes know of, oldest first.
pub(super) fn merge_events(mine: &mut Vec<ZoneAuthEvent>, theirs: Vec<ZoneAuthEvent>) {
    for event in theirs {
        match mine.iter_mut().find(|known| same(known, &event)) {
            Some(known) if at(known) < at(&event) => *known = event,
            Some(_) => {}
            None => mine.push(event),
        }
    }
    mine.sort_by_key(at);
    keep_last(mine);
}

/// A token that nobody renews, and that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ageing {
    pub(super) token_id: String,
    pub(super) key: String,
    pub(super) ends: Timestamp,
    pub(super) renews: String,
}

/// Notes which tokens have lived so long that whoever renews them would have done so, and returns those of which that is
/// news. Only the open subscriptions that `is_ours` are looked at: each control plane tells of its own.
pub(super) fn note_ageing(
    insight: &mut ZoneInsight,
    now: Timestamp,
    is_ours: impl Fn(&KdsSubscription) -> bool,
) -> Vec<Ageing> {
    let open = insight.subscriptions.iter().filter(|one| one.disconnect_time.is_none() && is_ours(one));
    let mut old: Vec<Ageing> = open.filter_map(|one| ageing(one.auth.as_ref()?, now)).collect();
    old.dedup();
    old.retain(|token| {
        let text = token.to_string();
        let is_new = !insight.auth_events.iter().any(|event| event.reason == ENDS && event.text == of_peer(&text));
        if is_new {
            happened(insight, ENDS, &text, now);
        }
        is_new
    });
    old
}

impl std::fmt::Display for Ageing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token_id, key, ends, renews } = self;
        write!(
            f,
            "the token {token_id} of {key} ends at {ends} and nobody renewed it (the zone renews: {renews}); give the zone a new one before"
        )
    }
}

fn ageing(auth: &ZoneAuth, now: Timestamp) -> Option<Ageing> {
    let read = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
    };
    let ends = read(&auth.expires_at)?;
    // A token that does not say when it was issued is as old as what stands on it.
    let began = read(&auth.issued_at).or_else(|| read(&auth.since))?;
    let is_old = now.duration_since(began) >= ends.duration_since(began) / 10 * TENTHS_OF_LIFE;
    let is_over = now.duration_since(ends) > SignedDuration::ZERO;
    let came = read(&auth.since).filter(|_| auth.renews != Renews::No.as_str());
    let is_about_to = came.is_some_and(|came| now.duration_since(came) < RENEWED_WITHIN);
    (is_old && !is_over && !is_about_to).then(|| Ageing {
        token_id: auth.token_id.clone(),
        key: format!("{} {}", auth.family, auth.key),
        ends,
        renews: auth.renews.clone(),
    })
}

/// Whether two events tell of the same. Of each reason to refuse somebody the last text counts: it may have a time in it.
fn same(one: &ZoneAuthEvent, other: &ZoneAuthEvent) -> bool {
    fn of(event: &ZoneAuthEvent) -> &str {
        let reason = event.text.split_once(':').filter(|_| event.reason == WOULD_BE_REFUSED);
        reason.map_or(event.text.as_str(), |(reason, _)| reason)
    }
    one.reason == other.reason && of(one) == of(other)
}

fn at(event: &ZoneAuthEvent) -> Option<(i64, i32)> {
    event.time.as_ref().map(|time| (time.seconds, time.nanos))
}

fn keep_last(events: &mut Vec<ZoneAuthEvent>) {
    events.drain(..events.len().saturating_sub(EVENTS));
}

#[cfg(test)]
mod tests {
    use tokens::{Family, KeyId};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn auth(issued: Option<i64>, since: i64, expires: Option<i64>) -> ZoneAuth {
        let of = |second: Option<i64>| second.map(at).and_then(time);
        ZoneAuth {
            token_id: "id".to_owned(),
            issued_at: of(issued),
            expires_at: of(expires),
            since: time(at(since)),
            ..ZoneAuth::default()
        }
    }

    fn insight(auth: ZoneAuth) -> ZoneInsight {
        let subscription = KdsSubscription { id: "a".to_owned(), auth: Some(auth), ..KdsSubscription::default() };
        ZoneInsight { subscriptions: vec![subscription], ..ZoneInsight::default() }
    }

    #[test]
    fn a_token_is_old_at_four_fifths_of_its_life_and_is_told_of_once() {
        let mut insight = insight(auth(Some(0), 50, Some(100)));
        assert!(note_ageing(&mut insight, at(79), |_| true).is_empty());
        assert!(note_ageing(&mut insight, at(80), |_| false).is_empty(), "another control plane tells of it");
        let told = note_ageing(&mut insight, at(80), |_| true);
        assert_eq!(told.iter().map(|old| old.ends).collect::<Vec<_>>(), [at(100)]);
        assert!(note_ageing(&mut insight, at(81), |_| true).is_empty());
        assert_eq!(insight.auth_events.len(), 1);
        // The next token is another one.
        stands_on(&mut insight, "a", Some(auth(Some(80), 81, Some(180))));
        assert!(note_ageing(&mut insight, at(100), |_| true).is_empty());
        assert_eq!(note_ageing(&mut insight, at(160), |_| true).len(), 1);
    }

    #[test]
    fn a_zone_that_renews_and_comes_late_has_time_for_it() {
        let renewed =
            |renews: Renews| ZoneAuth { renews: renews.as_str().to_owned(), ..auth(Some(0), 900, Some(1000)) };
        let is_told = |renews, now| !note_ageing(&mut insight(renewed(renews)), at(now), |_| true).is_empty();
        for renews in [Renews::Yes, Renews::NotTheFile] {
            assert!(!is_told(renews, 929) && is_told(renews, 930), "{renews:?}");
        }
        assert!(is_told(Renews::No, 900), "nobody renews that one");
    }

    #[test]
    fn what_a_zone_says_of_its_renewal_counts_for_what_stands_on_that_token() {
        let key = KeyId { family: Family::ControlPlane, serial: 1 };
        let token = |id: &str| TokenIdentity { key: key.clone(), id: id.to_owned() };
        let family = Family::ControlPlane.key_word().to_owned();
        let mut insight = insight(ZoneAuth { family, renews: "yes".to_owned(), ..auth(Some(0), 0, Some(100)) });
        let said = |insight: &ZoneInsight| insight.subscriptions[0].auth.as_ref().unwrap().renews.clone();
        assert!(!renews(&mut insight, &token("other"), Renews::No, |_| true));
        assert!(!renews(&mut insight, &token("id"), Renews::No, |_| false), "another control plane's");
        assert!(!renews(&mut insight, &token("id"), Renews::Yes, |_| true), "no news");
        assert!(renews(&mut insight, &token("id"), Renews::NotTheFile, |_| true));
        assert_eq!(said(&insight), "no (file)");
        // The next token was shown on a stream that said something else when it was opened.
        stands_on(&mut insight, "a", Some(ZoneAuth { renews: "yes".to_owned(), ..auth(Some(80), 81, Some(180)) }));
        assert_eq!(said(&insight), "no (file)");
        insight.subscriptions[0].disconnect_time = time(at(90));
        assert!(!renews(&mut insight, &token("id"), Renews::Yes, |_| true), "it is over");
    }

    #[test]
    fn without_a_time_of_issue_the_life_begins_with_the_connection_and_without_end_there_is_none() {
        let is_told = |auth, now| !note_ageing(&mut insight(auth), at(now), |_| true).is_empty();
        assert!(!is_told(auth(None, 50, Some(100)), 89) && is_told(auth(None, 50, Some(100)), 90));
        assert!(!is_told(auth(Some(0), 0, None), 1_000_000));
        assert!(!is_told(auth(Some(0), 0, Some(100)), 101), "it is over");
        let mut ended = insight(auth(Some(0), 0, Some(100)));
        ended.subscriptions[0].disconnect_time = time(at(10));
        assert!(note_ageing(&mut ended, at(90), |_| true).is_empty(), "nobody stands on it");
    }

    #[test]
    fn the_last_events_are_kept_and_the_same_one_only_once() {
        let mut insight = ZoneInsight::default();
        for second in 0..15 {
            happened(&mut insight, "x", &second.to_string(), at(second));
        }
        happened(&mut insight, "x", "7", at(20));
        let texts: Vec<_> = insight.auth_events.iter().map(|event| event.text.as_str()).collect();
        assert_eq!(texts, ["5", "6", "8", "9", "10", "11", "12", "13", "14", "7"]);
        happened(&mut insight, "x", &"é".repeat(100_000), at(21));
        assert!(insight.auth_events[9].text.len() < 3000);
    }

    #[test]
    fn events_of_two_control_planes_are_joined_in_their_order() {
        let (mut mine, mut theirs) = (ZoneInsight::default(), ZoneInsight::default());
        for (second, text) in [(1, "a"), (3, "both")] {
            happened(&mut mine, "x", text, at(second));
        }
        for (second, text) in [(2, "b"), (4, "both")] {
            happened(&mut theirs, "x", text, at(second));
        }
        let stored = theirs.auth_events.clone();
        merge_events(&mut mine.auth_events, stored.clone());
        let joined = |events: &[ZoneAuthEvent]| -> Vec<(i64, String)> {
            events.iter().map(|one| (one.time.as_ref().unwrap().seconds, one.text.clone())).collect()
        };
        let expected = [(1, "a".to_owned()), (2, "b".to_owned()), (4, "both".to_owned())];
        assert_eq!(joined(&mine.auth_events), expected);
        merge_events(&mut mine.auth_events, stored);
        assert_eq!(joined(&mine.auth_events), expected, "again changes nothing");
    }
}
