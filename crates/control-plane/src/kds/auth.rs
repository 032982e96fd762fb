//! Authentication in front of every RPC of the KDS port, `HealthCheck` included (contract: tokens 2.8).

use http::HeaderMap;
use jiff::Timestamp;
use model::ZoneName;
use tokens::{Accept, KeyRing, Want};
use tonic::Status;

use crate::{
    config::{AuthType, GlobalAuth},
    kds::convert::refusal_status,
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
}

/// Authenticates a call by its headers.
pub(crate) fn authenticate(
    headers: &HeaderMap,
    auth: &GlobalAuth,
    ring: &KeyRing,
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
    let verified = tokens::bearer(&values).and_then(|raw| {
        let want = Want { zone: zone.as_str(), accept, leeway: auth.leeway };
        tokens::verify(raw, ring, now, &want)
    });
    match verified {
        Ok(verified) => {
            Ok(Authenticated { caller: ZoneCaller::Verified(verified), ring_generation: ring.generation() })
        }
        Err(rejection) => Err(Refusal { reason: rejection.reason(), status: refusal_status(&rejection) }),
    }
}

/// The zone that the peer says it is: the first `client-id`, which must be a zone name.
fn client_id(headers: &HeaderMap) -> Result<ZoneName, Refusal> {
    let refuse = |text: String| Refusal { status: Status::invalid_argument(text), reason: "no-client-id" };
    let Some(value) = headers.get("client-id") else {
        return Err(refuse("\"client-id\" is not present in metadata".to_owned()));
    };
    let text = value.to_str().unwrap_or_default();
    ZoneName::parse(text).map_err(|wrong| refuse(format!("\"client-id\" is no zone name: {wrong}")))
}
