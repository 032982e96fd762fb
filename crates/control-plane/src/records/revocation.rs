//! A revocation as it is kept: what an operator took back, who did it and why, and until when it matters.
//!
//! Its name begins with its family, `revocation.<token word>[.<mesh>].<uuid>`: of one that cannot be read it is known whose
//! tokens cannot be judged, and tokens of other families are.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokens::{Family, NoFamily, RevocationRule, Revoked};
use uuid::Uuid;

use super::{Record, text};

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub(crate) struct Revocation {
    /// Its own id.
    pub(crate) id: Uuid,
    /// What is revoked.
    pub(crate) rule: RevocationRule,
    /// Why, if somebody said.
    pub(crate) reason: Option<String>,
    /// Who did it.
    pub(crate) by: String,
    /// When it was done.
    pub(crate) at: Timestamp,
    /// When the one token that it names ends, if that is known.
    pub(crate) until: Option<Timestamp>,
    /// Since when none of the keys is there that may have signed what it names.
    pub(crate) keys_gone: Option<Timestamp>,
}

/// Says what is revoked, for people.
impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RevocationRule { family, what, before, .. } = &self.rule;
        let token = family.token_word();
        match what {
            Revoked::Id(id) => write!(f, "the {token} {id}")?,
            Revoked::Zone(zone) => write!(f, "all {token}s of zone {zone}")?,
            Revoked::Key(serial) => write!(f, "all {token}s of signing key {serial}")?,
            Revoked::All => write!(f, "all {token}s")?,
        }
        if let Some(mesh) = family.mesh() {
            write!(f, " of mesh {mesh}")?;
        }
        match before {
            Some(before) if !matches!(what, Revoked::Id(_)) => write!(f, " that were issued before {before}"),
            Some(_) | None => Ok(()),
        }
    }
}

impl Record for Revocation {
    const FRONT: &'static str = "revocation";

    fn rest(&self) -> String {
        let family = &self.rule.family;
        match family.mesh() {
            Some(mesh) => format!("{}.{mesh}.{}", family.token_word(), self.id),
            None => format!("{}.{}", family.token_word(), self.id),
        }
    }
}

/// Returns the family that the name of a revocation says it is of.
pub(crate) fn family_in(name: &str) -> Option<Family> {
    let rest = name.strip_prefix(Revocation::FRONT)?.strip_prefix('.')?;
    let (family, _id) = rest.rsplit_once('.')?;
    match family.split_once('.') {
        Some((word, mesh)) => Family::of_word(word, Some(mesh)).ok(),
        None => Family::of_word(family, None).ok(),
    }
}

/// The members of the record, one of `token`, `zone` and `key` or none of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    #[serde(with = "text")]
    id: Uuid,
    family: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mesh: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<u64>,
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    spared: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<BTreeSet<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    by: String,
    #[serde(with = "text")]
    at: Timestamp,
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    keys_gone: Option<Timestamp>,
}

/// Why the members make no revocation.
#[derive(Debug, Error)]
enum NoRevocation {
    #[error(transparent)]
    Family(#[from] NoFamily),
    #[error("it names a token, a zone and a key, or two of them")]
    SeveralSelectors,
}

impl TryFrom<Kept> for Revocation {
    type Error = NoRevocation;

