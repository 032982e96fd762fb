//! Bodies of PUT against the answers of real peers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::{
    Audience, Key, Kind, Labels, Resource, Scope,
    document::{self, DocumentError},
    validate::{self, Violation},
};
use serde_json::Value;

use crate::captures;

const FILES: [&str; 8] = [
    "global-access.jsonl",
    "global-index.jsonl",
    "global-kinds.jsonl",
    "global-resources.jsonl",
    "global-secrets.jsonl",
    "global-variants.jsonl",
    "global-zones.jsonl",
    "zone.jsonl",
];

/// Exchanges that end otherwise here. May only shrink.
///
/// 3.0 ignores the members of Mesh that only 2.x has; they are kept here for zones of 2.x, hence read. Of two equal
/// members it takes the last one, without a word.
const OPEN_3_0: [&str; 2] = ["mesh enum with an unknown value", "mesh duplicate key in JSON"];
/// The same for what 2.14.3 alone has.
const OPEN_2_14: [&str; 0] = [];

/// The kind, mesh and name in a path of REST.
fn target(path: &str) -> Option<(Kind, String, String)> {
    let path = path.split('?').next()?;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (kind, mesh, name) = match parts.as_slice() {
        ["meshes", mesh, segment, name] => (Kind::by_path(segment)?, (*mesh).to_owned(), (*name).to_owned()),
        [segment, name] => (Kind::by_path(segment)?, String::new(), (*name).to_owned()),
        _ => return None,
    };
    (mesh.is_empty() == (kind.scope == Scope::Global)).then_some((kind, mesh, name))
}

/// What we say to a body: the sentences of an answer.
fn verdict(kind: Kind, mesh: &str, name: &str, body: &str) -> Vec<String> {
    let show = |found: &[Violation]| found.iter().map(|found| format!("{}|{}", found.field, found.reason)).collect();
    match document::from_rest(kind, body.as_bytes()) {
        Ok(body) => {
            let mut found = Vec::new();
            for (key, value) in &body.labels {
                let reasons = [validate::label_key(key), validate::label_value(value)].concat();
                found.extend(reasons.into_iter().map(|reason| Violation::new(format!("labels[\"{key}\"]"), reason)));
            }
            found.extend(validate::meta(kind, &body.name, &body.mesh));
            if found.is_empty()
                && body.name == name
                && (mesh.is_empty() || body.mesh == mesh)
                && body.type_name == kind.name
            {
                found.extend(validate::display_name(kind, name));
            }
            show(&found)
        }
        Err(DocumentError::Schema(found) | DocumentError::Invalid(found)) => show(&found),
        Err(DocumentError::Malformed { .. }) => vec![format!("invalid {kind} object")],
        Err(other) => vec![other.to_string()],
    }
}

/// What the peer said, without what only a server with a store and a mode can say.
fn recorded(kind: Kind, exchange: &Value) -> Option<Vec<String>> {
    let status = exchange["status"].as_u64();
    let body: Value = serde_json::from_str(exchange["responseBody"].as_str().unwrap_or("{}")).unwrap_or_default();
    match status {
        Some(200 | 201) => Some(Vec::new()),
        // The peer crashed.
        None => Some(vec![format!("invalid {kind} object")]),
        Some(400) => {
            let detail = body["detail"].as_str().unwrap_or_default();
            if detail.starts_with(&format!("invalid {kind} object")) {
                return Some(vec![format!("invalid {kind} object")]);
            }
            if detail.starts_with("bad request: labels") {
                return None;
            }
            let of_server = ["from the URL", "origin", "kuma.io/", "is immutable", "must be shorter"];
            let parameters = body["invalid_parameters"].as_array().into_iter().flatten();
            let found: Vec<String> = parameters
                .filter(|found| !of_server.iter().any(|text| found["reason"].as_str().unwrap().contains(text)))
                .map(|found| format!("{}|{}", found["field"].as_str().unwrap(), found["reason"].as_str().unwrap()))
                .collect();
            Some(found)
        }
        Some(_) => None,
    }
}

