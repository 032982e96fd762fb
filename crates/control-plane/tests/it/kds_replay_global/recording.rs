//! A recording as typed events, in the order in which the proxy between the recorded ends saw them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use serde_json::Value;
use testkit::captures;
use wire::{
    envoy::{
        config::core::v3::ControlPlane,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    kuma::{
        mesh::v1alpha1::{KumaResource, kuma_resource::Meta},
        system::v1alpha1::Secret,
    },
};

/// The six RPCs of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rpc {
    GlobalToZone,
    ZoneToGlobal,
    XdsConfigs,
    Stats,
    Clusters,
    HealthCheck,
}

impl Rpc {
    const ALL: [Self; 6] =
        [Self::GlobalToZone, Self::ZoneToGlobal, Self::XdsConfigs, Self::Stats, Self::Clusters, Self::HealthCheck];

    /// The full path.
    pub(crate) fn path(self) -> String {
        let service = match self {
            Self::GlobalToZone | Self::ZoneToGlobal => "KDSSyncService",
            _ => "GlobalKDSService",
        };
        format!("/kuma.mesh.v1alpha1.{service}/{}", self.name())
    }

    /// The method alone.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GlobalToZone => "GlobalToZoneSync",
            Self::ZoneToGlobal => "ZoneToGlobalSync",
            Self::XdsConfigs => "StreamXDSConfigs",
            Self::Stats => "StreamStats",
            Self::Clusters => "StreamClusters",
            Self::HealthCheck => "HealthCheck",
        }
    }

    fn of(line: &Value) -> Self {
        let path = line["method"].as_str().unwrap_or_default();
        Self::ALL.into_iter().find(|rpc| path == rpc.path()).unwrap_or_else(|| panic!("an RPC that nobody has: {path}"))
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// What the scenario did next.
    Step(String),
    /// The zone opened a connection.
    Connect,
    /// The connection is gone.
    Disconnect,
    /// The zone opened an RPC with these headers.
    Open(Rpc, Vec<(String, String)>),
    /// The zone sent a message.
    FromZone(Rpc, Payload),
    /// The global sent a message.
    FromGlobal(Rpc, Payload),
    /// The zone closed its side.
    HalfClose(Rpc),
    /// The zone ended the RPC.
    ZoneEnds(Rpc),
    /// The global ended the RPC: code and text.
    GlobalEnds(Rpc, String, String),
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    /// As it was on the wire, or rebuilt.
    pub(crate) bytes: Vec<u8>,
    /// How large it was.
    pub(crate) size: usize,
    /// The recording leaves its bytes out: content of the same size stands in their place.
    pub(crate) rebuilt: bool,
}

impl Payload {
    pub(crate) fn request(&self) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest::decode(self.bytes.as_slice()).expect("a recorded request")
    }

    pub(crate) fn response(&self) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse::decode(self.bytes.as_slice()).expect("a recorded response")
    }
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Milliseconds since the recording began.
    pub(crate) at: u64,
    /// The connection, from 1; 0 for steps.
    pub(crate) connection: u64,
    pub(crate) event: Event,
}

/// A folder of recordings.
pub(crate) struct Recording {
    pub(crate) folder: String,
    pub(crate) lines: Vec<Line>,
    /// What REST and the hand-driven end said meanwhile.
    pub(crate) transcript: String,
}

impl Recording {
    /// Reads a folder, or tells loudly that there is none.
    pub(crate) fn read(folder: &str) -> Option<Self> {
        let lines = captures::kds(folder)?.iter().filter_map(line).collect();
        let transcript = std::fs::read_to_string(captures::folder()?.join(folder).join("transcript.txt"))
            .unwrap_or_else(|error| panic!("the transcript of {folder}: {error}"));
        Some(Self { folder: folder.to_owned(), lines, transcript })
    }

    /// Another file of the folder.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(captures::folder()?.join(&self.folder).join(file)).ok()
    }

    /// Another file of the folder, as JSON.
    pub(crate) fn json(&self, file: &str) -> Option<Value> {
        Some(serde_json::from_str(&self.text(file)?).expect("JSON"))
    }

    /// What happens on a stream from `index` on, until it ends.
    pub(crate) fn rest_of(&self, index: usize, connection: u64, rpc: Rpc) -> impl Iterator<Item = &Line> {
        let on_stream = move |line: &&Line| {
            line.connection == connection
                && match &line.event {
                    Event::Step(_) | Event::Connect => false,
                    Event::Disconnect => true,
                    Event::Open(of, _)
                    | Event::FromZone(of, _)
                    | Event::FromGlobal(of, _)
                    | Event::HalfClose(of)
                    | Event::ZoneEnds(of)
                    | Event::GlobalEnds(of, ..) => *of == rpc,
                }
        };
        let ends = |line: &&Line| matches!(line.event, Event::ZoneEnds(_) | Event::GlobalEnds(..) | Event::Disconnect);
        self.lines[index..].iter().filter(on_stream).take_while(move |line| !ends(line))
    }

    /// The responses of a GlobalToZoneSync stream from `index` on, with their time.
    pub(crate) fn responses(
        &self,
        index: usize,
        connection: u64,
    ) -> impl Iterator<Item = (u64, &Payload, DeltaDiscoveryResponse)> {
        self.rest_of(index, connection, Rpc::GlobalToZone).filter_map(|line| match &line.event {
            Event::FromGlobal(_, payload) => Some((line.at, payload, payload.response())),
            _ => None,
        })
    }
}

