//! Serves connections of the KDS port: TLS, then HTTP/2 with keepalive, one task a connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use hyper::{
    body::Incoming,
    service::{HttpService, service_fn},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tracing::debug;

use crate::{
    kds::{
        frames::ByteStream,
        global::router::{Connection, Router},
        relay::{self, Answer, Answers, Arriving, Relay, Slot},
        serving::{Serving, http2},
    },
    limits::{self, Accepted, Place, Stalls, accept},
    tasks::Tasks,
    zones::registry::{ConnectionGuard, Standing},
};

/// How long a connection that has to go may take to say goodbye to its streams.
const FAREWELL: Duration = Duration::from_secs(5);
/// A peer that takes not a byte for so long is gone, whatever its keepalive says.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// Serves the port until the program stops. From when zones are told to go the port is closed, so that whoever dials is
/// refused at once and tries elsewhere.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Arc<Router>,
    places: Arc<limits::Port>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let (owner, registry) = (tasks.clone(), router.context().registry.clone());
    let connection = move |accepted| connection(accepted, tls.clone(), Arc::clone(&router), owner.clone());
    tokio::select! {
        ended = accept(listener, places, tasks, "kds-connection", connection) => ended,
        () = registry.draining() => Ok(()),
    }
}

async fn connection(accepted: Accepted, tls: Option<TlsAcceptor>, router: Arc<Router>, tasks: Tasks) {
    let Accepted { stream, peer, place } = accepted;
    // Biased: what came while this program was short of time is read before anybody is called late.
    let secured = tokio::select! {
        biased;
        secured = secure(stream, tls, &place) => secured,
        told = place.told() => {
            debug!(peer = %peer, why = told.as_str(), "connection dropped");
            return;
        }
        () = tasks.stopping() => return,
    };
    match secured {
        Ok(io) => {
            place.touch();
            let known = router.context().registry.connect();
            let connection = Connection { id: known.id(), peer, refused: Arc::default(), far: Slot::default() };
            serve_http2(io, connection, known, place, router, tasks).await;
        }
        Err(error) => debug!(peer = %peer, error = %error, "TLS handshake failed"),
    }
}

async fn secure(stream: TcpStream, tls: Option<TlsAcceptor>, place: &Place) -> std::io::Result<Box<dyn ByteStream>> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = tls else { return Ok(Box::new(Stalls::new(stream, WRITE_DEADLINE, 1))) };
    // Nothing is made for a peer that says nothing.
    stream.readable().await?;
    place.touch();
    // Boxed, so that its place is free again when it is over.
    let secured = Box::pin(acceptor.accept(Stalls::new(stream, WRITE_DEADLINE, 1))).await?;
    Ok(Box::new(secured))
}

/// What serves a connection.
trait Serves: Future<Output = Result<(), Self::Error>> + Unpin {
    type Error: std::error::Error;

    /// Takes no new calls, and is over when those are that it has.
    fn graceful_shutdown(&mut self);
}

impl<S> Serves for Serving<S>
where
    S: HttpService<Incoming, ResBody = Body> + Unpin,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Error = hyper::Error;

    fn graceful_shutdown(&mut self) {
        Self::graceful_shutdown(self);
    }
}

impl<A: Answers> Serves for Relay<A> {
    type Error = relay::Ended;

    fn graceful_shutdown(&mut self) {
        Self::graceful_shutdown(self);
    }
}

/// Passes the calls of one connection on.
struct PassesOn {
    router: Arc<Router>,
    connection: Connection,
}

impl Answers for PassesOn {
    fn answer(&self, arriving: Arriving) -> BoxFuture<'static, Answer> {
        let (router, connection) = (Arc::clone(&self.router), self.connection.clone());
        async move { router.pass(connection, arriving).await }.boxed()
    }
}

async fn serve_http2(
    io: Box<dyn ByteStream>,
    connection: Connection,
    known: ConnectionGuard,
    place: Place,
    router: Arc<Router>,
    tasks: Tasks,
) {
    let peer = connection.peer;
    if router.passes_on() {
        return serve_until_told(Relay::new(io, PassesOn { router, connection }), peer, known, place, tasks).await;
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (router, connection) = (Arc::clone(&router), connection.clone());
        // Boxed, so that it is gone when the call is answered: its place stays for as long as the stream.
        Box::pin(async move { Ok::<_, std::convert::Infallible>(router.call(connection, request).await) })
    });
    serve_until_told(Serving::new(http2, io, service), peer, known, place, tasks).await;
}

async fn serve_until_told<S: Serves>(
    mut serving: S,
    peer: SocketAddr,
    mut known: ConnectionGuard,
    place: Place,
    tasks: Tasks,
) {
    let ended = tokio::select! {
        biased;
        ended = &mut serving => ended,
        () = withdrawn(&mut known, &place) => {
            debug!(peer = %peer, "no token that was shown on the connection is good any more");
            // Its streams were told why before.
            serving.graceful_shutdown();
            match tokio::time::timeout(FAREWELL, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
        told = place.told() => {
            debug!(peer = %peer, why = told.as_str(), "connection dropped");
            return;
        }
        () = tasks.stopping() => {
            serving.graceful_shutdown();
            serving.await
        }
    };
    match ended {
        Ok(()) => debug!(peer = %peer, "connection closed"),
        Err(error) => debug!(peer = %peer, error = %error, "connection lost"),
    }
}

/// Follows what was proved on the connection with its place; resolves when the last proof is gone.
async fn withdrawn(known: &mut ConnectionGuard, place: &Place) {
    loop {
        match known.changed().await {
            Standing::Proven => place.prove(),
            Standing::Withdrawn => return place.unprove(),
            Standing::Unproven => {}
        }
    }
}
