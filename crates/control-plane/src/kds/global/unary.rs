//! Calls with one request and one answer.

use std::time::Duration;

use tonic::{
    Code, Status,
    body::Body,
    codec::CompressionEncoding,
    server::{Grpc, UnaryService},
};

use crate::{kds::messages::convert, observe::grpc_metrics::Call, zones::registry::StreamGuard};

/// A call whose request has not come by then is ended. A zone whose first requests fill its connection, on a machine that is
/// short of CPU, may take a while; the places that it holds meanwhile are its own.
const DEADLINE: Duration = Duration::from_secs(120);

/// Answers one call for as long as it may live.
pub(super) async fn serve<S, M, B>(
    service: S,
    mut guard: StreamGuard,
    call: Call,
    request: http::Request<B>,
) -> http::Response<Body>
where
    S: UnaryService<M>,
    S::Response: prost::Message + Default + Send + 'static,
    M: prost::Message + Default + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut grpc =
        Grpc::new(tonic_prost::ProstCodec::<S::Response, M>::default()).accept_compressed(CompressionEncoding::Gzip);
    // Biased: a call that lost its right to live is not answered as a good one.
    let answer = tokio::select! {
        biased;
        reason = guard.closed() => convert::close_status(&reason).into_http(),
        answer = tokio::time::timeout(DEADLINE, grpc.unary(service, request)) => answer.unwrap_or_else(|_late| {
            let late = format!("the request did not come within {} s", DEADLINE.as_secs());
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
