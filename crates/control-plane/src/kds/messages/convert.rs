//! Generated messages into `sync` messages and back, and verdicts into gRPC status codes. The only place for both.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use model::{Kind, Labels, SpecForm, text};
use prost::Message as _;
use prost_types::Any;
use sha2::{Digest as _, Sha256};
use sync::{DeltaRequest, DeltaResponse, Entry, Incoming, Outgoing, Received, Side, WireName};
use tokens::Rejection;
use tonic::Status;
use wire::{
    envoy::{
        config::core::v3::{ControlPlane, Node},
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    google,
    kuma::mesh::v1alpha1::{KumaResource, ZoneHealthCheckResponse, kuma_resource::Meta},
};

use crate::{
    kds::messages::{
        malformed::Malformed,
        request::{Request, Requester},
    },
    keys::KeysBehind,
    zones::registry::CloseReason,
};

/// The type of every `Any` inside a resource (contract: kds 4.3).
const KUMA_RESOURCE: &str = "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource";
const TYPE_PREFIX: &str = "type.googleapis.com/";
/// What stands in `system_version_info`, which real peers leave empty, while more of a first response follows.
const MORE: &str = "more";
/// A global that names a shorter pause would keep its zones busy with pings.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Encodes one resource: once, for all zones. The payload is the finished `resources` field of a response.
pub(crate) fn entry(kind: Kind, outgoing: Outgoing) -> Entry {
    let Outgoing { name, labels, spec, status, origin_zone, needs, needs_for_all } = outgoing;
    let bytes = kuma_resource(kind, &name, labels, &spec, status).encode_to_vec();
    let version = hex(&Sha256::digest(&bytes));
    let resource = Resource {
        version: version.clone(),
        resource: Some(Any { type_url: KUMA_RESOURCE.to_owned(), value: bytes }),
        name: name.to_string(),
    };
    let mut payload = BytesMut::with_capacity(resource.encoded_len() + 8);
    prost::encoding::message::encode(2, &resource, &mut payload);
    Entry { name, version, payload: payload.freeze(), origin_zone, needs, needs_for_all }
}

/// The version that something stored here came with, computed from what is stored: the same bytes, so the same hash.
///
/// A zone keeps a status of its own, so what came from global carried the empty one.
pub(crate) fn version_of_received(resource: &model::Resource, side: Side<'_>) -> String {
    let key = &resource.key;
    let name = WireName { mesh: key.mesh.clone(), name: key.name.clone() };
    let status = match side {
        Side::Zone => key.kind.empty_status.map(|empty| Bytes::from_static(empty.as_bytes())),
        Side::Global { .. } => resource.status.clone(),
    };
    let kuma = kuma_resource(key.kind, &name, resource.labels.clone(), &resource.spec, status);
    hex(&Sha256::digest(kuma.encode_to_vec()))
}

fn kuma_resource(kind: Kind, name: &WireName, labels: Labels, spec: &[u8], status: Option<Bytes>) -> KumaResource {
    let spec = match kind.spec {
        SpecForm::Proto(message) => Any { type_url: format!("{TYPE_PREFIX}{message}"), value: spec.to_vec() },
        SpecForm::Json => Any { type_url: String::new(), value: spec.to_vec() },
    };
    let meta = Meta { name: name.name.clone(), mesh: name.mesh.clone(), version: String::new(), labels };
    let status = status.map(|status| Any { type_url: String::new(), value: status.to_vec() });
    KumaResource { meta: Some(meta), spec: Some(spec), status }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Encodes a response by joining what was encoded before.
pub(crate) fn response_frame(response: &DeltaResponse, identifier: &str) -> Bytes {
    let tail = DeltaDiscoveryResponse {
        system_version_info: if response.more { MORE.to_owned() } else { String::new() },
        type_url: response.kind.clone(),
        nonce: response.nonce.clone(),
        removed_resources: response.removed.iter().map(WireName::to_string).collect(),
        control_plane: Some(ControlPlane { identifier: identifier.to_owned() }),
        ..DeltaDiscoveryResponse::default()
    };
    let payloads: usize = response.changed.iter().map(|entry| entry.payload.len()).sum();
    let mut frame = BytesMut::with_capacity(payloads + tail.encoded_len());
    for entry in &response.changed {
        frame.put_slice(&entry.payload);
    }
    frame.put_slice(&tail.encode_to_vec());
    frame.freeze()
}

/// Encodes a request. `node` carries the metadata on first requests only.
pub(crate) fn request_frame(request: DeltaRequest, node: Node) -> Bytes {
    let message = DeltaDiscoveryRequest {
        node: Some(node),
        type_url: request.kind,
        resource_names_subscribe: request.subscribe,
        initial_resource_versions: request.initial_versions,
        response_nonce: request.nonce,
        error_detail: request.error.map(|message| google::rpc::Status { message, ..Default::default() }),
        ..DeltaDiscoveryRequest::default()
    };
    message.encode_to_vec().into()
}

/// Reads a request of the peer of `zone`; who it is from is returned for what it says of itself.
pub(crate) fn request(message: Request, zone: &str) -> Result<(DeltaRequest, Requester), Malformed> {
    let from = Requester::read(message.node.ok_or(Malformed::NoNode)?)?;
    if from.id != zone {
        return Err(Malformed::OtherNode { found: text::of_peer(&from.id), expected: zone.to_owned() });
    }
    if message.type_url.is_empty() {
        return Err(Malformed::NoType);
    }
    let request = DeltaRequest {
        kind: message.type_url,
        nonce: message.response_nonce,
        error: message.error_detail.map(|status| status.message),
        subscribe: message.resource_names_subscribe,
        initial_versions: message.initial_resource_versions,
    };
    Ok((request, from))
}

/// Reads a response of a peer, resource by resource. Whether the kind was asked for is the receiver's business.
pub(crate) fn incoming(message: DeltaDiscoveryResponse) -> Result<Incoming, Malformed> {
    let kind_name = text::of_peer(&message.type_url);
    if kind_name.is_empty() {
        return Err(Malformed::NoType);
    }
    let kind = Kind::by_name(&kind_name);
    let mut resources = Vec::with_capacity(message.resources.len());
    for (index, resource) in message.resources.into_iter().enumerate() {
        let received =
            received(kind, resource).map_err(|what| Malformed::Resource { kind: kind_name.clone(), index, what })?;
        resources.push(received);
    }
    let removed = message.removed_resources.iter().map(|entry| WireName::parse(entry)).collect();
    let more = message.system_version_info == MORE;
    Ok(Incoming { kind: kind_name, nonce: message.nonce, resources, removed, more })
}

fn received(kind: Option<Kind>, resource: Resource) -> Result<Received, String> {
    let any = resource.resource.ok_or("it has no content")?;
    if any.type_url != KUMA_RESOURCE {
        return Err(format!("its type is `{}` and not `{KUMA_RESOURCE}`", text::of_peer(&any.type_url)));
    }
    let kuma =
        KumaResource::decode(any.value.as_slice()).map_err(|broken| format!("it cannot be decoded: {broken}"))?;
    let meta = kuma.meta.ok_or("it has no `meta`")?;
    if meta.name.is_empty() {
        return Err("it has no name".to_owned());
    }
    let spec = kuma.spec.ok_or("it has no `spec`")?;
    match kind.map(|kind| kind.spec) {
        Some(SpecForm::Json) => {
            serde_json::from_slice::<serde::de::IgnoredAny>(&spec.value)
                .map_err(|broken| format!("its spec is no JSON: {broken}"))?;
        }
        Some(SpecForm::Proto(message)) if spec.type_url.strip_prefix(TYPE_PREFIX) != Some(message) => {
            return Err(format!("its spec is `{}` and not `{message}`", text::of_peer(&spec.type_url)));
        }
        Some(SpecForm::Proto(_)) | None => {}
    }
    let status = kuma.status.map(|status| Bytes::from(status.value)).filter(|status| !status.is_empty());
    if let Some(status) = &status {
        serde_json::from_slice::<serde::de::IgnoredAny>(status)
            .map_err(|broken| format!("its status is no JSON: {broken}"))?;
    }
    Ok(Received {
        name: WireName { mesh: meta.mesh, name: meta.name },
        labels: meta.labels,
        spec: spec.value.into(),
        status,
    })
}

/// The pause between pings that global names, if it is one, and never a shorter one than `SHORTEST_PAUSE`. Read by hand:
/// the library's conversion overflows on the smallest number of seconds there is.
pub(crate) fn ping_interval(response: &ZoneHealthCheckResponse) -> Option<Duration> {
    let named = response.interval?;
    let (seconds, nanos) = (u64::try_from(named.seconds).ok()?, u64::try_from(named.nanos).ok()?);
    let interval = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos))?;
    (!interval.is_zero()).then(|| interval.max(SHORTEST_PAUSE))
}

