//! The ways from a zone to the far side, and what a zone does on them.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use prost::Message as _;
use testkit::{
    kds::{Call, Peer},
    program::ControlPlane,
    rpcs::{DOWN, PING, UP},
};
use tokio::net::TcpStream;
use wire::envoy::{
    config::core::v3::{ControlPlane as Identifier, Node},
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

use super::{
    far::{MESSAGE, SENDS},
    plain::{BUFFER, Plain},
};
use crate::{
    global::{self, Global},
    messages,
};

const ADMIN: [&str; 3] = [
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamXDSConfigs",
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamStats",
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamClusters",
];
/// How often a zone pings HTTP/2.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A gateway before this address.
pub(super) fn gateway(exe: &Path, to: SocketAddr) -> anyhow::Result<Global> {
    let upstream = format!("grpc://{to}");
    Global::start(exe, &[("KUMA_MODE", "gateway"), ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", &upstream)])
}

/// All ways, and what runs on them.
pub(super) struct Ways {
    ways: Vec<Way>,
    _gateway: Global,
    _connector: ControlPlane,
    _plain: [Plain; 2],
}

/// One way.
pub(super) struct Way {
    pub(super) name: &'static str,
    /// The relays on it: their names and processes.
    pub(super) processes: Vec<(&'static str, u32)>,
    address: SocketAddr,
    tls: Option<tokio_rustls::TlsConnector>,
    zone: String,
    token: Option<String>,
}

impl Ways {
    /// Starts all relays before this address.
    pub(super) fn before(exe: &Path, to: SocketAddr) -> anyhow::Result<Self> {
        let gateway = gateway(exe, to)?;
        let folder = gateway.certificate().parent().context("its folder")?.to_owned();
        let plain = [Plain::start(to, None, BUFFER)?, Plain::start(to, Some(&folder), BUFFER)?];
        let (address, token) = (format!("grpcs://localhost:{}", gateway.kds.port()), gateway.token("both", None)?);
        let certificate = gateway.certificate();
        let settings = [
            ("KUMA_MODE", "connector"),
            // It keeps nothing there.
            ("KUMA_GENERAL_WORK_DIR", "/nowhere"),
            ("KUMA_MULTIZONE_CONNECTOR_LISTEN", "127.0.0.1:0"),
            ("KUMA_MULTIZONE_ZONE_NAME", "both"),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &address),
            ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", certificate.to_str().context("a path")?),
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", &token),
        ];
        let connector = ControlPlane::start(exe.to_str().context("the path of kuma-cp")?, &settings, &[]);
        let way = |name: &'static str, zone: &str, address, processes: &[(&'static str, u32)]| Way {
            name,
            processes: processes.to_vec(),
            address,
            tls: None,
            zone: zone.to_owned(),
            token: None,
        };
        let tls = Some(gateway.connector.clone());
        let [copies, ends_tls] = &plain;
        let (of_gateway, of_connector) = (("gateway", gateway.process()), ("connector", connector.id()));
        let ways = vec![
            way("no relay", "direct", to, &[]),
            way("plain relay", "plain", copies.address, &[("plain", copies.process())]),
            Way {
                tls: tls.clone(),
                ..way("plain relay that ends TLS", "tls", ends_tls.address, &[("plain", ends_tls.process())])
            },
            Way {
                tls,
                token: Some(gateway.token("gated", None)?),
                ..way("gateway", "gated", gateway.kds, &[of_gateway])
            },
            way("connector and gateway", "both", connector.address("connector"), &[of_connector, of_gateway]),
        ];
        Ok(Self { ways, _gateway: gateway, _connector: connector, _plain: plain })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter()
    }
}

/// A zone that follows the policies of a global.
pub(super) struct Follower {
    zone: String,
    down: Call,
    _peer: Peer,
}

impl Way {
    /// CPU of each relay so far.
    pub(super) fn cpu_ms(&self) -> anyhow::Result<Vec<f64>> {
        self.processes.iter().map(|(_, process)| Ok(global::cpu_ms(*process)? as f64)).collect()
    }

    /// A connection of the zone.
    pub(super) async fn peer(&self) -> anyhow::Result<Peer> {
        let tcp = TcpStream::connect(self.address).await.context("connect")?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Peer::pinging(tcp, KEEPALIVE).await,
            Some(tls) => {
                Peer::pinging(tls.connect("localhost".try_into()?, tcp).await.context("TLS")?, KEEPALIVE).await
            }
        })
    }

    fn open(&self, peer: &Peer, path: &str, more: &[(&str, &str)]) -> Call {
        open(peer, path, &self.zone, self.token.as_deref(), more)
    }

    /// Takes so much.
    pub(super) async fn take(&self, peer: &Peer, mib: usize) -> anyhow::Result<()> {
        let mut down = self.open(peer, DOWN, &[(SENDS, &mib.to_string())]);
        for _ in 0..mib {
            let message = down.message().await.context("a message")?;
            ensure!(message.len() == MESSAGE, "{} bytes", message.len());
        }
        Ok(())
    }

    /// Reports so much.
    pub(super) async fn send(&self, peer: &Peer, mib: usize) -> anyhow::Result<()> {
        let mut up = self.open(peer, UP, &[]);
        let report = DeltaDiscoveryResponse {
            type_url: "Dataplane".to_owned(),
            nonce: "n".repeat(MESSAGE),
            control_plane: Some(Identifier { identifier: self.zone.clone() }),
            ..DeltaDiscoveryResponse::default()
        };
        let report = report.encode_to_vec();
        for _ in 0..mib {
            up.send(&report);
        }
        up.half_close();
        let ended = up.ended().await;
        ensure!(ended.code == 0, "{ended:?}");
        Ok(())
    }

    /// Opens streams one after the other, with one message in each direction.
    pub(super) async fn open_and_close(&self, peer: &Peer, streams: usize) -> anyhow::Result<()> {
        let first = first(&self.zone);
        for _ in 0..streams {
            let mut down = self.open(peer, DOWN, &[]);
            down.send(&first);
            down.message().await.context("an answer")?;
            down.half_close();
            let ended = down.ended().await;
            ensure!(ended.code == 0, "{ended:?}");
        }
        Ok(())
    }

    /// Connects a zone that follows the policies.
    pub(super) async fn follow(&self) -> anyhow::Result<Follower> {
        let peer = self.peer().await?;
        let down = self.open(&peer, DOWN, &[("grpc-encoding", "gzip")]);
        down.send(&first(&self.zone));
        let mut zone = Follower { zone: self.zone.clone(), down, _peer: peer };
        zone.next_change().await?;
        Ok(zone)
    }
}