    fn try_from(kept: Kept) -> Result<Self, NoRevocation> {
        let family = Family::of_word(&kept.family, kept.mesh.as_deref())?;
        let what = match (kept.token, kept.zone, kept.key) {
            (Some(id), None, None) => Revoked::Id(id),
            (None, Some(zone), None) => Revoked::Zone(zone),
            (None, None, Some(serial)) => Revoked::Key(serial),
            (None, None, None) => Revoked::All,
            _ => return Err(NoRevocation::SeveralSelectors),
        };
        let Kept { before, spared, keys, .. } = kept;
        let rule = RevocationRule { family, what, before, spared, keys };
        let Kept { id, reason, by, at, until, keys_gone, .. } = kept;
        Ok(Self { id, rule, reason, by, at, until, keys_gone })
    }
}

impl From<Revocation> for Kept {
    fn from(revocation: Revocation) -> Self {
        let Revocation { id, rule, reason, by, at, until, keys_gone } = revocation;
        let (family, mesh) = (rule.family.token_word().to_owned(), rule.family.mesh().map(str::to_owned));
        let (mut token, mut zone, mut key) = (None, None, None);
        match rule.what {
            Revoked::Id(id) => token = Some(id),
            Revoked::Zone(name) => zone = Some(name),
            Revoked::Key(serial) => key = Some(serial),
            Revoked::All => {}
        }
        let RevocationRule { before, spared, keys, .. } = rule;
        Self { id, family, mesh, token, zone, key, before, spared, keys, reason, by, at, until, keys_gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: RevocationRule, expected: &str) {
        let revocation = Revocation {
            id: Uuid::nil(),
            rule,
            reason: Some("leaked".to_owned()),
            by: "john".to_owned(),
            at: "2026-11-28T12:00:00Z".parse().unwrap(),
            until: None,
            keys_gone: Some("2026-11-29T12:00:00Z".parse().unwrap()),
        };
        let text = serde_json::to_string(&revocation).unwrap();
        let rest = r#""reason":"leaked","by":"john","at":"2026-11-28T12:00:00Z","keysGone":"2026-11-29T12:00:00Z"}"#;
        assert_eq!(text, format!(r#"{{"id":"{}",{expected},{rest}"#, Uuid::nil()));
        assert_eq!(serde_json::from_str::<Revocation>(&text).unwrap(), revocation);
        let name = super::super::key::<Revocation>(&revocation.rest()).name;
        assert_eq!(family_in(&name), Some(revocation.rule.family), "{name}");
    }

    fn rule(family: Family, what: Revoked, before: Option<&str>) -> RevocationRule {
        let before = before.map(|before| before.parse().unwrap());
        RevocationRule { family, what, before, spared: BTreeSet::new(), keys: None }
    }

    #[test]
    fn revocations_come_back_as_they_were_and_their_names_say_the_family() {
        let mesh = || Family::Dataplane { mesh: "a.b".to_owned() };
        check(rule(Family::User, Revoked::Id("x".to_owned()), None), r#""family":"user-token","token":"x""#);
        check(
            rule(Family::ControlPlane, Revoked::Zone("west".to_owned()), Some("2026-11-28T12:00:01Z")),
            r#""family":"control-plane-token","zone":"west","before":"2026-11-28T12:00:01Z""#,
        );
        check(rule(mesh(), Revoked::Key(2), None), r#""family":"dataplane-token","mesh":"a.b","key":2"#);
        let (spared, keys) = (BTreeSet::from(["y".to_owned()]), Some(BTreeSet::from([1, 2])));
        check(
            RevocationRule { spared, keys, ..rule(Family::Zone, Revoked::All, None) },
            r#""family":"zone-token","spared":["y"],"keys":[1,2]"#,
        );
    }

    #[test]
    fn what_is_no_revocation_is_not_read_as_one() {
        let read = |members: &str| {
            let text = format!(r#"{{"id":"{}",{members},"by":"x","at":"2026-11-28T12:00:00Z"}}"#, Uuid::nil());
            serde_json::from_str::<Revocation>(&text).map(drop).map_err(|error| error.to_string())
        };
        read(r#""family":"user-token""#).unwrap();
        for (members, problem) in [
            (r#""family":"nope""#, "there is no family"),
            (r#""family":"dataplane-token""#, "name the mesh"),
            (r#""family":"user-token","mesh":"m""#, "leave the mesh out"),
            (r#""family":"zone-token","zone":"west","key":1"#, "two of them"),
            (r#""family":"zone-token","key":"1""#, "invalid type"),
        ] {
            let error = read(members).unwrap_err();
            assert!(error.contains(problem), "{members}: {error}");
        }
        for name in
            ["revocation", "revocation.x", "revocation.nope.x", "revocation.dataplane-token.x", "token.user-token.x"]
        {
            assert_eq!(family_in(name), None, "{name}");
        }
    }
}
