//! The three streams on which global asks: a question over REST becomes a request to the zone, its answer the answer.
#![expect(clippy::disallowed_methods, reason = "the question is waited for")]

use std::net::SocketAddr;

use bytes::Bytes;
use model::{Key, Kind, Labels, Resource, labels};
use prost::Message as _;
use serde_json::Value;
use store::{Precondition, Write};
use testkit::client;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinHandle};
use wire::kuma::mesh::v1alpha1::{
    ClustersRequest, ClustersResponse, StatsRequest, StatsResponse, XdsConfigRequest, XdsConfigResponse,
    clusters_response, stats_response, xds_config_response,
};

use super::{
    play::{At, Player},
    recording::{Payload, Rpc},
};

/// A question over REST whose answer is due: status and body.
pub(crate) type Asked = JoinHandle<(u16, String)>;

/// A proxy that no zone has: asking for it shows that a stream lives.
const PROXY: &str = "replay-proxy";

impl Player {
    /// The recorded global asked the zone: somebody asked it over REST. Ours is asked the same.
    pub(crate) async fn global_asks(&mut self, at: At, payload: &Payload) {
        let recorded = Question::of(at.1, &payload.bytes);
        let path = recorded.path(&self.proxy(&recorded).await);
        let hangs_up = self.step.contains("the caller gives up");
        if hangs_up {
            let caller = impatient(self.global.http(), &path).await;
            self.compare_question(at, &recorded).await;
            drop(caller);
        } else {
            let http = self.global.http();
            let asked = tokio::task::spawn_blocking(move || client::ask(http, "GET", &path, None));
            self.compare_question(at, &recorded).await;
            self.questions.insert(recorded.id, asked);
        }
    }

    async fn compare_question(&mut self, at: At, recorded: &Question) {
        let message = self.stream(at).next().await.expect("the stream lives");
        let ours = Question::of(at.1, &message);
        assert!(!ours.id.is_empty());
        self.stream(at).ids.insert(recorded.id.clone(), ours.id.clone());
        assert_eq!(Question { id: recorded.id.clone(), ..ours }, *recorded, "{}", self.step);
    }

    /// The zone answers: whoever asked gets it.
    pub(crate) async fn zone_answers(&mut self, at: At, payload: &Payload) {
        let mut answer = Answer::of(at.1, &payload.bytes);
        let recorded = answer.id.clone();
        if let Some(ours) = self.stream(at).ids.get(&answer.id) {
            answer.id.clone_from(ours);
        }
        self.stream(at).send(&answer.encoded(at.1));
        let Some(asked) = self.questions.remove(&recorded) else { return };
        let (status, body) = asked.await.expect("an answer");
        match answer.result {
            Ok(payload) => assert_eq!((status, body.as_bytes()), (200, &payload[..])),
            Err(text) => {
                let body: Value = serde_json::from_str(&body).expect("JSON");
                let request = at.1.question();
                assert_eq!(status, 400, "{body}");
                assert_eq!(body["title"], "Could not execute admin operation");
                assert_eq!(body["detail"], format!("could not send {request}: {text}"));
                let detail = body["detail"].to_string();
                assert!(self.recording.transcript.contains(&detail), "the recorded caller got {detail}");
            }
        }
    }

    /// Whether a stream still takes questions.
    pub(crate) async fn still_asks(&mut self, at: At) -> bool {
        let zone = self.stream(at).zone.clone();
        let labels = [(labels::ZONE, zone.as_str()), (labels::ORIGIN, labels::ORIGIN_ZONE)];
        let key = Key::in_mesh(Kind::DATAPLANE, "default", PROXY);
        let proxy = Resource {
            key: key.clone(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Labels>(),
            spec: Bytes::new(),
            status: None,
            owner: None,
            created: jiff::Timestamp::UNIX_EPOCH,
            modified: jiff::Timestamp::UNIX_EPOCH,
        };
        self.global.write(vec![Write::Put { resource: proxy, expect: Precondition::Any }]).await;
        let question = Question { rpc: Some(at.1), ..Question::default() };
        let path = question.path(PROXY);
        let mut caller = impatient(self.global.http(), &path).await;
        let lives = self.stream(at).next().await.is_some();
        caller.shutdown().await.expect("hang up");
        self.global.write(vec![Write::Delete { key, expect: Precondition::Any }]).await;
        lives
    }

    /// The name at global of the proxy that a request names as the zone does.
    async fn proxy(&self, question: &Question) -> String {
        let all = self.global.all(Kind::DATAPLANE).await;
        let named = all
            .iter()
            .find(|one| one.key.mesh == question.mesh && one.labels.get(labels::DISPLAY_NAME) == Some(&question.name));
        named.unwrap_or_else(|| panic!("no proxy {} at global", question.name)).key.name.clone()
    }
}

impl Rpc {
    /// The name of the request message.
    fn question(self) -> &'static str {
        match self {
            Self::XdsConfigs => "XDSConfigRequest",
            Self::Stats => "StatsRequest",
            _ => "ClustersRequest",
        }
    }
}

