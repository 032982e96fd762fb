//! Dials the global control plane: TCP, TLS with a verified name, HTTP/2. Where it has several URLs or addresses, one that
//! answers is taken.

mod driver;
mod row;
mod tunnel;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tracing::warn;

pub(crate) use self::driver::Driver;
use self::{
    driver::Beside,
    row::{Row, Way},
};
use crate::{
    clock::Clock,
    config::{Proxy, SecretText},
    kds::frames::ByteStream,
    tls::{Alpn, ClientTrust, InsecureTrust},
};

/// A global that has not answered by then is not waited for.
const DEADLINE: Duration = Duration::from_secs(10);
/// What one of several ways gets of that: the next one is tried when nobody answers at one.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(3);
/// HTTP/2 pings. A real global ends connections that ping more often than every 15 s, so stay clear of that.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where global is: host and port of the configured URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The host, as certificates must name it.
    pub host: String,
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
pub(crate) enum Trust {
    /// Whoever a known authority says it is.
    Verified(Arc<ClientTrust>),
    /// Anybody, over TLS.
    Insecure(InsecureTrust),
    /// Anybody, in plain text; never with a token.
    Plain,
}

/// Where global may be, and the proxy on the way there.
pub(crate) type Places = Vec<(Target, Option<Proxy>)>;

