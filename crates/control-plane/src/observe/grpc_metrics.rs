//! What every RPC of the KDS port comes down to, under the names that gRPC servers usually have (contract: rest-and-cli 6).

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;
use tonic::Code;

use super::kds_metrics::SECONDS;

/// What an RPC is: its labels.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Method {
    /// `unary` or `bidi_stream`.
    pub(crate) grpc_type: &'static str,
    /// Package and service.
    pub(crate) grpc_service: &'static str,
    pub(crate) grpc_method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Handled {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: String,
}

/// Counters of RPCs. Cheap to clone.
#[derive(Clone)]
pub struct GrpcMetrics(Arc<Metrics>);

struct Metrics {
    started: Family<Method, Counter>,
    handled: Family<Handled, Counter>,
    received: Family<Method, Counter>,
    sent: Family<Method, Counter>,
    handling: Family<Method, Histogram, fn() -> Histogram>,
}

impl GrpcMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            started: Family::default(),
            handled: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            handling: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        registry.register("grpc_server_started", "RPCs started", metrics.started.clone());
        registry.register("grpc_server_handled", "RPCs ended, by their code", metrics.handled.clone());
        registry.register("grpc_server_msg_received", "Messages received", metrics.received.clone());
        registry.register("grpc_server_msg_sent", "Messages sent", metrics.sent.clone());
        registry.register(
            "grpc_server_handling_seconds",
            "Seconds from start to end of RPCs",
            metrics.handling.clone(),
        );
        Self(Arc::new(metrics))
    }

    pub(crate) fn start(&self, method: Method) -> Call {
        self.0.started.get_or_create(&method).inc();
        let counters = Counters {
            received: self.0.received.get_or_create_owned(&method),
            sent: self.0.sent.get_or_create_owned(&method),
        };
        Call { metrics: self.clone(), method, since: Instant::now(), counters }
    }
}

/// The message counters of one method. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// What came in.
    pub(crate) received: Counter,
    /// What went out.
    pub(crate) sent: Counter,
}

/// One RPC under way.
pub(crate) struct Call {
    metrics: GrpcMetrics,
    method: Method,
    since: Instant,
    counters: Counters,
}

impl Call {
    /// Where its messages are counted.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    pub(crate) fn ended(self, code: Code) {
        let Method { grpc_type, grpc_service, grpc_method } = self.method;
        let grpc_code = name(code).to_owned();
        let handled = Handled { grpc_type, grpc_service, grpc_method, grpc_code };
        self.metrics.0.handled.get_or_create(&handled).inc();
        self.metrics.0.handling.get_or_create(&self.method).observe(self.since.elapsed().as_secs_f64());
    }
}

/// The name of a code as gRPC libraries write it into this label.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
