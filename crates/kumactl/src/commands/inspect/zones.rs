//! `kumactl inspect zones`: all of them, page after page.

use jiff::Timestamp;
use model::insight;
use serde_json::Value;
use tokens::{Family, signing_key_name};

use crate::{
    failure::Failure,
    output::{self, Form, age, table::Table},
    session::Session,
    views::{
        self,
        cells::text,
        pages,
        subscriptions::{subscriptions, sum},
    },
};

const HEAD: [&str; 8] = [
    "NAME",
    "STATUS",
    "LAST CONNECTED AGO",
    "LAST UPDATED AGO",
    "TOTAL UPDATES",
    "TOTAL ERRORS",
    "ZONE-CP VERSION",
    "BACKEND",
];

/// What `-o wide` shows beside: on which key each zone stands.
const WIDE: [&str; 3] = ["KEY", "EXPIRES", "RENEWS"];

/// Shows all zones.
pub(super) fn run(session: &Session<'_>, form: &str) -> Result<(), Failure> {
    let is_wide = form == "wide";
    let form = if is_wide { Form::Table } else { Form::of(form)? };
    let zones = pages::all(session, "/zones/_overview", views::ask).map_err(|trouble| trouble.alone())?;
    match form {
        Form::Yaml => session.printer().data(&model::yaml::to_string(&zones.value())),
        Form::Json => session.printer().data(&output::json(&zones.value())),
        Form::Table => {
            let head = [&HEAD[..], if is_wide { &WIDE } else { &[] }].concat();
            let mut table = Table::new(&head);
            let mut broken = None;
            for zone in &zones.items {
                match row(zone, session.now()) {
                    Ok(row) if is_wide => table.add([row, token(zone)].concat()),
                    Ok(row) => table.add(row),
                    Err(problem) => {
                        broken = Some(problem);
                        break;
                    }
                }
            }
            session.printer().data(&table.text())?;
            broken.map_or(Ok(()), |problem| Err(Failure::Refused(problem)))
        }
    }
}

fn row(overview: &Value, now: Timestamp) -> Result<Vec<String>, String> {
    let name = text(overview, "/name");
    let subscriptions = subscriptions(overview, "/zoneInsight/subscriptions");
    let last = subscriptions.last().unwrap_or(&Value::Null);
    let is_enabled = overview.pointer("/zone/enabled").and_then(Value::as_bool) != Some(false);
    let status = if is_enabled && insight::online(subscriptions) { "Online" } else { "Offline" };
    let backend = match last.get("config").and_then(Value::as_str).filter(|config| !config.is_empty()) {
        None => String::new(),
        Some(config) => {
            let config: Value = serde_json::from_str(config)
                .map_err(|error| format!("the configuration of zone {name:?} is no JSON: {error}"))?;
            text(&config, "/store/type")
        }
    };
    Ok(vec![
        name,
        status.to_owned(),
        age::since(now, age::time(last.get("connectTime"))),
        age::since(now, age::time(last.pointer("/status/lastUpdateTime"))),
        sum(subscriptions, "/status/total/responsesSent").to_string(),
        sum(subscriptions, "/status/total/responsesRejected").to_string(),
        text(last, "/version/kumaCp/version"),
        backend,
    ])
}

/// On which key the zone stands, when its token ends, and whether it gets the next one by itself.
fn token(overview: &Value) -> Vec<String> {
    let last = subscriptions(overview, "/zoneInsight/subscriptions").last().unwrap_or(&Value::Null);
    let Some(auth) = last.get("auth").filter(|auth| auth.is_object()) else { return vec!["-".to_owned(); WIDE.len()] };
    let ends = age::time(auth.get("expiresAt"));
    vec![
        key(&text(auth, "/family"), &text(auth, "/key")),
        ends.map_or_else(|| "never".to_owned(), |end| age::date(Some(end))),
        text(auth, "/renews"),
    ]
}

/// The secret that holds a key, under the name that a key of its serial gets.
fn key(family: &str, key: &str) -> String {
    match (Family::of_word(family, None), key.parse()) {
        (Ok(family), Ok(serial)) => signing_key_name(&family, serial),
        (Err(_), _) | (_, Err(_)) => format!("{family} {key}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(overview: &Value, expected: &[&str]) {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(row(overview, now).unwrap(), expected);
    }

    fn subscription(disconnected: bool) -> Value {
        let mut subscription = json!({
            "connectTime": "2026-11-23T11:57:00Z",
            "status": {
                "lastUpdateTime": "2026-11-23T11:59:48Z",
                "total": {"responsesSent": "120", "responsesRejected": 1}
            },
            "version": {"kumaCp": {"version": "3.0.0"}},
            "config": "{\"store\":{\"type\":\"postgres\"}}"
        });
        if disconnected {
            subscription["disconnectTime"] = json!("2026-11-23T11:58:00Z");
        }
        subscription
    }

    #[test]
    fn zone_that_never_connected_is_offline() {
        check(&json!({"name": "west", "zone": {}}), &["west", "Offline", "never", "never", "0", "0", "", ""]);
    }

    #[test]
    fn counters_of_all_subscriptions_are_added_up() {
        let insight = json!({"subscriptions": [subscription(true), subscription(false)]});
        check(
            &json!({"name": "east", "zone": {"enabled": true}, "zoneInsight": insight}),
            &["east", "Online", "3m", "12s", "240", "2", "3.0.0", "postgres"],
        );
    }

    #[test]
    fn disabled_or_disconnected_zone_is_offline() {
        let status = |enabled: bool, closed: bool| {
            let insight = json!({"subscriptions": [subscription(closed)]});
            let overview = json!({"name": "e", "zone": {"enabled": enabled}, "zoneInsight": insight});
            row(&overview, "2026-11-23T12:00:00Z".parse().unwrap()).unwrap()[1].clone()
        };
        assert_eq!([status(true, false), status(false, false), status(true, true)], ["Online", "Offline", "Offline"]);
    }

    #[test]
    fn configuration_that_is_no_json_is_told() {
        let overview = json!({"name": "e", "zoneInsight": {"subscriptions": [{"config": "{"}]}});
        assert!(row(&overview, "2026-11-23T12:00:00Z".parse().unwrap()).is_err());
    }

    #[test]
    fn wide_names_the_key_of_the_last_connection_and_the_end_of_its_token() {
        let check = |auth: Value, expected: [&str; 3]| {
            let subscriptions = json!([{"auth": {"family": "old"}}, {"auth": auth}]);
            assert_eq!(token(&json!({"zoneInsight": {"subscriptions": subscriptions}})), expected);
        };
        let page = json!({"family": "control-plane-signing-key", "key": "2", "renews": "no"});
        check(page, ["control-plane-signing-key-0002", "never", "no"]);
        let zone = json!({"family": "zone-token-signing-key", "key": "1", "renews": "no (file)",
            "expiresAt": "2026-12-24T18:00:00.5Z"});
        check(zone, ["zone-token-signing-key-1", "2026-12-24 18:00:00", "no (file)"]);
        let newer = json!({"family": "of-tomorrow", "key": "k", "renews": "yes"});
        check(newer, ["of-tomorrow k", "never", "yes"]);
        check(Value::Null, ["-", "-", "-"]);
    }
}
