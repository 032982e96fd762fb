//! What is counted: over all meshes, and in one (contract: rest 1.4).
//!
//! Nothing of this is stored: it is counted from the store when it is asked for. Who may not read a kind is not told
//! how many there are of it.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use model::{Key, Kind, Resource, Scope, document, insight::is_online, proto};
use serde_json::{Map, Value, json};
use store::Query;

use super::{Call, items, lists};
use crate::rest::{answer, error::ApiError, routes::Matched};

const TITLE: &str = "Could not retrieve GlobalInsight";

/// `GET /global-insights`
pub(super) async fn global_insights(call: &Call<'_>) -> Result<Response, ApiError> {
    let mut resources = Map::new();
    let mut kinds: Vec<Kind> = Kind::all()
        .filter(|kind| kind.scope == Scope::Global && kind.in_rest && !kind.name.ends_with("Insight"))
        .filter(|kind| call.permit.read(*kind).is_ok())
        .collect();
    kinds.sort();
    for kind in kinds {
        resources.insert(kind.name.to_owned(), json!({"total": total(call, kind, None).await?}));
    }
    let now = document::time(call.handles.clock.now());
    let insights = json!({"type": "GlobalInsights", "creationTime": now, "resources": resources});
    Ok(answer::json(StatusCode::OK, &insights))
}

/// `GET /global-insight`
pub(super) async fn global_insight(call: &Call<'_>) -> Result<Response, ApiError> {
    let resources = counted(call, None).await?;
    let policies: usize = resources.iter().filter(|(kind, _)| kind.policy.is_some()).map(|(_, total)| *total).sum();
    let proxies = Proxies::count(call, None).await?;
    let zones = call.list(&Query::all(Kind::ZONE_INSIGHT), TITLE).await?;
    let online = zones.items.iter().filter(|stored| is_online(Kind::ZONE_INSIGHT, &stored.resource.spec)).count();
    let federated = call.handles.writes.rules().side.zone().is_some();
    // A zone tells of itself only.
    let (meshes, all_zones) =
        if federated { (0, 0) } else { (total(call, Kind::MESH, None).await?, total(call, Kind::ZONE, None).await?) };
    let none = || json!({"online": 0, "total": 0});
    let no_services = || json!({"offline": 0, "online": 0, "partiallyDegraded": 0, "total": 0});
    let insight = json!({
        "createdAt": document::time(call.handles.clock.now()),
        "dataplanes": {"gatewayDelegated": proxies.gateways.to_json(), "standard": proxies.standard.to_json()},
        "meshes": {"total": meshes},
        "policies": {"total": policies},
        "resources": totals(&resources),
        "services": {"external": {"total": 0}, "gatewayDelegated": no_services(), "internal": no_services()},
        "zones": {
            "controlPlanes": {"online": online, "total": all_zones},
            "zoneEgresses": none(),
            "zoneIngresses": none(),
        },
    });
    Ok(answer::json(StatusCode::OK, &insight))
}

/// `GET /mesh-insights`
pub(super) async fn mesh_insights(call: &Call<'_>, matched: &Matched<'_>) -> Result<Response, ApiError> {
    call.parameters.size()?;
    call.parameters.label_filters(&matched.route.template)?;
    let meshes = call.list(&Query::all(Kind::MESH), items::TITLE).await?;
    let mut insights = Vec::new();
    for mesh in &meshes.items {
        insights.push(of_mesh(call, &mesh.resource).await?);
    }
    let (total, items, next) = lists::cut(call, insights)?;
    Ok(answer::list(total, &items, next))
}

/// `GET /mesh-insights/{name}`
pub(super) async fn mesh_insight(call: &Call<'_>, name: &str) -> Result<Response, ApiError> {
    items::format(call)?;
    let mesh = call.get(&Key::global(Kind::MESH, name), items::TITLE).await?;
    let mesh = mesh.ok_or(ApiError::NotFound { title: items::TITLE })?;
    Ok(answer::resource(&of_mesh(call, &mesh.resource).await?))
}

async fn of_mesh(call: &Call<'_>, mesh: &Resource) -> Result<Value, ApiError> {
    let name = &mesh.key.name;
    let resources = counted(call, Some(name)).await?;
    let proxies = Proxies::count(call, Some(name)).await?;
    let mut versions = Map::new();
    for (program, counts) in [("kumaDp", &proxies.kuma_dp), ("envoy", &proxies.envoy)] {
        if !counts.is_empty() {
            let counts = counts.iter().map(|(version, count)| (version.clone(), count.without_zeros()));
            versions.insert(program.to_owned(), Value::Object(counts.collect()));
        }
    }
    let mut all = proxies.standard;
    all.add(proxies.gateways);
    Ok(json!({
        "type": Kind::MESH_INSIGHT.name,
        "name": name,
        "creationTime": document::time(mesh.created),
        "modificationTime": document::time(call.handles.clock.now()),
        "dataplanes": all.without_zeros(),
        "dpVersions": versions,
        "mTLS": {},
        "dataplanesByType": {
            "standard": proxies.standard.without_zeros(),
            "gateway": proxies.gateways.without_zeros(),
            "gatewayDelegated": proxies.gateways.without_zeros(),
        },
        "resources": totals(&resources),
    }))
}

