//! Whom a revocation hits, as far as the ledger knows.
//!
//! A token says when it was issued, but not exactly: it is set back a little, or forward to where a rule before ended. The
//! ledger knows when it really was, and that is what counts.

use jiff::{SignedDuration, Timestamp};
use tokens::{KeyRing, RevocationRule, Revoked};

use crate::ledger::Entry;

/// What a rule does to the tokens that were handed out here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many that were good until now it revokes.
    pub(super) affected: usize,
    /// Whether the token that it names by its id is among them.
    pub(super) in_ledger: bool,
    /// When all that it names has ended; `None` if that is not known.
    pub(super) until: Option<Timestamp>,
}

/// Makes a rule judge the tokens of the ledger by when they were really issued.
///
/// One without a time of issue is the same bytes each time: a rule of a zone or key names it whenever it was handed out.
pub(super) fn judge_by_the_ledger(rule: &mut RevocationRule, entries: &[&Entry]) {
    let Some(asked) = rule.before else { return };
    let dated =
        || entries.iter().filter(|entry| entry.key.family == rule.family).filter_map(|entry| Some((entry, entry.iat?)));
    let older = dated().filter(|(entry, _)| entry.issued_at < asked).map(|(_, says)| says);
    let behind = older.max().and_then(|says| says.checked_add(SignedDuration::from_secs(1)).ok());
    let before = behind.map_or(asked, |behind| behind.max(asked));
    let spared = dated().filter(|(entry, says)| entry.issued_at >= asked && *says < before);
    rule.spared = spared.map(|(entry, _)| entry.id.clone()).collect();
    // Whoever asks for a moment means tokens, and not bytes: one that was handed out since then for the first time stays.
    if rule.what == Revoked::All {
        let undated = entries.iter().filter(|entry| entry.key.family == rule.family && entry.iat.is_none());
        rule.spared.extend(undated.filter(|entry| entry.issued_at >= asked).map(|entry| entry.id.clone()));
    }
    rule.before = Some(before);
}

