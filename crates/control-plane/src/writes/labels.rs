//! What labels must say, and which of them the control plane writes itself (contract: rest 1.10, 1.11).

use model::{
    Kind, Labels, Scope, SpecForm,
    document::{RestBody, Violation},
    labels, proto, validate,
};

use super::{Rules, Side};

/// Checks name, type, mesh and labels of a document against its route; all faults at once, in the peer's order.
pub(super) fn check_meta(rules: &Rules, kind: Kind, mesh: &str, name: &str, body: &RestBody) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |field: &str, reason: &str| found.push(Violation::new(field, reason));
    if body.name != name {
        add("name", "name from the URL has to be the same as in body");
    }
    if let Side::FederatedZone(zone) = &rules.side
        && zone.len() + 1 + body.name.len() >= 253
    {
        // The global control plane may put the zone in front of the name.
        add("name", "the length of the name must be shorter");
    }
    if body.type_name != kind.name {
        add("type", "type from the URL has to be the same as in body");
    }
    if kind.scope == Scope::Mesh && body.mesh != mesh {
        add("mesh", "mesh from the URL has to be the same as in body");
    }
    check_labels(rules, kind, &body.mesh, &body.labels, &mut found);
    found.extend(validate::meta(kind, &body.name, &body.mesh));
    found
}

const OTHER_MESH: &str = "kuma.io/mesh label must not differ from mesh set on resource";

fn field(key: &str) -> String {
    format!("labels[\"{key}\"]")
}

fn check_labels(rules: &Rules, kind: Kind, mesh: &str, given: &Labels, found: &mut Vec<Violation>) {
    check_origin(rules, kind, given.get(labels::ORIGIN).map(String::as_str), found);
    let mut add = |key: &str, reason: String| found.push(Violation::new(field(key), reason));
    if rules.side == Side::Global {
        // What is made here was made in no zone and in no environment. With such a label it could not be found by its
        // identifier, and zones would take it for another's.
        for key in [labels::ZONE, labels::ENV].into_iter().filter(|key| given.contains_key(*key)) {
            add(key, format!("{key} label is not yours to set on a global control plane: remove it"));
        }
        if kind.scope == Scope::Mesh && given.get(labels::MESH).is_some_and(|given| given != mesh) {
            add(labels::MESH, OTHER_MESH.to_owned());
        }
    }
    let from_global = given.get(labels::ORIGIN).is_some_and(|origin| origin == labels::ORIGIN_GLOBAL);
    if let Some(zone) = rules.side.zone()
        && !from_global
    {
        if given.get(labels::ZONE).is_some_and(|given| given != zone) {
            add(labels::ZONE, format!("kuma.io/zone label should have {zone} value"));
        }
        if kind.scope == Scope::Mesh && given.get(labels::MESH).is_some_and(|given| given != mesh) {
            add(labels::MESH, OTHER_MESH.to_owned());
        }
    }
    if kind.policy.is_some_and(|policy| policy.target_ref)
        && let Some(role) = given.get(labels::POLICY_ROLE).filter(|role| *role != "system")
    {
        add(labels::POLICY_ROLE, format!("kuma.io/policy-role label should have system value, got {role}"));
    }
    for (key, value) in given {
        for reason in validate::label_key(key).into_iter().chain(validate::label_value(value)) {
            add(key, reason);
        }
    }
}

fn check_origin(rules: &Rules, kind: Kind, origin: Option<&str>, found: &mut Vec<Violation>) {
    let mut add = |reason: String| found.push(Violation::new(field(labels::ORIGIN), reason));
    if let Some(unknown) = origin.filter(|origin| !matches!(*origin, labels::ORIGIN_GLOBAL | labels::ORIGIN_ZONE)) {
        add(format!("unknown resource origin {unknown:?}"));
    }
    match &rules.side {
        Side::Global if origin.is_some_and(|origin| origin != labels::ORIGIN_GLOBAL) => {
            add("the origin label must be set to 'global'".to_owned());
        }
        // Without the label a policy made here could not be told from one that came from global.
        Side::FederatedZone(_)
            if kind.spec == SpecForm::Json && !rules.origin_label_is_free && origin != Some(labels::ORIGIN_ZONE) =>
        {
            add("the origin label must be set to 'zone'".to_owned());
        }
        Side::Global | Side::FederatedZone(_) | Side::LoneZone(_) => {}
    }
}