/// The status of a refused call: the peer gets the text that helps it (contract: tokens 2.8).
pub(crate) fn refusal_status(rejection: &Rejection) -> Status {
    let text = rejection.to_string();
    if rejection.is_permission_denied() { Status::permission_denied(text) } else { Status::unauthenticated(text) }
}

/// The status of a call that cannot be judged now: the zone comes again, and its token may well be good.
pub(crate) fn behind_status(behind: &KeysBehind) -> Status {
    Status::unavailable(behind.to_string())
}

/// The status that ends a live stream. Never OK: a zone takes that for an end for good (contract: kds 1.6).
pub(crate) fn close_status(reason: &CloseReason) -> Status {
    match reason {
        CloseReason::Refused(_) | CloseReason::KeyRetired => Status::unauthenticated(reason.to_string()),
        CloseReason::Replaced { .. } => Status::aborted(reason.to_string()),
        CloseReason::Draining | CloseReason::Silent => Status::unavailable(reason.to_string()),
        CloseReason::ZoneDeleted => Status::not_found(reason.to_string()),
        CloseReason::TooManyStreams | CloseReason::TooManyConnections => Status::resource_exhausted(reason.to_string()),
    }
}

/// The status that ends a stream whose peer sent what could not be received; too large has the code of real peers
/// (contract: kds 1.4), whichever library measured it.
pub(crate) fn inbound_status(status: Status) -> Status {
    match status.code() {
        tonic::Code::OutOfRange => Status::resource_exhausted(status.message()),
        _ => status,
    }
}

/// The status that ends the stream of a peer that sent something broken.
pub(crate) fn malformed_status(malformed: &Malformed) -> Status {
    Status::invalid_argument(malformed.to_string())
}

#[cfg(test)]
mod tests;
