//! Dials the global control plane: TCP, TLS with a verified name, HTTP/2.
#![expect(clippy::disallowed_types, reason = "the tasks of a connection end with it, and Tasks owns the connection")]

mod tunnel;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tracing::warn;

use crate::{
    clock::Clock,
    config::{Proxy, SecretText},
    kds::frames::ByteStream,
    tls::{Alpn, ClientTrust, InsecureTrust},
};

/// A global that has not answered by then is not waited for.
const DEADLINE: Duration = Duration::from_secs(10);
/// What one of several addresses gets of that: the next one is tried when nobody answers at one.
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

/// How to reach global.
#[derive(Clone)]
pub(crate) struct Dialer {
    target: Target,
    trust: Trust,
    proxy: Option<Proxy>,
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
    /// No answer in time.
    #[error("{target} did not answer within {} s", DEADLINE.as_secs())]
    Late { target: Target },
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
}

impl Dialer {
    pub(crate) fn new(target: Target, trust: Trust, proxy: Option<Proxy>, clock: Clock) -> Self {
        Self { target, trust, proxy, clock, windows: None }
    }

    /// Has connections with other windows than those of the library, which are megabytes.
    pub(crate) fn within(self, windows: Windows) -> Self {
        Self { windows: Some(windows), ..self }
    }

    /// Where it dials.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Scheme and authority of every request.
    pub(crate) fn origin(&self) -> http::Uri {
        let scheme = if matches!(self.trust, Trust::Plain) { "http" } else { "https" };
        let uri = http::Uri::builder().scheme(scheme).authority(self.target.to_string()).path_and_query("/");
        // A host that is no authority has failed in the TLS handshake or in the resolver before this.
        uri.build().unwrap_or_default()
    }

    pub(crate) async fn dial(&self) -> Result<Connected, DialError> {
        let target = &self.target;
        let late = |_elapsed| match &self.proxy {
            None => DialError::Late { target: target.clone() },
            Some(proxy) => self.proxy_error(proxy, format!("no connection within {} s", DEADLINE.as_secs())),
        };
        tokio::time::timeout(DEADLINE, self.connect()).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    async fn connect(&self) -> Result<Connected, DialError> {
        let target = || self.target.clone();
        let unreachable = |cause| DialError::Unreachable { target: target(), cause };
        let tcp = match &self.proxy {
            None => tcp(&self.target.host, self.target.port).await.map_err(unreachable)?,
            Some(proxy) => self.through(proxy).await?,
        };
        let tls = |reason: String| DialError::Tls { target: target(), reason };
        let io: Box<dyn ByteStream> = match &self.trust {
            Trust::Plain => Box::new(tcp),
            Trust::Verified(trust) => {
                let config = trust.client_config(Alpn::H2).map_err(|error| tls(error.chain()))?;
                let connected = TlsConnector::from(config).connect(self.server_name()?, tcp).await;
                Box::new(connected.map_err(|error| tls(trust.explain(&self.target.host, &error).to_string()))?)
            }
            Trust::Insecure(trust) => {
                warn!(global = %self.target, "{}", InsecureTrust::WARNING);
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
            .initial_stream_window_size(self.windows.map(|windows| windows.stream))
            .initial_connection_window_size(self.windows.map(|windows| windows.connection))
            .handshake(TokioIo::new(io))
            .await
            .map_err(|cause| DialError::Http { target: target(), cause })?;
        Ok(Connected { requests, driver })
    }

    /// A connection through the proxy, which resolves the name.
    async fn through(&self, proxy: &Proxy) -> Result<TcpStream, DialError> {
        let away = |cause: io::Error| self.proxy_error(proxy, format!("cannot reach the proxy: {cause}"));
        let mut tcp = tcp(&proxy.host, proxy.port).await.map_err(away)?;
        let authorization = proxy.authorization.as_ref().map(SecretText::reveal);
        let opened = tunnel::open(&mut tcp, &self.target.to_string(), authorization).await;
        opened.map_err(|reason| self.proxy_error(proxy, reason))?;
        Ok(tcp)
    }

    fn proxy_error(&self, proxy: &Proxy, reason: String) -> DialError {
        DialError::Proxy { target: self.target.clone(), proxy: proxy.to_string(), reason }
    }

    fn server_name(&self) -> Result<ServerName<'static>, DialError> {
        let name = ServerName::try_from(self.target.host.clone());
        name.map_err(|error| DialError::Tls { target: self.target.clone(), reason: error.to_string() })
    }
}

/// A connection to the first address of a host that answers.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let until = Instant::now() + DEADLINE;
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    let tcp = first_reachable(&addresses, until, TcpStream::connect).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Connects to the first address that answers; the error is that of the last one. An address that says nothing must not
/// use up the time of those behind it; the last one has all that is left until the caller gives up.
async fn first_reachable<T, F>(
    addresses: &[SocketAddr],
    until: Instant,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    for (index, &address) in addresses.iter().enumerate() {
        let behind = u32::try_from(addresses.len() - index - 1).unwrap_or(u32::MAX);
        if behind == 0 {
            return connect(address).await;
        }
        let left = until.saturating_duration_since(Instant::now());
        let slice = ADDRESS_DEADLINE.min(left / behind.saturating_add(1));
        if let Ok(Ok(connected)) = tokio::time::timeout(slice, connect(address)).await {
            return Ok(connected);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any address"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listens = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let until = Instant::now() + DEADLINE;
        let tcp = first_reachable(&[closed, listens], until, TcpStream::connect).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), listens);
        let refused = first_reachable(&[closed], until, TcpStream::connect).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let nothing = first_reachable(&[], until, TcpStream::connect).await.unwrap_err();
        assert_eq!(nothing.to_string(), "could not resolve to any address");
    }

    #[tokio::test]
    async fn an_address_of_ipv6_is_an_authority_and_can_be_dialled() {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        let target = Target { host: "::1".to_owned(), port };
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let dialer = Dialer::new(target, Trust::Plain, None, clock);
        assert_eq!(dialer.origin().authority().unwrap().as_str(), format!("[::1]:{port}"));
        assert!(matches!(dialer.server_name(), Ok(ServerName::IpAddress(_))));
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
        let target = Target { host: "global.invalid".to_owned(), port: 5685 };
        Dialer::new(target, Trust::Plain, config.zone.proxy, Clock::starting_at(jiff::Timestamp::UNIX_EPOCH))
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
        let Connected { requests: _kept, driver } = connected.ok().unwrap();
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
            let connected = first_reachable(&addresses, start + DEADLINE, |address| async move {
                if address == last { Ok(address) } else { std::future::pending().await }
            });
            assert_eq!(connected.await.unwrap(), last);
            assert_eq!(start.elapsed().as_secs(), seconds, "{count} addresses");
        }
        let silent = |_| std::future::pending::<io::Result<()>>();
        let only = [address(0)];
        let waits = first_reachable(&only, Instant::now() + DEADLINE, silent);
        assert!(tokio::time::timeout(2 * DEADLINE, waits).await.is_err(), "the caller says that it is late");
    }
}
