//! Reverse requests: global asks on a stream that the zone opened (contract: kds 8.5).
//!
//! Requests are correlated by id. An answer nobody waits for any more is ignored: an impatient REST client must not cost
//! a zone its streams.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use model::ZoneName;
use prost::Message as _;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
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
        global::router::Port,
        messages::convert,
    },
    zones::registry::StreamGuard,
};

/// A zone that has not answered by then will not be waited for.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// What can be asked of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Envoy's configuration.
    ConfigDump,
    /// Envoy's statistics.
    Stats,
    /// Envoy's clusters.
    Clusters,
}

impl Operation {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::ConfigDump => "StreamXDSConfigs",
            Self::Stats => "StreamStats",
            Self::Clusters => "StreamClusters",
        }
    }

    /// The name of the request message, for error texts.
    pub fn request_type(self) -> &'static str {
        match self {
            Self::ConfigDump => "XDSConfigRequest",
            Self::Stats => "StatsRequest",
            Self::Clusters => "ClustersRequest",
        }
    }

    /// What people call it: in error texts and logs.
    pub fn title(self) -> &'static str {
        match self {
            Self::ConfigDump => "XDS Config Dump",
            Self::Stats => "Stats",
            Self::Clusters => "Clusters",
        }
    }
}

/// One question about a proxy, in the words of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub operation: Operation,
    /// The kind of the proxy: `Dataplane`.
    pub kind: String,
    /// The mesh.
    pub mesh: String,
    /// The name in the zone.
    pub name: String,
    /// JSON instead of text.
    pub json: bool,
    /// With endpoints (configuration only).
    pub include_eds: bool,
    /// Only what was used (statistics only).
    pub used_only: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// The zone has no such stream here.
    #[error("client {zone} is not connected")]
    NotConnected {
        /// The zone.
        zone: ZoneName,
    },
    /// The zone answered with an error.
    #[error("{text}")]
    Zone {
        /// The zone's text.
        text: String,
    },
    /// The zone did not answer in time.
    #[error("the zone did not answer within {} s", ANSWER_DEADLINE.as_secs())]
    Late,
}

/// Where a stream takes its questions from: request id and question.
/// Boxed, because the channel of each of the three streams of each zone holds places for 32 of them.
type Questions = mpsc::Sender<Box<(String, Question)>>;

/// Asks zones. Cheap to clone.
#[derive(Clone, Default)]
pub struct Asker {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// The streams of each zone and operation, oldest first: the newest is asked, and when it ends the one before it.
    streams: BTreeMap<(ZoneName, Operation), Vec<(u64, Questions)>>,
    waiting: BTreeMap<String, oneshot::Sender<Result<Bytes, String>>>,
}

impl Asker {
    /// Asks a zone and waits for the answer.
    pub async fn ask(&self, zone: &ZoneName, question: Question) -> Result<Bytes, AskError> {
        let id = uuid::Uuid::new_v4().to_string();
        let (answer, answered) = oneshot::channel();
        let not_connected = || AskError::NotConnected { zone: zone.clone() };
        let stream = {
            let mut state = self.lock();
            let streams = state.streams.get(&(zone.clone(), question.operation));
            let (_, stream) = streams.and_then(|streams| streams.last()).cloned().ok_or_else(not_connected)?;
            state.waiting.insert(id.clone(), answer);
            stream
        };
        // Also when this future is dropped: whoever hung up leaves nothing behind.
        let _forget = Forget { asker: self, id: &id };
        let answer = async {
            stream.send(Box::new((id.clone(), question))).await.map_err(|_gone| not_connected())?;
            answered.await.map_err(|_gone| not_connected())?.map_err(|text| AskError::Zone { text })
        };
        tokio::time::timeout(ANSWER_DEADLINE, answer).await.unwrap_or(Err(AskError::Late))
    }

    pub(in crate::kds) fn opened(
        &self,
        zone: &ZoneName,
        operation: Operation,
    ) -> (u64, mpsc::Receiver<Box<(String, Question)>>) {
        // Questions wait here only until the stream's task takes them.
        let (sender, questions) = mpsc::channel(64);
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.streams.entry((zone.clone(), operation)).or_default().push((id, sender));
        (id, questions)
    }

    fn closed(&self, zone: &ZoneName, operation: Operation, id: u64) {
        let mut state = self.lock();
        let key = (zone.clone(), operation);
        if let Some(streams) = state.streams.get_mut(&key) {
            streams.retain(|(other, _)| *other != id);
            if streams.is_empty() {
                state.streams.remove(&key);
            }
        }
    }

    pub(in crate::kds) fn answered(&self, id: &str, answer: Result<Bytes, String>) -> bool {
        self.lock().waiting.remove(id).is_some_and(|waiting| waiting.send(answer).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Forget<'a> {
    asker: &'a Asker,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.asker.lock().waiting.remove(self.id);
    }
}

/// The answer messages of the three streams, which differ in names only.
pub(crate) trait Answer: prost::Message + Default + Send + 'static {
    const OPERATION: Operation;

    fn into_parts(self) -> (String, Result<Bytes, String>);
}

macro_rules! answer {
    ($message:ty, $operation:expr, $payload:path, $error:path) => {
        impl Answer for $message {
            const OPERATION: Operation = $operation;

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
    Operation::ConfigDump,
    xds_config_response::Result::Config,
    xds_config_response::Result::Error
);
answer!(StatsResponse, Operation::Stats, stats_response::Result::Stats, stats_response::Result::Error);
answer!(ClustersResponse, Operation::Clusters, clusters_response::Result::Clusters, clusters_response::Result::Error);

/// Serves one admin stream until it ends.
pub(crate) async fn serve<A: Answer>(
    port: Arc<Port>,
    mut guard: StreamGuard,
    mut inbound: Inbound<A>,
    mut frames: Frames,
) -> Code {
    let zone = guard.caller().zone().clone();
    let (id, mut questions) = port.asker.opened(&zone, A::OPERATION);
    if port.ensure_zone(&zone).await.is_ok() {
        port.insights.stream_opened(&zone, A::OPERATION.stream_name());
    }
    info!(target: "kds.global", rpc = A::OPERATION.title(), zone = %zone, "Envoy Admin RPC stream started");
    let ended = loop {
        tokio::select! {
            biased;
            reason = guard.closed() => break Some(convert::close_status(&reason)),
            message = inbound.message() => match message {
                Ok(Some(message)) => {
                    let (id, answer) = message.into_parts();
                    if !port.asker.answered(&id, answer) {
                        debug!(target: "kds.global", zone = %zone, "an answer came that nobody waits for");
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
    port.asker.closed(&zone, A::OPERATION, id);
    frames.end_with(ended)
}

fn encode(request_id: String, question: Question) -> Bytes {
    let Question {
        operation,
        kind: resource_type,
        mesh: resource_mesh,
        name: resource_name,
        json,
        include_eds,
        used_only,
    } = question;
    let format = if json { AdminOutputFormat::Json } else { AdminOutputFormat::Text }.into();
    match operation {
        Operation::ConfigDump => {
            XdsConfigRequest { request_id, resource_type, resource_name, resource_mesh, include_eds }.encode_to_vec()
        }
        Operation::Stats => {
            StatsRequest { request_id, resource_type, resource_name, resource_mesh, format, used_only }.encode_to_vec()
        }
        Operation::Clusters => {
            ClustersRequest { request_id, resource_type, resource_name, resource_mesh, format }.encode_to_vec()
        }
    }
    .into()
}

#[cfg(test)]
mod tests;
