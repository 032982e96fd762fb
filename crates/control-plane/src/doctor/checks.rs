//! The checks. Each looks at one thing and says at least one sentence about it.

mod machine;

use jiff::{SignedDuration, Timestamp};

use self::machine::{admin_token, certificates, clocks, secrets, store};
use super::{
    Finding,
    facts::{Facts, ZoneFacts},
};
use crate::config::{AuthMode, AuthType};

/// All checks, in the order in which they are shown.
pub(super) const ALL: [fn(&Facts) -> Vec<Finding>; 14] = [
    authentication,
    global,
    keys,
    signers,
    rotations,
    tokens_that_end,
    tokens_without_end,
    refusals,
    strangers,
    clocks,
    secrets,
    admin_token,
    certificates,
    store,
];

/// Tokens that end within this time and do not renew are told of.
const TOKEN_ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Older refusals are history.
const RECENT: SignedDuration = SignedDuration::from_hours(24);
/// Of long lists so many are named.
const NAMED: usize = 10;

fn authentication(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "authentication";
    if !facts.is_global {
        return vec![Finding::ok(NAME, "zones do not connect to this control plane")];
    }
    let connected: Vec<&ZoneFacts> = facts.zones.iter().filter(|zone| zone.online).collect();
    if facts.auth == AuthType::None {
        let without = names(connected.iter().map(|zone| zone.name.as_str()));
        let what =
            format!("zones are not authenticated: whoever reaches the KDS port may be any zone; connected: {without}");
        let remedy = "give each zone a token (`kumactl generate control-plane-token --zone=<zone>`), set \
                      multizone.global.kds.auth.mode to `shadow` and auth.type to `cpToken` to see who would be refused, \
                      then take `shadow` away";
        return vec![Finding::fail(NAME, what, remedy)];
    }
    let would_be: Vec<String> = facts
        .zones
        .iter()
        .filter_map(|zone| Some(format!("{} ({})", zone.name, zone.would_be_refused.as_ref()?.told())))
        .collect();
    match (facts.mode, would_be.is_empty()) {
        (_, false) => {
            let what = format!("if authentication were enforced now, these would be refused: {}", list(&would_be));
            vec![Finding::warn(NAME, what, "give these zones tokens that are good for them, then enforce")]
        }
        (AuthMode::Shadow, true) if connected.is_empty() => {
            let what = "nobody is refused (shadow), and no zone is connected: who would be refused is not known yet";
            vec![Finding::warn(NAME, what, "connect your zones to this control plane, then look again")]
        }
        (AuthMode::Shadow, true) => {
            let what = "nobody is refused (shadow), and nobody would be if authentication were enforced now";
            vec![Finding::warn(NAME, what, "set multizone.global.kds.auth.mode to `enforce`")]
        }
        (AuthMode::Enforce, true) => vec![Finding::ok(NAME, "zones are authenticated; nobody is let in without")],
    }
}

fn keys(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "keys";
    let mut found = Vec::new();
    for key in &facts.keys {
        let serial = key.serial.to_string();
        let on_it: Vec<&str> = facts
            .zones
            .iter()
            .filter(|zone| zone.stands_on.as_ref().is_some_and(|on| on.family == key.family && on.key == serial))
            .map(|zone| zone.name.as_str())
            .collect();
        let newer_than_what_signs =
            facts.keys.iter().any(|other| other.signs && other.family == key.family && other.serial < key.serial);
        let any_signs = facts.keys.iter().any(|other| other.signs && other.family == key.family);
        let signed_outside = facts.signers.iter().any(|signer| signer.family == key.family);
        let signs = match (key.signs, any_signs, newer_than_what_signs) {
            (false, ..) if signed_outside => "verifies; the settings name what signs",
            (true, ..) => "signs",
            // The public half that a zone gets.
            (false, false, _) => "verifies, and nothing signs here",
            (false, true, true) => "is held ready and does not sign",
            (false, true, false) => "signs no more",
        };
        let title = format!("{} {} {signs}", key.family, key.serial);
        found.push(match (on_it.is_empty(), key.signs) {
            (true, true) => Finding::ok(NAME, format!("{title}; no zone stands on it")),
            (true, false) => {
                Finding::ok(NAME, format!("{title}; no zone that is known would be cut off if it were retired now"))
            }
            (false, _) => {
                let what = format!("{title}; retired now it would cut off {}", names(on_it.iter().copied()));
                if key.signs || signed_outside {
                    Finding::ok(NAME, what)
                } else {
                    let family = key.family.split(' ').next().unwrap_or_default();
                    Finding::warn(NAME, what, format!("`kumactl rotate status {family}` says what is left to do"))
                }
            }
        });
    }
    if found.is_empty() {
        found.push(Finding::fail(
            NAME,
            "there is no key that verifies tokens",
            "`kumactl generate signing-key` makes one",
        ));
    }
    found
}