/// How to reach global. Its clones know the same of who failed.
#[derive(Clone)]
pub(crate) struct Dialer {
    places: Arc<Places>,
    row: Arc<Row>,
    trust: Trust,
    clock: Clock,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    /// No TCP connection.
    #[error("cannot reach {target}: {cause}")]
    Unreachable {
        target: Target,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no address.
    #[error("cannot reach {target}: could not resolve to any address")]
    Unresolved {
        /// One place or several, for people.
        target: String,
    },
    /// No answer in time.
    #[error("{target} did not answer within {:.0} s", within.as_secs_f64())]
    Late {
        /// One place or several, for people.
        target: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The proxy on the way does not lead there.
    #[error("cannot reach {target} through the proxy {proxy} (HTTPS_PROXY): {reason}")]
    Proxy {
        target: Target,
        /// The proxy, its password masked.
        proxy: String,
        /// What is wrong, for people.
        reason: String,
    },
    /// TLS failed: unknown authority, wrong name, expired certificate. No token was sent.
    #[error("TLS with {target} failed, no token was sent: {reason}")]
    Tls {
        target: Target,
        /// What is wrong, for people.
        reason: String,
    },
    /// HTTP/2 failed.
    #[error("{target} does not speak HTTP/2: {cause}")]
    Http {
        target: Target,
        /// What was wrong.
        cause: hyper::Error,
    },
}

/// A connection on which nothing was said yet.
pub(crate) struct Reached {
    pub(crate) io: Box<dyn ByteStream>,
    /// Scheme and authority of every request.
    pub(crate) origin: http::Uri,
    target: Target,
}

/// The two halves of a connection: requests go into one, the other must be polled.
pub(crate) struct Connected {
    pub(crate) requests: SendRequest<Body>,
    pub(crate) driver: Driver,
    /// Scheme and authority of every request.
    pub(crate) origin: http::Uri,
}

impl DialError {
    /// How much an operator learns from it: of several, that somebody answered and was wrong is the news.
    fn tells(&self) -> u8 {
        match self {
            Self::Unresolved { .. } => 0,
            Self::Late { .. } => 1,
            Self::Unreachable { .. } => 2,
            Self::Proxy { .. } => 3,
            Self::Http { .. } => 4,
            Self::Tls { .. } => 5,
        }
    }

    /// The one of two problems that is told.
    fn or(self, later: Self) -> Self {
        if self.tells() > later.tells() { self } else { later }
    }
}

impl Dialer {
    /// Returns one that goes to one of these places; there is at least one.
    pub(crate) fn new(places: Places, trust: Trust, clock: Clock) -> Self {
        Self { places: Arc::new(places), row: Arc::default(), trust, clock }
    }

    /// Where it got to the last time, for people; all places if it got nowhere.
    pub(crate) fn target(&self) -> String {
        match self.row.target().and_then(|target| self.places.get(target)) {
            Some((target, _)) => target.to_string(),
            None => self.places.iter().map(|(target, _)| target.to_string()).collect::<Vec<_>>().join(" or "),
        }
    }

    /// The place that it got to last is gone, or does not want us: others are tried first.
    pub(crate) fn set_aside(&self) {
        self.row.set_aside();
    }

    /// Connects to one of the places, for HTTP/2 by the library.
    pub(crate) async fn dial(&self) -> Result<Connected, DialError> {
        let Reached { io, origin, target } = self.reach().await?;
        let beside = Beside::default();
        let (requests, connection) = http2::Builder::new(beside.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|cause| DialError::Http { target, cause })?;
        Ok(Connected { requests, driver: Driver::new(connection, beside), origin })
    }

    /// Connects to one of the places.
    pub(crate) async fn reach(&self) -> Result<Reached, DialError> {
        let until = Instant::now() + DEADLINE;
        let late = || match self.places.as_slice() {
            [(target, Some(proxy))] => {
                proxy_error(target, proxy, format!("no connection within {} s", DEADLINE.as_secs()))
            }
            _ => DialError::Late { target: self.target(), within: DEADLINE },
        };
        tokio::time::timeout_at(until, self.try_each(until)).await.unwrap_or_else(|_elapsed| Err(late()))
    }

    async fn try_each(&self, until: Instant) -> Result<Reached, DialError> {
        let (ways, unresolved) = self.ways().await;
        let ways = self.row.in_order(ways);
        let reached = first_reachable(&ways, until, |way, within| self.connect(way, within), DialError::or).await;
        reached.map_err(|problem| match (problem, unresolved) {
            (Some(problem), Some(unresolved)) => unresolved.or(problem),
            (Some(problem), None) | (None, Some(problem)) => problem,
            (None, None) => DialError::Unresolved { target: self.target() },
        })
    }

    /// All ways that there are now. Where there is none for a name, what the resolver said.
    async fn ways(&self) -> (Vec<Way>, Option<DialError>) {
        let several = self.places.len() > 1;
        let found = self.places.iter().enumerate().map(|(index, (target, proxy))| async move {
            if proxy.is_some() {
                return Ok(vec![Way { target: index, address: None }]);
            }
            let asked = tokio::net::lookup_host((target.host.as_str(), target.port));
            // A name server that says nothing must not keep the other names waiting.
            let found = if several {
                tokio::time::timeout(ADDRESS_DEADLINE, asked).await.unwrap_or_else(|late| Err(late.into()))
            } else {
                asked.await
            };
            let addresses = found.map_err(|cause| DialError::Unreachable { target: target.clone(), cause })?;
            Ok(addresses.map(|address| Way { target: index, address: Some(address) }).collect())
        });
        let (mut ways, mut unresolved) = (Vec::new(), None);
        for found in join_all(found).await {
            match found {
                Ok(some) => ways.extend(some),
                Err(problem) => unresolved = Some(problem),
            }
        }
        (ways, unresolved)
    }

    async fn connect(&self, way: Way, within: Option<Duration>) -> Result<Reached, DialError> {
        let Some((target, proxy)) = self.places.get(way.target) else {
            return Err(DialError::Unresolved { target: self.target() });
        };
        self.row.tries(way);
        let connecting = self.connect_to(target, proxy.as_ref(), way);
        let connected = match within {
            None => connecting.await,
            Some(within) => tokio::time::timeout(within, connecting)
                .await
                .unwrap_or_else(|_elapsed| Err(DialError::Late { target: target.to_string(), within })),
        };
        if connected.is_ok() {
            self.row.reached(way);
        }
        connected
    }

    async fn connect_to(&self, to: &Target, proxy: Option<&Proxy>, way: Way) -> Result<Reached, DialError> {
        let target = || to.clone();
        let unreachable = |cause| DialError::Unreachable { target: target(), cause };
        let tcp = match (proxy, way.address) {
            (Some(proxy), _) => through(proxy, to).await?,
            (None, Some(address)) => TcpStream::connect(address).await.map_err(unreachable)?,
            (None, None) => return Err(DialError::Unresolved { target: to.to_string() }),
        };
        tcp.set_nodelay(true).map_err(unreachable)?;
        let tls = |reason: String| DialError::Tls { target: target(), reason };
        let io: Box<dyn ByteStream> = match &self.trust {
            Trust::Plain => Box::new(tcp),
            Trust::Verified(trust) => {
                let config = trust.client_config(Alpn::H2).map_err(|error| tls(error.chain()))?;
                let connected = TlsConnector::from(config).connect(server_name(to)?, tcp).await;
                Box::new(connected.map_err(|error| tls(trust.explain(&to.host, &error).to_string()))?)
            }
            Trust::Insecure(trust) => {
                warn!(global = %to, "{}", InsecureTrust::WARNING);
                let config = trust.client_config(Alpn::H2, self.clock.clone()).map_err(|error| tls(error.chain()))?;
                let connected = TlsConnector::from(config).connect(server_name(to)?, tcp).await;
                Box::new(connected.map_err(|error| tls(error.to_string()))?)
            }
        };
        Ok(Reached { io, origin: self.origin(to), target: target() })
    }

    /// Scheme and authority of requests.
    fn origin(&self, target: &Target) -> http::Uri {
        let scheme = if matches!(self.trust, Trust::Plain) { "http" } else { "https" };
        let uri = http::Uri::builder().scheme(scheme).authority(target.to_string()).path_and_query("/");
        // A host that is no authority has failed in the TLS handshake or in the resolver before this.
        uri.build().unwrap_or_default()
    }
}

/// A connection through the proxy, which resolves the name.
async fn through(proxy: &Proxy, target: &Target) -> Result<TcpStream, DialError> {
    let failed = |reason| proxy_error(target, proxy, reason);
    let away = |cause: io::Error| failed(format!("cannot reach the proxy: {cause}"));
    let until = Instant::now() + DEADLINE;
    let addresses: Vec<_> = tokio::net::lookup_host((proxy.host.as_str(), proxy.port)).await.map_err(away)?.collect();
    let connect = |address: SocketAddr, within: Option<Duration>| async move {
        match within {
            None => TcpStream::connect(address).await,
            Some(within) => tokio::time::timeout(within, TcpStream::connect(address)).await?,
        }
    };
    let reached = first_reachable(&addresses, until, connect, |_before, later| later).await;
    let mut tcp = reached.map_err(|problem| away(problem.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))?;
    let authorization = proxy.authorization.as_ref().map(SecretText::reveal);
    tunnel::open(&mut tcp, &target.to_string(), authorization).await.map_err(failed)?;
    Ok(tcp)
}

fn proxy_error(target: &Target, proxy: &Proxy, reason: String) -> DialError {
    DialError::Proxy { target: target.clone(), proxy: proxy.to_string(), reason }
}

fn server_name(target: &Target) -> Result<ServerName<'static>, DialError> {
    let name = ServerName::try_from(target.host.clone());
    name.map_err(|error| DialError::Tls { target: target.clone(), reason: error.to_string() })
}

/// Takes the first way that leads there; the error is that of one of them, as `or` says, and none if there is no way. A way
/// that says nothing must not use up the time of those behind it; the last one has all that is left until the caller gives up.
async fn first_reachable<W, T, E, F>(
    ways: &[W],
    until: Instant,
    connect: impl Fn(W, Option<Duration>) -> F,
    or: impl Fn(E, E) -> E,
) -> Result<T, Option<E>>
where
    W: Copy,
    F: Future<Output = Result<T, E>>,
{
    let mut problem = None;
    for (index, &way) in ways.iter().enumerate() {
        let behind = u32::try_from(ways.len() - index - 1).unwrap_or(u32::MAX);
        let left = until.saturating_duration_since(Instant::now());
        let slice = ADDRESS_DEADLINE.min(left / behind.saturating_add(1));
        match connect(way, (behind > 0).then_some(slice)).await {
            Ok(connected) => return Ok(connected),
            Err(later) => {
                problem = Some(match problem {
                    None => later,
                    Some(before) => or(before, later),
                });
            }
        }
    }
    Err(problem)
}

#[cfg(test)]
mod tests;
