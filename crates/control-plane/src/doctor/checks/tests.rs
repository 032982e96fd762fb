use std::time::Duration;

use super::*;
use crate::doctor::{
    Status, examine,
    facts::{Certificate, KeyFacts, Refusal, RotationFacts, SignerFacts, StandsOn, TokenFacts},
};
use crate::zones::insight::LET_IN;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn hours(count: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_hours(count)).unwrap()
}

/// Two zones on one key, and nothing wrong.
fn well() -> Facts {
    let on = StandsOn {
        family: "control-plane-signing-key".to_owned(),
        key: "1".to_owned(),
        token_id: "id".to_owned(),
        expires_at: Some(hours(1000)),
        renews: "yes".to_owned(),
        since: hours(-1),
    };
    let zone = |name: &str| ZoneFacts {
        name: name.to_owned(),
        online: true,
        stands_on: Some(on.clone()),
        refused: None,
        would_be_refused: None,
        clock_ahead: Some(SignedDuration::from_secs(-1)),
    };
    Facts {
        now: now(),
        is_global: true,
        auth: AuthType::CpToken,
        mode: AuthMode::Enforce,
        leeway: Duration::from_secs(30),
        legacy_tokens_until: None,
        keys: vec![KeyFacts { family: "control-plane-signing-key".to_owned(), serial: 1, signs: true }],
        signers: Vec::new(),
        zones: vec![zone("east"), zone("west")],
        strangers: Vec::new(),
        tokens: vec![TokenFacts { id: "id".to_owned(), of: "zone west".to_owned(), ends: true }],
        rotations: Vec::new(),
        certificates: vec![Certificate { file: "kuma-cp.crt".to_owned(), ends: hours(24 * 365) }],
        unusable: Vec::new(),
        admin_token_refused: None,
        store_behind_for: None,
        no_global: None,
        plain_secrets: 0,
    }
}

/// What a check says of these facts beside "ok".
#[track_caller]
fn says(facts: &Facts, name: &str, status: Status, parts: &[&str]) {
    let found = examine(facts);
    let fits = |finding: &&Finding| {
        finding.name == name
            && finding.status == status
            && parts.iter().all(|part| finding.what.contains(part) || finding.remedy.contains(part))
    };
    assert!(found.iter().any(|finding| fits(&finding)), "{name} {parts:?} in {found:#?}");
}

fn on(zone: &mut ZoneFacts) -> &mut StandsOn {
    zone.stands_on.as_mut().unwrap()
}

#[test]
fn all_checks_speak_and_find_nothing_where_all_is_well() {
    let found = examine(&well());
    let names: Vec<_> = found.iter().map(|finding| finding.name).collect();
    assert_eq!(
        names,
        [
            "authentication",
            "keys",
            "signers",
            "rotations",
            "tokens-that-end",
            "tokens-without-end",
            "refusals",
            "strangers",
            "clocks",
            "secrets",
            "admin-token",
            "certificates",
            "store"
        ]
    );
    assert!(found.iter().all(|finding| finding.status == Status::Ok && finding.remedy.is_empty()), "{found:#?}");
}

#[test]
fn who_would_be_cut_off_by_the_end_of_a_key_is_named() {
    let mut facts = well();
    says(&facts, "keys", Status::Ok, &["control-plane-signing-key 1 signs; retired now it would cut off east, west"]);
    facts.keys.push(KeyFacts { family: "control-plane-signing-key".to_owned(), serial: 2, signs: true });
    facts.keys[0].signs = false;
    on(&mut facts.zones[0]).key = "2".to_owned();
    says(
        &facts,
        "keys",
        Status::Warn,
        &["1 signs no more; retired now it would cut off west", "kumactl rotate status"],
    );
    on(&mut facts.zones[1]).family = "zone-token-signing-key".to_owned();
    says(&facts, "keys", Status::Ok, &["1 signs no more; no zone that is known would be cut off"]);
    facts.keys.push(KeyFacts { family: "control-plane-signing-key".to_owned(), serial: 3, signs: false });
    says(&facts, "keys", Status::Ok, &["3 is held ready and does not sign; no zone"]);
    // On a zone.
    facts.keys.iter_mut().for_each(|key| key.signs = false);
    says(&facts, "keys", Status::Ok, &["3 verifies, and nothing signs here; no zone"]);
    facts.keys.clear();
    says(&facts, "keys", Status::Fail, &["no key"]);
}

#[test]
fn open_doors_are_told_with_who_goes_through() {
    let mut facts = well();
    facts.auth = AuthType::None;
    says(&facts, "authentication", Status::Fail, &["connected: east, west", "shadow"]);
    facts.auth = AuthType::CpToken;
    facts.mode = AuthMode::Shadow;
    says(&facts, "authentication", Status::Warn, &["nobody would be", "`enforce`"]);
    let zones = std::mem::take(&mut facts.zones);
    says(&facts, "authentication", Status::Warn, &["no zone is connected", "not known yet", "look again"]);
    facts.zones = zones;
    let refusal =
        Refusal { at: now(), reason: "wrong-zone".to_owned(), text: "token is signed for \"east\"".to_owned() };
    facts.zones[1].would_be_refused = Some(refusal);
    says(
        &facts,
        "authentication",
        Status::Warn,
        &["would be refused: west (wrong-zone: token is signed for \"east\")"],
    );
}

