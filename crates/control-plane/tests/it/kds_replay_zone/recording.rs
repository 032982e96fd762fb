//! A KDS recording as seen by one zone: what happened on its connections, in order, as bytes.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::Any;
use serde_json::Value;
use testkit::captures;
use wire::{
    envoy::{
        config::core::v3::ControlPlane,
        service::discovery::v3::{DeltaDiscoveryResponse, Resource},
    },
    kuma::{
        mesh::v1alpha1::{KumaResource, kuma_resource::Meta},
        system::v1alpha1::Secret,
    },
};

pub(crate) const DOWN: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
pub(crate) const UP: &str = "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync";
pub(crate) const PING: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck";
pub(crate) const CONFIGS: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/StreamXDSConfigs";
pub(crate) const STATS: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/StreamStats";
pub(crate) const CLUSTERS: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/StreamClusters";
/// All RPCs of a zone.
pub(crate) const METHODS: [&str; 6] = [DOWN, UP, PING, CONFIGS, STATS, CLUSTERS];

/// What one zone of a recording went through.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The name of its folder.
    pub(crate) folder: String,
    /// The zone's name.
    pub(crate) zone: String,
    /// The version of the zone, as it said in its headers.
    pub(crate) version: String,
    /// What happened.
    pub(crate) events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// What the scenario did next.
    Step(String),
    /// The zone opened a connection, with these headers of each of its RPCs.
    Connect(BTreeMap<&'static str, Headers>),
    /// Global sent a message.
    Said { method: &'static str, bytes: Vec<u8> },
    /// The zone sent a message.
    Heard { method: &'static str, bytes: Vec<u8> },
    /// Global ended an RPC.
    Ended { method: &'static str, code: u32, message: String },
    /// The connection is over, and why.
    Gone(Gone),
}

/// Header names to values, `:authority` left out.
pub(crate) type Headers = BTreeMap<String, Vec<String>>;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Global ended streams.
    ByGlobal,
    /// Global was lost, without a word.
    Cut,
    /// The zone's process was stopped.
    ZoneStopped,
    /// The zone gave it up by itself.
    ByZone,
}

impl Recording {
    /// Reads what the zone of this name went through; `None` where there are no recordings.
    pub(crate) fn read(folder: &str, zone: &str) -> Option<Self> {
        let lines = captures::kds(folder)?;
        let is_of_zone = |line: &&Value| line["headers"]["client-id"][0] == zone;
        let connections: BTreeSet<u64> = lines.iter().filter(is_of_zone).filter_map(connection).collect();
        let version = lines.iter().find(is_of_zone).map(|line| text(&line["headers"]["version"][0]));
        let events = Events { lines: &lines, connections, events: Vec::new(), step: String::new() }.collect();
        Some(Self { folder: folder.to_owned(), zone: zone.to_owned(), version: version.unwrap(), events })
    }

    /// What happened between the step that begins with `from` and the next one that does not.
    pub(crate) fn part(&self, from: &str) -> Vec<Event> {
        let mut inside = false;
        let mut part = Vec::new();
        for event in &self.events {
            if let Event::Step(step) = event {
                inside = step.starts_with(from);
            } else if inside {
                part.push(event.clone());
            }
        }
        assert!(!part.is_empty(), "{}: no step begins with {from:?}", self.folder);
        part
    }
}

fn connection(line: &Value) -> Option<u64> {
    line["conn"].as_u64()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn method(line: &Value) -> Option<&'static str> {
    METHODS.into_iter().find(|method| line["method"] == *method)
}

/// Collects the events of one zone.
struct Events<'a> {
    lines: &'a [Value],
    connections: BTreeSet<u64>,
    events: Vec<Event>,
    step: String,
}

impl Events<'_> {
    fn collect(mut self) -> Vec<Event> {
        let mut connected: BTreeMap<u64, String> = BTreeMap::new();
        for (index, line) in self.lines.iter().enumerate() {
            if line["event"] == "step" {
                self.step = text(&line["text"]);
                self.events.push(Event::Step(self.step.clone()));
                continue;
            }
            let Some(number) = connection(line).filter(|number| self.connections.contains(number)) else { continue };
            if line["event"] == "stream-open" && !connected.contains_key(&number) {
                connected.insert(number, self.step.clone());
                let headers = self.headers(number);
                self.events.push(Event::Connect(headers));
            }
            if let Some(method) = method(line) {
                self.of_stream(line, method);
            }
            let is_last = !self.lines[index + 1..]
                .iter()
                .any(|later| connection(later) == Some(number) && later["event"] != "connection-close");
            if is_last && line["event"] != "connection-close" {
                let gone = self.gone(number, connected.get(&number));
                self.events.push(Event::Gone(gone));
            }
        }
        self.events
    }

    fn of_stream(&mut self, line: &Value, method: &'static str) {
        match line["event"].as_str() {
            Some("message") => {
                let bytes = captures::message_bytes(line).unwrap_or_else(|| restored(line));
                assert_eq!(line["bytes"], bytes.len(), "{line}");
                let said = line["dir"] == "global->zone";
                let event = if said { Event::Said { method, bytes } } else { Event::Heard { method, bytes } };
                self.events.push(event);
            }
            Some("stream-end") if is_by_global(line) => {
                let (code, message) = (code(line), text(&line["message"]));
                self.events.push(Event::Ended { method, code, message });
            }
            _ => {}
        }
    }

    fn headers(&self, number: u64) -> BTreeMap<&'static str, Headers> {
        let opened =
            self.lines.iter().filter(|line| connection(line) == Some(number) && line["event"] == "stream-open");
        opened
            .filter_map(|line| {
                let mut headers: Headers = serde_json::from_value(line["headers"].clone()).unwrap();
                headers.remove(":authority");
                headers.insert("compression".to_owned(), vec![text(&line["compression"])]);
                Some((method(line)?, headers))
            })
            .collect()
    }

    /// Why a connection is over that was opened during the step `since`.
    fn gone(&self, number: u64, since: Option<&String>) -> Gone {
        let is_end =
            |line: &&Value| connection(line) == Some(number) && line["event"] == "stream-end" && is_by_global(line);
        let ended_by_global = self.lines.iter().filter(is_end).any(|line| {
            match method(line) {
                None | Some(PING) => false,
                Some(DOWN | UP) => true,
                // An admin stream may be missing.
                Some(_) => !matches!(code(line), 1 | 12),
            }
        });
        let has_end = self.lines.iter().any(|line| connection(line) == Some(number) && line["event"] == "stream-end");
        if !has_end {
            Gone::Cut
        } else if ended_by_global {
            Gone::ByGlobal
        } else if since != Some(&self.step) && ["stops", "restarted", "end"].iter().any(|word| self.step.contains(word))
        {
            Gone::ZoneStopped
        } else {
            Gone::ByZone
        }
    }
}

