//! A connector or a gateway between a test that plays a zone and one that plays a global, each of them byte by byte if it
//! wants to.

use std::net::SocketAddr;

use control_plane::{
    app::Running,
    tasks::{OnError, Tasks},
};
use tempfile::TempDir;
use testkit::{
    kds::{self, Ended, Peer},
    kds_server::{Call, Connection, Over, Server},
    program::LIMIT,
    rpcs::{ADMIN, PING},
};
use tokio::sync::mpsc;

use super::{
    plain_global::{behind_tls, token},
    plain_port::peer_at,
    relays::{believing, connector_here, here},
    way::Way,
};

/// A stream that nobody looks into.
pub(crate) const PATH: &str = ADMIN[0];
/// By which calls are known on the far side.
pub(crate) const MARK: &str = "mark";

/// A relay of the zone `west`.
pub(crate) struct Relay {
    pub(crate) near: SocketAddr,
    _running: Running,
    pub(crate) tasks: Tasks,
    _folder: TempDir,
}

impl Relay {
    /// Starts one before a global in plain text.
    pub(crate) async fn before(way: Way, global: SocketAddr) -> Self {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let (near, running) = match way {
            Way::Connector => {
                // A token does not travel in plain text.
                let ca = folder.path().join("ca.pem");
                let global = behind_tls(global, &ca, &tasks).await;
                let connector = connector_here("west", &token("west"), global, &ca).await;
                (here(connector.addresses().connector), connector)
            }
            Way::Gateway => {
                let gateway = believing(folder.path(), global).await;
                (here(gateway.addresses().kds), gateway)
            }
            Way::Direct | Way::Both => panic!("one relay, and not {way:?}"),
        };
        Self { near, _running: running, tasks, _folder: folder }
    }
}

/// A relay before a global that is well behaved, with a stream through both that stands.
pub(crate) struct Passage {
    pub(crate) relay: Relay,
    arriving: mpsc::UnboundedReceiver<Call>,
    arrived: Vec<Call>,
    calls: usize,
    standing: Vec<Stream>,
}

/// A stream and its two ends.
pub(crate) struct Stream {
    _peer: Peer,
    pub(crate) here: kds::Call,
    pub(crate) there: Call,
}

impl Passage {
    pub(crate) async fn start(way: Way) -> Self {
        let global = Server::start().await;
        let relay = Relay::before(way, global.address()).await;
        let (arrives, arriving) = mpsc::unbounded_channel();
        let tasks = relay.tasks.clone();
        relay.tasks.spawn("global", OnError::Log, async move {
            loop {
                let connection = global.accept().await;
                let arrives = arrives.clone();
                tasks.spawn("global-connection", OnError::Log, async move {
                    take_all(connection, &arrives).await;
                    Ok(())
                });
            }
        });
        let mut passage = Self { relay, arriving, arrived: Vec::new(), calls: 0, standing: Vec::new() };
        let standing = passage.stream().await;
        passage.standing.push(standing);
        passage
    }

    /// Opens a stream on a connection of its own.
    pub(crate) async fn stream(&mut self) -> Stream {
        self.calls += 1;
        let mark = format!("good-{}", self.calls);
        let peer = peer_at(self.relay.near).await;
        let here = peer.open(PATH, &[("client-id", "west"), (MARK, &mark)]);
        let there = self.arrives(&mark).await;
        Stream { _peer: peer, here, there }
    }

    /// The call with this mark, when it has come through.
    pub(crate) async fn arrives(&mut self, mark: &str) -> Call {
        loop {
            if let Some(found) = self.arrived.iter().position(|call| call.headers[MARK] == mark) {
                return self.arrived.swap_remove(found);
            }
            let call = tokio::time::timeout(LIMIT, self.arriving.recv()).await;
            self.arrived.push(call.unwrap_or_else(|_late| panic!("`{mark}` did not come through")).unwrap());
        }
    }

    /// Whether a call with this mark has come through.
    pub(crate) fn has_arrived(&mut self, mark: &str) -> bool {
        while let Ok(call) = self.arriving.try_recv() {
            self.arrived.push(call);
        }
        self.arrived.iter().any(|call| call.headers[MARK] == mark)
    }

    /// Whoever comes is served, and whoever is there was not disturbed.
    pub(crate) async fn serves(&mut self) {
        for standing in &mut self.standing {
            standing.talk().await;
        }
        let mut stream = self.stream().await;
        stream.talk().await;
        stream.here.half_close();
        assert_eq!(stream.there.over().await, Over::HalfClosed);
        stream.there.end(5, "over");
        assert_eq!(stream.here.ended().await, Ended { code: 5, message: "over".to_owned() });
    }
}

impl Stream {
    /// Something goes through in both directions.
    pub(crate) async fn talk(&mut self) {
        self.here.send(b"there");
        assert_eq!(self.there.next().await.as_deref(), Some(&b"there"[..]));
        self.there.send(b"back");
        assert_eq!(self.here.next().await.as_deref(), Some(&b"back"[..]));
    }
}

/// Hands the calls on; the relay's own pings are answered.
async fn take_all(mut connection: Connection, arrives: &mpsc::UnboundedSender<Call>) {
    while let Some(mut call) = connection.opened().await {
        if call.headers.contains_key(MARK) {
            let _test_is_over = arrives.send(call);
        } else {
            assert_eq!(call.path, PING, "the relay's own");
            call.send(&[]);
            call.end(0, "");
        }
    }
}

/// Makes each case a test with a connector and one with a gateway.
macro_rules! with_each_relay {
    ($($case:ident)*) => {
        mod of_a_connector {
            $(#[test] fn $case() { testkit::runtime::run(super::$case($crate::stage::way::Way::Connector)); })*
        }

        mod of_a_gateway {
            $(#[test] fn $case() { testkit::runtime::run(super::$case($crate::stage::way::Way::Gateway)); })*
        }
    };
}

pub(crate) use with_each_relay;