#[test]
fn a_refusal_is_told_without_what_its_peer_was_told_to_do() {
    let told = |text: &str| Refusal { at: now(), reason: "missing".to_owned(), text: text.to_owned() }.told();
    assert_eq!(told("no token. 1) Make one. 2) Name it"), "missing: no token");
    assert_eq!(told("signed by kid 1.2"), "missing: signed by kid 1.2");
    let mut facts = well();
    let text = format!("{LET_IN}no token. 1) Make one");
    facts.zones[1].refused = Some(Refusal { at: now(), reason: "missing".to_owned(), text });
    let at = format!("zone west would have been refused (shadow) at {}: missing: no token", now());
    says(&facts, "refusals", Status::Warn, &[&at, "a connector beside it"]);
    facts.zones[1].online = false;
    says(&facts, "refusals", Status::Warn, &[&at]);
}

#[test]
fn tokens_that_end_soon_and_do_not_renew_are_told() {
    let mut facts = well();
    on(&mut facts.zones[0]).expires_at = Some(hours(24));
    assert!(examine(&facts).iter().all(|finding| finding.status == Status::Ok), "it renews");
    on(&mut facts.zones[0]).renews = "no".to_owned();
    says(
        &facts,
        "tokens-that-end",
        Status::Warn,
        &["token id of zone east ends at 2026-06-02T00:00:00Z", "kumactl generate"],
    );
    on(&mut facts.zones[0]).renews = "no (file)".to_owned();
    let in_memory = ["zone east renews its token in memory only", "restarts", "write its token file"];
    says(&facts, "tokens-that-end", Status::Warn, &in_memory);
    assert!(examine(&facts).iter().all(|finding| !finding.what.contains("nobody renews")), "it is renewed");
    on(&mut facts.zones[0]).expires_at = Some(hours(8 * 24));
    says(&facts, "tokens-that-end", Status::Warn, &in_memory);
    on(&mut facts.zones[0]).expires_at = Some(hours(-1));
    says(&facts, "tokens-that-end", Status::Fail, &["ended at"]);
    on(&mut facts.zones[0]).expires_at = Some(hours(8 * 24));
    on(&mut facts.zones[0]).renews = "no".to_owned();
    says(&facts, "tokens-that-end", Status::Ok, &["no token"]);
}

#[test]
fn tokens_without_end_are_counted_and_their_end_is_told() {
    let mut facts = well();
    on(&mut facts.zones[0]).expires_at = None;
    facts.tokens[0].ends = false;
    says(
        &facts,
        "tokens-without-end",
        Status::Warn,
        &["issued to zone west (id)", "stand on one: east", "accepted for ever", "--valid-for"],
    );
    facts.legacy_tokens_until = Some(hours(1));
    says(&facts, "tokens-without-end", Status::Warn, &["accepted until 2026-06-01T01:00:00Z"]);
    facts.legacy_tokens_until = Some(now());
    says(&facts, "tokens-without-end", Status::Fail, &["refused since"]);
    // Its key is gone, and so is it.
    on(&mut facts.zones[0]).key = "7".to_owned();
    says(&facts, "tokens-without-end", Status::Fail, &["stand on one: east"]);
    facts.zones[0].online = false;
    says(&facts, "tokens-without-end", Status::Warn, &["stand on one: nobody"]);
}

#[test]
fn refusals_of_the_last_day_are_told() {
    let mut facts = well();
    let refusal = |at| Some(Refusal { at, reason: "expired".to_owned(), text: "token is expired by 1s".to_owned() });
    facts.zones[0].refused = refusal(hours(-25));
    says(&facts, "refusals", Status::Ok, &["within a day"]);
    facts.zones[0].refused = refusal(hours(-1));
    says(&facts, "refusals", Status::Warn, &["zone east was refused", "expired: token is expired by 1s"]);
    facts.zones[0].online = false;
    says(&facts, "refusals", Status::Fail, &["inspect token"]);
    // It was let in after that, and is away for another reason.
    on(&mut facts.zones[0]).since = now();
    says(&facts, "refusals", Status::Warn, &["zone east was refused"]);
}

#[test]
fn a_way_to_global_that_is_broken_is_told() {
    let mut facts = well();
    facts.no_global = Some("cannot reach global:5685: Connection refused".to_owned());
    says(&facts, "global", Status::Warn, &["cannot reach global:5685", "Zones go on with what they have"]);
}

