//! A global that is a program and gets killed, and who is connected to it: five zones of ours that renew, one of ours that
//! does not, and one Kuma zone, played, with a token that stays as it is.

use control_plane::{
    clock::Clock,
    tls::{Alpn, ClientTrust},
};
use prost::Message as _;
use serde_json::{Value, json};
use testkit::{
    client,
    kds::{Call, Peer},
    program::{ControlPlane, LIMIT, eventually},
    rpcs::DOWN,
};

use super::{FAMILY, fixed_zone, new_token, status, wait_for_nobody_in_the_way};
use crate::stage::{plain_port::open, played_zone::Played, world::World};

const RENEWING: [&str; 5] = ["east", "north", "south", "west", "centre"];
const FIXED: &str = "fixed";
const KUMA: &str = "kuma";
/// Who does not follow a rotation without help.
pub(super) const LEFT_BEHIND: [&str; 2] = [FIXED, KUMA];

pub(super) struct Cast {
    pub(super) world: World,
    renewing: Vec<ControlPlane>,
    fixed: ControlPlane,
    kuma: Kuma,
    /// How often each renewing zone has had a reason to open its streams.
    reasons: usize,
    /// How many streams to zones were opened in this life of the global, by everybody.
    opened: u64,
}

/// The played zone: its token, and its stream.
struct Kuma {
    token: String,
    _stream: (Peer, Call),
}

impl Cast {
    pub(super) async fn new() -> Self {
        Self::of(World::of_a_program(&[])).await
    }

    pub(super) async fn of(world: World) -> Self {
        let renewing: Vec<_> = RENEWING.iter().map(|name| world.connected_zone(name)).collect();
        let fixed = fixed_zone(&world, FIXED);
        let kuma = Kuma::connected(&world, world.token(KUMA)).await;
        let cast = Self { world, renewing, fixed, kuma, reasons: 1, opened: 7 };
        cast.wait_connected();
        cast
    }

    /// Kills the global in the middle of what it does, and waits until everybody is back.
    pub(super) async fn crash(&mut self) {
        self.everybody_opened_once();
        self.world.global.crash_and_restart();
        for port in ["\"http\"", "\"kds\"", "\"diagnostics\""] {
            self.world.global.line(&["listening", port]);
        }
        (self.reasons, self.opened) = (self.reasons + 1, 7);
        self.kuma = Kuma::connected(&self.world, self.kuma.token.clone()).await;
        self.wait_connected();
    }

    /// Waits until those who renew are off the key that goes, and those who do not are all that is in the way.
    pub(super) fn wait_for_those_left_behind(&self) {
        let names = || {
            let blockers = status(&self.world, FAMILY)["blockers"].clone();
            let blockers = blockers.as_array().cloned().unwrap_or_default();
            let mut names: Vec<Value> = blockers.iter().map(|one| json!([one["kind"], one["name"]])).collect();
            names.sort_by_key(Value::to_string);
            names
        };
        let wanted = LEFT_BEHIND.map(|name| json!(["zone", name]));
        eventually("those who do not renew are in the way", names, |names| *names == wanted);
    }

    /// Gives new tokens of a key to those who do not renew.
    pub(super) async fn help_those_left_behind(&mut self, serial: u64) {
        new_token(&self.world, &self.fixed, FIXED, serial);
        self.kuma = Kuma::connected(&self.world, self.world.token(KUMA)).await;
        self.opened += 2;
        wait_for_nobody_in_the_way(&self.world, FAMILY);
    }

    /// Gives new tokens of a key to everybody.
    pub(super) async fn help_everybody(&mut self, serial: u64) {
        for (zone, name) in self.renewing.iter().zip(RENEWING) {
            new_token(&self.world, zone, name, serial);
        }
        self.reasons += 1;
        self.opened += 5;
        self.help_those_left_behind(serial).await;
    }

    /// Nobody was ever refused, and who renews has opened its streams once in each life of the global.
    pub(super) fn nobody_was_harmed(&self) {
        self.everybody_opened_once();
        let global = self.world.global.text();
        assert!(!global.contains("Zone CP refused") && !global.contains("closed live streams"), "{global}");
        for zone in self.renewing.iter().chain([&self.fixed]) {
            assert!(!zone.text().contains("refused this zone"), "{}", zone.text());
        }
    }

    fn wait_connected(&self) {
        let opened = || opened(&self.world, "GlobalToZoneSync");
        eventually("the streams are open", opened, |opened| *opened >= self.opened);
        RENEWING.iter().chain(&LEFT_BEHIND).for_each(|name| self.world.wait_online(name));
    }

    fn everybody_opened_once(&self) {
        assert_eq!(opened(&self.world, "GlobalToZoneSync"), self.opened);
        for zone in &self.renewing {
            let text = zone.text();
            for rpc in ["GlobalToZoneSync", "ZoneToGlobalSync"] {
                let lines = text.lines().filter(|line| line.contains("stream opened") && line.contains(rpc));
                assert_eq!(lines.count(), self.reasons, "{rpc}\n{text}");
            }
        }
    }
}

impl Kuma {
    /// Opens its stream with a token, and waits for an answer.
    async fn connected(world: &World, token: String) -> Self {
        let tcp = tokio::net::TcpStream::connect(world.global.address("kds")).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let trust = ClientTrust::from_file(world.ca(), Clock::system()).unwrap();
        let connector = tokio_rustls::TlsConnector::from(trust.client_config(Alpn::H2).unwrap());
        let peer = Peer::over(connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap()).await;
        let mut call = open(&peer, DOWN, KUMA, &token);
        call.send(&Played::new(KUMA).first_request("Mesh").encode_to_vec());
        let answer = tokio::time::timeout(LIMIT, call.next()).await.expect("an answer in time");
        assert!(answer.is_some(), "the played zone is let in");
        Self { token, _stream: (peer, call) }
    }
}

/// How many streams of a kind were opened since the global started.
fn opened(world: &World, rpc: &str) -> u64 {
    let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
    let of_rpc = |line: &&str| line.starts_with("grpc_server_started_total") && line.contains(rpc);
    let sample = metrics.lines().find(of_rpc).and_then(|line| line.rsplit(' ').next()?.parse().ok());
    sample.unwrap_or_default()
}
