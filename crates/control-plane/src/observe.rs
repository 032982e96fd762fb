//! What operators see: log lines, metrics, health and readiness.

pub mod diagnostics;
pub mod grpc_metrics;
pub mod kds_metrics;
pub(crate) mod line_budget;
pub mod log;
pub mod metrics;
pub mod readiness;
pub(crate) mod shown;