fn line(line: &Value) -> Option<Line> {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let event = match line["event"].as_str().expect("an event") {
        "step" => Event::Step(text("text")),
        "connection-open" => Event::Connect,
        "connection-close" => Event::Disconnect,
        "stream-open" => Event::Open(Rpc::of(line), headers(&line["headers"])),
        "half-close" => Event::HalfClose(Rpc::of(line)),
        "zone-gone" => Event::ZoneEnds(Rpc::of(line)),
        // The proxy's own word for a zone that is gone.
        "stream-end" if text("message") == "context canceled" => Event::ZoneEnds(Rpc::of(line)),
        "stream-end" => Event::GlobalEnds(Rpc::of(line), text("code"), text("message")),
        "message" if text("dir") == "zone->global" => Event::FromZone(Rpc::of(line), payload(line)),
        "message" => Event::FromGlobal(Rpc::of(line), payload(line)),
        "response-headers" => return None,
        other => panic!("an event that nobody knows: {other}"),
    };
    Some(Line {
        at: line["ms"].as_u64().unwrap_or_default(),
        connection: line["conn"].as_u64().unwrap_or_default(),
        event,
    })
}

/// The headers without those that HTTP/2 and gRPC set themselves.
fn headers(recorded: &Value) -> Vec<(String, String)> {
    let kept = |name: &str| !name.starts_with(':') && !matches!(name, "content-type" | "te");
    let recorded = recorded.as_object().into_iter().flatten().filter(|(name, _)| kept(name));
    recorded
        .flat_map(|(name, values)| {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            values.map(|value| (name.clone(), value.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

fn payload(line: &Value) -> Payload {
    let size = line["bytes"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
    match line["base64"].as_str() {
        Some(bytes) => Payload { bytes: STANDARD.decode(bytes).expect("base64"), size, rebuilt: false },
        // A message without bytes has no member.
        None if line.get("omitted").is_none() => Payload { bytes: Vec::new(), size, rebuilt: false },
        None => Payload { bytes: rebuilt(&line["message"]).encode_to_vec(), size, rebuilt: true },
    }
}

/// A response from its decoded view, with filler where the recording says that something was left out.
fn rebuilt(view: &Value) -> DeltaDiscoveryResponse {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resources = view["resources"].as_array().into_iter().flatten().map(|one| {
        let labels = one["meta"]["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| (key.clone(), filled(&text(value)))).collect();
        let data = filled(&text(&one["spec"]["value"]["data"]));
        let value = match one["spec"].get("json") {
            Some(json) => json.to_string().into_bytes(),
            None => Secret { data: Some(STANDARD.decode(data).expect("base64")) }.encode_to_vec(),
        };
        let kuma = KumaResource {
            meta: Some(Meta {
                name: text(&one["meta"]["name"]),
                mesh: text(&one["meta"]["mesh"]),
                labels,
                ..Meta::default()
            }),
            spec: Some(prost_types::Any { type_url: text(&one["spec"]["typeUrl"]), value }),
            status: None,
        };
        let any = prost_types::Any { type_url: text(&one["anyTypeUrl"]), value: kuma.encode_to_vec() };
        Resource { name: text(&one["name"]), version: text(&one["version"]), resource: Some(any) }
    });
    DeltaDiscoveryResponse {
        type_url: text(&view["typeUrl"]),
        nonce: text(&view["nonce"]),
        resources: resources.collect(),
        control_plane: Some(ControlPlane { identifier: text(&view["controlPlane"]) }),
        ..DeltaDiscoveryResponse::default()
    }
}

/// `<123 characters left out>` becomes so many characters.
fn filled(text: &str) -> String {
    let left_out = text.strip_prefix('<').and_then(|text| text.strip_suffix(" characters left out>"));
    match left_out.and_then(|count| count.parse().ok()) {
        Some(count) => "A".repeat(count),
        None => text.to_owned(),
    }
}
