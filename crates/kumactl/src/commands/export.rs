//! `kumactl export`: all resources as documents, in the order in which they can be applied elsewhere.

use model::{Kind, Writable, reserved};
use serde_json::{Map, Value, json};

use crate::{
    cli::verbs::Export,
    client::{self, Ask, Method},
    failure::Failure,
    output::{self, visible},
    session::{Session, product_of},
    views::{cells::text, pages},
};

/// Secrets that each control plane makes for itself.
const NEVER_EXPORTED: [&str; 3] = ["envoy-admin-ca", "inter-cp-ca", reserved::TLS_AUTHORITY];
/// Applied last: with it, tokens of the old control plane lose their meaning, the caller's own among them.
const LAST: &str = "user-token-signing-key";

/// Says why a secret is shown without its data.
const HIDDEN: &str = "dataHidden";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Federation,
    FederationWithPolicies,
    All,
    NoDataplanes,
}

/// Prints all resources of the profile.
pub(super) fn run(session: &Session<'_>, flags: &Export) -> Result<(), Failure> {
    if let Some(index) = session.check_version() {
        let (product, version) = product_of(&index);
        // A comment ends with its line.
        let told = |pointer: &str| visible::line(&text(&index, pointer));
        session.printer().line(&format!(
            "# Product: {}, Version: {}, Hostname: {}, ClusterId: {}, InstanceId: {}",
            visible::line(&product),
            visible::line(&version),
            told("/hostname"),
            told("/clusterId"),
            told("/instanceId")
        ))?;
    }
    let profile = match flags.profile.as_str() {
        "federation" => Profile::Federation,
        "federation-with-policies" => Profile::FederationWithPolicies,
        "all" => Profile::All,
        "no-dataplanes" => Profile::NoDataplanes,
        other => return Err(Failure::Refused(format!("invalid profile: {other:?}"))),
    };
    match flags.format.as_str() {
        "universal" => {}
        "kubernetes" => {
            return Err(Failure::refused("this kumactl exports in the format universal only"));
        }
        other => return Err(Failure::Refused(format!("invalid format: {other:?}"))),
    }
    let types = types(session, profile, flags.include_admin)?;
    let mut last = Vec::new();
    let mut meshes = Vec::new();
    let mut zones = ZoneResources::default();
    let mut hidden = 0;
    for kind in types {
        for route in kind.routes(&meshes) {
            let page = pages::all(session, &route, |route| Ask::resource(Method::Get, route))
                .map_err(|trouble| trouble.within(&format!("failed to list {}", kind.name)))?;
            for item in page.items {
                let name = text(&item, "/name");
                if kind.name == "Mesh" {
                    meshes.push(name.clone());
                }
                let is_secret = ["Secret", "GlobalSecret"].contains(&kind.name.as_str());
                if is_secret && NEVER_EXPORTED.iter().any(|never| name.starts_with(never)) {
                    continue;
                }
                if zones.are_left_out(session, &item)? {
                    continue;
                }
                hidden += usize::from(item.get(HIDDEN).is_some());
                let document = document(item, profile);
                if is_secret && name.starts_with(LAST) {
                    last.push(document);
                } else {
                    session.printer().data(&document)?;
                }
            }
        }
    }
    last.iter().try_for_each(|document| session.printer().data(document))?;
    if zones.left_out > 0 {
        session.printer().note(&format!(
            "{} resources that zones made are left out: each zone brings its own to the global it connects to",
            zones.left_out
        ));
    }
    if hidden > 0 {
        session.printer().note(&format!(
            "{hidden} secrets are exported without data, because the control plane does not show you signing keys, and \
             `kumactl apply` refuses them: export on the machine of the control plane, or be named in \
             access.static.viewSigningKeys; `kuma-cp store backup` keeps keys too"
        ));
    }
    Ok(())
}

/// On a global, what zones made: applied elsewhere it would become everybody's. On a zone it is what there is to export.
#[derive(Debug, Default)]
struct ZoneResources {
    is_global: Option<bool>,
    left_out: usize,
}

impl ZoneResources {
    fn are_left_out(&mut self, session: &Session<'_>, resource: &Value) -> Result<bool, Failure> {
        if !is_from_a_zone(resource) {
            return Ok(false);
        }
        let is_global = match self.is_global {
            Some(is_global) => is_global,
            None => *self.is_global.insert(is_global(session)?),
        };
        self.left_out += usize::from(is_global);
        Ok(is_global)
    }
}

fn is_from_a_zone(resource: &Value) -> bool {
    let labels = resource.get("labels");
    let origin = labels.and_then(|labels| labels.get(model::labels::ORIGIN)).and_then(Value::as_str);
    origin == Some(model::labels::ORIGIN_ZONE)
}

fn is_global(session: &Session<'_>) -> Result<bool, Failure> {
    let config = session.read(Ask::resource(Method::Get, "/config")).map_err(|trouble| {
        trouble.within("could not learn from the configuration whether this is a global control plane, and so whether to export what zones made")
    })?;
    match text(&config, "/mode").as_str() {
        "global" => Ok(true),
        "zone" => Ok(false),
        other => Err(Failure::Refused(format!(
            "could not learn whether this is a global control plane: its mode is {other:?}"
        ))),
    }
}

/// A type that the control plane serves.
#[derive(Debug)]
struct Served {
    name: String,
    path: String,
    is_in_mesh: bool,
}