/// `Canceled`, `context canceled` is the recorder's own word, after the zone has gone.
fn is_by_global(line: &Value) -> bool {
    line["code"] != "Canceled" || line["message"] != "context canceled"
}

fn code(line: &Value) -> u32 {
    match line["code"].as_str() {
        Some("OK") => 0,
        Some("Canceled") => 1,
        Some("InvalidArgument") => 3,
        Some("ResourceExhausted") => 8,
        Some("Unimplemented") => 12,
        Some("Unavailable") => 14,
        other => panic!("a status that no recorded global gave: {other:?}"),
    }
}

/// Makes a large message again, from its decoded view: of the right size, other long texts are not as they were.
fn restored(line: &Value) -> Vec<u8> {
    let message = &line["message"];
    let resources = message["resources"].as_array().into_iter().flatten().map(restored_resource).collect();
    let response = DeltaDiscoveryResponse {
        resources,
        type_url: text(&message["typeUrl"]),
        nonce: text(&message["nonce"]),
        control_plane: message["controlPlane"].as_str().map(|name| ControlPlane { identifier: name.to_owned() }),
        ..Default::default()
    };
    response.encode_to_vec()
}

fn restored_resource(resource: &Value) -> Resource {
    let meta = &resource["meta"];
    let spec = &resource["spec"];
    let value = match spec["json"].as_object() {
        Some(json) => serde_json::to_vec(json).unwrap(),
        None => {
            let data = &spec["value"]["data"];
            let data = left_out(data).map_or_else(|| decoded(data), |length| vec![b'a'; length / 4 * 3]);
            // Base64 of 4,000,000 bytes ends with two characters that stand for no byte.
            Secret { data: Some(data.into_iter().take(4_000_000).collect()) }.encode_to_vec()
        }
    };
    let label = |(key, value): (&String, &Value)| {
        (key.clone(), left_out(value).map_or_else(|| text(value), |length| "a".repeat(length)))
    };
    let kuma = KumaResource {
        meta: Some(Meta {
            name: text(&meta["name"]),
            mesh: text(&meta["mesh"]),
            labels: meta["labels"].as_object().into_iter().flatten().map(label).collect(),
            ..Default::default()
        }),
        spec: Some(Any { type_url: text(&spec["typeUrl"]), value }),
        status: None,
    };
    Resource {
        name: text(&resource["name"]),
        version: text(&resource["version"]),
        resource: Some(Any { type_url: text(&resource["anyTypeUrl"]), value: kuma.encode_to_vec() }),
    }
}

fn decoded(base64: &Value) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text(base64)).unwrap()
}

/// How many characters a placeholder stands for.
fn left_out(value: &Value) -> Option<usize> {
    value.as_str()?.strip_prefix('<')?.strip_suffix(" characters left out>")?.parse().ok()
}
