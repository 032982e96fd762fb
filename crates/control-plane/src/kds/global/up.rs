//! One ZoneToGlobalSync stream at the global: roles are inverted, the zone provides and global asks.

use std::sync::Arc;

use model::{Kind, text};
use sync::{Features, Receiver};
use tonic::{Code, Status};
use tracing::{info, warn};
use wire::envoy::service::discovery::v3::DeltaDiscoveryResponse;

use crate::{
    kds::{
        apply::{Applier, Origin},
        frames::{
            inbound::Inbound,
            outbound::{Frames, NotSent},
        },
        global::context::Context,
        messages::{convert, node},
    },
    zones::{insight::StreamName, registry::StreamGuard},
};

/// Serves the stream until it ends, then tells the peer why.
pub(crate) async fn serve(
    context: Arc<Context>,
    mut guard: StreamGuard,
    mut inbound: Inbound<DeltaDiscoveryResponse>,
    mut frames: Frames,
    zone_can: Features,
) -> Code {
    let zone = guard.caller().zone().clone();
    let ended = match context.ensure_zone(&zone).await {
        Ok(()) => {
            context.insights.stream_opened(&zone, StreamName::ZoneToGlobalSync);
            run(&context, &mut guard, &mut inbound, &mut frames, zone_can).await
        }
        Err(status) => Some(status),
    };
    // Before the log is written: a thousand streams may end together.
    let code = frames.end_with(ended.clone());
    match &ended {
        Some(status) => {
            info!(code = ?status.code(), reason = %text::of_peer(status.message()), "ZoneToGlobalSync ended");
        }
        None => info!("ZoneToGlobalSync ended by the zone"),
    }
    code
}

/// Returns the status to end with, or `None` if the peer is gone.
async fn run(
    context: &Context,
    guard: &mut StreamGuard,
    inbound: &mut Inbound<DeltaDiscoveryResponse>,
    frames: &mut Frames,
    zone_can: Features,
) -> Option<Status> {
    let zone = guard.caller().zone().clone();
    let kinds: Vec<Kind> = Kind::all().filter(|kind| kind.flow.zone_to_global()).collect();
    let mut receiver = Receiver::new(kinds);
    let applier = Applier::new(
        Arc::clone(&context.store),
        context.clock.clone(),
        Origin::Zone { name: zone.as_str().to_owned(), prefix_names: !zone_can.contains(Features::HASH_SUFFIX) },
        context.metrics.clone(),
    )
    .within(context.quotas.clone());
    if zone_can.contains(Features::INITIAL_VERSIONS) {
        receiver = match applier.with_versions(receiver, context.settings.max_msg_size, |_every| true).await {
            Ok(receiver) => receiver,
            Err(error) => return Some(Status::unavailable(format!("cannot read what the zone reported: {error}"))),
        };
    }
    for request in receiver.first_requests() {
        let frame = convert::request_frame(request, node::first(zone.as_str(), &context.us));
        if let Err(not_sent) = frames.send(frame) {
            return unread(context, not_sent);
        }
    }
    loop {
        let message = tokio::select! {
            biased;
            reason = guard.closed() => return Some(convert::close_status(&reason)),
            message = inbound.message() => message,
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Some(Status::unavailable("the zone closed its side of the stream")),
            Err(status) if matches!(status.code(), Code::Cancelled | Code::Unknown) => return None,
            Err(status) => return Some(convert::inbound_status(status)),
        };
        let mut incoming = match convert::incoming(message) {
            Ok(incoming) => incoming,
            Err(malformed) => return Some(convert::malformed_status(&malformed)),
        };
        // Only zones of ours send a first response in parts.
        incoming.more &= zone_can.contains(Features::PARTS);
        let (kind, nonce) = (incoming.kind.clone(), incoming.nonce.clone());
        let plan = match receiver.on_response(incoming) {
            Ok(plan) => plan,
            Err(broken) => return Some(Status::invalid_argument(broken.to_string())),
        };
        // Taking in what came must not be cut in half by a close; it is bounded by the store's answer.
        let outcome = match applier.apply(plan).await {
            Ok(outcome) => outcome,
            Err(error) => {
                warn!(kind, error = %error, "cannot store what the zone reports");
                return Some(Status::unavailable(format!("cannot store {kind}: {error}")));
            }
        };
        if !outcome.rejected.is_empty() {
            let reason = outcome.rejected.join("\n");
            context.insights.rejected_here(&zone, &kind, &reason);
            warn!(kind, reason = %text::of_peer(&reason), "rejected resources of the zone");
        }
        context.metrics.attribution_rewrites(&kind, applier.take_rewrites());
        let answer = receiver.applied(&kind, &nonce, outcome);
        if let Err(not_sent) = frames.send(convert::request_frame(answer, node::later(zone.as_str()))) {
            return unread(context, not_sent);
        }
    }
}

/// What a frame that could not be sent means for the stream.
fn unread(context: &Context, not_sent: NotSent) -> Option<Status> {
    match not_sent {
        NotSent::Gone => None,
        NotSent::Full => {
            context.metrics.not_read("");
            Some(Status::resource_exhausted("the zone does not read its answers"))
        }
    }
}
