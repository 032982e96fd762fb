//! Compares what a response says with what is here (contract: kds 6.6 and 8.3). Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Resource, SpecForm, labels};

use crate::{message::Received, receiver::Plan, wire_name::WireName};

/// Which end applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side<'a> {
    /// A zone: its own resources are not touched, and it keeps its own status.
    Zone,
    /// Global: only what belongs to this zone is touched.
    Global {
        /// The zone of the connection.
        zone: &'a str,
    },
}

/// One write. All of a plan happen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New.
    Create(Resource),
    /// Other content.
    Update(Resource),
    /// Gone.
    Delete(Key),
}

/// What a plan comes down to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The writes: creates, then deletes, then updates.
    pub changes: Vec<Change>,
    /// Why resources were left out, as the peer is told.
    pub rejected: Vec<String>,
    /// How many were left out without a word, because they are not what they should be.
    pub dropped: usize,
}

/// Returns the writes that make what is here what the plan says, within its scope.
pub fn reconcile(
    kind: Kind,
    local: &[Arc<Resource>],
    plan: &Plan,
    side: Side<'_>,
    now: Timestamp,
    owner: Option<&Key>,
) -> Reconciled {
    let by_name: BTreeMap<(&str, &str), &Arc<Resource>> =
        local.iter().map(|one| ((one.key.mesh.as_str(), one.key.name.as_str()), one)).collect();
    let mut result = Reconciled::default();
    let mut updates = Vec::new();
    let mut mentioned: BTreeSet<(&str, &str)> = plan.invalid.iter().chain(&plan.named_before).map(parts).collect();
    for received in &plan.resources {
        mentioned.insert(parts(&received.name));
        if !in_scope_of_response(kind, received, side) {
            result.dropped += 1;
            continue;
        }
        match by_name.get(&parts(&received.name)) {
            None => result.changes.push(Change::Create(create(kind, received, now, owner))),
            Some(here) if !in_scope(kind, here, side) => {
                result.rejected.push(format!("user error\nresource already exists: {}", here.key));
            }
            Some(here) => updates.extend(update(here, received, side, now).map(Change::Update)),
        }
    }
    let gone = |here: &Arc<Resource>| {
        in_scope(kind, here, side) && !mentioned.contains(&(here.key.mesh.as_str(), here.key.name.as_str()))
    };
    if plan.initial {
        result.changes.extend(local.iter().filter(|here| gone(here)).map(|here| Change::Delete(here.key.clone())));
    } else {
        let names: BTreeSet<_> = plan.removed.iter().map(parts).collect();
        let removed = names.iter().filter_map(|name| by_name.get(name));
        result.changes.extend(removed.filter(|here| gone(here)).map(|here| Change::Delete(here.key.clone())));
    }
    result.changes.extend(updates);
    result
}

fn parts(name: &WireName) -> (&str, &str) {
    (&name.mesh, &name.name)
}

/// Whether a resource that is here may be touched: it came from the other side.
pub fn in_scope(kind: Kind, here: &Resource, side: Side<'_>) -> bool {
    let label = |key: &str| here.labels.get(key).map(String::as_str);
    match side {
        Side::Zone => !kind.flow.provided_by_zone() || label(labels::ORIGIN) == Some(labels::ORIGIN_GLOBAL),
        Side::Global { zone } => match label(labels::ZONE) {
            Some(of) => of == zone && label(labels::ORIGIN) == Some(labels::ORIGIN_ZONE),
            // Zones without the hash suffix are known by their prefix. What global itself may make is never taken for a
            // zone's by its name alone: somebody may well have called a policy `west.timeout`.
            None => {
                !kind.flow.provided_by_global()
                    && here.key.name.strip_prefix(zone).is_some_and(|rest| rest.starts_with('.'))
            }
        },
    }
}

/// Whether a resource of the response is what this end takes: a zone takes for its own what does not say `global`.
fn in_scope_of_response(kind: Kind, received: &Received, side: Side<'_>) -> bool {
    match side {
        Side::Zone => {
            !kind.flow.provided_by_zone()
                || received.labels.get(labels::ORIGIN).map(String::as_str) == Some(labels::ORIGIN_GLOBAL)
        }
        Side::Global { zone } => received.labels.get(labels::ZONE).map(String::as_str) == Some(zone),
    }
}

/// The status that came; the empty one if none came; none for kinds without.
fn status_of(kind: Kind, received: &Received) -> Option<Bytes> {
    let empty = kind.empty_status?;
    Some(received.status.clone().unwrap_or_else(|| Bytes::from_static(empty.as_bytes())))
}

fn create(kind: Kind, received: &Received, now: Timestamp, owner: Option<&Key>) -> Resource {
    Resource {
        key: Key { kind, mesh: received.name.mesh.clone(), name: received.name.name.clone() },
        labels: received.labels.clone(),
        spec: received.spec.clone(),
        status: status_of(kind, received),
        owner: owner.cloned(),
        created: now,
        modified: now,
    }
}

fn update(here: &Resource, received: &Received, side: Side<'_>, now: Timestamp) -> Option<Resource> {
    let form = here.key.kind.spec;
    let status = match side {
        Side::Zone => here.status.clone(),
        Side::Global { .. } => status_of(here.key.kind, received),
    };
    let same_status = match (&status, &here.status) {
        (Some(new), Some(old)) => same(SpecForm::Json, new, old),
        (new, old) => new == old,
    };
    if same(form, &received.spec, &here.spec) && received.labels == here.labels && same_status {
        return None;
    }
    Some(Resource {
        labels: received.labels.clone(),
        spec: received.spec.clone(),
        status,
        modified: now,
        ..here.clone()
    })
}

/// JSON is compared by value, protobuf by its bytes.
fn same(form: SpecForm, left: &[u8], right: &[u8]) -> bool {
    if left == right {
        return true;
    }
    let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    match form {
        SpecForm::Json => value(left).is_some_and(|left| Some(left) == value(right)),
        SpecForm::Proto(_) => false,
    }
}

#[cfg(test)]
mod tests;
