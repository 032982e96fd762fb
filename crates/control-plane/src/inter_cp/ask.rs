//! Asks another instance: one connection, one question, one deadline for all of it.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use model::causes::on_one_line;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{Credentials, INSTANCE, Reply, credentials::NAME};
use crate::cluster::Cluster;

/// An instance that takes no connection by then is not there.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// An answer is as large as the largest message that zones and globals exchange, or a little more.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Why another instance did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotAnswered {
    /// Its lease is over, another one is at its address, or it serves nobody.
    #[error("instance `{instance}` of this control plane is gone")]
    Gone { instance: String },
    /// It could not be reached.
    #[error(
        "instance `{instance}` of this control plane cannot be reached at `{address}` (interCp.catalog.instanceAddress and \
         interCp.server.port there): {reason}"
    )]
    Unreachable { instance: String, address: String, reason: String },
    /// It took the question and did not answer in time.
    #[error("instance `{instance}` of this control plane did not answer within {} s", .seconds)]
    Late { instance: String, seconds: u64 },
    /// It does not know such a question.
    #[error("instance `{instance}` of this control plane answered {status}: is it of another version?")]
    Refused { instance: String, status: StatusCode },
}

impl NotAnswered {
    /// The same for whoever asked over REST, who need not know where instances are: that goes to the log.
    pub(crate) fn for_callers(&self) -> String {
        match self {
            Self::Unreachable { instance, .. } => format!(
                "instance `{instance}` of this control plane cannot be reached from the one that was asked, whose log says why"
            ),
            Self::Gone { .. } | Self::Late { .. } | Self::Refused { .. } => self.to_string(),
        }
    }
}

/// The other instances of this control plane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Others {
    cluster: Cluster,
    credentials: Credentials,
}

impl Others {
    pub(crate) fn new(cluster: Cluster, credentials: Credentials) -> Self {
        Self { cluster, credentials }
    }

    /// The other ones that are there and can be asked.
    pub(crate) fn names(&self) -> Vec<String> {
        let members = self.cluster.members().borrow().clone();
        members.keys().filter(|name| *name != self.cluster.me()).cloned().collect()
    }

    /// Asks all others at once; each has its own answer, or reason for none.
    pub(crate) async fn ask_all(
        &self,
        path: &'static str,
        within: Duration,
    ) -> Vec<(String, Result<Reply, NotAnswered>)> {
        let asked = self.names().into_iter().map(|name| async move {
            let answer = self.ask(&name, path, Bytes::new(), within).await;
            (name, answer)
        });
        join_all(asked).await
    }

    /// Asks an instance.
    pub(crate) async fn ask(
        &self,
        instance: &str,
        path: &'static str,
        question: Bytes,
        within: Duration,
    ) -> Result<Reply, NotAnswered> {
        let gone = || NotAnswered::Gone { instance: instance.to_owned() };
        let address = self.cluster.members().borrow().get(instance).and_then(|member| member.inter_cp.clone());
        let address = address.ok_or_else(gone)?;
        let unreachable = |reason: String| NotAnswered::Unreachable {
            instance: instance.to_owned(),
            address: address.clone(),
            reason,
        };
        let request = Request::post(path)
            .header(header::HOST, NAME)
            .header(INSTANCE, instance)
            .body(Full::new(question))
            .map_err(|error| unreachable(error.to_string()))?;
        let exchange = async {
            let stream = match timeout(CONNECT_DEADLINE, self.connect(&address)).await {
                Ok(connected) => connected.map_err(unreachable)?,
                Err(_) => return Err(unreachable(format!("no answer within {} s", CONNECT_DEADLINE.as_secs()))),
            };
            exchange(stream, request).await.map_err(unreachable)
        };
        let late = |_elapsed| NotAnswered::Late { instance: instance.to_owned(), seconds: within.as_secs() };
        let reply = timeout(within, exchange).await.map_err(late)??;
        if reply.status == StatusCode::MISDIRECTED_REQUEST { Err(gone()) } else { Ok(reply) }
    }

    async fn connect(&self, address: &str) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let name = ServerName::try_from(NAME).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(self.credentials.current().client);
        connector.connect(name, tcp).await.map_err(|error| on_one_line(&error))
    }
}

async fn exchange(
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
) -> Result<Reply, String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut requests, driver) = handshake.map_err(|error| on_one_line(&error))?;
    let exchange = async {
        let response = requests.send_request(request).await.map_err(|error| on_one_line(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        Ok(Reply { status, body: body.map_err(|error| on_one_line(&*error))?.to_bytes() })
    };
    // What ends the connection ends the exchange.
    let driver = async {
        let _told_to_the_exchange = driver.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        () = driver => Err("the connection ended".to_owned()),
    }
}
