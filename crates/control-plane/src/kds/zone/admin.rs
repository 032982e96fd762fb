//! Answers what global asks about this zone's proxies (contract: kds 8.5).

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use model::{Key, Kind, ProxyView};
use prost::Message as _;
use tokio::{net::TcpStream, sync::mpsc};
use tonic::{Code, Status};
use wire::kuma::mesh::v1alpha1::{
    AdminOutputFormat, ClustersRequest, ClustersResponse, Dataplane, StatsRequest, StatsResponse, XdsConfigRequest,
    XdsConfigResponse, clusters_response, stats_response, xds_config_response,
};

use super::{
    line::{Channel, NO_ROOM},
    sanitise::sanitise,
    session::{Session, next},
};
use crate::kds::rpc::Rpc;

/// One request, whatever it takes.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// The call to Envoy.
const ENVOY_DEADLINE: Duration = Duration::from_secs(5);
/// No request is answered sooner. A Kuma global (2.9 to 3.0) sends a request before it is ready for the answer; one that
/// comes at once is unknown to it, and it ends the whole connection. A global of ours does not notice the wait.
const NO_SOONER: Duration = Duration::from_millis(5);
/// Requests under way at once; more wait.
const AT_ONCE: usize = 16;
/// The largest answer of Envoy that is passed on.
const LARGEST: usize = 9 * 1024 * 1024;

/// Serves the three streams. Returns when one fails in a way that needs a new connection.
pub(super) async fn serve(session: &Session, channel: Channel) -> Status {
    tokio::select! {
        status = stream::<XdsConfigRequest>(session, channel.clone()) => status,
        status = stream::<StatsRequest>(session, channel.clone()) => status,
        status = stream::<ClustersRequest>(session, channel.clone()) => status,
    }
}

/// The request messages of the three streams, which differ in names only.
trait Ask: prost::Message + Default + Send + Sync + 'static {
    const VIEW: ProxyView;

    fn subject(&self) -> Subject<'_>;

    /// What to ask Envoy.
    fn envoy_path(&self) -> String;

    /// What of Envoy's answer leaves the zone.
    fn outward(body: Bytes) -> Result<Bytes, String> {
        Ok(body)
    }

    fn answer(&self, answer: Result<Bytes, String>) -> Bytes;
}

struct Subject<'a> {
    kind: &'a str,
    mesh: &'a str,
    name: &'a str,
}

async fn stream<A: Ask>(session: &Session, channel: Channel) -> Status {
    let (frames, mut inbound, counted) = loop {
        let (frames, outbound) = mpsc::channel::<Bytes>(AT_ONCE);
        match session.open::<A>(channel.clone(), Rpc::Admin(A::VIEW), outbound).await {
            Ok((inbound, counted)) => break (frames, inbound, counted),
            // Others hold all the calls that the token may have: the streams that stand are none the worse for it.
            Err(status) if status.code() == Code::ResourceExhausted => tokio::time::sleep(NO_ROOM).await,
            Err(status) => return tolerated(status).await,
        }
    };
    let mut answers = futures::stream::FuturesUnordered::new();
    loop {
        use futures::StreamExt as _;
        tokio::select! {
            message = next(&mut inbound), if answers.len() < AT_ONCE => match message {
                Ok(message) => answers.push(answer(session, message)),
                Err(status) => {
                    drop(counted);
                    return tolerated(status).await;
                }
            },
            Some(frame) = answers.next(), if !answers.is_empty() => {
                if frames.send(frame).await.is_err() {
                    return Status::unavailable("the stream was closed");
                }
            }
        }
    }
}

/// A global without this RPC, or one that cancels it, costs the zone nothing else (contract: kds 1.5).
async fn tolerated(status: Status) -> Status {
    match status.code() {
        Code::Unimplemented | Code::Cancelled => std::future::pending().await,
        _ => status,
    }
}

async fn answer<A: Ask>(session: &Session, message: A) -> Bytes {
    let asked = no_sooner(tokio::time::timeout(REQUEST_DEADLINE, ask(session, &message))).await;
    message.answer(asked.unwrap_or_else(|_elapsed| Err("the proxy did not answer in time".to_owned())))
}

/// Waits for `answer`, and for [`NO_SOONER`] at the least.
async fn no_sooner<T>(answer: impl Future<Output = T>) -> T {
    let (answer, ()) = tokio::join!(answer, tokio::time::sleep(NO_SOONER));
    answer
}

