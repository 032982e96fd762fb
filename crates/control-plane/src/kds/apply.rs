//! Takes in what a peer provided: validate, compare with what is here, write in one batch, say what was rejected.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use model::{Key, Kind, Resource, labels};
use store::{Batch, Precondition, Query, ResourceStore, StoreError, Write};
use sync::{Change, Outcome, Plan, Side};
use tracing::info;

use crate::{clock::Clock, kds::patch};

/// Where the responses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From global, to this zone.
    Global,
    /// From a zone, to global. The name is that of the authenticated connection.
    Zone {
        /// The zone.
        name: String,
        /// The zone lacks the hash-suffix feature: its names get the zone's name in front.
        prefix_names: bool,
    },
}

/// Applies plans of one stream.
pub(crate) struct Applier {
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    origin: Origin,
    rewrites: AtomicU64,
}

/// Where a Dataplane carries zone tags: of its gateway, and of its inbounds (2.x).
const DATAPLANE_TAGS: &[&[u32]] = &[&[1, 3, 1], &[1, 1, 2]];

impl Applier {
    pub(crate) fn new(store: Arc<dyn ResourceStore>, clock: Clock, origin: Origin) -> Self {
        Self { store, clock, origin, rewrites: AtomicU64::new(0) }
    }

    /// Applies a plan. The error is the store's: the stream cannot go on; what is rejected is in the outcome.
    pub(crate) async fn apply(&self, plan: &Plan) -> Result<Outcome, StoreError> {
        let plan = self.mapped(plan.clone());
        let mut rejected = Vec::new();
        let mut valid = plan.clone();
        valid.resources.retain(|received| {
            let violations = model::validate::spec(
                plan.kind,
                &received.name.name,
                &received.name.mesh,
                &received.labels,
                &received.spec,
            );
            if violations.is_empty() {
                return true;
            }
            let texts: Vec<_> = violations.iter().map(|one| format!("{}: {}", one.field, one.reason)).collect();
            rejected.push(texts.join("; "));
            false
        });
        valid.invalid = plan
            .resources
            .iter()
            .filter(|received| !valid.resources.iter().any(|kept| kept.name == received.name))
            .map(|received| received.name.clone())
            .collect();
        let local = self.local(&plan).await?;
        let (side, owner) = match &self.origin {
            Origin::Global => (Side::Zone, None),
            Origin::Zone { name, .. } => (Side::Global { zone: name }, Some(Key::global(Kind::ZONE, name.as_str()))),
        };
        let reconciled = sync::reconcile(plan.kind, &local, &valid, side, self.clock.now(), owner.as_ref());
        rejected.extend(reconciled.rejected);
        if !reconciled.changes.is_empty() {
            for change in &reconciled.changes {
                log(change);
            }
            let writes = reconciled.changes.into_iter().map(write).collect();
            self.store.apply(Batch { writes }).await?;
        }
        Ok(Outcome { rejected })
    }

    /// How many zone tags had to be corrected since the last call.
    pub(crate) fn take_rewrites(&self) -> u64 {
        self.rewrites.swap(0, Ordering::Relaxed)
    }

    /// On global nothing of a zone is believed that says where it comes from (contract: kds 7.4).
    fn mapped(&self, mut plan: Plan) -> Plan {
        let Origin::Zone { name, prefix_names } = &self.origin else { return plan };
        for received in &mut plan.resources {
            sync::received_by_global(received, name, *prefix_names);
            let spec = match plan.kind.name {
                "Dataplane" => patch::zone_tags(&received.spec, DATAPLANE_TAGS, name).map(|(spec, rewritten)| {
                    self.rewrites.fetch_add(rewritten, Ordering::Relaxed);
                    spec
                }),
                "ZoneIngress" | "ZoneEgress" => patch::with_string(&received.spec, 1, name),
                _ => continue,
            };
            // What is no protobuf message at all fails its validation next.
            if let Ok(spec) = spec {
                received.spec = spec;
            }
        }
        if *prefix_names {
            for removed in &mut plan.removed {
                removed.name = format!("{name}.{}", removed.name);
            }
        }
        plan
    }

    /// What is here of the kind: all of it for a first response, which is authoritative; later what is mentioned.
    async fn local(&self, plan: &Plan) -> Result<Vec<Arc<Resource>>, StoreError> {
        if plan.initial {
            let mut query = Query::all(plan.kind);
            if let Origin::Zone { name, .. } = &self.origin {
                query.labels.insert(labels::ZONE.to_owned(), name.clone());
            }
            let mut local: Vec<_> = self.store.list(&query).await?.items.into_iter().map(|one| one.resource).collect();
            if matches!(self.origin, Origin::Zone { .. }) {
                // A name that is taken by something that is not the zone's own must be seen too.
                for received in &plan.resources {
                    let key = key(plan.kind, &received.name);
                    if !local.iter().any(|one| one.key == key)
                        && let Some(stored) = self.store.get(&key).await?
                    {
                        local.push(stored.resource);
                    }
                }
            }
            return Ok(local);
        }
        let mentioned = plan.resources.iter().map(|received| &received.name).chain(&plan.removed);
        let mut local: Vec<Arc<Resource>> = Vec::new();
        for name in mentioned {
            if let Some(stored) = self.store.get(&key(plan.kind, name)).await?
                && !local.iter().any(|one| one.key == stored.resource.key)
            {
                local.push(stored.resource);
            }
        }
        Ok(local)
    }
}

fn key(kind: Kind, name: &sync::WireName) -> Key {
    Key { kind, mesh: name.mesh.clone(), name: name.name.clone() }
}

fn write(change: Change) -> Write {
    match change {
        Change::Create(resource) => Write::Put { resource, expect: Precondition::Any },
        Change::Update(resource) => Write::Put { resource, expect: Precondition::Any },
        Change::Delete(key) => Write::Delete { key, expect: Precondition::Any },
    }
}

fn log(change: &Change) {
    match change {
        Change::Create(resource) => {
            info!(target: "kds-delta-client", kind = resource.key.kind.name, name = resource.key.name, mesh = resource.key.mesh, "creating a new resource from upstream");
        }
        Change::Update(_) => {}
        Change::Delete(key) => {
            info!(target: "kds-delta-client", kind = key.kind.name, name = key.name, mesh = key.mesh, "deleting a resource since it's no longer available in the upstream");
        }
    }
}
