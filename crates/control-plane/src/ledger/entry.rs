//! What is kept of a token that was handed out: everything but the token.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokens::{Algorithm, Family, KeyId, NoFamily, TokenFacts};

use crate::records::{Record, text};

/// One token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) struct Entry {
    /// Its `jti`; of one without, `sha256:` and a part of the hash of its text.
    pub(crate) id: String,
    /// The key that signed it, and so the family.
    pub(crate) key: KeyId,
    /// How it is signed.
    pub(crate) algorithm: Algorithm,
    /// The zone it is for, if it is for one.
    pub(crate) zone: Option<String>,
    /// The user or the proxy it is for, if it is for one.
    pub(crate) name: Option<String>,
    /// What it is good for, if it says so.
    pub(crate) scope: Option<Vec<String>>,
    /// When it was issued: the real moment, which the token itself sets back.
    pub(crate) issued_at: Timestamp,
    /// When it says itself that it was issued, if it says so: a little earlier, or later where a rule revokes what is older.
    pub(crate) iat: Option<Timestamp>,
    /// When it ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// Who asked for it.
    pub(crate) by: String,
    /// How it came to be.
    pub(crate) how: How,
    /// When somebody first showed it.
    pub(crate) first_seen: Option<Timestamp>,
}

impl Entry {
    /// The family of the token.
    pub(crate) fn family(&self) -> &Family {
        &self.key.family
    }

    /// What rules of revocation ask of it.
    pub(crate) fn facts(&self) -> TokenFacts<'_> {
        TokenFacts { key: &self.key, id: &self.id, zone: self.zone.as_deref(), issued_at: self.iat }
    }

    /// Whose it is: tokens of one family with one owner come one after the other.
    pub(super) fn owner(&self) -> (&Family, Option<&str>, Option<&str>) {
        (&self.key.family, self.zone.as_deref(), self.name.as_deref())
    }
}

impl Record for Entry {
    const FRONT: &'static str = "token";

    fn rest(&self) -> String {
        format!("{}.{}", self.family().token_word(), self.id)
    }
}

/// How a token came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum How {
    /// Somebody asked for it.
    Command,
    /// Its zone took it in good time before the end of the one before.
    Renewal,
    /// Its zone took it because the key of the one before is being retired.
    Rotation,
}

impl How {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Renewal => "renewal",
            Self::Rotation => "rotation",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An entry as it is written: words and texts for what has a type.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    family: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mesh: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Vec<String>>,
    key: u64,
    #[serde(with = "text")]
    algorithm: Algorithm,
    #[serde(with = "text")]
    issued_at: Timestamp,
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    iat: Option<Timestamp>,
    #[serde(with = "text::option")]
    expires_at: Option<Timestamp>,
    by: String,
    how: How,
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    first_seen: Option<Timestamp>,
}

impl From<Entry> for Written {
    fn from(entry: Entry) -> Self {
        let Entry { id, key, algorithm, zone, name, scope, issued_at, iat, expires_at, by, how, first_seen } = entry;
        let (family, mesh) = (key.family.token_word().to_owned(), key.family.mesh().map(str::to_owned));
        let key = key.serial;
        Self { id, family, mesh, zone, name, scope, key, algorithm, issued_at, iat, expires_at, by, how, first_seen }
    }
}

impl TryFrom<Written> for Entry {
    type Error = NoFamily;

    fn try_from(written: Written) -> Result<Self, NoFamily> {
        let Written { id, family, mesh, zone, name, scope, key, algorithm, .. } = written;
        let key = KeyId { family: Family::of_word(&family, mesh.as_deref())?, serial: key };
        let Written { issued_at, iat, expires_at, by, how, first_seen, .. } = written;
        Ok(Self { id, key, algorithm, zone, name, scope, issued_at, iat, expires_at, by, how, first_seen })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_written_in_words_and_read_back() {
        let written = json!({
            "id": "7", "family": "dataplane-token", "mesh": "default", "name": "dp", "key": 2, "algorithm": "RS256",
            "issuedAt": "2026-01-01T00:00:00.5Z", "iat": "2025-12-31T23:59:55Z", "expiresAt": null, "by": "john", "how": "renewal"
        });
        let entry: Entry = serde_json::from_value(written.clone()).unwrap();
        assert_eq!((entry.family().mesh(), entry.how), (Some("default"), How::Renewal));
        assert_eq!(entry.rest(), "dataplane-token.7");
        assert_eq!(serde_json::to_value(&entry).unwrap(), written);
        for (field, bad) in [("family", json!("x")), ("mesh", json!(null)), ("how", json!("x")), ("issuedAt", json!(1))]
        {
            let mut written = written.clone();
            written[field] = bad;
            assert!(serde_json::from_value::<Entry>(written).is_err(), "{field}");
        }
    }
}
