//! Accepts connections of the KDS port: TLS with a deadline, HTTP/2 with keepalive, one task a connection.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

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
    zones::registry::ConnectionId,
};

/// A peer that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A connection on which nobody has proved who they are by then is dropped.
const PROOF_DEADLINE: Duration = Duration::from_secs(15);
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
    let mut next = 0;
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
        next += 1;
        let connection = Connection { id: ConnectionId(next), peer, proven: Arc::default(), refused: Arc::default() };
        let (port, tls, owner) = (Arc::clone(&port), tls.clone(), tasks.clone());
        tasks.spawn("kds-connection", OnError::Log, async move {
            let secured = tokio::time::timeout(HANDSHAKE_DEADLINE, secure(stream, tls)).await;
            drop(permit);
            match secured {
                Ok(Ok(io)) => connection_task(io, connection, port, owner).await,
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

async fn connection_task(io: Box<dyn Io>, connection: Connection, port: Arc<Port>, tasks: Tasks) {
    let peer: SocketAddr = connection.peer;
    let proven = Arc::clone(&connection.proven);
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
    let unproven = async {
        tokio::time::sleep(PROOF_DEADLINE).await;
        if proven.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = unproven => {
            debug!(target: "kds", peer = %peer, "nobody proved who they are, connection dropped");
            return;
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
