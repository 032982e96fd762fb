//! What a token says of itself, for whoever has it and cannot verify it: its owner.

use jiff::Timestamp;

use crate::{Rejection, claims::Registered, jws, token_id::TokenId};

/// What a token says of itself. Nothing of it is proven, and nobody is let in by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// What it is called.
    pub id: String,
    /// The zone that it is for, if it is for one.
    pub zone: Option<String>,
    /// The key that it says signed it: `kid`, or the serial of older control plane tokens.
    pub key: Option<String>,
    /// When its life begins: when it was issued, or is good from.
    pub begins_at: Option<Timestamp>,
    /// When it ends; never if there is no such time.
    pub expires_at: Option<Timestamp>,
}

impl Outline {
    /// Reads a token. One that cannot be read is refused everywhere.
    pub fn of(raw: &str) -> Result<Self, Rejection> {
        let token = jws::parse(raw)?;
        let Registered { expires_at, not_before, issued_at, id } = Registered::read(&token.claims)?;
        let serial = || token.claims.get("TokenSerialNumber").and_then(serde_json::Value::as_u64);
        Ok(Self {
            id: TokenId::of(raw, id).as_str().to_owned(),
            zone: token.claims.get("Zone").and_then(serde_json::Value::as_str).map(str::to_owned),
            key: token.kid.clone().or_else(|| Some(serial()?.to_string())),
            begins_at: issued_at.or(not_before),
            expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::ZoneName;
    use uuid::Uuid;

    use super::*;
    use crate::{KeyRing, Scope, SecretEntry, generate_signing_key, issue_control_plane, issue_zone};

    #[test]
    fn a_token_says_how_it_is_called_and_how_long_it_lives() {
        let key = generate_signing_key();
        let names = ["control-plane-signing-key-0003", "zone-token-signing-key-7"];
        let secrets = names.map(|name| SecretEntry { mesh: "", name, data: Some(key.reveal().as_bytes()) });
        let (ring, _) = KeyRing::build(1, &secrets);
        let (zone, id) = (ZoneName::parse("west").unwrap(), Uuid::from_u128(1));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let minute = Duration::from_secs(60);
        let token = issue_zone(&ring, &zone, Some(&[Scope::Cp]), minute, now, id).unwrap();
        let outline = Outline::of(token.reveal()).unwrap();
        assert_eq!((outline.id.as_str(), outline.key.as_deref()), (token.id(), Some("7")));
        assert_eq!(outline.zone.as_deref(), Some("west"));
        assert_eq!(outline.begins_at, Some(Timestamp::from_second(999_995).unwrap()));
        assert_eq!(outline.expires_at, token.expires_at());
        let token = issue_control_plane(&ring, &zone, None, now, id).unwrap();
        let outline = Outline::of(token.reveal()).unwrap();
        assert!(outline.id.starts_with("sha256:"), "{outline:?}");
        assert_eq!((outline.key.as_deref(), outline.begins_at, outline.expires_at), (Some("3"), None, None));
        for broken in ["", "no token", "a.b.c"] {
            assert!(Outline::of(broken).is_err(), "{broken}");
        }
    }
}
