//! `kumactl export`: all resources as documents, in the order in which they can be applied elsewhere.

use model::Kind;
use serde_json::{Map, Value, json};

use crate::{
    cli::flags::Flags,
    client::{self, Ask, Method},
    commands::{get::text, pages},
    failure::Failure,
    output,
    session::Session,
};

/// Secrets that each control plane makes for itself.
const NEVER_EXPORTED: [&str; 2] = ["envoy-admin-ca", "inter-cp-ca"];
/// Applied last: with it, tokens of the old control plane lose their meaning, the caller's own among them.
const LAST: &str = "user-token-signing-key";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Federation,
    FederationWithPolicies,
    All,
    NoDataplanes,
}

/// Prints all resources of the profile.
pub(super) fn run(session: &Session<'_>, flags: &Flags) -> Result<(), Failure> {
    session.check_version();
    if let Ok(index) = session.index() {
        session.printer().line(&format!(
            "# Product: {}, Version: {}, Hostname: {}, ClusterId: {}, InstanceId: {}",
            text(&index, "/product"),
            text(&index, "/version"),
            text(&index, "/hostname"),
            text(&index, "/clusterId"),
            text(&index, "/instanceId")
        ))?;
    }
    let profile = match flags.text("profile") {
        "federation" => Profile::Federation,
        "federation-with-policies" => Profile::FederationWithPolicies,
        "all" => Profile::All,
        "no-dataplanes" => Profile::NoDataplanes,
        other => return Err(Failure::Refused(format!("invalid profile: {other:?}"))),
    };
    match flags.text("format") {
        "universal" => {}
        "kubernetes" => {
            return Err(Failure::refused("this kumactl exports in the format universal only"));
        }
        other => return Err(Failure::Refused(format!("invalid format: {other:?}"))),
    }
    let types = types(session, profile, flags.is_on("include-admin"))?;
    let mut last = Vec::new();
    let mut meshes = Vec::new();
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
                let document = document(item, profile);
                if is_secret && name.starts_with(LAST) {
                    last.push(document);
                } else {
                    session.printer().data(&document)?;
                }
            }
        }
    }
    last.iter().try_for_each(|document| session.printer().data(document))
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

/// In a federation the other side says where a resource is from.
fn without_origin(members: &mut Map<String, Value>) {
    if let Some(labels) = members.get_mut("labels").and_then(Value::as_object_mut) {
        labels.shift_remove(model::labels::ORIGIN);
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
}
