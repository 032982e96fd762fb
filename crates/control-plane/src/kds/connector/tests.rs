//! A connector between a zone and a global that a test plays, byte for byte.

mod log_floods;
mod ready;
mod unread;
mod untaken;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use testkit::{
    fuzz::{Direction, streams},
    kds::{Call, Ended as EndedCall, Peer},
    kds_server::{Call as There, Connection, Over, Server},
    rpcs::{DOWN, PING, UP},
};
use tokio::net::{TcpListener, TcpStream};
use wire::kuma::mesh::v1alpha1::ZoneHealthCheckResponse;

use super::{listener::serve_tcp, *};
use crate::{
    kds::dial::{Target, Trust},
    limits::{Limits, PortName},
    tasks::OnError,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A connector of `west`, the global before which it stands, and a file with its token.
struct Played {
    global: Server,
    port: std::net::SocketAddr,
    link: Link,
    readiness: Readiness,
    tasks: Tasks,
    folder: tempfile::TempDir,
}

impl Played {
    async fn start() -> Self {
        let global = Server::start().await;
        let address = global.address();
        Self::before(address, global).await
    }

    /// Before whatever listens on this address; the played global stands by.
    async fn before(address: std::net::SocketAddr, global: Server) -> Self {
        let (tasks, link) = (Tasks::new(), Link::default());
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap());
        let target = Target { host: "127.0.0.1".to_owned(), port: address.port() };
        std::fs::write(folder.path().join("token"), token(1)).unwrap();
        let options = Options {
            zone: ZoneName::parse("west").unwrap(),
            dialer: Dialer::new(vec![(target, None)], Trust::Plain, clock.clone()),
            token: TokenSource::File(folder.path().join("token")),
            renew_token: true,
            version: "2.14.3".to_owned(),
            base_backoff: Duration::from_millis(100),
            calls: GrpcMetrics::register(&mut Registry::default()),
        };
        let readiness = Readiness::default();
        let connector = Connector::new(options, clock, link.clone(), readiness.clone(), tasks.clone());
        tasks.spawn("token", OnError::Log, Arc::clone(&connector).watch_token());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap();
        let places = Limits::for_tests().port(PortName::Kds);
        tasks.spawn("connector", OnError::Log, serve_tcp(listener, None, connector, places, tasks.clone()));
        Self { global, port, link, readiness, tasks, folder }
    }

    async fn zone(&self) -> Peer {
        self.zone_that_can_be_cut().await.0
    }

    /// A zone, and a handle on its connection.
    async fn zone_that_can_be_cut(&self) -> (Peer, std::net::TcpStream) {
        let stream = TcpStream::connect(self.port).await.unwrap().into_std().unwrap();
        stream.set_nodelay(true).unwrap();
        let handle = stream.try_clone().unwrap();
        (Peer::over(TcpStream::from_std(stream).unwrap()).await, handle)
    }

    /// A zone that has opened its stream, as the global sees it.
    async fn stream(&self) -> Passed {
        let zone = self.zone().await;
        let down = open(&zone, DOWN);
        let mut far = self.global.connection().await;
        let there = next(&mut far, DOWN).await;
        Passed { zone, down, far, there }
    }

    /// A zone that has opened its stream, and the first ping of the connector beside it, which nobody answered yet.
    async fn stream_and_ping(&self) -> (Passed, There) {
        let zone = self.zone().await;
        let down = open(&zone, DOWN);
        let mut far = self.global.connection().await;
        let (one, other) = (far.call().await.unwrap(), far.call().await.unwrap());
        let (there, ping) = if one.path == DOWN { (one, other) } else { (other, one) };
        assert_eq!((there.path.as_str(), ping.path.as_str()), (DOWN, PING));
        (Passed { zone, down, far, there }, ping)
    }

    /// Answers the connector's own ping, so that it takes the connection for one that stands.
    async fn accepted(&self, far: &mut Connection) {
        tokio::select! {
            () = self.is(|state| matches!(state, LinkState::Connected { .. })) => {}
            () = async { loop { pong(&mut far.call().await.expect("a ping")) } } => {}
        }
    }

    /// Writes another token into the file.
    fn renew_by_hand(&self) {
        self.write(&token(2));
    }

    /// Writes something into the file of the token.
    fn write(&self, text: &str) {
        // As a whole: it is read at any moment.
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder.path().join("token")).unwrap();
    }

    async fn is(&self, wanted: impl Fn(&LinkState) -> bool) {
        let mut link = self.link.subscribe();
        tokio::time::timeout(LIMIT, link.wait_for(wanted)).await.expect("the state in time").unwrap();
    }
}