#[test]
fn what_an_operator_took_away_is_no_failure() {
    let mut facts = well();
    facts.zones[0].online = false;
    for reason in ["revoked", "zone-deleted", "key-retired", "expired"] {
        facts.zones[0].refused = Some(Refusal { at: hours(-1), reason: reason.to_owned(), text: "text".to_owned() });
        let status = if reason == "expired" { Status::Fail } else { Status::Warn };
        says(&facts, "refusals", status, &["zone east was refused", reason]);
    }
}

#[test]
fn who_never_was_in_is_told_and_is_no_failure() {
    let mut facts = well();
    let refusal = Refusal { at: hours(-1), reason: "bad-signature".to_owned(), text: "invalid".to_owned() };
    facts.strangers = vec![("north".to_owned(), refusal)];
    says(&facts, "strangers", Status::Warn, &["never were in: north (bad-signature: invalid)", "inspect token"]);
    facts.strangers[0].1.at = hours(-25);
    says(&facts, "strangers", Status::Ok, &["within a day"]);
}

#[test]
fn a_token_of_the_administrator_that_opens_nothing_is_told() {
    let mut facts = well();
    facts.admin_token_refused = Some("there is no signing key".to_owned());
    says(&facts, "admin-token", Status::Warn, &["is refused: there is no signing key", "user-token"]);
}

#[test]
fn clocks_that_are_off_are_told_with_side_and_size() {
    let mut facts = well();
    for (ahead, status, part) in [
        (5, Status::Ok, "the clocks of 2 zones"),
        (6, Status::Warn, "east is 6 s ahead of ours"),
        (-30, Status::Warn, "east is 30 s behind ours"),
        (-31, Status::Fail, "east is 31 s behind ours"),
    ] {
        facts.zones[0].clock_ahead = Some(SignedDuration::from_secs(ahead));
        says(&facts, "clocks", status, &[part]);
    }
    facts.zones[0].clock_ahead = None;
    says(&facts, "clocks", Status::Ok, &["the clocks of 1 zones"]);
}

#[test]
fn what_cannot_be_used_or_ends_is_told() {
    let mut facts = well();
    facts.unusable = vec!["secret \"zone-token-signing-key-2\" cannot be used: no key".to_owned()];
    says(&facts, "secrets", Status::Fail, &["zone-token-signing-key-2"]);
    facts.certificates[0].ends = hours(29 * 24);
    says(&facts, "certificates", Status::Warn, &["kuma-cp.crt ends at", "without a restart"]);
    facts.certificates[0].ends = hours(-1);
    says(&facts, "certificates", Status::Fail, &["ended at"]);
    facts.store_behind_for = Some(Duration::from_secs(40));
    says(&facts, "store", Status::Fail, &["for 40 s"]);
}

#[test]
fn rotations_tell_what_they_wait_for_and_why_they_stopped() {
    let mut facts = well();
    facts.rotations = vec![RotationFacts {
        family: "zone-token-signing-key".to_owned(),
        phase: "draining".to_owned(),
        stopped: None,
        blockers: vec!["zone west (key 1)".to_owned()],
        needs_a_hand: false,
        beside: None,
    }];
    says(&facts, "rotations", Status::Ok, &["is draining; it waits for zone west (key 1)"]);
    facts.rotations[0].needs_a_hand = true;
    says(&facts, "rotations", Status::Warn, &["in its way: zone west (key 1)", "see to what is named"]);
    facts.rotations[0].beside = Some(9);
    says(&facts, "rotations", Status::Warn, &["key 9 signs, which was made by hand", "kumactl rotate rollback"]);
    facts.rotations[0].stopped = Some("no news for 24h".to_owned());
    says(&facts, "rotations", Status::Warn, &["goes no further by itself: no news for 24h", "rotate advance"]);
}

#[test]
fn long_lists_are_cut_and_counted() {
    let many: Vec<String> = (0..12).map(|number| format!("zone-{number}")).collect();
    assert_eq!(list(&many).split(", ").count(), 10);
    assert!(list(&many).ends_with("zone-9 and 2 more"));
}

#[test]
fn secrets_that_are_not_sealed_are_counted() {
    let mut facts = well();
    facts.plain_secrets = 7;
    says(&facts, "store", Status::Warn, &["7 secrets", "store.sealing.enabled"]);
}

#[test]
fn what_signs_outside_of_the_store_is_told_and_whether_it_does() {
    let signer = |problem: Option<&str>| SignerFacts {
        family: "control-plane-signing-key".to_owned(),
        kid: "kms".to_owned(),
        by: "command",
        problem: problem.map(str::to_owned),
    };
    let mut facts = well();
    says(&facts, "signers", Status::Ok, &["keys of the store sign"]);
    facts.signers = vec![signer(None)];
    facts.keys[0].signs = false;
    says(&facts, "signers", Status::Ok, &["control-plane-signing-key", "kms", "command"]);
    says(&facts, "keys", Status::Ok, &["verifies; the settings name what signs"]);
    facts.signers = vec![signer(Some("it did not end"))];
    says(&facts, "signers", Status::Fail, &["kms", "signed nothing when it was asked last", "it did not end"]);
}
