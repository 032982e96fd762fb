//! Where the zone connects: a port of this machine, or a UNIX socket.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream, UnixListener},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::{
    Connector, Near,
    first_bytes::{self, NOT_HTTP2, Speaks},
};
use crate::{
    kds::{
        frames::ByteStream,
        relay::{Answer, Answers, Arriving, Relay, Slot},
    },
    limits::{self, Accepted, Place, Stalls, accept},
    tasks::{OnError, Tasks},
};

/// A peer that says nothing is not waited for.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A peer that takes not a byte for so long is gone, whatever its keepalive says.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
/// Where places are not counted, a peer that no call was taken from by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// One zone connects, and again before the connection of before is gone.
const CONNECTIONS: usize = 64;

/// Serves a port of TCP until the program stops.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connector: Arc<Connector>,
    places: Arc<limits::Port>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let owner = tasks.clone();
    let connection = move |Accepted { stream, peer, place }: Accepted| {
        let (tls, connector, tasks) = (tls.clone(), Arc::clone(&connector), owner.clone());
        async move {
            let secured = tokio::select! {
                secured = tokio::time::timeout(HANDSHAKE_DEADLINE, secure(stream, tls)) => secured,
                _told = place.told() => return,
                () = tasks.stopping() => return,
            };
            match secured {
                Ok(Ok(io)) => serve_http2(io, Some(place), connector, tasks).await,
                Ok(Err(error)) => {
                    if let Some(line) = connector.refusals.take() {
                        info!(%peer, reason = %error, left_out = line.told(), "no connection of a zone");
                    }
                }
                Err(_) => debug!(%peer, "the peer said nothing"),
            }
        }
    };
    accept(listener, places, tasks, "connector-connection", connection).await
}

/// Serves a UNIX socket until the program stops.
pub(crate) async fn serve_unix(listener: UnixListener, connector: Arc<Connector>, tasks: Tasks) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let accepted = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _nameless)) => {
                let (connector, owner) = (Arc::clone(&connector), tasks.clone());
                tasks.spawn("connector-connection", OnError::Log, async move {
                    serve_http2(Box::new(Stalls::new(stream, WRITE_DEADLINE, 1)), None, connector, owner).await;
                    drop(place);
                    Ok(())
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The stream beneath HTTP/2; the error is for people.
async fn secure(mut stream: TcpStream, tls: Option<TlsAcceptor>) -> anyhow::Result<Box<dyn ByteStream>> {
    stream.set_nodelay(true)?;
    let speaks = first_bytes::look(&stream).await?;
    match (tls, speaks) {
        (Some(tls), Speaks::Tls) => Ok(Box::new(Box::pin(tls.accept(Stalls::new(stream, WRITE_DEADLINE, 1))).await?)),
        (None, Speaks::Http2) => Ok(Box::new(Stalls::new(stream, WRITE_DEADLINE, 1))),
        (None, Speaks::Tls) => anyhow::bail!(
            "it speaks TLS, and this port is plain: let KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS of the zone begin with `grpc://`, \
             or give the connector a certificate"
        ),
        (Some(_), Speaks::Http2) => anyhow::bail!(
            "it speaks plain HTTP/2, and this port is TLS: let KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS of the zone begin with \
             `grpcs://`"
        ),
        (None, Speaks::Other) => {
            stream.write_all(NOT_HTTP2).await?;
            stream.shutdown().await?;
            anyhow::bail!("it does not speak HTTP/2")
        }
        (Some(_), Speaks::Other) => anyhow::bail!("it speaks neither TLS nor HTTP/2"),
    }
}

/// Passes the calls of one connection of the zone on.
struct OfZone {
    connector: Arc<Connector>,
    near: Near,
}

impl Answers for OfZone {
    fn answer(&self, arriving: Arriving) -> BoxFuture<'static, Answer> {
        Arc::clone(&self.connector).call(self.near.clone(), arriving).boxed()
    }
}

async fn serve_http2(io: Box<dyn ByteStream>, place: Option<Place>, connector: Arc<Connector>, tasks: Tasks) {
    let near = Near { slot: Slot::default(), place: place.clone(), called: Arc::default() };
    let called = Arc::clone(&near.called);
    let mut serving = Relay::new(io, OfZone { connector, near });
    let told = async {
        match &place {
            Some(place) => {
                let _why = place.told().await;
            }
            None => {
                tokio::time::sleep(PATIENCE).await;
                if called.load(Ordering::Relaxed) {
                    std::future::pending().await
                }
            }
        }
    };
    let ended = tokio::select! {
        biased;
        ended = &mut serving => ended,
        () = told => return,
        () = tasks.stopping() => {
            serving.graceful_shutdown();
            serving.await
        }
    };
    match ended {
        Ok(()) => debug!("connection of the zone closed"),
        Err(error) => debug!(%error, "connection of the zone lost"),
    }
}

#[cfg(test)]
mod tests;
