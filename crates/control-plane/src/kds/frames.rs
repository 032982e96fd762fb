//! Bytes of streams: gRPC messages in and out, packed or not, within bounds.

pub(crate) mod codec;
pub(crate) mod gzip;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod weight;