/// Returns the labels a resource is stored with: those it was sent with, and those the control plane knows better.
pub(super) fn computed(rules: &Rules, kind: Kind, mesh: &str, name: &str, given: &Labels, spec: &[u8]) -> Labels {
    let mut all = given.clone();
    let mut set = |key: &str, value: &str| all.insert(key.to_owned(), value.to_owned());
    set(labels::DISPLAY_NAME, name);
    set(labels::ORIGIN, if rules.side.zone().is_some() { labels::ORIGIN_ZONE } else { labels::ORIGIN_GLOBAL });
    let mut fill = |key: &str, value: &str| {
        all.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    };
    if kind.scope == Scope::Mesh {
        fill(labels::MESH, mesh);
    }
    if let Some(zone) = rules.side.zone()
        && kind.flow.provided_by_zone()
    {
        fill(labels::ZONE, zone);
        fill(labels::ENV, "universal");
    }
    if kind == Kind::DATAPLANE {
        all.remove("kuma.io/proxy-type");
        let listeners = listener_types(spec);
        for (key, listener) in
            [("kuma.io/listener-zoneingress", "ZoneIngress"), ("kuma.io/listener-zoneegress", "ZoneEgress")]
        {
            if listeners.iter().any(|found| found == listener) {
                all.insert(key.to_owned(), "enabled".to_owned());
            } else {
                all.remove(key);
            }
        }
    }
    all
}

fn listener_types(spec: &[u8]) -> Vec<String> {
    let spec = proto::spec_to_json(Kind::DATAPLANE, spec).unwrap_or_default();
    let listeners = spec.get("networking").and_then(|networking| networking.get("listeners"));
    let listeners = listeners.and_then(serde_json::Value::as_array).into_iter().flatten();
    listeners.filter_map(|listener| Some(listener.get("type")?.as_str()?.to_owned())).collect()
}

/// Checks that a change keeps the zone of a resource; giving it one is fine.
///
/// On a global a label of a zone has no meaning for what was made there (it came with a document of a zone, before such
/// labels were refused), and the next change takes it away. What a zone made is not changed here at all.
pub(super) fn check_kept(rules: &Rules, stored: &Labels, new: &Labels) -> Vec<Violation> {
    if rules.side == Side::Global && stored.get(labels::ORIGIN).is_none_or(|origin| origin == labels::ORIGIN_GLOBAL) {
        return Vec::new();
    }
    let Some(was) = stored.get(labels::ZONE) else { return Vec::new() };
    let reason = match new.get(labels::ZONE) {
        Some(now) if now == was => return Vec::new(),
        Some(now) => format!("is immutable, cannot be changed from {was:?} to {now:?}"),
        None => format!("is immutable, cannot be removed (was {was:?})"),
    };
    vec![Violation::new(field(labels::ZONE), reason)]
}

