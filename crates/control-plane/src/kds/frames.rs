//! Bytes of streams: gRPC messages in and out, packed or not, within bounds.

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) mod codec;
pub(crate) mod gzip;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod weight;

/// What a connection runs over, in plain text or over TLS.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}
