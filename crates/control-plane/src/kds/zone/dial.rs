//! Dials the global control plane: TCP, TLS with a verified name, HTTP/2.

use std::{fmt, sync::Arc, time::Duration};

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tracing::warn;

use crate::{
    clock::Clock,
    tls::{Alpn, ClientTrust, InsecureTrust},
};

/// A global that has not answered by then is not waited for.
const DEADLINE: Duration = Duration::from_secs(10);
/// HTTP/2 pings. A real global ends connections that ping more often than every 15 s, so stay clear of that.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where global is: host and port of the configured URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host, as certificates must name it.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whom the zone believes to be global.
#[derive(Clone)]
pub enum Trust {
    /// Whoever a known authority says it is.
    Verified(Arc<ClientTrust>),
    /// Anybody, over TLS.
    Insecure(InsecureTrust),
    /// Anybody, in plain text; never with a token.
    Plain,
}

/// How to reach global.
#[derive(Clone)]
pub struct Dialer {
    target: Target,
    trust: Trust,
    clock: Clock,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum DialError {
    /// No TCP connection.
    #[error("cannot reach {target}: {cause}")]
    Unreachable {
        /// Where.
        target: Target,
        /// What the system said.
        cause: std::io::Error,
    },
    /// No answer in time.
    #[error("{target} did not answer within {} s", DEADLINE.as_secs())]
    Late {
        /// Where.
        target: Target,
    },
    /// TLS failed: unknown authority, wrong name, expired certificate. No token was sent.
    #[error("TLS with {target} failed, no token was sent: {reason}")]
    Tls {
        /// Where.
        target: Target,
        /// What is wrong, for people.
        reason: String,
    },
    /// HTTP/2 failed.
    #[error("{target} does not speak HTTP/2: {cause}")]
    Http {
        /// Where.
        target: Target,
        /// What was wrong.
        cause: hyper::Error,
    },
}

/// The two halves of a connection: requests go into one, the other must be polled.
pub(super) struct Connected {
    pub(super) requests: SendRequest<Body>,
    pub(super) driver: http2::Connection<TokioIo<Box<dyn Io>>, Body, TokioExecutor>,
}

/// What a connection runs over.
pub(super) trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

impl Dialer {
    /// Returns a dialer.
    pub fn new(target: Target, trust: Trust, clock: Clock) -> Self {
        Self { target, trust, clock }
    }

    /// Where it dials.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Scheme and authority of every request.
    pub(super) fn origin(&self) -> http::Uri {
        let scheme = if matches!(self.trust, Trust::Plain) { "http" } else { "https" };
        let uri = http::Uri::builder().scheme(scheme).authority(self.target.to_string()).path_and_query("/");
        // A host that is no authority has failed in the TLS handshake or in the resolver before this.
        uri.build().unwrap_or_default()
    }

    pub(super) async fn dial(&self) -> Result<Connected, DialError> {
        let target = &self.target;
        let late = |_elapsed| DialError::Late { target: target.clone() };
        tokio::time::timeout(DEADLINE, self.connect()).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    async fn connect(&self) -> Result<Connected, DialError> {
        let target = || self.target.clone();
        let unreachable = |cause| DialError::Unreachable { target: target(), cause };
        let tcp = TcpStream::connect((self.target.host.as_str(), self.target.port)).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let tls = |reason: String| DialError::Tls { target: target(), reason };
        let io: Box<dyn Io> = match &self.trust {
            Trust::Plain => Box::new(tcp),
            Trust::Verified(trust) => {
                let config = trust.client_config(Alpn::H2).map_err(|error| tls(error.chain()))?;
                let connected = TlsConnector::from(config).connect(self.server_name()?, tcp).await;
                Box::new(connected.map_err(|error| tls(trust.explain(&self.target.host, &error).to_string()))?)
            }
            Trust::Insecure(trust) => {
                warn!(target: "kds.zone", global = %self.target, "{}", InsecureTrust::WARNING);
                let config = trust.client_config(Alpn::H2, self.clock.clone()).map_err(|error| tls(error.chain()))?;
                let connected = TlsConnector::from(config).connect(self.server_name()?, tcp).await;
                Box::new(connected.map_err(|error| tls(error.to_string()))?)
            }
        };
        let (requests, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|cause| DialError::Http { target: target(), cause })?;
        Ok(Connected { requests, driver })
    }

    fn server_name(&self) -> Result<ServerName<'static>, DialError> {
        let name = ServerName::try_from(self.target.host.clone());
        name.map_err(|error| DialError::Tls { target: self.target.clone(), reason: error.to_string() })
    }
}
