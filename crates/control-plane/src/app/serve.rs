//! Serves HTTP/1.1 with the timeouts of the peer (contract: rest-and-cli 1.1), in plain text or over TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use crate::{
    access::{Peer, Transport},
    rest::Api,
    tasks::{OnError, Tasks},
};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A client has this long to send the head of a request.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Connections at once; more wait in the kernel.
const CONNECTIONS: usize = 4096;

/// Binds an address, with an error that says what to do when it is taken.
pub(super) async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for {what}: is another control plane running here? choose another port")
    })
}

/// Serves REST until the program stops.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Api,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await.context("connection permits")?;
        let accepted = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                info!(target: "api-server", error = %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, api, owner) = (tls.clone(), api.clone(), tasks.clone());
        tasks.spawn("rest-connection", OnError::Log, async move {
            let _permit = permit;
            let secure = tls.is_some();
            match tokio::time::timeout(HANDSHAKE_DEADLINE, secured(stream, tls)).await {
                Ok(Ok(io)) => connection(io, peer, secure, api, owner).await,
                Ok(Err(error)) => debug!(target: "api-server", peer = %peer, error = %error, "TLS handshake failed"),
                Err(_) => debug!(target: "api-server", peer = %peer, "TLS handshake took too long"),
            }
            Ok(())
        });
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn secured(stream: TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<Box<dyn Io>> {
    Ok(match tls {
        Some(acceptor) => Box::new(acceptor.accept(stream).await?),
        None => Box::new(stream),
    })
}

async fn connection(io: Box<dyn Io>, peer: SocketAddr, secure: bool, api: Api, tasks: Tasks) {
    let service = hyper::service::service_fn(move |request| {
        let api = api.clone();
        let transport = if secure { Transport::Https } else { Transport::Http };
        async move { Ok::<_, std::convert::Infallible>(api.answer(Peer { remote: peer, transport }, request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        // Answers are written from where they are: what waits for a slow reader is what the API counts.
        .writev(true)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = tasks.stopping() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(target: "api-server", peer = %peer, error = %error, "connection lost");
    }
}
