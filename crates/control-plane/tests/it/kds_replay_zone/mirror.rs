//! What the recorded zone had stored of its global at each moment, and whether our zone has stored the same.
//!
//! Follows from the recorded messages alone: responses, and the recorded answers to them (contract: kds 6.6, 8.3).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use model::{Kind, SpecForm, document, labels};
use serde_json::{Map, Value};
use testkit::client;
use wire::envoy::service::discovery::v3::DeltaDiscoveryResponse;

use super::zone::{kuma, spec};

/// Mesh and name.
type Name = (String, String);

/// A stored resource as REST shows it, without times and computed members.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    labels: BTreeMap<String, String>,
    spec: Map<String, Value>,
}

/// What a zone has of its global.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    kinds: BTreeMap<String, BTreeMap<Name, Stored>>,
    /// Kinds of this connection that were answered: their first response is behind them.
    answered: BTreeSet<String>,
}

impl Mirror {
    /// A connection is opened: the next response of each kind is authoritative.
    pub(crate) fn connect(&mut self) {
        self.answered.clear();
    }

    /// Takes a response, and the text of the NACK if there was one.
    pub(crate) fn apply(&mut self, response: &DeltaDiscoveryResponse, nack: &str) {
        let kind = Kind::by_name(&response.type_url).unwrap();
        let held = self.kinds.entry(response.type_url.clone()).or_default();
        let mut named = BTreeSet::new();
        for resource in &response.resources {
            let kuma = kuma(resource);
            let meta = kuma.meta.clone().unwrap();
            let name = (meta.mesh, meta.name);
            named.insert(name.clone());
            let is_global = meta.labels.get(labels::ORIGIN).is_some_and(|origin| origin == labels::ORIGIN_GLOBAL);
            let spec = spec(kind, &kuma);
            if (is_global || !kind.flow.provided_by_zone()) && !is_refused(nack, &name.1, &spec) {
                held.insert(name, Stored { labels: meta.labels.into_iter().collect(), spec });
            }
        }
        if self.answered.insert(response.type_url.clone()) {
            held.retain(|name, _| named.contains(name));
        }
        for removed in &response.removed_resources {
            let (name, mesh) = removed.rsplit_once('.').unwrap_or((removed, ""));
            let name = (mesh.to_owned(), name.to_owned());
            if !named.contains(&name) {
                held.remove(&name);
            }
        }
    }

    /// Fails unless the zone at this address has stored the same.
    pub(crate) fn check(&self, zone: SocketAddr, place: &str) {
        let kinds = Kind::all().filter(|kind| kind.flow.global_to_zone() && kind.in_rest);
        // REST shows the services of ServiceInsights, not the resources.
        for kind in kinds.filter(|kind| kind.name != "ServiceInsight") {
            let here = stored(zone, kind);
            let there = self.kinds.get(kind.name).cloned().unwrap_or_default();
            assert_eq!(here, there, "{place}: {} as our zone stored it, and as the recorded zone did", kind.name);
        }
    }
}

/// Which resource of a refused response a NACK means: its text does not always name it.
fn is_refused(nack: &str, name: &str, spec: &Map<String, Value>) -> bool {
    let lacks = |members: &[&str]| members.iter().all(|member| !spec.contains_key(*member));
    nack.contains(&format!("name=\"{name}\""))
        || (nack.contains("targetRef.labels: must be set") && refers_by_name(spec))
        || (nack.contains("policy must define rules") && lacks(&["rules"]))
        || (nack.contains("at least one of") && lacks(&["from", "to", "rules"]))
}

/// Whether a policy refers to a service by its name, as 2.x policies may.
fn refers_by_name(spec: &Map<String, Value>) -> bool {
    let items = spec.get("to").and_then(Value::as_array).into_iter().flatten();
    items.map(|item| &item["targetRef"]).any(|target| target["kind"] == "MeshService" && !target["name"].is_null())
}

/// What a zone has of its global, over REST.
fn stored(zone: SocketAddr, kind: Kind) -> BTreeMap<Name, Stored> {
    // Secrets may be as large as an answer that the client reads.
    let size = if kind == Kind::GLOBAL_SECRET { 1 } else { 1000 };
    let mut items = Vec::new();
    loop {
        let page = client::get(zone, &format!("/{}?size={size}&offset={}", kind.path, items.len()));
        items.extend(page["items"].as_array().unwrap().clone());
        if page["next"].is_null() {
            break;
        }
    }
    let is_global =
        |item: &&Value| !kind.flow.provided_by_zone() || item["labels"][labels::ORIGIN] == labels::ORIGIN_GLOBAL;
    items.iter().filter(is_global).map(|item| (name(item), shown(kind, item))).collect()
}

fn name(item: &Value) -> Name {
    let member = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    (member("mesh"), member("name"))
}

fn shown(kind: Kind, item: &Value) -> Stored {
    let labels = item["labels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
    if let Some(empty) = kind.empty_status {
        // Global sends an empty status, and this zone computes none.
        assert_eq!(item["status"], serde_json::from_str::<Value>(empty).unwrap(), "{item}");
    }
    let spec = match kind.spec {
        SpecForm::Json => item["spec"].as_object().cloned().unwrap_or_default(),
        SpecForm::Proto(_) => {
            let members = item.as_object().unwrap().iter();
            members
                .filter(|(member, _)| !document::META.contains(&member.as_str()))
                .map(|(member, value)| (member.clone(), value.clone()))
                .collect()
        }
    };
    Stored { labels, spec }
}
