//! Zones that send a byte a second, and none that should.

use jiff::Timestamp;
use model::ZoneName;
use prometheus_client::registry::Registry;
use testkit::{kds::Peer, rpcs::DOWN};
use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::{
    clock::Clock,
    kds::{
        connector::Options,
        dial::{Dialer, Target, Trust},
        link::Link,
        zone::TokenSource,
    },
    observe::{grpc_metrics::GrpcMetrics, readiness::Readiness},
};

/// The beginning of HTTP/2, and settings that change nothing.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A call in the name of `west`: a frame of headers, each as it is.
const CALL: &[u8] = b"\0\0\x2e\x01\x05\0\0\0\x01\x83\x86\x04\x04/a/b\x01\x01h\x0f\x10\x10application/grpc\
    \0\x09client-id\x04west";

/// Serves one connection, which nobody counts; its other end, and what becomes of it.
fn served(tasks: &Tasks) -> (DuplexStream, tokio::sync::oneshot::Receiver<()>) {
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let options = Options {
        zone: ZoneName::parse("west").unwrap(),
        dialer: Dialer::new(
            vec![(Target { host: "127.0.0.1".to_owned(), port: 1 }, None)],
            Trust::Plain,
            clock.clone(),
        ),
        token: TokenSource::None,
        renew_token: false,
        version: String::new(),
        base_backoff: Duration::from_secs(1),
        calls: GrpcMetrics::register(&mut Registry::default()),
    };
    let connector = Connector::new(options, clock, Link::default(), Readiness::default(), tasks.clone());
    let (ours, theirs) = duplex(64 * 1024);
    let (over, ended) = tokio::sync::oneshot::channel();
    let serving = serve_http2(Box::new(ours), None, connector, tasks.clone());
    tasks.spawn("zone", OnError::Log, async move {
        serving.await;
        let _nobody_waits = over.send(());
        Ok(())
    });
    (theirs, ended)
}

/// Sends bytes, one a second, until nobody takes them; what comes is read.
async fn trickle(zone: DuplexStream, bytes: impl Iterator<Item = u8>) {
    let (mut reads, mut writes) = tokio::io::split(zone);
    let mut read = tokio::io::sink();
    let writing = async {
        for byte in bytes {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writes.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        _end = tokio::io::copy(&mut reads, &mut read) => {}
        () = writing => {}
    }
}

/// Whoever is not let go is found out in a day, which takes no time.
async fn let_go(ended: tokio::sync::oneshot::Receiver<()>) {
    let day = Duration::from_secs(24 * 3600);
    tokio::time::timeout(day, ended).await.expect("it is let go").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_sends_a_byte_a_second_is_let_go_also_when_it_called() {
    let tasks = Tasks::new();
    let (mut zone, ended) = served(&tasks);
    zone.write_all(&[OPENING, CALL].concat()).await.unwrap();
    // Frames that are good and say little: the window is larger by one byte.
    let frames = std::iter::repeat(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01").flatten();
    tokio::join!(trickle(zone, frames.copied()), let_go(ended));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_before_it_said_anything_is_let_go() {
    for count in [0, 3, OPENING.len() - 1] {
        let tasks = Tasks::new();
        let (zone, ended) = served(&tasks);
        tokio::join!(trickle(zone, OPENING.iter().take(count).copied()), let_go(ended));
    }
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_called_once_may_be_quiet() {
    let tasks = Tasks::new();
    let (zone, _ended) = served(&tasks);
    let zone = Peer::over(zone).await;
    // It is refused for something else, and the connection stands.
    for _ in 0..2 {
        let ended = zone.open(DOWN, &[("client-id", "west")]).ended().await;
        assert!(ended.message.contains("the connector has no token"), "{ended:?}");
        tokio::time::sleep(10 * PATIENCE).await;
    }
}