impl Reach {
    /// Looks at all tokens of the ledger. `ring` is the one before the rule.
    pub(super) fn of(rule: &RevocationRule, entries: &[&Entry], ring: &KeyRing, now: Timestamp) -> Self {
        let mut reach = Self::default();
        for entry in entries.iter().filter(|entry| rule.revokes(&entry.facts())) {
            if entry.expires_at.is_none_or(|end| end > now) && !ring.revokes(&entry.facts()) {
                reach.affected += 1;
            }
            if matches!(rule.what, Revoked::Id(_)) {
                reach.in_ledger = true;
                // Nobody but the token of this id can have it, and when it ends is known.
                reach.until = entry.expires_at;
            }
        }
        reach
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokens::{Algorithm, Family, KeyId, RingSources};

    use super::*;
    use crate::ledger::How;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).unwrap()
    }

    fn entry(id: &str, zone: &str, serial: u64, issued: i64, ends: Option<i64>) -> Entry {
        Entry {
            id: id.to_owned(),
            key: KeyId { family: Family::ControlPlane, serial },
            algorithm: Algorithm::Hs256,
            zone: Some(zone.to_owned()),
            name: None,
            scope: None,
            issued_at: at(issued),
            iat: (!id.starts_with("sha256:")).then(|| at(issued - 5)),
            expires_at: ends.map(at),
            by: "john".to_owned(),
            how: How::Command,
            first_seen: None,
        }
    }

    fn rule(what: Revoked, before: Option<i64>) -> RevocationRule {
        let (family, before) = (Family::ControlPlane, before.map(at));
        RevocationRule { family, what, before, spared: BTreeSet::new(), keys: Some(BTreeSet::from([1, 2])) }
    }

    fn ledger() -> Vec<Entry> {
        vec![
            entry("a", "west", 1, 0, Some(3600)),
            entry("b", "west", 2, 100, Some(3600)),
            entry("c", "east", 1, 0, None),
            entry("ended", "west", 1, 0, Some(150)),
            entry("sha256:00", "west", 1, 0, None),
        ]
    }

    fn reach(rule: &RevocationRule, ring: &KeyRing) -> (Reach, RevocationRule) {
        let (ledger, mut rule) = (ledger(), rule.clone());
        let entries: Vec<&Entry> = ledger.iter().collect();
        judge_by_the_ledger(&mut rule, &entries);
        (Reach::of(&rule, &entries, ring, at(200)), rule)
    }

    fn check(rule: &RevocationRule, affected: usize, spared: &[&str]) {
        let (reach, settled) = reach(rule, &KeyRing::empty());
        let found: Vec<&str> = settled.spared.iter().map(String::as_str).collect();
        assert_eq!((reach.affected, &*found), (affected, spared), "{rule:?}");
    }

    #[test]
    fn what_is_good_until_now_is_counted() {
        check(&rule(Revoked::Zone("west".to_owned()), Some(200)), 3, &[]);
        check(&rule(Revoked::Zone("north".to_owned()), Some(200)), 0, &[]);
        check(&rule(Revoked::Key(1), Some(200)), 3, &[]);
        check(&rule(Revoked::All, Some(200)), 4, &[]);
        check(&rule(Revoked::Id("ended".to_owned()), None), 0, &[]);
        let other = RevocationRule { family: Family::Zone, ..rule(Revoked::All, Some(200)) };
        check(&other, 0, &[]);
    }

    #[test]
    fn what_was_issued_after_the_time_and_seems_older_is_spared() {
        check(&rule(Revoked::All, Some(98)), 3, &["b"]);
        check(&rule(Revoked::All, Some(100)), 3, &["b"]);
        check(&rule(Revoked::All, Some(101)), 4, &[]);
        check(&rule(Revoked::All, Some(0)), 0, &["a", "c", "ended", "sha256:00"]);
        check(&rule(Revoked::All, Some(-100)), 0, &["sha256:00"]);
        // Whoever revokes what a zone has means its undated token too: the next one would be the same bytes.
        check(&rule(Revoked::Zone("west".to_owned()), Some(0)), 1, &["a", "c", "ended"]);
    }

    #[test]
    fn what_was_issued_before_the_time_and_seems_younger_is_revoked() {
        let forward = Entry { iat: Some(at(102)), ..entry("f", "west", 1, 100, None) };
        let after = Entry { iat: Some(at(102)), ..entry("g", "west", 1, 101, None) };
        let entries = [&forward, &after];
        let mut all = rule(Revoked::All, Some(101));
        judge_by_the_ledger(&mut all, &entries);
        assert_eq!((all.before, all.spared.clone()), (Some(at(103)), BTreeSet::from(["g".to_owned()])));
        assert_eq!(entries.map(|entry| all.revokes(&entry.facts())), [true, false]);
        let mut named = rule(Revoked::Id("x".to_owned()), None);
        judge_by_the_ledger(&mut named, &entries);
        assert_eq!(named, rule(Revoked::Id("x".to_owned()), None));
    }

    #[test]
    fn what_is_revoked_before_is_not_counted_again() {
        let rules = vec![rule(Revoked::Id("a".to_owned()), None)];
        let ring = KeyRing::build_of(1, RingSources { rules, ..RingSources::default() }).0;
        assert_eq!(reach(&rule(Revoked::Zone("west".to_owned()), Some(200)), &ring).0.affected, 2);
    }

    #[test]
    fn when_one_token_ends_is_known_from_the_ledger() {
        let of = |id: &str| {
            let reach = reach(&rule(Revoked::Id(id.to_owned()), None), &KeyRing::empty()).0;
            (reach.in_ledger, reach.until)
        };
        assert_eq!(of("a"), (true, Some(at(3600))));
        assert_eq!(of("c"), (true, None));
        assert_eq!(of("unknown"), (false, None));
        let west = reach(&rule(Revoked::Zone("west".to_owned()), Some(200)), &KeyRing::empty()).0;
        assert_eq!((west.in_ledger, west.until), (false, None), "others than those in the ledger may be about");
    }
}
