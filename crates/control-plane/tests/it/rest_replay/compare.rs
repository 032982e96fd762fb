//! Whether an answer says what was recorded, with everything masked that differs from run to run.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

use crate::stage::rest_world::Answer;

const TIMES: [&str; 8] = [
    "creationTime",
    "modificationTime",
    "createdAt",
    "connectTime",
    "disconnectTime",
    "lastUpdateTime",
    "time",
    "creationTimestamp",
];
const INSTANCES: [&str; 4] = ["instanceId", "globalInstanceId", "zoneInstanceId", "controlPlaneInstanceId"];
const VERSIONS: [&str; 4] = ["version", "gitTag", "gitCommit", "buildDate"];
/// Where a text of the Go runtime begins.
const GO: [&str; 6] = ["invalid character", "json: ", "strconv.Atoi: ", "time: ", "dial tcp", "illegal base64"];

/// Returns what differs, if anything.
pub(crate) fn difference(recorded: &Value, ours: &Answer, old: bool) -> Option<String> {
    let status = recorded["status"].as_u64().unwrap_or(400);
    if status != u64::from(ours.status) {
        return Some(format!("status {} for {status}: {}", ours.status, first(&ours.body)));
    }
    for (name, value) in recorded["responseHeaders"].as_object().into_iter().flatten() {
        if ours.headers.get(name) != Some(value) {
            return Some(format!("header {name}: {:?} for {value}", ours.headers.get(name)));
        }
    }
    let theirs = recorded["responseBody"].as_str().unwrap_or_default();
    if recorded["cut"] == true && !theirs.contains("\"items\": [") {
        return None;
    }
    match (serde_json::from_str::<Value>(theirs), serde_json::from_str::<Value>(&ours.body)) {
        (Ok(theirs), Ok(own)) if recorded["path"].as_str().is_some_and(|path| path.ends_with("/config")) => {
            let found = configuration("", &theirs, &own);
            (!found.is_empty()).then(|| found.join(", "))
        }
        (Ok(mut theirs), Ok(mut own)) => {
            if recorded["cut"] == true {
                shorten(&mut own);
            }
            mask(&mut theirs, old);
            mask(&mut own, old);
            if let Some(own) = own.as_object_mut().filter(|_| theirs.get("warnings").is_none()) {
                own.remove("warnings");
            }
            values("", &theirs, &own)
        }
        (Err(_), Err(_)) if theirs.starts_with("eyJ") => token(theirs, &ours.body),
        (Err(_), Err(_)) => (theirs != ours.body).then(|| format!("body {:?}", first(&ours.body))),
        _ => Some(format!("body {:?}", first(&ours.body))),
    }
}

/// What the peer fills in when it starts: paths in the work directory, and settings of its data plane server, which does
/// not exist here. The last one was shortened by the recorder.
const FILLED_IN: [&str; 6] =
    [".tlsCertFile", ".tlsKeyFile", ".params.xdsPort", ".dpProxy.type", ".zoneProxy.type", ".spire.socketPath"];

/// Compares two configurations in the keys that both have; a section of ours must not be empty.
fn configuration(path: &str, theirs: &Value, own: &Value) -> Vec<String> {
    let (Some(theirs), Some(own)) = (theirs.as_object(), own.as_object()) else {
        let made = FILLED_IN.iter().any(|name| path.ends_with(name));
        let same = theirs == own || made;
        return if same { vec![] } else { vec![format!("{path}: {own} for {theirs}")] };
    };
    if own.is_empty() && !theirs.is_empty() {
        return vec![format!("{path} is empty")];
    }
    let shared = own.iter().filter_map(|(key, own)| Some((key, theirs.get(key)?, own)));
    shared.flat_map(|(key, theirs, own)| configuration(&format!("{path}.{key}"), theirs, own)).collect()
}

fn first(text: &str) -> String {
    text.chars().take(400).collect::<String>().replace('\n', "")
}

/// A cut list tells how many items there are, and the names of the first and the last.
fn shorten(list: &mut Value) {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let name = |item: Option<&Value>| item.map_or(Value::Null, |item| item["name"].clone());
    list["items"] = json!([items.len(), name(items.first()), name(items.last())]);
}

