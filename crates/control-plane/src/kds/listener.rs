//! Accepts connections of the KDS port: TLS with a deadline, HTTP/2 with keepalive, one task a connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use crate::{
    kds::port::{Connection, Port},
    tasks::{OnError, Tasks},
    zones::registry::{ConnectionGuard, Standing},
};

/// A peer that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A connection on which nobody has proved who they are by then is dropped.
const PROOF_DEADLINE: Duration = Duration::from_secs(15);
/// How long a connection that has to go may take to say goodbye to its streams.
const FAREWELL: Duration = Duration::from_secs(5);
/// HTTP/2 pings: the peer's own figures (contract: kds 1.4).
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Streams of one connection; a proxy in front may carry many zones over one.
const STREAMS_PER_CONNECTION: u32 = 20_000;
/// How much of a stream may wait here to be read: HTTP/2's own default. What waits is kept track of frame by frame, in
/// tables that grow and never shrink; the first requests of a zone would fill them.
const STREAM_WINDOW: u32 = 65_535;
/// Handshakes under way at once: a storm queues in the kernel and not in memory.
const HANDSHAKES_AT_ONCE: usize = 512;

/// Serves the port until the program stops.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    port: Arc<Port>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
    loop {
        let (permit, accepted) = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            both = async { (Arc::clone(&handshakes).acquire_owned().await, listener.accept().await) } => both,
        };
        let permit = permit.context("handshake permits")?;
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer went away between SYN and accept: nothing of ours is broken.
                info!(target: "kds", error = %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let known = port.registry.connect();
        let connection = Connection { id: known.id(), peer, refused: Arc::default() };
        let (port, tls, owner) = (Arc::clone(&port), tls.clone(), tasks.clone());
        tasks.spawn("kds-connection", OnError::Log, async move {
            let secured = tokio::time::timeout(HANDSHAKE_DEADLINE, secure(stream, tls)).await;
            drop(permit);
            match secured {
                Ok(Ok(io)) => connection_task(io, connection, known, port, owner).await,
                Ok(Err(error)) => debug!(target: "kds", peer = %peer, error = %error, "TLS handshake failed"),
                Err(_) => debug!(target: "kds", peer = %peer, "TLS handshake took too long"),
            }
            Ok(())
        });
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn secure(stream: TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<Box<dyn Io>> {
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(acceptor) => Box::new(acceptor.accept(stream).await?),
        None => Box::new(stream),
    })
}

async fn connection_task(
    io: Box<dyn Io>,
    connection: Connection,
    mut known: ConnectionGuard,
    port: Arc<Port>,
    tasks: Tasks,
) {
    let peer: SocketAddr = connection.peer;
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (port, connection) = (Arc::clone(&port), connection.clone());
        // Boxed, so that it is gone when the call is answered: its place stays for as long as the stream.
        Box::pin(async move { Ok::<_, std::convert::Infallible>(port.call(connection, request).await) })
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(64 * 1024)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        why = not_wanted(&mut known) => {
            debug!(target: "kds", peer = %peer, why, "connection dropped");
            // Its streams are told why before it goes.
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(FAREWELL, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
        () = tasks.stopping() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    match ended {
        Ok(()) => debug!(target: "kds", peer = %peer, "connection closed"),
        Err(error) => debug!(target: "kds", peer = %peer, error = %error, "connection lost"),
    }
}

/// Resolves with the reason when nobody on the connection has proved in time who they are, or what was proved is gone.
async fn not_wanted(known: &mut ConnectionGuard) -> &'static str {
    match tokio::time::timeout(PROOF_DEADLINE, known.changed()).await {
        Err(_) => return "nobody proved who they are",
        Ok(Standing::Withdrawn) => return "no token that was shown on it is good any more",
        Ok(Standing::Unproven | Standing::Proven) => {}
    }
    while known.changed().await != Standing::Withdrawn {}
    "no token that was shown on it is good any more"
}