fn check_verdicts(version: &str, open: &[&str], wanted: impl Fn(Kind) -> bool) -> usize {
    let mut differs = BTreeSet::new();
    let mut report = String::new();
    let mut checked = 0;
    for file in FILES {
        for exchange in captures::lines(version, file) {
            let (Some("PUT"), Some(path)) = (exchange["method"].as_str(), exchange["path"].as_str()) else { continue };
            let Some((kind, mesh, name)) = target(path).filter(|(kind, ..)| wanted(*kind)) else { continue };
            let Some(expected) = recorded(kind, &exchange) else { continue };
            let ours = verdict(kind, &mesh, &name, exchange["requestBody"].as_str().unwrap_or_default());
            checked += 1;
            if ours != expected {
                let name = exchange["name"].as_str().unwrap();
                report.push_str(&format!("{file}: {name}\n  ours {ours:?}\n  peer {expected:?}\n"));
                differs.insert(name.to_owned());
            }
        }
    }
    let open: BTreeSet<String> = open.iter().map(|name| (*name).to_owned()).collect();
    if checked > 0 {
        assert_eq!(differs, open, "\n{report}");
    }
    checked
}

#[test]
fn bodies_are_judged_as_3_0_does() {
    let checked = check_verdicts("3.0-preview", &OPEN_3_0, |_| true);
    assert!(checked == 0 || checked > 150, "{checked}");
}

#[test]
fn bodies_of_kinds_that_only_2_14_has_are_judged_as_it_does() {
    let checked = check_verdicts("2.14.3", &OPEN_2_14, |kind| kind.only_in_2x);
    assert!(checked == 0 || checked > 15, "{checked}");
}

/// Exchanges whose resource is shown otherwise here, for the same reason. May only shrink.
///
/// Tags of inbounds are kept too: globals up to 2.13 refuse a Dataplane without them.
const OPEN_SHOWN: [&str; 5] = [
    "mesh meshServices read back",
    "mesh with mTLS read back",
    "dataplane get",
    "dataplane get updated",
    "dataplane snake_case fields read back",
];

#[test]
fn what_was_put_is_shown_as_the_peer_shows_it() {
    let mut differs = BTreeSet::new();
    let mut report = String::new();
    let mut checked = 0;
    for (version, file) in FILES
        .iter()
        .map(|file| ("3.0-preview", *file))
        .chain([("2.14.3", "global-kinds.jsonl"), ("2.14.3", "zone.jsonl")])
    {
        let mut put: BTreeMap<String, Value> = BTreeMap::new();
        for exchange in captures::lines(version, file) {
            let path = exchange["path"].as_str().unwrap_or_default().to_owned();
            match (exchange["method"].as_str(), exchange["status"].as_u64()) {
                (Some("PUT"), Some(200 | 201)) => {
                    put.insert(path, exchange);
                }
                (Some("GET"), Some(200)) => {
                    let Some(written) = put.remove(&path) else { continue };
                    let Some((kind, mesh, name)) = target(&path) else { continue };
                    if version == "2.14.3" && !kind.only_in_2x {
                        continue;
                    }
                    let shown: Value = serde_json::from_str(exchange["responseBody"].as_str().unwrap()).unwrap();
                    let Ok(body) = document::from_rest(kind, written["requestBody"].as_str().unwrap().as_bytes())
                    else {
                        continue;
                    };
                    let time = |member: &str| shown[member].as_str().unwrap().parse::<Timestamp>().unwrap();
                    let labels: Labels = shown
                        .get("labels")
                        .cloned()
                        .map(|labels| serde_json::from_value(labels).unwrap())
                        .unwrap_or_default();
                    let resource = Resource {
                        key: Key { kind, mesh, name },
                        labels,
                        spec: body.spec,
                        status: None,
                        owner: None,
                        created: time("creationTime"),
                        modified: time("modificationTime"),
                    };
                    let ours = document::to_rest(&resource, None, Audience::Administrator);
                    checked += 1;
                    let text = document::to_rest_text(&ours);
                    let name = exchange["name"].as_str().unwrap();
                    if ours != shown {
                        differs.insert(name.to_owned());
                        report.push_str(&format!("{file}: {name}\n  ours {ours}\n  peer {shown}\n"));
                    } else if text != exchange["responseBody"].as_str().unwrap() {
                        eprintln!("another order of members than the peer's, {version} {file}: {name}");
                    }
                }
                _ => {}
            }
        }
    }
    let open: BTreeSet<String> = OPEN_SHOWN.iter().map(|name| (*name).to_owned()).collect();
    if checked > 0 {
        assert_eq!(differs, open, "\n{report}");
        assert!(checked > 50, "{checked}");
    }
}
