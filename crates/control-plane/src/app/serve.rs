//! Serves REST over HTTP/1.1 with the timeouts of the peer (contract: rest-and-cli 1.1), in plain text or over TLS.

use std::{sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use crate::{
    access::{Remote, Transport},
    limits::{Accepted, Place, Port, Timeouts, accept, serve_http1},
    rest::Api,
    tasks::Tasks,
};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves a port until the program stops.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Api,
    places: Arc<Port>,
    timeouts: Timeouts,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let owner = tasks.clone();
    let connection = move |accepted| connection(accepted, tls.clone(), api.clone(), timeouts, owner.clone());
    accept(listener, places, tasks, "rest-connection", connection).await
}

async fn connection(accepted: Accepted, tls: Option<TlsAcceptor>, api: Api, timeouts: Timeouts, tasks: Tasks) {
    let Accepted { stream, peer, place } = accepted;
    let transport = if tls.is_some() { Transport::Https } else { Transport::Http };
    let answer = move |request| {
        let api = api.clone();
        async move { api.answer(Remote { address: peer, transport }, request).await }
    };
    let Some(acceptor) = tls else {
        return Box::pin(serve_http1(stream, peer, place, timeouts, tasks, answer)).await;
    };
    let secured = tokio::select! {
        biased;
        secured = tokio::time::timeout(HANDSHAKE_DEADLINE, secure(stream, &acceptor, &place)) => secured,
        told = place.told() => {
            debug!(peer = %peer, why = told.as_str(), "connection closed");
            return;
        }
        () = tasks.stopping() => return,
    };
    match secured {
        Ok(Ok(stream)) => Box::pin(serve_http1(stream, peer, place, timeouts, tasks, answer)).await,
        Ok(Err(error)) => debug!(peer = %peer, error = %error, "TLS handshake failed"),
        Err(_) => debug!(peer = %peer, "TLS handshake took too long"),
    }
}

/// Nothing is made for a client that says nothing.
async fn secure(stream: TcpStream, acceptor: &TlsAcceptor, place: &Place) -> std::io::Result<TlsStream<TcpStream>> {
    stream.readable().await?;
    place.touch();
    Box::pin(acceptor.accept(stream)).await
}
