//! Any headers of a call: who is let in has the one good token of the zone it names.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use model::ZoneName;
use testkit::fuzz::{Form, Inputs};
use tokens::KeyRing;

use crate::{
    config::{AuthType, GlobalAuth},
    kds::global::auth::{self, Authenticated, Refusal},
    verdicts::Verdicts,
    zones::caller::ZoneCaller,
};

#[test]
fn any_headers_let_in_only_who_has_the_token() {
    let entry = tokens::SecretEntry {
        mesh: "",
        name: "control-plane-signing-key-0001",
        data: Some(b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E="),
    };
    let ring = KeyRing::build(1, &[entry]).0;
    let west = ZoneName::parse("west").unwrap();
    let token = tokens::issue_control_plane(&ring, &west, None, Timestamp::UNIX_EPOCH, uuid::Uuid::nil()).unwrap();
    let token = token.reveal();
    let lines = |bearer: &str| format!("client-id: west\nauthorization: {bearer}{token}\nfeatures: hash-suffix");
    let seeds = [
        lines(""),
        lines("Bearer "),
        lines("bearer  "),
        "client-id: west".to_owned(),
        format!("authorization: {token}"),
        // More than one of either, good and bad.
        format!("{}\nauthorization: other", lines("")),
        format!("client-id: east\n{}", lines("")),
    ];
    let words = ["client-id: ", "authorization: ", "Bearer ", token, "west", "\n"];
    let verdicts = Verdicts::default();
    testkit::fuzz!(Inputs::new(Form::Text).made(seeds).words(words).runs(4_000), |input| {
        let headers = headers(input);
        let call = |kind: AuthType| {
            let auth = GlobalAuth { kind, ..GlobalAuth::default() };
            check(auth::authenticate(&headers, &auth, &ring, &verdicts, Timestamp::UNIX_EPOCH))
        };
        let named = headers.get("client-id").and_then(|value| value.to_str().ok());
        if let Some(zone) = call(AuthType::None) {
            assert_eq!(Some(zone.as_str()), named, "the zone is whom it says");
        }
        if let Some(zone) = call(AuthType::CpToken) {
            assert_eq!((zone.as_str(), named), ("west", Some("west")));
            let given: Vec<&[u8]> = headers.get_all("authorization").iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(given.len(), 1, "one token is one token");
            assert!(given[0].ends_with(token.as_bytes()), "the token of west and no other");
        }
        assert_eq!(call(AuthType::ZoneToken), None, "a control plane token is no zone token");
    });
}

/// Reads lines `name: value`; what cannot stand in a header is left out.
fn headers(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b": ").or_else(|| value.strip_prefix(b":")).unwrap_or_default();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Returns the zone that is let in; a refusal says why.
fn check(answer: Result<Authenticated, Refusal>) -> Option<ZoneName> {
    match answer {
        Ok(authenticated) => Some(match authenticated.caller {
            ZoneCaller::Verified(verified) => verified.zone().clone(),
            ZoneCaller::Unverified(zone) | ZoneCaller::Shadowed { zone, .. } => zone,
        }),
        Err(refusal) => {
            assert!(!refusal.status.message().is_empty() && !refusal.reason.is_empty());
            assert_ne!(refusal.status.code(), tonic::Code::Ok);
            None
        }
    }
}
