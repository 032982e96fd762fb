//! What this control plane is, and what it knows (contract: rest 1.4).

use axum::response::Response;
use http::StatusCode;
use model::{Key, Kind, Scope, Writable, proto, reserved::CLUSTER_ID};
use serde_json::{Map, Value, json};

use super::Call;
use crate::{
    about,
    rest::{Settings, answer, error::ApiError},
    writes::Side,
};

/// `GET /`: for everyone, without a look at who they are.
pub(crate) async fn index(call: &Call<'_>) -> Result<Response, ApiError> {
    let settings = &call.handles.settings;
    let mut index = who_we_are(settings, &cluster_id(call).await?);
    // A zone that global refuses, or that cannot reach it, says so where people look first.
    let troubles = call.handles.readiness.troubles();
    if let (false, Some(members)) = (troubles.is_empty(), index.as_object_mut()) {
        members.insert("troubles".to_owned(), json!(troubles));
    }
    Ok(answer::json(StatusCode::OK, &index))
}

/// The kumactl of Kuma and of Kong refuse a control plane of any other product, so that product and version are those
/// of the API that is spoken; what answers stands beside them.
fn who_we_are(settings: &Settings, cluster_id: &str) -> Value {
    json!({
        "basedOnKuma": about::BASED_ON_KUMA,
        "clusterId": cluster_id,
        "gui": "",
        "hostname": settings.hostname,
        "implementation": about::PRODUCT,
        "implementationVersion": about::VERSION,
        "instanceId": settings.instance_id,
        "product": settings.product,
        "version": about::BASED_ON_KUMA,
    })
}

/// The id of all control planes that belong together; empty until it is known.
async fn cluster_id(call: &Call<'_>) -> Result<String, ApiError> {
    let key = Key::global(Kind::CONFIG, CLUSTER_ID);
    let stored = call.get(&key, "Could not retrieve the cluster id").await?;
    let fields = stored.and_then(|stored| proto::spec_to_json(Kind::CONFIG, &stored.resource.spec).ok());
    let id = fields.as_ref().and_then(|fields| fields.get("config")).and_then(Value::as_str);
    Ok(id.unwrap_or_default().to_owned())
}

/// `GET /config`
pub(super) fn config(call: &Call<'_>) -> Result<Response, ApiError> {
    call.permit.metadata()?;
    let text = call.handles.settings.config_json.to_string();
    Ok(answer::with_type(StatusCode::OK, "application/json", text))
}

/// `GET /who-am-i`
pub(super) fn who_am_i(call: &Call<'_>) -> Response {
    let caller = call.permit.caller();
    answer::json(StatusCode::OK, &json!({"name": caller.name(), "groups": caller.groups()}))
}

/// `GET /policies`
pub(super) fn policies(call: &Call<'_>) -> Response {
    let writes = &call.handles.writes;
    let mut rows: Vec<(Kind, Value)> = Vec::new();
    for kind in Kind::all().filter(|kind| kind.in_rest) {
        let Some(policy) = kind.policy else { continue };
        let row = json!({
            "name": kind.name,
            "readOnly": writes.read_only(kind).is_some(),
            "path": kind.path,
            "singularDisplayName": kind.display,
            "pluralDisplayName": kind.display_plural,
            "isExperimental": false,
            "isTargetRefBased": policy.target_ref,
            "isInbound": policy.rules,
            "isOutbound": policy.to,
        });
        rows.push((kind, row));
    }
    rows.sort_by_key(|(kind, _)| *kind);
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    answer::json(StatusCode::OK, &json!({"policies": rows}))
}

/// `GET /_resources`
pub(super) fn resource_types(call: &Call<'_>) -> Response {
    let rules = call.handles.writes.rules();
    let all_read_only = rules.read_only || matches!(rules.side, Side::FederatedZone(_));
    let mut kinds: Vec<Kind> = Kind::all().filter(|kind| kind.in_rest).collect();
    kinds.sort();
    let row = |kind: Kind| {
        let computed = kind.writable == Writable::Never;
        let mut row = Map::new();
        let mut set = |name: &str, value: Value| drop(row.insert(name.to_owned(), value));
        set("includeInFederation", json!(kind.flow.from_global() && !computed));
        set("name", json!(kind.name));
        set("path", json!(kind.path));
        set("pluralDisplayName", json!(kind.display_plural));
        if let Some(policy) = kind.policy {
            // `from` is gone in 3.0, whose shape this is.
            let flags = json!({
                "hasFromTargetRef": false,
                "hasRulesTargetRef": policy.rules,
                "hasToTargetRef": policy.to,
                "isFromAsRules": false,
                "isTargetRef": policy.target_ref,
            });
            set("policy", flags);
        }
        // Not the rule of 1.8: clients take it as "comes from elsewhere".
        set("readOnly", json!(all_read_only || computed));
        let scope = match kind.scope {
            Scope::Global => "Global",
            Scope::Mesh => "Mesh",
        };
        set("scope", json!(scope));
        set("shortName", json!(kind.short));
        set("singularDisplayName", json!(kind.display));
        Value::Object(row)
    };
    let rows: Vec<Value> = kinds.into_iter().map(row).collect();
    answer::json(StatusCode::OK, &json!({"resources": rows}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(product: &str) -> Value {
        let settings = Settings {
            product: product.to_owned(),
            base_path: "/".to_owned(),
            cors_allowed_domains: Vec::new(),
            localhost_is_admin: true,
            read_timeout: std::time::Duration::from_secs(10),
            zones: None,
            elsewhere: None,
            config_json: "{}".into(),
            hostname: "h".to_owned(),
            instance_id: "h-1".to_owned(),
        };
        who_we_are(&settings, "c")
    }

    #[test]
    fn the_kumactl_of_others_finds_its_product_and_ours_finds_us() {
        for product in ["Kuma", "Kong Mesh"] {
            let index = shown(product);
            assert_eq!(index["product"], product);
            assert_eq!((&index["version"], &index["basedOnKuma"]), (&json!("3.0.0"), &json!("3.0.0")));
            assert_eq!(index["implementation"], "Arctos");
            assert_eq!(index["implementationVersion"], about::VERSION);
        }
    }
}
