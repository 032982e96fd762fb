//! Dials the global control plane: TCP, TLS with a verified name, HTTP/2. Where it has several URLs or addresses, one that
//! answers is taken.
#![expect(clippy::disallowed_types, reason = "the tasks of a connection end with it, and Tasks owns the connection")]

mod row;
mod tunnel;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tracing::warn;

use self::row::{Row, Way};
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
    windows: Option<Windows>,
}

/// How much of what comes may wait here to be read, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Of one stream.
    pub stream: u32,
    /// Of all together.
    pub connection: u32,
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

/// The two halves of a connection: requests go into one, the other must be polled.
pub(crate) struct Connected {
    pub(crate) requests: SendRequest<Body>,
    pub(crate) driver: http2::Connection<TokioIo<Box<dyn ByteStream>>, Body, TokioExecutor>,
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
        Self { places: Arc::new(places), row: Arc::default(), trust, clock, windows: None }
    }

    /// Has connections with other windows than those of the library, which are megabytes.
    pub(crate) fn within(self, windows: Windows) -> Self {
        Self { windows: Some(windows), ..self }
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

    /// Connects to one of the places.
    pub(crate) async fn dial(&self) -> Result<Connected, DialError> {
        let until = Instant::now() + DEADLINE;
        let late = || match self.places.as_slice() {
            [(target, Some(proxy))] => {
                proxy_error(target, proxy, format!("no connection within {} s", DEADLINE.as_secs()))
            }
            _ => DialError::Late { target: self.target(), within: DEADLINE },
        };
        tokio::time::timeout_at(until, self.try_each(until)).await.unwrap_or_else(|_elapsed| Err(late()))
    }

    async fn try_each(&self, until: Instant) -> Result<Connected, DialError> {
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

    async fn connect(&self, way: Way, within: Option<Duration>) -> Result<Connected, DialError> {
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

    async fn connect_to(&self, to: &Target, proxy: Option<&Proxy>, way: Way) -> Result<Connected, DialError> {
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
        let (requests, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(self.windows.map(|windows| windows.stream))
            .initial_connection_window_size(self.windows.map(|windows| windows.connection))
            .handshake(TokioIo::new(io))
            .await
            .map_err(|cause| DialError::Http { target: target(), cause })?;
        Ok(Connected { requests, driver, origin: self.origin(to) })
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
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn clock() -> Clock {
        Clock::starting_at(jiff::Timestamp::UNIX_EPOCH)
    }

    fn plain(targets: &[(&str, u16)]) -> Dialer {
        let target = |(host, port): &(&str, u16)| (Target { host: (*host).to_owned(), port: *port }, None);
        Dialer::new(targets.iter().map(target).collect(), Trust::Plain, clock())
    }

    /// A port of this machine where nobody listens.
    async fn closed() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn of_several_urls_the_one_that_answers_is_taken_until_it_is_gone() {
        let (one, other) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (first, second) = (one.local_addr().unwrap().port(), other.local_addr().unwrap().port());
        let dialer = plain(&[("127.0.0.1", first), ("127.0.0.1", closed().await), ("127.0.0.1", second)]);
        assert!(dialer.target().contains(" or "), "{}", dialer.target());
        let reached = async || {
            let connected = dialer.dial().await.ok().unwrap();
            assert_eq!(connected.origin.authority().unwrap().as_str(), dialer.target());
            dialer.target()
        };
        let before = reached().await;
        assert!([first, second].iter().any(|port| before == format!("127.0.0.1:{port}")), "{before}");
        for _ in 0..5 {
            assert_eq!(reached().await, before, "it is kept");
        }
        dialer.set_aside();
        let after = reached().await;
        assert_ne!(after, before);
        drop((one, other));
        let refused = dialer.dial().await.err().unwrap().to_string();
        assert!(refused.contains("Connection refused"), "{refused}");
    }

    #[tokio::test]
    async fn a_name_that_is_not_known_hides_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = plain(&[("global.invalid", 5685), ("localhost", port)]);
        assert!(dialer.dial().await.is_ok());
        assert_eq!(dialer.target(), format!("localhost:{port}"));
    }

    #[test]
    fn that_somebody_answered_and_was_wrong_is_what_is_told() {
        let target = || Target { host: "g".to_owned(), port: 1 };
        let tls = DialError::Tls { target: target(), reason: "unknown authority".to_owned() };
        let refused = DialError::Unreachable { target: target(), cause: io::ErrorKind::ConnectionRefused.into() };
        assert!(matches!(tls.or(refused), DialError::Tls { .. }));
        let late = || DialError::Late { target: String::new(), within: DEADLINE };
        let refused = || DialError::Unreachable { target: target(), cause: io::ErrorKind::ConnectionRefused.into() };
        assert!(matches!(late().or(refused()), DialError::Unreachable { .. }));
        assert!(matches!(refused().or(late()), DialError::Unreachable { .. }));
    }

    #[tokio::test]
    async fn an_address_of_ipv6_is_an_authority_and_can_be_dialled() {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        let dialer = plain(&[("::1", port)]);
        let target = Target { host: "::1".to_owned(), port };
        assert_eq!(dialer.origin(&target).authority().unwrap().as_str(), format!("[::1]:{port}"));
        assert!(matches!(server_name(&target), Ok(ServerName::IpAddress(_))));
        let (connected, accepted) = tokio::join!(dialer.dial(), listener.accept());
        assert!(connected.is_ok() && accepted.unwrap().1.is_ipv6());
    }

    /// A dialer to a name that only a proxy resolves.
    fn behind(proxy: SocketAddr) -> Dialer {
        let environment = [
            ("KUMA_MODE", "zone".to_owned()),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpc://global.invalid:5685".to_owned()),
            ("HTTPS_PROXY", format!("http://me:secret@{proxy}")),
        ];
        let environment = environment.map(|(key, text)| (key.to_owned(), text));
        let (config, _) = crate::config::Config::from_sources(None, &environment, "/home/user").unwrap();
        let shown = config.display_json();
        assert!(shown.contains("me:*****@") && !shown.contains("secret"), "{shown}");
        let [(address, proxy)] = config.global_addresses.try_into().unwrap();
        let target = Target { host: address.host, port: address.port };
        Dialer::new(vec![(target, proxy)], Trust::Plain, clock())
    }

    async fn read_until(stream: &mut TcpStream, end: &str) -> String {
        use tokio::io::AsyncReadExt as _;
        let mut read = String::new();
        while !read.ends_with(end) {
            read.push(char::from(stream.read_u8().await.unwrap()));
        }
        read
    }

    #[tokio::test]
    async fn a_proxy_of_the_environment_is_asked_for_the_connection() {
        use tokio::io::AsyncWriteExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = behind(listener.local_addr().unwrap());
        let proxy = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = read_until(&mut stream, "\r\n\r\n").await;
            assert!(asked.starts_with("CONNECT global.invalid:5685 HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{asked}");
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            stream
        };
        let (connected, mut stream) = tokio::join!(dialer.dial(), proxy);
        // Without somebody who may ask, the connection would be closed.
        let Connected { requests: _kept, driver, .. } = connected.ok().unwrap();
        tokio::select! {
            _ = driver => panic!("the connection stands"),
            preface = read_until(&mut stream, "SM\r\n\r\n") => assert!(preface.starts_with("PRI * HTTP/2.0"), "{preface}"),
        }

        let refuses = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
        };
        let (refused, ()) = tokio::join!(dialer.dial(), refuses);
        let refused = refused.err().unwrap().to_string();
        assert!(refused.ends_with("(HTTPS_PROXY): it refused: `HTTP/1.1 403 Forbidden`"), "{refused}");
        drop(listener);
        let away = dialer.dial().await.err().unwrap().to_string();
        assert!(away.contains("global.invalid:5685") && away.contains("cannot reach the proxy"), "{away}");
        assert!(![refused, away].iter().any(|text| text.contains("secret")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_says_nothing_leaves_time_for_the_others() {
        let address = |index: usize| SocketAddr::from(([127, 0, 0, 1], u16::try_from(index).unwrap() + 1));
        for (count, seconds) in [(1, 0), (2, 3), (3, 6), (11, 9)] {
            let addresses: Vec<_> = (0..count).map(address).collect();
            let last = address(count - 1);
            let start = Instant::now();
            let connect = |address, within: Option<Duration>| async move {
                match within {
                    _ if address == last => Ok(address),
                    Some(within) => tokio::time::timeout(within, std::future::pending()).await,
                    None => std::future::pending().await,
                }
            };
            let connected = first_reachable(&addresses, start + DEADLINE, connect, |_before, later| later);
            assert_eq!(connected.await.unwrap(), last);
            assert_eq!(start.elapsed().as_secs(), seconds, "{count} addresses");
        }
        let silent = |_, within: Option<Duration>| async move {
            assert_eq!(within, None, "the caller says that it is late");
            std::future::pending::<Result<(), ()>>().await
        };
        let only = [address(0)];
        let waits = first_reachable(&only, Instant::now() + DEADLINE, silent, |(), ()| ());
        assert!(tokio::time::timeout(2 * DEADLINE, waits).await.is_err());
    }
}
