//! What each side has of what flows between global and one zone, as REST shows it.

use std::{collections::BTreeMap, net::SocketAddr};

use model::{Kind, Writable, labels};
use serde_json::Value;
use testkit::{client, program::eventually};

/// One resource: what must be equal at both ends, and when this end made it.
#[derive(Debug)]
pub(crate) struct Shown {
    content: Value,
    pub(crate) created: String,
}

/// Kind, mesh and display name to the resource.
pub(crate) type Side = BTreeMap<(&'static str, String, String), Shown>;

/// What global has for a zone.
pub(crate) fn given_by_global(global: SocketAddr) -> Side {
    side(global, |kind| kind.flow.from_global(), |label| label(labels::ORIGIN) != Some(labels::ORIGIN_ZONE))
}

/// What a zone has of global.
pub(crate) fn taken_by_zone(zone: SocketAddr) -> Side {
    side(zone, |kind| kind.flow.from_global(), |label| label(labels::ORIGIN) == Some(labels::ORIGIN_GLOBAL))
}

/// What a zone has for global.
pub(crate) fn given_by_zone(zone: SocketAddr) -> Side {
    side(zone, |kind| kind.flow.zone_to_global(), |label| label(labels::ORIGIN) == Some(labels::ORIGIN_ZONE))
}

/// What global has of a zone.
pub(crate) fn taken_by_global(global: SocketAddr, zone: &str) -> Side {
    side(global, |kind| kind.flow.zone_to_global(), |label| label(labels::ZONE) == Some(zone))
}

/// Waits until a zone and global have of each other exactly what the other one has for them.
pub(crate) fn wait_until_equal(global: SocketAddr, zone: SocketAddr, name: &str) {
    let nothing = |differences: &Vec<String>| differences.is_empty();
    let down = || differences(&given_by_global(global), &taken_by_zone(zone));
    eventually(&format!("zone {name} has what global has"), down, nothing);
    let up = || differences(&given_by_zone(zone), &taken_by_global(global, name));
    eventually(&format!("global has what zone {name} has"), up, nothing);
}

fn differences(given: &Side, taken: &Side) -> Vec<String> {
    assert!(!given.is_empty(), "there is something to compare");
    let missing = given.keys().filter(|key| !taken.contains_key(*key)).map(|key| format!("missing: {key:?}"));
    let surplus = taken.keys().filter(|key| !given.contains_key(*key)).map(|key| format!("left over: {key:?}"));
    let other = given.iter().filter_map(|(key, shown)| {
        let taken = taken.get(key)?;
        (taken.content != shown.content).then(|| format!("{key:?} is {} and not {}", taken.content, shown.content))
    });
    missing.chain(surplus).chain(other).collect()
}

type Label<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

fn side(address: SocketAddr, flows: impl Fn(Kind) -> bool, belongs: impl Fn(Label<'_>) -> bool) -> Side {
    let shown = |kind: &Kind| kind.in_rest && !kind.only_in_2x && kind.writable == Writable::ByFlow;
    let mut side = Side::new();
    for kind in Kind::all().filter(shown).filter(|kind| flows(*kind)) {
        let list = client::get(address, &format!("/{}?size=1000", kind.path));
        assert!(list["next"].is_null(), "all of {} on one page", kind.path);
        for item in list["items"].as_array().unwrap() {
            let label = |key: &str| item["labels"].get(key).and_then(Value::as_str);
            let name = label(labels::DISPLAY_NAME).or_else(|| item["name"].as_str()).unwrap();
            if belongs(&label) && !stays(kind, name) {
                let mesh = item["mesh"].as_str().unwrap_or_default().to_owned();
                side.insert((kind.name, mesh, name.to_owned()), show(item));
            }
        }
    }
    side
}

/// The system's own secrets are not the same at both ends.
fn stays(kind: Kind, name: &str) -> bool {
    let own = model::reserved::is_reserved_global_secret(name) || name.starts_with("zone-token-signing-public-key");
    kind == Kind::GLOBAL_SECRET && own
}

fn show(item: &Value) -> Shown {
    let created = item["creationTime"].as_str().unwrap().to_owned();
    let mut content = item.clone();
    // Each end has its own of these; a zone also keeps its own status.
    for own in ["name", "labels", "kri", "creationTime", "modificationTime", "status"] {
        content.as_object_mut().unwrap().remove(own);
    }
    Shown { content, created }
}