impl Served {
    fn routes(&self, meshes: &[String]) -> Vec<String> {
        if self.is_in_mesh {
            meshes.iter().map(|mesh| format!("/meshes/{}/{}", client::segment(mesh), self.path)).collect()
        } else {
            vec![format!("/{}", self.path)]
        }
    }
}

/// Asks for the types and picks those of the profile: meshes first, secrets next, global secrets at the end.
fn types(session: &Session<'_>, profile: Profile, include_admin: bool) -> Result<Vec<Served>, Failure> {
    let answer = session.ask(Ask::resource(Method::Get, "/_resources")).map_err(|trouble| trouble.alone())?;
    if answer.status != 200 {
        return Err(Failure::Refused(format!("unexpected status code: {} {}", answer.status, answer.body)));
    }
    let answer = answer.json().map_err(|error| error.alone())?;
    let mut types: Vec<Served> = answer
        .get("resources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|row| is_wanted(row, profile, include_admin))
        .map(|row| Served {
            name: text(row, "/name"),
            path: text(row, "/path"),
            is_in_mesh: text(row, "/scope") == "Mesh",
        })
        .collect();
    types.sort_by_key(|served| match served.name.as_str() {
        "Mesh" => 0,
        "Secret" => 1,
        "GlobalSecret" => 3,
        _ => 2,
    });
    Ok(types)
}

fn is_wanted(row: &Value, profile: Profile, include_admin: bool) -> bool {
    let name = text(row, "/name");
    if Kind::by_name(&name).is_some_and(|kind| kind.writable == Writable::Never) {
        // Computed by each control plane: nobody could apply it.
        return false;
    }
    let is_admin_only = Kind::by_name(&name).is_some_and(|kind| kind.admin_only);
    let is_federated = row.get("includeInFederation").and_then(Value::as_bool).unwrap_or_default();
    let is_policy = row.pointer("/policy/isTargetRef").and_then(Value::as_bool).unwrap_or_default();
    match profile {
        Profile::Federation => is_federated && !is_policy,
        Profile::FederationWithPolicies => is_federated,
        Profile::All => include_admin || !is_admin_only,
        Profile::NoDataplanes => {
            (include_admin || !is_admin_only) && !["Dataplane", "DataplaneInsight"].contains(&name.as_str())
        }
    }
}

fn document(mut resource: Value, profile: Profile) -> String {
    let type_name = text(&resource, "/type");
    if let Some(members) = resource.as_object_mut() {
        if type_name == "Mesh" {
            members.insert("skipCreatingInitialPolicies".to_owned(), json!(["*"]));
        }
        if matches!(profile, Profile::Federation | Profile::FederationWithPolicies) {
            without_origin(members);
        }
    }
    let is_inlined = resource.get("spec").is_none();
    format!("---\n{}", output::yaml_of_resource(&resource, is_inlined))
}

/// In a federation the other side says where a resource is from: a label that it did not set itself would stand in the
/// way of every update.
fn without_origin(members: &mut Map<String, Value>) {
    if let Some(labels) = members.get_mut("labels").and_then(Value::as_object_mut) {
        for label in [model::labels::ORIGIN, model::labels::ZONE, model::labels::ENV] {
            labels.shift_remove(label);
        }
        if labels.is_empty() {
            members.shift_remove("labels");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_pick_their_types() {
        let secret = json!({"name": "GlobalSecret", "includeInFederation": true});
        let policy = json!({"name": "MeshTimeout", "includeInFederation": true, "policy": {"isTargetRef": true}});
        let proxy = json!({"name": "Dataplane", "includeInFederation": false});
        let check =
            |row: &Value, profile, admin, expected| assert_eq!(is_wanted(row, profile, admin), expected, "{row}");
        check(&secret, Profile::Federation, false, true);
        check(&secret, Profile::All, false, false);
        check(&secret, Profile::All, true, true);
        check(&policy, Profile::Federation, false, false);
        check(&policy, Profile::FederationWithPolicies, false, true);
        check(&proxy, Profile::FederationWithPolicies, false, false);
        check(&proxy, Profile::All, false, true);
        check(&proxy, Profile::NoDataplanes, true, false);
        check(&json!({"name": "MeshInsight"}), Profile::All, true, false);
    }

    #[test]
    fn exported_mesh_makes_no_policies_of_its_own() {
        let mesh = json!({"type": "Mesh", "name": "m", "labels": {"kuma.io/origin": "global"}});
        assert_eq!(
            document(mesh.clone(), Profile::Federation),
            "---\nname: m\ntype: Mesh\nskipCreatingInitialPolicies:\n- '*'\n"
        );
        assert!(document(mesh, Profile::All).contains("kuma.io/origin: global"));
    }

    #[test]
    fn federation_leaves_to_the_other_side_what_it_says_itself() {
        let labels = json!({"kuma.io/origin": "zone", "kuma.io/zone": "solo", "kuma.io/env": "universal", "a": "b"});
        let policy = json!({"type": "MeshTimeout", "mesh": "m", "name": "t", "labels": labels, "spec": {}});
        for profile in [Profile::Federation, Profile::FederationWithPolicies] {
            let text = document(policy.clone(), profile);
            assert!(text.contains("a: b") && !text.contains("kuma.io/"), "{text}");
        }
        assert!(document(policy, Profile::All).contains("kuma.io/zone: solo"));
    }
}