/// How many there are of each kind that lives in meshes and of host name generators, if any and if told.
async fn counted(call: &Call<'_>, mesh: Option<&str>) -> Result<BTreeMap<Kind, usize>, ApiError> {
    let mut counted = BTreeMap::new();
    let wanted = |kind: &Kind| {
        (kind.scope == Scope::Mesh || (mesh.is_none() && *kind == Kind::HOSTNAME_GENERATOR))
            && kind.in_rest
            && !kind.name.ends_with("Insight")
            && call.permit.read(*kind).is_ok()
    };
    for kind in Kind::all().filter(wanted) {
        let total = total(call, kind, mesh).await?;
        if total > 0 {
            counted.insert(kind, total);
        }
    }
    Ok(counted)
}

fn totals(counted: &BTreeMap<Kind, usize>) -> Value {
    Value::Object(counted.iter().map(|(kind, total)| (kind.name.to_owned(), json!({"total": total}))).collect())
}

async fn total(call: &Call<'_>, kind: Kind, mesh: Option<&str>) -> Result<usize, ApiError> {
    let query = Query { mesh: mesh.map(str::to_owned), limit: Some(0), ..Query::all(kind) };
    Ok(call.list(&query, TITLE).await?.total)
}

/// How many proxies are in which state.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    online: usize,
    offline: usize,
    partially_degraded: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.online += other.online;
        self.offline += other.offline;
        self.partially_degraded += other.partially_degraded;
    }

    fn total(self) -> usize {
        self.online + self.offline + self.partially_degraded
    }

    fn to_json(self) -> Value {
        json!({
            "offline": self.offline,
            "online": self.online,
            "partiallyDegraded": self.partially_degraded,
            "total": self.total(),
        })
    }

    fn without_zeros(self) -> Value {
        let all = [
            ("total", self.total()),
            ("online", self.online),
            ("offline", self.offline),
            ("partiallyDegraded", self.partially_degraded),
        ];
        let some = all.into_iter().filter(|(_, count)| *count > 0);
        Value::Object(some.map(|(name, count)| (name.to_owned(), json!(count))).collect())
    }
}

/// The proxies of one mesh, or of all.
#[derive(Debug, Default)]
struct Proxies {
    standard: Count,
    gateways: Count,
    kuma_dp: BTreeMap<String, Count>,
    envoy: BTreeMap<String, Count>,
}

impl Proxies {
    async fn count(call: &Call<'_>, mesh: Option<&str>) -> Result<Self, ApiError> {
        let list = |kind| {
            let query = Query { mesh: mesh.map(str::to_owned), ..Query::all(kind) };
            async move { call.list(&query, TITLE).await }
        };
        let proxies = list(Kind::DATAPLANE).await?;
        let insights = list(Kind::DATAPLANE_INSIGHT).await?;
        let insights: BTreeMap<(&str, &str), &Resource> = insights
            .items
            .iter()
            .map(|stored| ((stored.resource.key.mesh.as_str(), stored.resource.key.name.as_str()), &*stored.resource))
            .collect();
        let mut counted = Self::default();
        for proxy in &proxies.items {
            let key = &proxy.resource.key;
            let insight = insights.get(&(key.mesh.as_str(), key.name.as_str())).copied();
            counted.add(&proxy.resource, insight);
        }
        Ok(counted)
    }

    fn add(&mut self, proxy: &Resource, insight: Option<&Resource>) {
        let spec = proto::spec_to_json(Kind::DATAPLANE, &proxy.spec).unwrap_or_default();
        let networking = spec.get("networking");
        let gateway =
            networking.and_then(|networking| networking.get("gateway")).is_some_and(|gateway| !gateway.is_null());
        let connected = insight.is_some_and(|insight| is_online(Kind::DATAPLANE_INSIGHT, &insight.spec));
        let inbounds = networking.and_then(|networking| networking.get("inbound")).and_then(Value::as_array);
        let (all, ready) = inbounds
            .map_or((0, 0), |inbounds| (inbounds.len(), inbounds.iter().filter(|inbound| is_ready(inbound)).count()));
        let count = match (connected, all, ready) {
            (false, _, _) => Count { offline: 1, ..Count::default() },
            (true, 1.., 0) => Count { offline: 1, ..Count::default() },
            (true, all, ready) if ready < all => Count { partially_degraded: 1, ..Count::default() },
            (true, _, _) => Count { online: 1, ..Count::default() },
        };
        if gateway {
            self.gateways.add(count)
        } else {
            self.standard.add(count)
        }
        let insight = insight.and_then(|insight| proto::spec_to_json(Kind::DATAPLANE_INSIGHT, &insight.spec).ok());
        let last = insight.as_ref().and_then(|insight| insight.get("subscriptions")?.as_array()?.last());
        let version = |program: &str| {
            let version = last.and_then(|last| last.get("version")?.get(program)?.get("version")?.as_str());
            version.unwrap_or("unknown").to_owned()
        };
        self.kuma_dp.entry(version("kumaDp")).or_default().add(count);
        self.envoy.entry(version("envoy")).or_default().add(count);
    }
}

fn is_ready(inbound: &Value) -> bool {
    let state = inbound.get("state").and_then(Value::as_str).unwrap_or("Ready");
    let healthy = inbound.get("health").is_none_or(|health| health.get("ready").and_then(Value::as_bool) == Some(true));
    state == "Ready" && healthy
}