/// A stream of a zone through the connector, and its two ends.
struct Passed {
    zone: Peer,
    down: Call,
    far: Connection,
    there: There,
}

impl Drop for Played {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// A token of `west`, and another one.
fn token(id: u128) -> String {
    let key = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
    let secret = tokens::SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(key) };
    let (ring, _) = tokens::KeyRing::build(1, &[secret]);
    let (zone, life) = (ZoneName::parse("west").unwrap(), Duration::from_secs(360_000));
    let issued = Timestamp::from_second(1_800_000_000).unwrap();
    let token = tokens::issue_control_plane(&ring, &zone, Some(life), issued, uuid::Uuid::from_u128(id));
    token.unwrap().reveal().to_owned()
}

fn open(zone: &Peer, path: &str) -> Call {
    zone.open(path, &[("client-id", "west"), ("features", "zone-ping-health"), ("features", "hash-suffix")])
}

/// The next call of the zone; the connector's own pings are answered, as by a real global.
async fn next(far: &mut Connection, path: &str) -> There {
    loop {
        let mut call = far.call().await.expect("a call");
        if call.path == path {
            return call;
        }
        pong(&mut call);
    }
}

fn pong(call: &mut There) {
    use prost::Message as _;
    assert_eq!(call.path, PING, "the connector's own");
    call.send(&ZoneHealthCheckResponse::default().encode_to_vec());
    call.end(0, "");
}

fn token_of(call: &There) -> &str {
    call.headers["authorization"].to_str().unwrap()
}

#[tokio::test]
async fn frames_trailers_and_resets_go_through_as_they_are() {
    let played = Played::start().await;
    let (zone, cut) = played.zone_that_can_be_cut().await;
    let mut down = open(&zone, DOWN);
    let mut far = played.global.connection().await;
    let mut there = next(&mut far, DOWN).await;
    let features: Vec<_> = there.headers.get_all("features").iter().collect();
    assert_eq!(features, ["zone-ping-health", "hash-suffix"], "two entries stay two");
    assert_eq!(there.headers["client-id"], "west");
    assert!(token_of(&there) == token(1));
    // Bytes that are no message of KDS, in pieces: nobody looks at them.
    down.raw(b"\0\0\0\0\x03ab".to_vec());
    down.raw(b"c\0\0\0\0\0".to_vec());
    assert_eq!(there.next().await.unwrap(), "abc");
    assert_eq!(there.next().await.unwrap(), "");
    there.send(b"answer");
    assert_eq!(down.next().await.unwrap(), "answer");
    there.end(9, "50 % of it");
    assert_eq!(down.ended().await, EndedCall { code: 9, message: "50 % of it".to_owned() });

    let mut up = open(&zone, UP);
    let mut there = next(&mut far, UP).await;
    up.half_close();
    assert_eq!(there.over().await, Over::HalfClosed);
    there.end(0, "");
    assert_eq!(up.ended().await.code, 0, "what global says is not for a connector to judge");

    let mut up = open(&zone, UP);
    drop(next(&mut far, UP).await);
    let ended = up.ended().await;
    assert!(
        ended.code == 14 && !ended.message.contains("was lost"),
        "a reset, and nothing that is said here: {ended:?}"
    );

    let up = open(&zone, UP);
    let mut there = next(&mut far, UP).await;
    cut.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(there.over().await, Over::Reset, "the zone is gone");
    drop(up);
    far.gone().await;
}

/// Without recordings of real peers there is nothing to send.
#[tokio::test]
async fn every_recorded_stream_goes_through_byte_for_byte() {
    let played = Played::start().await;
    let zone = played.zone().await;
    let mut first = open(&zone, DOWN);
    let mut far = played.global.connection().await;
    next(&mut far, DOWN).await.end(14, "");
    first.ended().await;
    for (method, path) in [("GlobalToZoneSync", DOWN), ("ZoneToGlobalSync", UP)] {
        let of_global = streams(method, Direction::FromGlobal).iter().map(Vec::as_slice);
        let of_global = of_global.chain(std::iter::repeat(&[][..]));
        for (up, down) in streams(method, Direction::FromZone).iter().zip(of_global) {
            let mut here = open(&zone, path);
            up.iter().for_each(|message| here.send(message));
            let mut there = next(&mut far, path).await;
            for message in up {
                assert!(there.next().await.as_deref() == Some(message), "{method}");
            }
            down.iter().for_each(|message| there.send(message));
            for message in down {
                assert!(here.next().await.as_deref() == Some(message), "{method}");
            }
            there.end(14, "over");
            assert_eq!(here.ended().await.code, 14);
        }
    }
}

