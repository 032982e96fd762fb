//! One connection of the zone: what all its RPCs need, and how a stream is opened.

use std::{ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use store::ResourceStore;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, codegen::http::uri::PathAndQuery};
use tracing::info;

use super::{
    line::{Channel, Line, ready},
    own_meshes::OwnMeshes,
    reports::Reports,
    stream_count::Counted,
};
use crate::{
    cluster::Epoch,
    kds::{dial::Dialer, frames::codec::FrameCodec, rpc::Rpc, snapshots::Snapshots},
    zones::insight::Instance,
};

/// Everything one connection needs.
pub(super) struct Session {
    /// Beneath the streams.
    pub(super) line: Line,
    pub(super) dialer: Dialer,
    pub(super) us: Instance,
    pub(super) max_message_size: usize,
    pub(super) store: Arc<dyn ResourceStore>,
    /// In which this instance leads its zone.
    pub(super) epoch: Epoch,
    pub(super) snapshots: Snapshots,
    /// How long global may take to answer a response, and how long a stream of a real one may be silent.
    pub(super) msg_send_timeout: Duration,
    /// Whether no other connection of this zone is taking in at the same time: only then is what is here what an own
    /// global has to be told.
    pub(super) alone: bool,
    pub(super) reports: Reports,
    /// Where a proxy has its admin interface if its Dataplane names no port.
    pub(super) default_admin_port: u16,
    /// What the zone had before it joined.
    pub(super) own_meshes: Arc<OwnMeshes>,
    /// Tells that an older connection of this zone, which ran beside this one, is gone.
    pub(super) predecessor_gone: Arc<Notify>,
}

impl Deref for Session {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl Session {
    /// Opens one bidirectional stream; it counts as long as what is returned beside it is kept.
    pub(super) async fn open<T: prost::Message + Default + Send + 'static>(
        &self,
        channel: Channel,
        rpc: Rpc,
        outbound: mpsc::Receiver<Bytes>,
    ) -> Result<(Streaming<T>, Counted), Status> {
        let counted = self.streams.opening();
        let mut grpc = channel
            .grpc()
            .max_decoding_message_size(self.max_message_size)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        ready(&mut grpc).await?;
        let request = self.request(ReceiverStream::new(outbound))?;
        let opened = grpc.streaming(request, PathAndQuery::from_static(rpc.path()), FrameCodec::<T>::default()).await?;
        info!(path = rpc.path(), "stream opened");
        Ok((opened.into_inner(), counted.stands()))
    }
}

/// The next message; the end of a stream is an error whatever its status: global never ends one for good.
pub(super) async fn next<T>(inbound: &mut Streaming<T>) -> Result<T, Status> {
    match inbound.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Status::unavailable("the global control plane ended the stream")),
        Err(status) => Err(status),
    }
}
