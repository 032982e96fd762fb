//! What the recorded global's REST API showed of zones and of what they reported, against ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::program::eventually;

use super::{
    play::{Player, Release},
    recording::Rpc,
    stream::Counters,
};

impl Player {
    /// The lists that the recorded global showed when both zones had reported everything. A 2.14 one shows fewer members.
    pub(crate) fn lists(&self) {
        let text = self.recording.text("state-global.txt").expect("the lists");
        if self.release == Release::V2 {
            return;
        }
        let sections = text.split("== global ").skip(1);
        let mut compared = 0;
        for section in sections {
            let (path, list) = section.split_once('\n').expect("a path and a list");
            let mut recorded: Value = serde_json::from_str(list).expect("JSON");
            let (status, body) = self.global.rest("GET", path, None);
            assert_eq!(status, 200, "{path}: {body}");
            let mut ours: Value = serde_json::from_str(&body).expect("JSON");
            masked(&mut recorded);
            masked(&mut ours);
            // Every resource that global sends gets this label on the way, whether it is stored with it or not.
            for item in ours["items"].as_array_mut().expect("items") {
                item["labels"].as_object_mut().expect("labels").entry("kuma.io/origin").or_insert(json!("global"));
            }
            assert_eq!(differences(path, &recorded, &ours), Vec::<String>::new());
            compared += 1;
        }
        assert!(compared > 0);
    }

    /// The overview of the zone. Its counters are those of our streams; the recorded ones may be ten seconds old, and may
    /// lack the subscriptions of that time.
    pub(crate) fn overview(&self) {
        let Some(mut recorded) = self.recording.json("zone-overview-end.json") else { return };
        if self.release != Release::V3 || self.global.proof("x").is_some() {
            return;
        }
        masked(&mut recorded);
        let zone = recorded["name"].as_str().expect("a name").to_owned();
        let open = self.streams.iter().filter(|((_, rpc), stream)| *rpc == Rpc::GlobalToZone && stream.zone == zone);
        let closed = self.subscriptions.get(&zone).into_iter().flatten();
        let counters: Vec<_> = closed.chain(open.map(|(_, stream)| &stream.counters)).collect();
        let ask = || {
            let (_, body) = self.global.rest("GET", &format!("/zones/{zone}/_overview"), None);
            let mut ours: Value = serde_json::from_str(&body).unwrap_or_default();
            masked(&mut ours);
            compare_overviews(recorded.clone(), ours, &counters, &self.withheld)
        };
        eventually("the overview is as recorded", ask, Vec::is_empty);
    }
}

fn compare_overviews(
    mut recorded: Value,
    mut ours: Value,
    counters: &[&BTreeMap<String, Counters>],
    withheld: &BTreeSet<String>,
) -> Vec<String> {
    let subscriptions = |overview: &mut Value| match overview["zoneInsight"]["subscriptions"].take() {
        Value::Array(subscriptions) => subscriptions,
        _ => Vec::new(),
    };
    let (theirs, mut own) = (subscriptions(&mut recorded), subscriptions(&mut ours));
    // A ping that comes before the first stream finds no zone yet.
    if recorded["zoneInsight"].get("healthCheck").is_none() {
        ours["zoneInsight"].as_object_mut().expect("an insight").remove("healthCheck");
    }
    // What troubles a zone is told by us alone (`tests/it/troubles.rs`).
    for own in ["typeTroubles", "lastRefusal"] {
        ours["zoneInsight"].as_object_mut().expect("an insight").remove(own);
    }
    let mut found = differences("", &recorded, &ours);
    if own.len() != counters.len() || theirs.len() > own.len() {
        found.push(format!("{} subscriptions, {} recorded, {} streams", own.len(), theirs.len(), counters.len()));
    }
    for (subscription, counters) in own.iter_mut().zip(counters) {
        let ended = subscription.get("disconnectTime").is_some();
        let status = subscription["status"].take();
        let sum = |count: fn(&Counters) -> u64| counters.values().map(count).sum::<u64>();
        let total = Counters {
            sent: sum(|one| one.sent),
            acknowledged: sum(|one| one.acknowledged),
            rejected: sum(|one| one.rejected),
            markers: sum(|one| one.markers),
        };
        let stat = status["stat"].as_object().cloned().unwrap_or_default();
        let counted = counters.iter().filter(|(_, one)| one.sent > 0);
        let kinds: Vec<&String> = counted.clone().map(|(kind, _)| kind).collect();
        if stat.keys().collect::<Vec<_>>() != kinds {
            found.push(format!("counters of {:?} and not of {kinds:?}", stat.keys().collect::<Vec<_>>()));
        }
        let pairs = counted.map(|(kind, one)| (kind.as_str(), stat.get(kind).unwrap_or(&Value::Null), one));
        for (what, shown, counted) in pairs.chain([("total", &status["total"], &total)]) {
            let (sent, acknowledged, rejected) = numbers(shown);
            // What a zone sends right before it resets its stream may be lost with it.
            let lost = ended && acknowledged <= counted.acknowledged && rejected <= counted.rejected;
            let all = (acknowledged, rejected) == (counted.acknowledged, counted.rejected);
            if sent != counted.sent || !(all || lost) {
                found.push(format!("{what}: {:?} and not {counted:?}", numbers(shown)));
            }
        }
    }
    for ((mut theirs, ours), counters) in theirs.into_iter().zip(&own).zip(counters) {
        let status = theirs["status"].take();
        for (kind, shown) in status["stat"].as_object().into_iter().flatten() {
            let ours = counters.get(kind).cloned().unwrap_or_default();
            let (sent, acknowledged, rejected) = numbers(shown);
            if withheld.contains(kind) {
                continue;
            }
            if sent > ours.sent - ours.markers || acknowledged > ours.acknowledged || rejected > ours.rejected {
                found.push(format!("{kind}: {ours:?}, recorded: {:?}", numbers(shown)));
            }
        }
        found.extend(differences("subscription", &theirs, ours));
    }
    found
}

/// Sent, acknowledged, rejected.
fn numbers(shown: &Value) -> (u64, u64, u64) {
    let number = |key: &str| shown[key].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    (number("responsesSent"), number("responsesAcknowledged"), number("responsesRejected"))
}

/// Masks what differs from run to run: times, ids, instances.
fn masked(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let masked = ["Time", "time", "InstanceId"].iter().any(|end| key.ends_with(end)) || key == "id";
                if masked && value.is_string() {
                    *value = json!("<masked>");
                } else {
                    self::masked(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(masked),
        _ => {}
    }
}

fn differences(path: &str, recorded: &Value, ours: &Value) -> Vec<String> {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            let keys: BTreeSet<&String> = recorded.keys().chain(ours.keys()).collect();
            let value = |of: &serde_json::Map<String, Value>, key: &String| of.get(key).cloned().unwrap_or_default();
            keys.into_iter()
                .flat_map(|key| differences(&format!("{path}.{key}"), &value(recorded, key), &value(ours, key)))
                .collect()
        }
        (Value::Array(recorded), Value::Array(ours)) if recorded.len() == ours.len() => recorded
            .iter()
            .zip(ours)
            .enumerate()
            .flat_map(|(at, (recorded, ours))| differences(&format!("{path}[{at}]"), recorded, ours))
            .collect(),
        (recorded, ours) if recorded == ours => Vec::new(),
        (recorded, ours) => vec![format!("{path}: {ours:.200} and not {recorded:.200}")],
    }
}
