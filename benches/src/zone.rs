//! One zone of the swarm: opens its six RPCs, syncs both ways, waits for a change.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use prost::Message as _;
use testkit::kds::{Call, Peer};
use tokio::{net::TcpStream, time::Instant};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    kuma::mesh::v1alpha1::ZoneHealthCheckRequest,
};

use crate::{global::Global, messages};

const DOWN: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
const UP: &str = "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync";
const ADMIN: [&str; 3] = [
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamXDSConfigs",
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamStats",
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamClusters",
];
/// Sent at the start and every five minutes: once in a run.
const HEALTH: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck";
const UNAUTHENTICATED: u32 = 16;
/// How often a zone pings HTTP/2.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How often a zone tries again, and how long it waits before.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);
/// Thousands of zones that come at once, on a machine that they share with their global, take their time.
const PATIENCE: Duration = Duration::from_secs(600);

/// A zone that is not connected: everything it will say, made ready.
pub(crate) struct Zone {
    name: String,
    token: String,
    first_requests: Vec<Vec<u8>>,
    first_responses: BTreeMap<&'static str, Vec<u8>>,
}

/// A zone that has everything and has told everything.
pub(crate) struct Synced {
    zone: Zone,
    down: Call,
    others: [Call; 4],
    _peer: Peer,
}

impl Zone {
    /// Prepares a zone with so many data plane proxies of its own.
    pub(crate) fn prepare(global: &Global, name: &str, dataplanes: usize) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            token: global.token(name, None)?,
            first_requests: messages::first_requests(name)?,
            first_responses: messages::first_responses(name, dataplanes)?,
        })
    }

    /// Connects and returns when every type was answered and acknowledged in both directions. As a zone does, it tries
    /// again when its connection is lost; that is counted.
    pub(crate) async fn connect(self, global: &Global) -> anyhow::Result<Synced> {
        let mut attempts = 0;
        let (down, others, peer) = loop {
            let connected = tokio::time::timeout(PATIENCE, self.try_connect(global)).await;
            match connected.unwrap_or_else(|_late| Err(anyhow!("not synced within {} s", PATIENCE.as_secs()))) {
                Ok(connected) => break connected,
                Err(error) if attempts < ATTEMPTS => {
                    attempts += 1;
                    if global.lost() == 1 {
                        eprintln!("the first connection that is lost, of {}: {error:#}", self.name);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Synced { zone: self, down, others, _peer: peer })
    }

    async fn try_connect(&self, global: &Global) -> anyhow::Result<(Call, [Call; 4], Peer)> {
        let tcp = TcpStream::connect(global.kds).await.context("connect")?;
        tcp.set_nodelay(true)?;
        let tls = global.connector.connect("localhost".try_into()?, tcp).await.context("TLS")?;
        let peer = Peer::pinging(tls, KEEPALIVE).await;
        let headers = [
            ("client-id", self.name.as_str()),
            ("authorization", self.token.as_str()),
            ("features", "zone-ping-health"),
            ("features", "hash-suffix"),
            ("grpc-encoding", "gzip"),
            ("grpc-accept-encoding", "gzip"),
            ("kds-version", "v3"),
            ("user-agent", "kds/2.14.3 (linux; amd64; Kuma/0c7aaec) grpc-go/1.82.1"),
            ("version", "2.14.3"),
        ];
        let mut down = peer.open(DOWN, &headers);
        let mut up = peer.open(UP, &headers);
        // Their response headers come with the first question of the global: not in a quiet run.
        let admin = ADMIN.map(|method| peer.open(method, &headers));
        let mut health = peer.open(HEALTH, &headers);
        health.raw(messages::frame(&ZoneHealthCheckRequest {})?);
        health.half_close();
        for request in &self.first_requests {
            down.raw(request.clone());
        }
        let received = async {
            for _ in &self.first_requests {
                acknowledge_next(&self.name, &mut down).await?;
            }
            anyhow::Ok(())
        };
        let reported = async {
            self.answer_all(&mut up).await?;
            health.message().await.context("the answer to a ping")?;
            anyhow::Ok(())
        };
        tokio::try_join!(received, reported)?;
        let [configs, stats, clusters] = admin;
        Ok((down, [up, configs, stats, clusters], peer))
    }

    /// Answers the first request of each type and waits until every answer is acknowledged.
    async fn answer_all(&self, up: &mut Call) -> anyhow::Result<()> {
        for _ in &self.first_responses {
            let request = next_request(up).await?;
            let response = self.first_responses.get(request.type_url.as_str()).context("a type of the zone")?;
            up.raw(response.clone());
        }
        for _ in &self.first_responses {
            let answer = next_request(up).await?;
            ensure!(answer.error_detail.is_none(), "the global refused {}: {:?}", answer.type_url, answer.error_detail);
        }
        Ok(())
    }
}

impl Synced {
    /// Waits for the next response; returns when it came.
    pub(crate) async fn next_change(mut self) -> anyhow::Result<(Self, Instant)> {
        acknowledge_next(&self.zone.name, &mut self.down).await?;
        Ok((self, Instant::now()))
    }

    /// Waits until the global has ended all its streams; returns when the last one ended. What the zone holds is given back:
    /// to free it takes longer than to read what the global says.
    pub(crate) async fn shut_out(mut self) -> anyhow::Result<(Self, Instant)> {
        for call in std::iter::once(&mut self.down).chain(&mut self.others) {
            let ended = call.ended().await;
            ensure!(ended.code == UNAUTHENTICATED, "a stream ended otherwise: {ended:?}");
        }
        Ok((self, Instant::now()))
    }

    /// Waits until the connection is lost.
    pub(crate) async fn lost(mut self) -> Zone {
        while self.down.message().await.is_some() {}
        self.zone
    }

    /// Hangs up.
    pub(crate) fn disconnect(self) -> Zone {
        self.zone
    }
}

async fn acknowledge_next(zone: &str, down: &mut Call) -> anyhow::Result<()> {
    let Some(message) = down.message().await else { bail!("GlobalToZoneSync ended: {:?}", down.ended().await) };
    down.raw(messages::ack(zone, DeltaDiscoveryResponse::decode(message)?)?);
    Ok(())
}

async fn next_request(up: &mut Call) -> anyhow::Result<DeltaDiscoveryRequest> {
    let Some(message) = up.message().await else { bail!("ZoneToGlobalSync ended: {:?}", up.ended().await) };
    Ok(DeltaDiscoveryRequest::decode(message)?)
}