/// Asks without waiting for the answer; dropping the connection hangs up.
pub(crate) async fn impatient(http: SocketAddr, path: &str) -> TcpStream {
    let mut caller = TcpStream::connect(http).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {http}\r\n\r\n");
    caller.write_all(request.as_bytes()).await.expect("a request");
    caller
}

/// A request on an admin stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Question {
    rpc: Option<Rpc>,
    id: String,
    kind: String,
    name: String,
    mesh: String,
    format: i32,
    include_eds: bool,
    used_only: bool,
}

impl Question {
    fn of(rpc: Rpc, bytes: &[u8]) -> Self {
        let rpc_of = Some(rpc);
        match rpc {
            Rpc::XdsConfigs => {
                let one = XdsConfigRequest::decode(bytes).expect("a request");
                Self {
                    rpc: rpc_of,
                    id: one.request_id,
                    kind: one.resource_type,
                    name: one.resource_name,
                    mesh: one.resource_mesh,
                    include_eds: one.include_eds,
                    ..Self::default()
                }
            }
            Rpc::Stats => {
                let one = StatsRequest::decode(bytes).expect("a request");
                Self {
                    rpc: rpc_of,
                    id: one.request_id,
                    kind: one.resource_type,
                    name: one.resource_name,
                    mesh: one.resource_mesh,
                    format: one.format,
                    used_only: one.used_only,
                    ..Self::default()
                }
            }
            _ => {
                let one = ClustersRequest::decode(bytes).expect("a request");
                Self {
                    rpc: rpc_of,
                    id: one.request_id,
                    kind: one.resource_type,
                    name: one.resource_name,
                    mesh: one.resource_mesh,
                    format: one.format,
                    ..Self::default()
                }
            }
        }
    }

    /// The route that makes global ask this.
    fn path(&self, proxy: &str) -> String {
        let view = match self.rpc {
            Some(Rpc::XdsConfigs) if self.include_eds => "xds?include_eds=true",
            Some(Rpc::XdsConfigs) => "xds",
            Some(Rpc::Stats) if self.format == 1 => "stats?format=json",
            Some(Rpc::Stats) => "stats",
            _ if self.format == 1 => "clusters?format=json",
            _ => "clusters",
        };
        format!("/meshes/default/dataplanes/{proxy}/{view}")
    }
}

/// An answer on an admin stream.
struct Answer {
    id: String,
    result: Result<Bytes, String>,
}

impl Answer {
    fn of(rpc: Rpc, bytes: &[u8]) -> Self {
        match rpc {
            Rpc::XdsConfigs => {
                let one = XdsConfigResponse::decode(bytes).expect("an answer");
                let result = match one.result.expect("a result") {
                    xds_config_response::Result::Config(payload) => Ok(payload),
                    xds_config_response::Result::Error(text) => Err(text),
                };
                Self { id: one.request_id, result }
            }
            Rpc::Stats => {
                let one = StatsResponse::decode(bytes).expect("an answer");
                let result = match one.result.expect("a result") {
                    stats_response::Result::Stats(payload) => Ok(payload),
                    stats_response::Result::Error(text) => Err(text),
                };
                Self { id: one.request_id, result }
            }
            _ => {
                let one = ClustersResponse::decode(bytes).expect("an answer");
                let result = match one.result.expect("a result") {
                    clusters_response::Result::Clusters(payload) => Ok(payload),
                    clusters_response::Result::Error(text) => Err(text),
                };
                Self { id: one.request_id, result }
            }
        }
    }

    fn encoded(&self, rpc: Rpc) -> Vec<u8> {
        let request_id = self.id.clone();
        match rpc {
            Rpc::XdsConfigs => {
                let result = match self.result.clone() {
                    Ok(payload) => xds_config_response::Result::Config(payload),
                    Err(text) => xds_config_response::Result::Error(text),
                };
                XdsConfigResponse { request_id, result: Some(result) }.encode_to_vec()
            }
            Rpc::Stats => {
                let result = match self.result.clone() {
                    Ok(payload) => stats_response::Result::Stats(payload),
                    Err(text) => stats_response::Result::Error(text),
                };
                StatsResponse { request_id, result: Some(result) }.encode_to_vec()
            }
            _ => {
                let result = match self.result.clone() {
                    Ok(payload) => clusters_response::Result::Clusters(payload),
                    Err(text) => clusters_response::Result::Error(text),
                };
                ClustersResponse { request_id, result: Some(result) }.encode_to_vec()
            }
        }
    }
}
