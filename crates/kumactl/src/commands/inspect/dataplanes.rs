//! `kumactl inspect dataplanes`.

use jiff::Timestamp;
use model::insight;
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    cli::verbs::Dataplanes,
    client,
    csv::Pairs,
    failure::Failure,
    output::{self, Form, age, table::Table},
    session::Session,
    views::{
        self,
        cells::{count, tags, text},
        pages,
        subscriptions::{subscriptions, sum},
    },
};

const HEAD: [&str; 17] = [
    "MESH",
    "NAME",
    "TAGS",
    "STATUS",
    "LAST CONNECTED AGO",
    "LAST UPDATED AGO",
    "TOTAL UPDATES",
    "TOTAL ERRORS",
    "CERT REGENERATED AGO",
    "CERT EXPIRATION",
    "CERT REGENERATIONS",
    "CERT BACKEND",
    "SUPPORTED CERT BACKENDS",
    "KUMA-DP VERSION",
    "ENVOY VERSION",
    "DEPENDENCIES VERSIONS",
    "NOTES",
];

/// Shows the proxies of a mesh.
pub(super) fn run(session: &Session<'_>, form: &str, flags: &Dataplanes) -> Result<(), Failure> {
    let form = Form::of(form)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (switch, is_on) in [("gateway", flags.gateway), ("ingress", flags.ingress)] {
        if is_on {
            query.append_pair(switch, "true");
        }
    }
    for (tag, value) in Pairs::joined(&flags.tag) {
        query.append_pair("tag", &format!("{tag}:{value}"));
    }
    let query = query.finish();
    let joint = if query.is_empty() { "" } else { "?" };
    let route = format!("/meshes/{}/dataplanes/_overview{joint}{query}", client::segment(&flags.mesh));
    let proxies = pages::all(session, &route, views::ask).map_err(|trouble| trouble.alone())?;
    session.printer().data(&match form {
        Form::Yaml => model::yaml::to_string(&proxies.value()),
        Form::Json => output::json(&proxies.value()),
        Form::Table => {
            let mut table = Table::new(&HEAD);
            for proxy in &proxies.items {
                table.add(row(proxy, session.now()));
            }
            table.text()
        }
    })
}

fn row(overview: &Value, now: Timestamp) -> Vec<String> {
    let dataplane = overview.get("dataplane").unwrap_or(&Value::Null);
    let subscriptions = subscriptions(overview, "/dataplaneInsight/subscriptions");
    let last = subscriptions.last().unwrap_or(&Value::Null);
    let mtls = overview.pointer("/dataplaneInsight/mTLS").unwrap_or(&Value::Null);
    let texts = |value: Option<&Value>| {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let backend = text(mtls, "/issuedBackend");
    vec![
        text(overview, "/mesh"),
        text(overview, "/name"),
        tags(overview, dataplane),
        status(dataplane, subscriptions).to_owned(),
        age::since(now, age::time(last.get("connectTime"))),
        age::since(now, age::time(last.pointer("/status/lastUpdateTime"))),
        sum(subscriptions, "/status/total/responsesSent").to_string(),
        sum(subscriptions, "/status/total/responsesRejected").to_string(),
        age::since(now, age::time(mtls.get("lastCertificateRegeneration"))),
        age::date(age::time(mtls.get("certificateExpirationTime"))),
        mtls.get("certificateRegenerations").and_then(count).unwrap_or_default().to_string(),
        if backend.is_empty() { "-".to_owned() } else { backend },
        texts(mtls.get("supportedBackends")),
        text(last, "/version/kumaDp/version"),
        text(last, "/version/envoy/version"),
        dependencies(last.pointer("/version/dependencies")),
        String::new(),
    ]
}

/// A proxy with an inbound that is not ready is degraded, with none that is, offline.
fn status(dataplane: &Value, subscriptions: &[Value]) -> &'static str {
    if !insight::online(subscriptions) {
        return "Offline";
    }
    let inbounds = dataplane.pointer("/networking/inbound").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_ready = |inbound: &&Value| {
        let state = inbound.get("state").and_then(Value::as_str).unwrap_or("Ready");
        state == "Ready" && inbound.pointer("/health/ready").and_then(Value::as_bool) != Some(false)
    };
    let ready = inbounds.iter().filter(is_ready).count();
    match (ready, inbounds.len()) {
        (ready, all) if ready == all => "Online",
        (0, _) => "Offline",
        _ => "Partially degraded",
    }
}

fn dependencies(versions: Option<&Value>) -> String {
    let versions: Vec<String> = versions
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, version)| Some(format!("{name}: {}", version.as_str()?)))
        .collect();
    if versions.is_empty() { "-".to_owned() } else { versions.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn proxy_that_never_connected_has_dashes() {
        let overview = json!({"mesh": "m", "name": "d", "labels": {"a": "1"}, "dataplane": {}});
        let expected = "m|d|a=1|Offline|never|never|0|0|never|-|0|-||||-|";
        assert_eq!(row(&overview, "2026-11-23T12:00:00Z".parse().unwrap()).join("|"), expected);
    }

    #[test]
    fn status_follows_the_inbounds() {
        let open = [json!({"connectTime": "2026-11-23T12:00:00Z"})];
        let check = |inbounds: Value, expected| {
            assert_eq!(status(&json!({"networking": {"inbound": inbounds}}), &open), expected);
        };
        check(json!([{"port": 1}]), "Online");
        check(json!([]), "Online");
        check(json!([{"port": 1}, {"state": "NotReady"}]), "Partially degraded");
        check(json!([{"health": {"ready": false}}]), "Offline");
        assert_eq!(status(&Value::Null, &[]), "Offline");
    }
}
