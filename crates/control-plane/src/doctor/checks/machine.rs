//! What a control plane stands on: clocks, what is in its store, its certificates, the store itself.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::doctor::{Finding, facts::Facts};

/// Certificates that end within this time are told of.
const CERTIFICATE_ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Clocks closer than this are taken for equal: a ping takes its time too.
const CLOCKS_AGREE: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn clocks(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "clocks";
    let leeway = SignedDuration::try_from(facts.leeway).unwrap_or(SignedDuration::ZERO);
    let found: Vec<Finding> = facts
        .zones
        .iter()
        .filter_map(|zone| zone.clock_ahead.map(|ahead| (zone, ahead)))
        .filter(|(_, ahead)| ahead.abs() > CLOCKS_AGREE)
        .map(|(zone, ahead)| {
            let side = if ahead.is_negative() { "behind" } else { "ahead of" };
            let what = format!("the clock of zone {} is {} s {side} ours", zone.name, ahead.abs().as_secs());
            let remedy = "let both machines follow a time server: tokens begin and end by the clock";
            if ahead.abs() > leeway { Finding::fail(NAME, what, remedy) } else { Finding::warn(NAME, what, remedy) }
        })
        .collect();
    let told = facts.zones.iter().filter(|zone| zone.clock_ahead.is_some()).count();
    if found.is_empty() {
        return vec![Finding::ok(NAME, format!("the clocks of {told} zones that tell their time agree with ours"))];
    }
    found
}

pub(super) fn secrets(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "secrets";
    let remedy = "write it anew, or delete it";
    let found: Vec<Finding> =
        facts.unusable.iter().map(|problem| Finding::fail(NAME, problem.as_str(), remedy)).collect();
    if found.is_empty() { vec![Finding::ok(NAME, "all keys, lists and records can be used")] } else { found }
}

pub(super) fn admin_token(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "admin-token";
    vec![match &facts.admin_token_refused {
        None => Finding::ok(NAME, "the token in the global secret admin-user-token is good, or there is none"),
        Some(why) => Finding::warn(
            NAME,
            format!("the token in the global secret admin-user-token is refused: {why}"),
            "delete this secret and start the control plane again, which makes a new one; or `kumactl generate user-token \
             --name mesh-system:admin --group mesh-system:admin`, and give it to those who used the old one",
        ),
    }]
}

pub(super) fn certificates(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "certificates";
    let mut by_file: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for certificate in &facts.certificates {
        by_file.insert(&certificate.file, certificate.ends);
    }
    let found: Vec<Finding> = by_file
        .into_iter()
        .filter_map(|(file, ends)| {
            let left = ends.duration_since(facts.now);
            let remedy = "put a new certificate and key there; they are read without a restart";
            if left.is_negative() {
                Some(Finding::fail(NAME, format!("the certificate in {file} ended at {ends}"), remedy))
            } else if left <= CERTIFICATE_ENDS_SOON {
                Some(Finding::warn(NAME, format!("the certificate in {file} ends at {ends}"), remedy))
            } else {
                None
            }
        })
        .collect();
    if found.is_empty() {
        vec![Finding::ok(NAME, "no certificate of this control plane ends within 30 days")]
    } else {
        found
    }
}

pub(super) fn store(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "store";
    let mut found = vec![match facts.store_behind_for {
        None => Finding::ok(NAME, "the store shows what is written"),
        Some(behind) => Finding::fail(
            NAME,
            format!(
                "for {} s the store has not shown what others write: keys that were deleted may still be taken for good",
                behind.as_secs()
            ),
            "look at the database and the way to it",
        ),
    }];
    if facts.plain_secrets > 0 {
        let what = format!(
            "{} secrets lie in the store in plain text: whoever reads it, or a backup of it, has every signing key",
            facts.plain_secrets
        );
        found.push(Finding::warn(NAME, what, "take away `store.sealing.enabled: false`; the next start seals them"));
    }
    found
}
