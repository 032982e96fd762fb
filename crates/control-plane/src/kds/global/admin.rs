//! Reverse requests: global asks on a stream that the zone opened (contract: kds 8.5).

use std::sync::Arc;

use bytes::Bytes;
use model::ProxyView;
use prost::Message as _;
use tonic::{Code, Status};
use tracing::{debug, info};
use wire::kuma::mesh::v1alpha1::{
    AdminOutputFormat, ClustersRequest, ClustersResponse, StatsRequest, StatsResponse, XdsConfigRequest,
    XdsConfigResponse, clusters_response, stats_response, xds_config_response,
};

use crate::{
    kds::{
        frames::{
            inbound::Inbound,
            outbound::{Frames, NotSent},
        },
        global::{asker::Question, context::Context},
        messages::convert,
        rpc,
    },
    zones::{insight::StreamName, registry::StreamGuard},
};

/// The answer messages of the three streams, which differ in names only.
pub(crate) trait Answer: prost::Message + Default + Send + 'static {
    const VIEW: ProxyView;

    fn into_parts(self) -> (String, Result<Bytes, String>);
}

macro_rules! answer {
    ($message:ty, $view:expr, $payload:path, $error:path) => {
        impl Answer for $message {
            const VIEW: ProxyView = $view;

            fn into_parts(self) -> (String, Result<Bytes, String>) {
                let answer = match self.result {
                    Some($payload(payload)) => Ok(payload.into()),
                    Some($error(text)) => Err(text),
                    None => Ok(Bytes::new()),
                };
                (self.request_id, answer)
            }
        }
    };
}

answer!(
    XdsConfigResponse,
    ProxyView::ConfigDump,
    xds_config_response::Result::Config,
    xds_config_response::Result::Error
);
answer!(StatsResponse, ProxyView::Stats, stats_response::Result::Stats, stats_response::Result::Error);
answer!(ClustersResponse, ProxyView::Clusters, clusters_response::Result::Clusters, clusters_response::Result::Error);

/// Serves one admin stream until it ends.
pub(crate) async fn serve<A: Answer>(
    context: Arc<Context>,
    mut guard: StreamGuard,
    mut inbound: Inbound<A>,
    mut frames: Frames,
) -> Code {
    let zone = guard.caller().zone().clone();
    let (id, mut questions) = context.asker.opened(&zone, A::VIEW);
    if context.ensure_zone(&zone).await.is_ok() {
        context.insights.stream_opened(&zone, StreamName::Admin(A::VIEW));
    }
    info!(rpc = rpc::title(A::VIEW), zone = %zone, "Envoy Admin RPC stream started");
    let ended = loop {
        tokio::select! {
            biased;
            reason = guard.closed() => break Some(convert::close_status(&reason)),
            message = inbound.message() => match message {
                Ok(Some(message)) => {
                    let (id, answer) = message.into_parts();
                    if !context.asker.answered(&id, answer) {
                        debug!("an answer came that nobody waits for");
                    }
                }
                Ok(None) => break Some(Status::unavailable("the zone closed its side of the stream")),
                Err(status) if matches!(status.code(), Code::Cancelled | Code::Unknown) => break None,
                Err(status) => break Some(convert::inbound_status(status)),
            },
            Some(asked) = questions.recv() => {
                let (id, question) = *asked;
                match frames.send(encode(id, question)) {
                    Ok(()) => {}
                    Err(NotSent::Gone) => break None,
                    Err(NotSent::Full) => break Some(Status::resource_exhausted("the zone does not read its questions")),
                }
            }
        }
    };
    context.asker.closed(&zone, A::VIEW, id);
    frames.end_with(ended)
}

fn encode(request_id: String, question: Question) -> Bytes {
    let Question { view, kind: resource_type, mesh: resource_mesh, name: resource_name, json, include_eds, used_only } =
        question;
    let format = if json { AdminOutputFormat::Json } else { AdminOutputFormat::Text }.into();
    match view {
        ProxyView::ConfigDump => {
            XdsConfigRequest { request_id, resource_type, resource_name, resource_mesh, include_eds }.encode_to_vec()
        }
        ProxyView::Stats => {
            StatsRequest { request_id, resource_type, resource_name, resource_mesh, format, used_only }.encode_to_vec()
        }
        ProxyView::Clusters => {
            ClustersRequest { request_id, resource_type, resource_name, resource_mesh, format }.encode_to_vec()
        }
    }
    .into()
}