impl Follower {
    /// Takes the next change and acknowledges it.
    pub(super) async fn next_change(&mut self) -> anyhow::Result<()> {
        let message = self.down.message().await.context("a change")?;
        self.down.raw(messages::ack(&self.zone, DeltaDiscoveryResponse::decode(message)?)?);
        Ok(())
    }
}

/// A zone with its six calls through a gateway, which said all that a zone says at first.
pub(super) async fn join(gateway: &Global, zone: &str) -> anyhow::Result<(Peer, Vec<Call>)> {
    let tcp = TcpStream::connect(gateway.kds).await.context("connect")?;
    tcp.set_nodelay(true)?;
    let peer =
        Peer::pinging(gateway.connector.connect("localhost".try_into()?, tcp).await.context("TLS")?, KEEPALIVE).await;
    let token = gateway.token(zone, None)?;
    let gzip = [("grpc-encoding", "gzip")];
    let mut down = open(&peer, DOWN, zone, Some(&token), &gzip);
    for request in messages::first_requests(zone)? {
        down.raw(request);
    }
    down.message().await.context("an answer")?;
    let mut ping = open(&peer, PING, zone, Some(&token), &[]);
    ping.send(&[]);
    ping.half_close();
    ensure!(ping.ended().await.code == 0, "a ping is answered");
    let mut calls = vec![down, open(&peer, UP, zone, Some(&token), &gzip)];
    calls.extend(ADMIN.map(|path| open(&peer, path, zone, Some(&token), &[])));
    Ok((peer, calls))
}

fn open(peer: &Peer, path: &str, zone: &str, token: Option<&str>, more: &[(&str, &str)]) -> Call {
    let features = [("features", "zone-ping-health"), ("features", "hash-suffix")];
    let token = token.map(|token| ("authorization", token));
    let headers: Vec<_> =
        [("client-id", zone)].into_iter().chain(features).chain(token).chain(more.iter().copied()).collect();
    peer.open(path, &headers)
}

/// The first request of a kind.
fn first(zone: &str) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: Some(Node { id: zone.to_owned(), metadata: None }),
        type_url: "MeshTimeout".to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        ..DeltaDiscoveryRequest::default()
    }
    .encode_to_vec()
}
