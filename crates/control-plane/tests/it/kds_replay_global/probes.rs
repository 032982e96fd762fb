//! What the hand-driven zone did past the recording proxy, and what it found out over REST.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use prost::Message as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use wire::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

use super::{play::Player, recording::Rpc};

impl Player {
    /// What a probe does besides its messages.
    pub(crate) async fn probe(&mut self, step: &str) {
        match step.split_once(':').map(|(number, _)| number) {
            Some("p21b") => {
                let (status, _) = self.global.rest("GET", "/meshes/default/secrets/intruder", None);
                self.note("REST", &status.to_string(), "200");
            }
            Some("p43") => self.compressed().await,
            Some("p44") => self.pings().await,
            _ => {}
        }
    }

    /// What a probe left behind.
    pub(crate) fn after_probe(&mut self) {
        let status = |path: &str| self.global.rest("GET", path, None).0;
        match self.step.split_once(':').map(|(number, _)| number) {
            Some("p02") => assert_eq!(status("/zones/zp02"), 404, "a ping alone makes no zone"),
            Some("p03") => {
                let recorded = if self.masks.mesh_keys { "404" } else { "200" };
                assert!(self.recording.transcript.contains(&format!("zone exists: {recorded}")));
                let ours = status("/zones/Bad_Name").to_string();
                if ours != recorded {
                    self.note("REST", &format!("zone exists: {ours}"), recorded);
                }
            }
            Some("p11") => assert_eq!(status("/zones/zp11-node"), 404, "a node makes no zone"),
            Some("p13") => self.anonymous(),
            _ => {}
        }
    }

    /// A zone that says nothing of itself has a subscription that says nothing.
    fn anonymous(&self) {
        let ask = || {
            let (_, body) = self.global.rest("GET", "/zones/zp13/_overview", None);
            serde_json::from_str(&body).unwrap_or_default()
        };
        // Who comes is written at once, with what follows in the same moment.
        let overview: Value = testkit::program::eventually("the subscription is written", ask, |overview: &Value| {
            overview["zoneInsight"]["subscriptions"].is_array()
        });
        let subscriptions = overview["zoneInsight"]["subscriptions"].as_array().expect("subscriptions");
        let [subscription] = subscriptions.as_slice() else { panic!("one subscription: {overview}") };
        assert_eq!(subscription["version"]["kumaCp"], serde_json::json!({}));
        assert_eq!(subscription["authTokenProvided"], true);
        assert_eq!((subscription.get("config"), subscription.get("zoneInstanceId")), (None, None));
        let line = "overview zp13 version map[kumaCp:map[]] zoneInstanceId <nil> authTokenProvided true config <nil>";
        assert!(self.recording.transcript.contains(line));
    }

    /// Compressed requests are understood; a real global answers them compressed.
    async fn compressed(&mut self) {
        for answer in ["response header compression: \"\"", "response header compression: \"gzip\""] {
            assert!(self.recording.transcript.contains(answer), "{answer}");
        }
        let peer = self.global.connect().await;
        for encoding in ["identity", "gzip"] {
            let headers = [("client-id", "zp43"), ("grpc-encoding", encoding), ("grpc-accept-encoding", "gzip")];
            let mut ping = peer.open(&Rpc::HealthCheck.path(), &headers);
            ping.raw(frame(encoding, &[]));
            ping.half_close();
            assert!(ping.next().await.is_some());
            assert_eq!(ping.ended().await.code, 0);
            let mut down = peer.open(&Rpc::GlobalToZone.path(), &headers);
            let request = DeltaDiscoveryRequest {
                node: Some(Node { id: "zp43".to_owned(), metadata: None }),
                type_url: "HostnameGenerator".to_owned(),
                ..DeltaDiscoveryRequest::default()
            };
            down.raw(frame(encoding, &request.encode_to_vec()));
            // The client takes uncompressed messages only.
            let response = DeltaDiscoveryResponse::decode(down.next().await.expect("an answer")).expect("a response");
            assert_eq!(response.resources.len(), 4, "without the one that needs a feature");
        }
        self.note("answers", "are not compressed", "are compressed as the requests are");
    }

    /// A real global ends the connection of a peer that pings every ten seconds.
    async fn pings(&mut self) {
        assert!(self.recording.transcript.contains("too_many_pings"));
        const PING: u8 = 6;
        const GO_AWAY: u8 = 7;
        let mut connection = TcpStream::connect(self.global.kds()).await.unwrap();
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for number in 0..8 {
            sent.extend([0, 0, 8, PING, 0, 0, 0, 0, 0]);
            sent.extend([number; 8]);
        }
        connection.write_all(&sent).await.unwrap();
        let mut answered = 0;
        while answered < 8 {
            let mut head = [0; 9];
            connection.read_exact(&mut head).await.expect("the connection lives");
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut content = vec![0; length];
            connection.read_exact(&mut content).await.unwrap();
            assert_ne!(head[3], GO_AWAY);
            answered += usize::from(head[3] == PING && head[4] == 1);
        }
        self.note("pings", "are all answered", "GOAWAY too_many_pings");
    }
}

/// A gRPC frame.
fn frame(encoding: &str, message: &[u8]) -> Vec<u8> {
    let compressed = encoding == "gzip";
    let content = if compressed {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    } else {
        message.to_vec()
    };
    let mut frame = vec![u8::from(compressed)];
    frame.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
    frame.extend(content);
    frame
}