/// Returns what is wrong if a resource belongs to the other side, and is not this one's to change or delete.
///
/// The peer lets a zone delete secrets of its global and take over its policies; nothing repairs that, so it is
/// refused here.
pub(super) fn check_ours(rules: &Rules, kind: Kind, stored: &Labels, field: &str) -> Vec<Violation> {
    let origin = stored.get(labels::ORIGIN).map(String::as_str);
    let wanted = match &rules.side {
        Side::Global if origin.is_some_and(|origin| origin != labels::ORIGIN_GLOBAL) => labels::ORIGIN_GLOBAL,
        Side::FederatedZone(_)
            if origin == Some(labels::ORIGIN_GLOBAL)
                || (kind.spec == SpecForm::Json && origin != Some(labels::ORIGIN_ZONE)) =>
        {
            labels::ORIGIN_ZONE
        }
        Side::Global | Side::FederatedZone(_) | Side::LoneZone(_) => return Vec::new(),
    };
    vec![Violation::new(field, format!("the origin label must be set to '{wanted}'"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writes::MeshDefaults;

    fn rules(side: Side) -> Rules {
        Rules {
            side,
            sends_keys: false,
            read_only: false,
            origin_label_is_free: false,
            unsafe_delete: false,
            mesh_defaults: MeshDefaults::AsTheMeshSays,
        }
    }

    fn labels_of(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn check(side: Side, kind: &str, given: &[(&str, &str)], expected: &[&str]) {
        let kind = Kind::by_name(kind).expect("kind");
        let mut found = Vec::new();
        check_labels(&rules(side), kind, "default", &labels_of(given), &mut found);
        let found: Vec<&str> = found.iter().map(|found| found.reason.as_str()).collect();
        assert_eq!(found, expected, "{kind} {given:?}");
    }

    #[test]
    fn on_global_the_origin_is_global() {
        let must = "the origin label must be set to 'global'";
        check(Side::Global, "MeshTimeout", &[], &[]);
        check(Side::Global, "MeshTimeout", &[("kuma.io/origin", "global")], &[]);
        check(Side::Global, "MeshTimeout", &[("kuma.io/origin", "zone")], &[must]);
        check(Side::Global, "Secret", &[("kuma.io/origin", "bogus")], &["unknown resource origin \"bogus\"", must]);
        check(Side::Global, "MeshTimeout", &[("kuma.io/mesh", "default"), ("kuma.io/display-name", "x")], &[]);
        check(
            Side::Global,
            "MeshTimeout",
            &[("kuma.io/mesh", "other"), ("kuma.io/zone", "east"), ("kuma.io/env", "universal")],
            &[
                "kuma.io/zone label is not yours to set on a global control plane: remove it",
                "kuma.io/env label is not yours to set on a global control plane: remove it",
                "kuma.io/mesh label must not differ from mesh set on resource",
            ],
        );
    }

    #[test]
    fn on_a_federated_zone_policies_say_that_they_are_of_the_zone() {
        let side = || Side::FederatedZone("east".to_owned());
        let must = "the origin label must be set to 'zone'";
        check(side(), "MeshTimeout", &[], &[must]);
        check(side(), "MeshTimeout", &[("kuma.io/origin", "global")], &[must]);
        check(side(), "MeshTimeout", &[("kuma.io/origin", "zone")], &[]);
        check(side(), "Secret", &[], &[]);
        check(
            side(),
            "MeshTimeout",
            &[("kuma.io/origin", "zone"), ("kuma.io/zone", "west"), ("kuma.io/mesh", "other")],
            &[
                "kuma.io/zone label should have east value",
                "kuma.io/mesh label must not differ from mesh set on resource",
            ],
        );
    }

    #[test]
    fn the_role_of_a_policy_is_system() {
        let role = |role| [("kuma.io/policy-role", role)];
        check(Side::Global, "MeshTimeout", &role("system"), &[]);
        check(
            Side::Global,
            "MeshTimeout",
            &role("consumer"),
            &["kuma.io/policy-role label should have system value, got consumer"],
        );
        check(Side::Global, "Secret", &role("consumer"), &[]);
    }

    #[test]
    fn a_resource_carries_where_it_was_made() {
        let timeout = Kind::by_name("MeshTimeout").expect("kind");
        let given = labels_of(&[("kuma.io/display-name", "other"), ("team", "a")]);
        assert_eq!(
            computed(&rules(Side::Global), timeout, "default", "t1", &given, b"{}"),
            labels_of(&[
                ("kuma.io/display-name", "t1"),
                ("kuma.io/mesh", "default"),
                ("kuma.io/origin", "global"),
                ("team", "a")
            ])
        );
        let zone = rules(Side::FederatedZone("east".to_owned()));
        assert_eq!(
            computed(&zone, timeout, "default", "t1", &Labels::new(), b"{}"),
            labels_of(&[
                ("kuma.io/display-name", "t1"),
                ("kuma.io/env", "universal"),
                ("kuma.io/mesh", "default"),
                ("kuma.io/origin", "zone"),
                ("kuma.io/zone", "east")
            ])
        );
    }

    #[test]
    fn the_zone_of_a_resource_stays() {
        let check = |side: Side, stored: &[(&str, &str)], new: &[(&str, &str)], expected: usize| {
            assert_eq!(check_kept(&rules(side), &labels_of(stored), &labels_of(new)).len(), expected, "{stored:?}");
        };
        let east = [("kuma.io/zone", "east")];
        let zone = || Side::FederatedZone("east".to_owned());
        check(zone(), &[], &east, 0);
        check(zone(), &east, &east, 0);
        check(zone(), &east, &[], 1);
        check(zone(), &east, &[("kuma.io/zone", "west")], 1);
        check(Side::Global, &east, &[], 0);
        check(Side::Global, &[("kuma.io/zone", "east"), ("kuma.io/origin", "global")], &[], 0);
        check(Side::Global, &[("kuma.io/zone", "east"), ("kuma.io/origin", "zone")], &[], 1);
    }

    #[test]
    fn each_side_changes_its_own_only() {
        let check = |side: Side, kind: Kind, origin: Option<&str>, ours: bool| {
            let stored: Labels =
                origin.map(|origin| (labels::ORIGIN.to_owned(), origin.to_owned())).into_iter().collect();
            assert_eq!(check_ours(&rules(side), kind, &stored, "x").is_empty(), ours, "{kind} {origin:?}");
        };
        let timeout = Kind::by_name("MeshTimeout").expect("kind");
        let zone = || Side::FederatedZone("east".to_owned());
        check(Side::Global, timeout, None, true);
        check(Side::Global, timeout, Some("global"), true);
        check(Side::Global, timeout, Some("zone"), false);
        check(zone(), timeout, None, false);
        check(zone(), timeout, Some("zone"), true);
        check(zone(), Kind::SECRET, None, true);
        check(zone(), Kind::SECRET, Some("global"), false);
        check(Side::LoneZone("east".to_owned()), Kind::SECRET, Some("global"), true);
    }
}