/// The way to a global control plane, of a zone or a gateway that has none: others have nothing to say.
fn global(facts: &Facts) -> Vec<Finding> {
    let remedy = "mend what the line names, it is tried again by itself; a gateway dials when a zone has come. Zones go on \
                  with what they have";
    facts.no_global.iter().map(|why| Finding::warn("global", why.clone(), remedy)).collect()
}

fn signers(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "signers";
    let found: Vec<Finding> = facts
        .signers
        .iter()
        .map(|signer| {
            let what = format!("{}: the key {} of the settings signs ({})", signer.family, signer.kid, signer.by);
            match &signer.problem {
                None => Finding::ok(NAME, format!("{what}, and did when it was asked last")),
                Some(problem) => Finding::fail(
                    NAME,
                    format!("{what}, and signed nothing when it was asked last: {problem}"),
                    "see to what signs; tokens that it signed before are still good",
                ),
            }
        })
        .collect();
    if found.is_empty() { vec![Finding::ok(NAME, "keys of the store sign, and no others")] } else { found }
}

fn rotations(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "rotations";
    let under_way = facts.rotations.iter().map(|rotation| {
        let what = format!("{} is {}", rotation.family, rotation.phase);
        match (&rotation.stopped, rotation.beside) {
            (Some(reason), _) => Finding::warn(
                NAME,
                format!("{what} and goes no further by itself: {reason}"),
                "see to what is named, or go on with `kumactl rotate advance`, or back with `kumactl rotate rollback`",
            ),
            (None, Some(key)) => Finding::warn(
                NAME,
                format!("{what}, and key {key} signs, which was made by hand beside it"),
                "delete that key if nobody has a token of it, or end the rotation with `kumactl rotate rollback` and go on \
                 with that key",
            ),
            (None, None) if rotation.blockers.is_empty() => Finding::ok(NAME, format!("{what}, and nothing stands in its way")),
            (None, None) if rotation.needs_a_hand => Finding::warn(
                NAME,
                format!("{what}; in its way: {}", list(&rotation.blockers)),
                "see to what is named; the rest goes away by itself",
            ),
            (None, None) => Finding::ok(NAME, format!("{what}; it waits for {}", list(&rotation.blockers))),
        }
    });
    let found: Vec<Finding> = under_way.collect();
    if found.is_empty() { vec![Finding::ok(NAME, "no key is being rotated")] } else { found }
}

fn tokens_that_end(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "tokens-that-end";
    let mut found = Vec::new();
    for zone in &facts.zones {
        let Some(on) = zone.stands_on.as_ref().filter(|on| on.renews != "yes") else { continue };
        let Some(ends) = on.expires_at else { continue };
        let left = ends.duration_since(facts.now);
        let is_in_memory = on.renews == "no (file)";
        // What is only in memory is gone with the next restart, whenever it ends.
        if left > TOKEN_ENDS_SOON && !is_in_memory {
            continue;
        }
        let (id, name) = (&on.token_id, &zone.name);
        let remedy = if is_in_memory {
            format!(
                "let the control plane of {name} read and write its token file and make files in its folder (a token that \
                 was given inline: give it in a file), and see that a good token is in it"
            )
        } else {
            format!(
                "`kumactl generate` a token for {name} and put it where the zone reads it, or let the zone renew it"
            )
        };
        found.push(match (left.is_negative(), is_in_memory) {
            (true, _) => Finding::fail(NAME, format!("token {id} of zone {name} ended at {ends}"), remedy),
            (false, true) => Finding::warn(
                NAME,
                format!(
                    "zone {name} renews its token in memory only (the one in use, {id}, ends at {ends}): when its control \
                     plane restarts, the one that it was started with has to be still good, or it is refused"
                ),
                remedy,
            ),
            (false, false) => {
                Finding::warn(NAME, format!("token {id} of zone {name} ends at {ends}, and nobody renews it"), remedy)
            }
        });
    }
    if found.is_empty() {
        found.push(Finding::ok(NAME, "no token that a zone stands on ends within 7 days without being renewed"));
    }
    found
}

