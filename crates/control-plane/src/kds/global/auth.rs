//! Authentication in front of every RPC of the KDS port, `HealthCheck` included (contract: tokens 2.8).

use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use model::ZoneName;
use tokens::{Accept, KeyRing, SignedZone, Want};
use tonic::Status;

use crate::{
    config::{AuthType, GlobalAuth},
    kds::messages::convert::{behind_status, refusal_status},
    keys::Keys,
    verdicts::Verdicts,
    zones::caller::ZoneCaller,
};

/// A caller that proved who it is, and the generation of the key ring that proved it.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) caller: ZoneCaller,
    pub(crate) ring_generation: u64,
}

/// A refusal: what the peer is told, and the word for metric and log.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
    /// Who it is if authentication of the zone is in shadow; nobody if the call does not even say which zone it is.
    pub(crate) in_shadow: Option<Authenticated>,
}

impl Refusal {
    fn of_nobody(status: Status, reason: &'static str) -> Self {
        Self { status, reason, in_shadow: None }
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Something is read or written over it: who makes it is let in.
    Enter,
    /// It keeps a session alive that was let in before, and nothing else.
    Ping,
}

/// The ring that decides on a call: none while nobody knows whether its keys are still good. Sessions stay meanwhile, so
/// pings are judged by what is known; and where no keys are needed their age does not matter.
pub(crate) fn ring_for(purpose: Purpose, auth: &GlobalAuth, keys: &Keys) -> Result<Arc<KeyRing>, Refusal> {
    match (auth.kind, purpose) {
        (AuthType::None, _) | (_, Purpose::Ping) => Ok(keys.ring()),
        (AuthType::CpToken | AuthType::ZoneToken, Purpose::Enter) => {
            let ring = keys.to_admit_within(auth.max_staleness);
            ring.map_err(|behind| Refusal::of_nobody(behind_status(&behind), "keys-behind"))
        }
    }
}

/// Authenticates a call by its headers.
pub(crate) fn authenticate(
    headers: &HeaderMap,
    auth: &GlobalAuth,
    ring: &KeyRing,
    verdicts: &Verdicts<SignedZone>,
    now: Timestamp,
) -> Result<Authenticated, Refusal> {
    let zone = client_id(headers)?;
    let accept = match auth.kind {
        AuthType::None => return Ok(Authenticated { caller: ZoneCaller::Unverified(zone), ring_generation: 0 }),
        AuthType::CpToken => Accept::CpToken,
        AuthType::ZoneToken => Accept::ZoneToken,
    };
    let values: Vec<&str> = headers
        .get_all(http::header::AUTHORIZATION)
        .iter()
        // A value that is no text is no token: it is refused as one that cannot be parsed.
        .map(|value| value.to_str().unwrap_or("\u{fffd}"))
        .collect();
    let ring_generation = ring.generation();
    let want = Want { zone: zone.as_str(), accept, leeway: auth.leeway, legacy_until: auth.legacy_tokens_until };
    match tokens::bearer(&values).and_then(|raw| verdicts.zone(raw, ring, now, &want)) {
        Ok(verified) => Ok(Authenticated { caller: ZoneCaller::Verified(verified), ring_generation }),
        Err(why) => {
            let (status, reason) = (refusal_status(&why), why.reason());
            let caller = ZoneCaller::Shadowed { zone, why };
            Err(Refusal { status, reason, in_shadow: Some(Authenticated { caller, ring_generation }) })
        }
    }
}

/// The zone that the peer says it is: the first `client-id`, which must be a zone name.
pub(crate) fn client_id(headers: &HeaderMap) -> Result<ZoneName, Refusal> {
    let refuse = |text: String| Refusal::of_nobody(Status::invalid_argument(text), "no-client-id");
    let Some(value) = headers.get("client-id") else {
        return Err(refuse("\"client-id\" is not present in metadata".to_owned()));
    };
    let text = value.to_str().unwrap_or_default();
    ZoneName::parse(text).map_err(|wrong| refuse(format!("\"client-id\" is no zone name: {wrong}")))
}

#[cfg(test)]
mod tests {

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";

    fn auth(kind: AuthType) -> GlobalAuth {
        GlobalAuth { kind, ..GlobalAuth::default() }
    }

    fn ring() -> KeyRing {
        let entry = tokens::SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(KEY) };
        KeyRing::build(1, &[entry]).0
    }

