//! The zone's ping: always answered, with the interval that global wants.

use std::{sync::Arc, time::Duration};

use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use sync::Features;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::CompressionEncoding,
    metadata::MetadataValue,
    server::{Grpc, UnaryService},
};
use wire::kuma::mesh::v1alpha1::{ZoneHealthCheckRequest, ZoneHealthCheckResponse};

use crate::{
    kds::{global::context::Context, messages::convert, rpc},
    observe::grpc_metrics::Call,
    zones::registry::StreamGuard,
};

/// A unary call whose request has not come by then is ended. A zone whose first requests fill its connection, on a machine
/// that is short of CPU, may take a while; the places that it holds meanwhile are its own.
const UNARY_DEADLINE: Duration = Duration::from_secs(120);

/// A clock that is farther off is shown as this far off.
const FARTHEST: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// Answers one ping.
pub(super) async fn serve(
    context: Arc<Context>,
    mut guard: StreamGuard,
    call: Call,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let mut grpc = Grpc::new(tonic_prost::ProstCodec::<ZoneHealthCheckResponse, ZoneHealthCheckRequest>::default())
        .accept_compressed(CompressionEncoding::Gzip);
    let health = HealthCheck { context, zone: guard.caller().zone().clone() };
    // Biased: a call that lost its right to live is not answered as a good one.
    let answer = tokio::select! {
        biased;
        reason = guard.closed() => convert::close_status(&reason).into_http(),
        answer = tokio::time::timeout(UNARY_DEADLINE, grpc.unary(health, request)) => answer.unwrap_or_else(|_late| {
            let late = format!("the request did not come within {} s", UNARY_DEADLINE.as_secs());
            Status::deadline_exceeded(late).into_http()
        }),
    };
    let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
    let counters = call.counters();
    counters.received.inc();
    counters.sent.inc();
    call.ended(code);
    answer
}

struct HealthCheck {
    context: Arc<Context>,
    zone: ZoneName,
}

impl UnaryService<ZoneHealthCheckRequest> for HealthCheck {
    type Response = ZoneHealthCheckResponse;
    type Future = std::future::Ready<Result<Response<ZoneHealthCheckResponse>, Status>>;

    fn call(&mut self, request: Request<ZoneHealthCheckRequest>) -> Self::Future {
        let told = request.metadata().get(rpc::TIME_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        let ahead = told.map(|told: Timestamp| told.duration_since(self.context.clock.now()));
        let ahead = ahead.map(|ahead| ahead.clamp(-FARTHEST, FARTHEST));
        self.context.insights.pinged(&self.zone, ahead);
        let interval = self.context.settings.health_poll_interval;
        let interval = prost_types::Duration::try_from(interval).unwrap_or_default();
        let mut response = Response::new(ZoneHealthCheckResponse { interval: Some(interval) });
        // A zone of ours learns here, before it opens its streams, that it may say what it has.
        for feature in Features::OURS.names() {
            response.metadata_mut().append("features", MetadataValue::from_static(feature));
        }
        std::future::ready(Ok(response))
    }
}
