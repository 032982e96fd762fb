//! A global of any version, played by hand for a zone of ours: takes its connections, answers, asks and ends as a test wants.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use prost::Message as _;
use prost_types::Any;
use tempfile::TempDir;
use testkit::{
    kds_server::{Call, Connection, Server},
    program::ControlPlane,
    rpcs::{ADMIN, DOWN, PING, UP},
};
use wire::envoy::{
    config::core::v3::{ControlPlane as Identifier, Node},
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
};

use super::{
    inside,
    played_zone::{json, proto, sent},
    world::text,
};

/// A port for a zone `west`, and that zone.
pub(crate) struct Played {
    server: Server,
    pub(crate) zone: ControlPlane,
    _folder: TempDir,
}

impl Played {
    /// Starts the zone; connections wait until they are taken.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let server = Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let (work, address) = (text(folder.path()), format!("grpc://{}", server.address()));
        let mut all = vec![
            ("KUMA_MODE", "zone"),
            ("KUMA_GENERAL_WORK_DIR", work.as_str()),
            ("KUMA_MULTIZONE_ZONE_NAME", "west"),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
            ("KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "100ms"),
            ("KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "500ms"),
        ];
        all.extend_from_slice(settings);
        let zone = ControlPlane::inside(inside::begin, &all);
        Self { server, zone, _folder: folder }
    }

    /// Takes the next connection with its six RPCs; the ping is answered as an old global does.
    pub(crate) async fn accept(&self) -> Link {
        self.try_accept().await.expect("the zone keeps its connection")
    }

    /// Takes the next connection that the zone still has: those that it gave up before are passed over.
    pub(crate) async fn accept_living(&self) -> Link {
        loop {
            if let Some(link) = self.try_accept().await {
                return link;
            }
        }
    }

    async fn try_accept(&self) -> Option<Link> {
        let mut link = Link {
            connection: self.server.connection().await,
            calls: BTreeMap::new(),
            order: Vec::new(),
            answers: VecDeque::new(),
            responses: VecDeque::new(),
        };
        while link.calls.len() < 6 {
            let mut call = link.connection.call().await?;
            let path = call.path.clone();
            if path == PING {
                assert_eq!(call.next().await?.as_ref(), b"", "a ping is an empty message");
                call.send(&[]);
                call.end(0, "");
            }
            link.order.push(path.clone());
            assert!(link.calls.insert(path.clone(), call).is_none(), "{path} twice");
        }
        Some(link)
    }

    /// Takes a connection whose RPCs the test answers by itself.
    pub(crate) async fn connection(&self) -> Connection {
        self.server.connection().await
    }

    /// Where the zone finds this global.
    pub(crate) fn global_address(&self) -> String {
        format!("grpc://{}", self.server.address())
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.zone.address("http")
    }
}

/// One connection of the zone.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) calls: BTreeMap<String, Call>,
    /// The RPCs as they were opened.
    pub(crate) order: Vec<String>,
    answers: VecDeque<DeltaDiscoveryRequest>,
    responses: VecDeque<DeltaDiscoveryResponse>,
}

impl Link {
    pub(crate) fn call(&mut self, path: &str) -> &mut Call {
        self.calls.get_mut(path).expect("one of the six")
    }

    pub(crate) fn admin(&mut self, index: usize) -> &mut Call {
        self.call(ADMIN[index])
    }

    /// The next request on GlobalToZoneSync.
    pub(crate) async fn request(&mut self) -> DeltaDiscoveryRequest {
        let message = self.call(DOWN).next().await.expect("a request of the zone");
        DeltaDiscoveryRequest::decode(message).unwrap()
    }

    /// The 45 first requests.
    pub(crate) async fn first_requests(&mut self) -> BTreeMap<String, DeltaDiscoveryRequest> {
        let mut asked = BTreeMap::new();
        while asked.len() < 45 {
            let request = self.request().await;
            asked.insert(request.type_url.clone(), request);
        }
        asked
    }

    /// Sends a response and returns its answer: the text of a NACK, or nothing.
    pub(crate) async fn provide(&mut self, kind: &str, resources: Vec<Resource>) -> Option<String> {
        self.send(kind, "7", resources);
        let answer = self.answer(kind).await;
        assert_eq!(answer.response_nonce, "7");
        answer.error_detail.map(|status| status.message)
    }

    pub(crate) fn send(&mut self, kind: &str, nonce: &str, resources: Vec<Resource>) {
        let response = DeltaDiscoveryResponse {
            type_url: kind.to_owned(),
            nonce: nonce.to_owned(),
            resources,
            control_plane: Some(Identifier { identifier: "global".to_owned() }),
            ..Default::default()
        };
        self.call(DOWN).send(&response.encode_to_vec());
    }

    /// The next ACK or NACK of this type.
    pub(crate) async fn answer(&mut self, kind: &str) -> DeltaDiscoveryRequest {
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer.type_url == kind) {
                return self.answers.remove(at).expect("it was found");
            }
            let request = self.request().await;
            if !request.response_nonce.is_empty() {
                self.answers.push_back(request);
            }
        }
    }

    /// Asks the zone for a type, as a global that says nothing of itself; returns the response.
    pub(crate) async fn ask(&mut self, kind: &str) -> DeltaDiscoveryResponse {
        let request = DeltaDiscoveryRequest {
            node: Some(Node { id: "west".to_owned(), metadata: None }),
            type_url: kind.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..Default::default()
        };
        self.call(UP).send(&request.encode_to_vec());
        loop {
            if let Some(at) = self.responses.iter().position(|response| response.type_url == kind) {
                return self.responses.remove(at).expect("it was found");
            }
            let message = self.call(UP).next().await.expect("a response of the zone");
            self.responses.push_back(DeltaDiscoveryResponse::decode(message).unwrap());
        }
    }

    /// Waits until the zone has dropped the connection.
    pub(crate) async fn gone(mut self) {
        self.connection.gone().await;
    }
}

/// A resource as a global sends it.
pub(crate) fn of_global(mesh: &str, name: &str, spec: Any) -> Resource {
    sent(mesh, name, &[("kuma.io/origin", "global")], spec)
}

/// A MeshTimeout of the mesh `default`.
pub(crate) fn timeout(name: &str, spec: &str) -> Resource {
    of_global("default", name, json(spec))
}

/// The mesh `default`.
pub(crate) fn default_mesh() -> Vec<Resource> {
    vec![of_global("", "default", proto("Mesh", Vec::new()))]
}
