//! One zone of the swarm: asks for everything, acknowledges, waits for a change.

use std::{io::Write as _, time::Instant};

use anyhow::{Context as _, bail};
use flate2::{Compression, write::GzEncoder};
use model::Kind;
use prost::Message as _;
use prost_types::{Struct, Value, value};
use testkit::kds::{Call, Peer};
use tokio::net::TcpStream;
use wire::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

use crate::global::Global;

const DOWN: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
const UP: &str = "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync";
/// A real zone reports its configuration with every first request.
const METADATA: usize = 10 * 1024;

pub(crate) struct Zone {
    name: String,
    down: Call,
    _up: Call,
    _peer: Peer,
}

impl Zone {
    /// Connects and returns when every type was answered and acknowledged.
    pub(crate) async fn connect(global: &Global, name: &str) -> anyhow::Result<Self> {
        let token = global.token(name)?;
        let tcp = TcpStream::connect(global.kds).await.context("connect")?;
        tcp.set_nodelay(true)?;
        let tls = global.connector.connect("localhost".try_into()?, tcp).await.context("TLS")?;
        let peer = Peer::over(tls).await;
        let headers = [
            ("client-id", name),
            ("authorization", token.as_str()),
            ("features", "zone-ping-health"),
            ("features", "hash-suffix"),
            ("grpc-encoding", "gzip"),
            ("kds-version", "v3"),
            ("version", "2.14.3"),
        ];
        let down = peer.open(DOWN, &headers);
        let up = peer.open(UP, &headers);
        let kinds: Vec<_> = Kind::all().filter(|kind| kind.flow.global_to_zone()).collect();
        for kind in &kinds {
            down.raw(compressed(&first(name, kind.name))?);
        }
        let mut zone = Self { name: name.to_owned(), down, _up: up, _peer: peer };
        for _ in &kinds {
            zone.acknowledge_next().await?;
        }
        Ok(zone)
    }

    /// Waits for the next response; returns when it came.
    pub(crate) async fn next_change(mut self) -> anyhow::Result<(Self, Instant)> {
        self.acknowledge_next().await?;
        Ok((self, Instant::now()))
    }

    async fn acknowledge_next(&mut self) -> anyhow::Result<()> {
        let Some(message) = self.down.next().await else { bail!("the stream ended: {:?}", self.down.ended().await) };
        let response = DeltaDiscoveryResponse::decode(message)?;
        let node = Some(Node { id: self.name.clone(), metadata: None });
        let ack = DeltaDiscoveryRequest {
            node,
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..Default::default()
        };
        self.down.raw(compressed(&ack)?);
        Ok(())
    }
}

fn first(zone: &str, kind: &str) -> DeltaDiscoveryRequest {
    let text = |text: String| Value { kind: Some(value::Kind::StringValue(text)) };
    let config: String = (0..)
        .map(|index| format!("\"setting{index}\":{index},"))
        .scan(0, |length, part| {
            *length += part.len();
            (*length < METADATA).then_some(part)
        })
        .collect();
    let features =
        ["zone-token", "hash-suffix", "hg-mz-selector", "producer-policy-flow", "optional-top-level-target-ref"];
    let features = features.map(|feature| text(feature.to_owned())).to_vec();
    let fields = [
        ("config".to_owned(), text(format!("{{{config}\"store\":{{\"type\":\"memory\"}}}}"))),
        ("control-plane-id".to_owned(), text(format!("{zone}-1a2b"))),
        (
            "features".to_owned(),
            Value { kind: Some(value::Kind::ListValue(prost_types::ListValue { values: features })) },
        ),
    ];
    DeltaDiscoveryRequest {
        node: Some(Node { id: zone.to_owned(), metadata: Some(Struct { fields: fields.into() }) }),
        type_url: kind.to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        ..Default::default()
    }
}

/// A gRPC frame with the compressed flag.
fn compressed(message: &DeltaDiscoveryRequest) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(vec![1, 0, 0, 0, 0], Compression::fast());
    encoder.write_all(&message.encode_to_vec())?;
    let mut frame = encoder.finish()?;
    let length = u32::try_from(frame.len() - 5)?;
    frame.splice(1..5, length.to_be_bytes());
    Ok(frame)
}
