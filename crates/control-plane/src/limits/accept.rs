//! Accepts the connections of a port, each with a place.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tracing::{Instrument as _, info, info_span};

use super::{
    places::{Asked, Place, Port},
    shortage::Shortage,
};
use crate::tasks::{OnError, Tasks};

pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// The other end; an IPv4 address is one, whatever family we listen on.
    pub(crate) peer: SocketAddr,
    pub(crate) place: Place,
}

/// Serves each connection in a task of its own, until the program stops.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    port: Arc<Port>,
    tasks: Tasks,
    name: &'static str,
    serve: impl Fn(Accepted) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut shortage = Shortage::default();
    loop {
        let accepted = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = port.due() => {
                port.tell_overdue(Instant::now());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(pause) = pause_after(&error) {
                    info!(port = port.name(), error = %error, "cannot accept a connection");
                    tokio::select! {
                        () = tasks.stopping() => return Ok(()),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                continue;
            }
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let place = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            place = place(&port, peer, &mut shortage) => place,
        };
        let span = info_span!("connection", port = port.name(), %peer);
        let serving = serve(Accepted { stream, peer, place }).instrument(span);
        tasks.spawn(name, OnError::Log, async move {
            serving.await;
            Ok(())
        });
    }
}

/// Waits for a place. The ones that come later wait in the kernel.
async fn place(port: &Arc<Port>, peer: SocketAddr, shortage: &mut Shortage) -> Place {
    let mut waits = false;
    loop {
        let now = Instant::now();
        let until = match port.ask(peer.ip(), now) {
            Asked::Got { place, displaced } => {
                if displaced {
                    shortage.displaced(port, now);
                }
                return place;
            }
            Asked::Wait(until) => until,
        };
        if !waits {
            waits = true;
            port.waits();
            shortage.waits(port, now);
        }
        let later = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = port.freed() => {}
            () = later => {}
        }
    }
}

/// A peer that went away before it was accepted is nothing; without files or memory, a pause lets others end. There is
/// at most one line a pause.
fn pause_after(error: &io::Error) -> Option<Duration> {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => None,
        _ => Some(Duration::from_secs(1)),
    }
}