fn tokens_without_end(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "tokens-without-end";
    let zones: Vec<&str> = facts
        .zones
        .iter()
        .filter(|zone| zone.stands_on.as_ref().is_some_and(|on| on.expires_at.is_none()))
        .filter(|zone| zone.online || !stood_on_what_is_gone(facts, zone))
        .map(|zone| zone.name.as_str())
        .collect();
    let issued: Vec<String> =
        facts.tokens.iter().filter(|token| !token.ends).map(|token| format!("{} ({})", token.of, token.id)).collect();
    if zones.is_empty() && issued.is_empty() {
        return vec![Finding::ok(NAME, "no token without an end is known")];
    }
    let until = match facts.legacy_tokens_until {
        None => "they are accepted for ever".to_owned(),
        Some(until) if until <= facts.now => format!("they are refused since {until}"),
        Some(until) => format!("they are accepted until {until}"),
    };
    let (issued, on_one) = (list(&issued), names(zones.iter().copied()));
    let what = format!("tokens without an end were issued to {issued}; zones that stand on one: {on_one}; {until}");
    let remedy = "issue tokens with `--valid-for`, then set multizone.global.kds.auth.legacyTokensUntil";
    let refused = facts.legacy_tokens_until.is_some_and(|until| until <= facts.now) && !zones.is_empty();
    vec![if refused { Finding::fail(NAME, what, remedy) } else { Finding::warn(NAME, what, remedy) }]
}

/// Whether the key is gone on which an absent zone stood: its token is good for nothing, end or none.
fn stood_on_what_is_gone(facts: &Facts, zone: &ZoneFacts) -> bool {
    let Some(on) = &zone.stands_on else { return false };
    // A key of the settings has a name, and is there as long as they are.
    let Ok(serial) = on.key.parse::<u64>() else { return false };
    !facts.keys.iter().any(|key| key.family == on.family && key.serial == serial)
}

/// Reasons that an operator gives: whoever took a token or key away wants nobody to come in with it.
const WANTED: [&str; 3] = ["revoked", "zone-deleted", "key-retired"];

fn refusals(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "refusals";
    let recent = |at: Timestamp| facts.now.duration_since(at) <= RECENT;
    let found: Vec<Finding> = facts
        .zones
        .iter()
        .filter_map(|zone| zone.refused.as_ref().filter(|refusal| recent(refusal.at)).map(|refusal| (zone, refusal)))
        .map(|(zone, refusal)| {
            let what = format!("zone {} {} at {}: {}", zone.name, refusal.happened(), refusal.at, refusal.told());
            if WANTED.contains(&refusal.reason.as_str()) {
                let remedy = "nothing, if it was meant to be put out; else give it a new token (`kumactl generate`)";
                return Finding::warn(NAME, format!("{what} (somebody took its token or key away)"), remedy);
            }
            let remedy = match refusal.reason.as_str() {
                "missing" => "give it a token (`kumactl generate`), or a connector beside it that has one",
                _ => "`kumactl inspect token --file <its token>` says what is wrong with it",
            };
            // In shadow it was let in; and what keeps a zone away that was let in later is something else.
            let is_in = zone.online || zone.stands_on.as_ref().is_some_and(|on| refusal.at < on.since);
            if is_in || refusal.is_shadow() {
                Finding::warn(NAME, what, remedy)
            } else {
                Finding::fail(NAME, what, remedy)
            }
        })
        .collect();
    if found.is_empty() { vec![Finding::ok(NAME, "no zone was refused within a day")] } else { found }
}

/// Who says to be a zone that never was in. Nobody verified the name, so it is never a failure.
fn strangers(facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "strangers";
    let recent = facts.strangers.iter().filter(|(_, refusal)| facts.now.duration_since(refusal.at) <= RECENT);
    let told: Vec<String> = recent.map(|(name, refusal)| format!("{name} ({})", refusal.told())).collect();
    if told.is_empty() {
        return vec![Finding::ok(NAME, "no zone that never was in was refused within a day")];
    }
    let what = format!("these say to be zones, were refused within a day and never were in: {}", list(&told));
    let remedy =
        "if it is a zone of yours: `kumactl inspect token --file <its token>` says what is wrong with the token";
    vec![Finding::warn(NAME, what, remedy)]
}

/// A few names and how many more there are.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    list(&names.map(str::to_owned).collect::<Vec<_>>())
}

fn list(items: &[String]) -> String {
    let (shown, more) = (items.get(..NAMED).unwrap_or(items), items.len().saturating_sub(NAMED));
    match (items.is_empty(), more) {
        (true, _) => "nobody".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