#[tokio::test]
async fn a_large_message_goes_through_a_window_at_a_time() {
    let played = Played::start().await;
    let Passed { zone: _zone, mut down, far: _far, mut there } = played.stream().await;
    let large = vec![7; 11 << 20];
    down.send(&large);
    assert!(there.next().await.unwrap() == large);
    there.send(&large);
    assert!(down.next().await.unwrap() == large);
}

#[tokio::test]
async fn a_global_that_is_lost_ends_the_streams_as_unavailable_and_the_next_call_dials_again() {
    let played = Played::start().await;
    let Passed { zone, mut down, mut far, mut there } = played.stream().await;
    there.send(b"one");
    assert_eq!(down.next().await.unwrap(), "one");
    played.accepted(&mut far).await;
    drop((there, far));
    assert_eq!(down.ended().await.code, 14);
    let mut again = open(&zone, DOWN);
    let mut far = played.global.connection().await;
    let mut there = next(&mut far, DOWN).await;
    there.send(b"two");
    assert_eq!(again.next().await.unwrap(), "two");
}

#[tokio::test]
async fn a_real_global_gets_a_new_connection_before_the_streams_of_the_old_one_end() {
    let played = Played::start().await;
    let Passed { zone, mut down, mut far, mut there } = played.stream().await;
    played.accepted(&mut far).await;
    played.renew_by_hand();
    let mut newer = played.global.connection().await;
    let mut ping = newer.call().await.unwrap();
    assert!(token_of(&ping) == token(2));
    // Not accepted yet: the old stream stands.
    there.send(b"still");
    assert_eq!(down.next().await.unwrap(), "still");
    pong(&mut ping);
    let ended = down.ended().await;
    assert!(ended.code == 14 && ended.message.contains("the token of this zone changed"), "{ended:?}");
    assert_eq!(there.over().await, Over::Reset);
    let _again = open(&zone, DOWN);
    assert!(token_of(&next(&mut newer, DOWN).await) == token(2));
}

#[tokio::test]
async fn a_new_token_that_is_refused_leaves_the_streams_alone() {
    let played = Played::start().await;
    let Passed { zone, mut down, mut far, mut there } = played.stream().await;
    played.accepted(&mut far).await;
    played.renew_by_hand();
    let mut newer = played.global.connection().await;
    newer.call().await.unwrap().end(16, "no");
    newer.gone().await;
    there.send(b"still");
    assert_eq!(down.next().await.unwrap(), "still");
    // And the next call goes where the others are.
    let _other = open(&zone, UP);
    assert!(token_of(&next(&mut far, UP).await) == token(1));
}

#[tokio::test]
async fn what_becomes_of_the_token_is_said_as_soon_as_global_can_hear_it_and_to_no_real_one() {
    let renews = |call: &There| call.headers.get(Renews::HEADER).is_some_and(|said| said == "yes");
    let played = Played::start().await;
    let (Passed { zone, down: _down, mut far, there }, mut ping) = played.stream_and_ping().await;
    assert!(!renews(&there) && !renews(&ping), "nobody knows yet what global can");
    ping.open_with(&[("features", "token-renewal")]);
    pong(&mut ping);
    // At once: the interval that was named is the usual one of five minutes.
    let mut again = far.call().await.unwrap();
    assert!(renews(&again));
    pong(&mut again);
    let _up = open(&zone, UP);
    assert!(renews(&next(&mut far, UP).await), "and of each stream after that");

    let played = Played::start().await;
    let Passed { zone, mut far, .. } = played.stream().await;
    played.accepted(&mut far).await;
    let _up = open(&zone, UP);
    assert!(!renews(&next(&mut far, UP).await));
}

#[tokio::test]
async fn a_ping_that_finds_no_room_ends_nothing_and_is_tried_again() {
    let played = Played::start().await;
    let (Passed { zone: _zone, mut down, mut far, mut there }, mut ping) = played.stream_and_ping().await;
    ping.end(8, "this token has 64 streams open already");
    pong(&mut far.call().await.unwrap());
    played.accepted(&mut far).await;
    there.send(b"still");
    assert_eq!(down.next().await.unwrap(), "still");
}

#[tokio::test]
async fn a_refusal_of_global_goes_through_and_is_said() {
    let played = Played::start().await;
    let zone = played.zone().await;
    let mut down = open(&zone, DOWN);
    let mut far = played.global.connection().await;
    next(&mut far, DOWN).await.end(16, "the token is revoked");
    assert_eq!(down.ended().await, EndedCall { code: 16, message: "the token is revoked".to_owned() });
    played.is(|state| state.trouble().is_some_and(|said| said.contains("the token is revoked"))).await;
}