async fn ask<A: Ask>(session: &Session, message: &A) -> Result<Bytes, String> {
    let subject = message.subject();
    let kind = Kind::by_name(subject.kind).ok_or_else(|| format!("invalid resource type \"{}\"", subject.kind))?;
    if kind != Kind::DATAPLANE {
        return Err("invalid type <nil>".to_owned());
    }
    let key = Key::in_mesh(kind, subject.mesh, subject.name);
    let stored = session.store.get(&key).await.map_err(|error| error.to_string())?;
    let stored = stored.ok_or_else(|| format!("resource not found: {key}"))?;
    let dataplane = Dataplane::decode(stored.resource.spec.clone()).map_err(|error| error.to_string())?;
    let networking = dataplane.networking.unwrap_or_default();
    let named = networking.admin.map(|admin| admin.port).filter(|port| *port != 0);
    let fault = |what: String| format!("unable to send GET to config_dump: {what}");
    let port = named.map_or(Ok(session.default_admin_port), u16::try_from);
    let port = port.map_err(|_too_large| fault("the admin port of the proxy is no port".to_owned()))?;
    let path = message.envoy_path();
    let envoy = get(&networking.address, port, &path);
    let answered = tokio::time::timeout(ENVOY_DEADLINE, envoy).await;
    let body = answered.unwrap_or_else(|_elapsed| Err("no answer within 5 s".to_owned())).map_err(fault)?;
    A::outward(body)
}

async fn get(host: &str, port: u16, path: &str) -> Result<Bytes, String> {
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await;
    let (mut requests, driver) = handshake.map_err(|error| error.to_string())?;
    let request = http::Request::get(path)
        .header(http::header::HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = requests.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok(body.to_bytes()) } else { Err(format!("Envoy answered {status}")) }
    };
    tokio::pin!(exchange);
    tokio::pin!(driver);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = &mut driver => match ended {
            // The connection may end right after the last byte of the answer was handed over.
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

impl Ask for XdsConfigRequest {
    const VIEW: ProxyView = ProxyView::ConfigDump;

    fn subject(&self) -> Subject<'_> {
        Subject { kind: &self.resource_type, mesh: &self.resource_mesh, name: &self.resource_name }
    }

    fn envoy_path(&self) -> String {
        if self.include_eds { "/config_dump?include_eds=true" } else { "/config_dump" }.to_owned()
    }

    fn outward(body: Bytes) -> Result<Bytes, String> {
        sanitise(&body).map_err(|refused| refused.to_string())
    }

    fn answer(&self, answer: Result<Bytes, String>) -> Bytes {
        let result = match answer {
            Ok(config) if config.is_empty() => None,
            Ok(config) => Some(xds_config_response::Result::Config(config)),
            Err(text) => Some(xds_config_response::Result::Error(text)),
        };
        XdsConfigResponse { request_id: self.request_id.clone(), result }.encode_to_vec().into()
    }
}

impl Ask for StatsRequest {
    const VIEW: ProxyView = ProxyView::Stats;

    fn subject(&self) -> Subject<'_> {
        Subject { kind: &self.resource_type, mesh: &self.resource_mesh, name: &self.resource_name }
    }

    fn envoy_path(&self) -> String {
        let json = if self.format == i32::from(AdminOutputFormat::Json) { "format=json&" } else { "" };
        if self.used_only {
            format!("/stats?{json}usedonly=")
        } else {
            format!("/stats?{json}").trim_end_matches(['?', '&']).to_owned()
        }
    }

    fn answer(&self, answer: Result<Bytes, String>) -> Bytes {
        let result = match answer {
            Ok(stats) if stats.is_empty() => None,
            Ok(stats) => Some(stats_response::Result::Stats(stats)),
            Err(text) => Some(stats_response::Result::Error(text)),
        };
        StatsResponse { request_id: self.request_id.clone(), result }.encode_to_vec().into()
    }
}

impl Ask for ClustersRequest {
    const VIEW: ProxyView = ProxyView::Clusters;

    fn subject(&self) -> Subject<'_> {
        Subject { kind: &self.resource_type, mesh: &self.resource_mesh, name: &self.resource_name }
    }

    fn envoy_path(&self) -> String {
        if self.format == i32::from(AdminOutputFormat::Json) { "/clusters?format=json" } else { "/clusters" }.to_owned()
    }

    fn answer(&self, answer: Result<Bytes, String>) -> Bytes {
        let result = match answer {
            Ok(clusters) if clusters.is_empty() => None,
            Ok(clusters) => Some(clusters_response::Result::Clusters(clusters)),
            Err(text) => Some(clusters_response::Result::Error(text)),
        };
        ClustersResponse { request_id: self.request_id.clone(), result }.encode_to_vec().into()
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_at_once_is_held_back() {
        let asked = Instant::now();
        assert_eq!(no_sooner(std::future::ready(1)).await, 1);
        assert!(asked.elapsed() >= NO_SOONER, "{:?}", asked.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_not_held_back_further() {
        let asked = Instant::now();
        no_sooner(sleep(ENVOY_DEADLINE)).await;
        assert!(asked.elapsed() < ENVOY_DEADLINE + NO_SOONER, "{:?}", asked.elapsed());
    }
}