    fn call(headers: &[(&'static str, &[u8])], kind: AuthType) -> Result<Authenticated, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        authenticate(&map, &auth(kind), &ring(), &Verdicts::default(), Timestamp::UNIX_EPOCH)
    }

    fn token(zone: &str) -> String {
        let zone = ZoneName::parse(zone).unwrap();
        let token =
            tokens::issue_control_plane(&ring(), &zone, None, Timestamp::UNIX_EPOCH, uuid::Uuid::nil()).unwrap();
        token.reveal().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn while_keys_may_be_too_old_nobody_enters_and_everybody_stays() {
        let store = store::testing::Database::new().instance();
        let shared: Arc<dyn store::ResourceStore> = Arc::new(store.clone());
        let keys = Keys::start(&shared, &crate::tasks::Tasks::new()).await.unwrap();
        store.fall_behind();
        tokio::time::sleep(GlobalAuth::default().max_staleness).await;
        for kind in [AuthType::CpToken, AuthType::ZoneToken] {
            let refusal = ring_for(Purpose::Enter, &auth(kind), &keys).unwrap_err();
            assert_eq!(
                refusal.status.code(),
                tonic::Code::Unavailable,
                "zones come again, their token is not to blame"
            );
            assert_eq!(refusal.reason, "keys-behind");
            assert!(ring_for(Purpose::Ping, &auth(kind), &keys).is_ok());
        }
        assert!(ring_for(Purpose::Enter, &auth(AuthType::None), &keys).is_ok());
    }

    #[test]
    fn a_good_token_names_the_zone() {
        let token = token("west");
        let bearer = format!("Bearer {token}");
        for value in [token.as_bytes(), bearer.as_bytes()] {
            let who = call(&[("client-id", b"west"), ("authorization", value)], AuthType::CpToken).unwrap();
            assert!(matches!(&who.caller, ZoneCaller::Verified(verified) if verified.zone().as_str() == "west"));
        }
    }

    #[test]
    fn every_missing_or_foreign_proof_has_its_code() {
        let west = token("west");
        let code = |headers: &[(&'static str, &[u8])]| call(headers, AuthType::CpToken).unwrap_err().status.code();
        assert_eq!(code(&[]), tonic::Code::InvalidArgument);
        assert_eq!(code(&[("client-id", b"Bad_Name")]), tonic::Code::InvalidArgument);
        assert_eq!(code(&[("client-id", b"west")]), tonic::Code::Unauthenticated);
        assert_eq!(code(&[("client-id", b"west"), ("authorization", b"")]), tonic::Code::Unauthenticated);
        assert_eq!(code(&[("client-id", b"east"), ("authorization", west.as_bytes())]), tonic::Code::PermissionDenied);
        let only_zone_tokens = call(&[("client-id", b"west"), ("authorization", west.as_bytes())], AuthType::ZoneToken);
        assert_eq!(only_zone_tokens.unwrap_err().status.code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn without_authentication_the_zone_is_whom_it_says() {
        let who = call(&[("client-id", b"west")], AuthType::None).unwrap();
        assert!(matches!(who.caller, ZoneCaller::Unverified(zone) if zone.as_str() == "west"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// Any bytes that may stand in a header: a refusal with a text, no panic, never a caller.
        #[test]
        fn generated_headers_are_refused(
            zone in proptest::collection::vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8], 0..80),
            raw in proptest::collection::vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8], 0..200),
            known_zone in any::<bool>(),
        ) {
            let zone: &[u8] = if known_zone { b"west" } else { &zone };
            let refusal = call(&[("client-id", zone), ("authorization", &raw)], AuthType::CpToken);
            let refusal = refusal.expect_err("garbage is no proof");
            prop_assert!(!refusal.status.message().is_empty());
            prop_assert!(!refusal.reason.is_empty());
        }

        /// A good token with one byte changed.
        #[test]
        fn a_changed_token_is_refused(index in any::<usize>(), byte in 0x21..0x7fu8) {
            let mut raw = token("west").into_bytes();
            let index = index % raw.len();
            prop_assume!(raw[index] != byte);
            raw[index] = byte;
            // The last character of base64 carries unused bits; strict decoding refuses those too.
            prop_assert!(call(&[("client-id", b"west"), ("authorization", &raw)], AuthType::CpToken).is_err());
        }
    }
}