fn values(path: &str, theirs: &Value, own: &Value) -> Option<String> {
    match (theirs, own) {
        (Value::Object(theirs), Value::Object(own)) => {
            for (key, value) in theirs {
                let Some(found) = own.get(key) else { return Some(format!("{path}.{key} is missing")) };
                if let Some(difference) = values(&format!("{path}.{key}"), value, found) {
                    return Some(difference);
                }
            }
            own.keys().find(|key| !theirs.contains_key(*key)).map(|key| format!("{path}.{key} is more"))
        }
        (Value::Array(theirs), Value::Array(own)) => {
            if theirs.len() != own.len() {
                let names = |list: &[Value]| {
                    list.iter().map(|item| item["name"].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>()
                };
                return Some(format!(
                    "{path}: {} items for {}: {:?} for {:?}",
                    own.len(),
                    theirs.len(),
                    names(own),
                    names(theirs)
                ));
            }
            theirs
                .iter()
                .zip(own)
                .enumerate()
                .find_map(|(at, (theirs, own))| values(&format!("{path}[{at}]"), theirs, own))
        }
        (Value::String(theirs), Value::String(own)) => {
            let same = theirs == own
                || GO
                    .iter()
                    .any(|go| theirs.find(go).is_some_and(|at| theirs.get(..at) == own.get(..at) && own.len() > at));
            (!same).then(|| format!("{path}: {own:?} for {theirs:?}"))
        }
        (theirs, own) => (theirs != own).then(|| format!("{path}: {own} for {theirs}")),
    }
}

/// Replaces what differs from run to run by what kind of thing it is.
fn mask(value: &mut Value, old: bool) {
    match value {
        Value::Object(members) => {
            if old {
                // 2.14 computes fewer labels; what we compute is 3.0's.
                members.remove("labels");
            }
            for (key, value) in members.iter_mut() {
                let Some(text) = value.as_str() else {
                    mask(value, old);
                    continue;
                };
                if let Some(masked) = masked(key, text) {
                    *value = json!(masked);
                }
            }
            without_kinds_of_2x(members);
            for inbound in members.get_mut("inbound").and_then(Value::as_array_mut).into_iter().flatten() {
                inbound.as_object_mut().map(|inbound| inbound.remove("tags"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, old)),
        _ => {}
    }
}

fn masked(key: &str, text: &str) -> Option<&'static str> {
    let uuid = || uuid::Uuid::parse_str(text).is_ok();
    match key {
        _ if TIMES.contains(&key) && text.parse::<jiff::Timestamp>().is_ok() => Some("<time>"),
        _ if INSTANCES.contains(&key) && text.rsplit_once('-').is_some_and(|(_, hex)| hex.len() == 4) => {
            Some("<instance>")
        }
        _ if VERSIONS.contains(&key) && !text.is_empty() => Some("<version>"),
        "clusterId" | "id" | "jti" if uuid() => Some("<id>"),
        "config" => Some("<configuration>"),
        "data" | "value" if is_key(text) => Some("<key>"),
        _ => None,
    }
}

fn is_key(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|data| {
        let data = String::from_utf8_lossy(&data).into_owned();
        data.starts_with("-----BEGIN") || data.starts_with("eyJ")
    })
}

/// Kinds that 3.0 lacks stand beside those it has (`docs/compatibility.md`).
fn without_kinds_of_2x(members: &mut Map<String, Value>) {
    let of_2x = |name: &str| model::Kind::by_name(name).is_some_and(|kind| kind.only_in_2x);
    for list in ["resources", "policies"] {
        match members.get_mut(list) {
            Some(Value::Array(rows)) => rows.retain(|row| !row["name"].as_str().is_some_and(of_2x)),
            Some(Value::Object(counts)) => counts.retain(|name, _| !of_2x(name)),
            _ => {}
        }
    }
}

/// Compares two tokens: the header, the names of the claims, and how long they are good.
fn token(theirs: &str, own: &str) -> Option<String> {
    let (Some(theirs), Some(own)) = (parts(theirs), parts(own)) else { return Some("no token".to_owned()) };
    if theirs.0 != own.0 {
        return Some(format!("header {} for {}", own.0, theirs.0));
    }
    let fixed = |claims: &Value| {
        let claims = claims.as_object().cloned().unwrap_or_default();
        let good_for = claims["exp"].as_i64().unwrap_or(0) - claims["iat"].as_i64().unwrap_or(0);
        let mut fixed: Vec<(String, Value)> = claims
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "exp" | "iat" | "nbf" | "jti"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        fixed.push(("exp - iat".to_owned(), json!(good_for)));
        fixed.push(("nbf = iat".to_owned(), json!(claims["nbf"] == claims["iat"])));
        fixed
    };
    let (theirs, own) = (fixed(&theirs.1), fixed(&own.1));
    (theirs != own).then(|| format!("claims {own:?} for {theirs:?}"))
}

fn parts(token: &str) -> Option<(String, Value)> {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
    let header = String::from_utf8(parts.next()?).ok()?;
    Some((header, serde_json::from_slice(&parts.next()?).ok()?))
}
