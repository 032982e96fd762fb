//! Takes in what a peer provided: validate, compare with what is here, write in one batch, say what was rejected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use model::{Key, Kind, labels, validate::Violation};
use store::{Batch, Epoch, Precondition, Query, ResourceStore, StoreError, Stored, Write};
use sync::{Change, Outcome, Plan, Received, Receiver, Side, WireName};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::{
    clock::Clock,
    kds::{
        messages::{convert::version_of_received, patch},
        quota::{Quotas, Usage},
    },
    observe::kds_metrics::KdsMetrics,
};

/// Where the responses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From global, to this zone.
    Global,
    /// From a zone, to global. The name is that of the authenticated connection.
    Zone {
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
    metrics: KdsMetrics,
    quotas: Option<Quotas>,
    /// In which the peer was to be asked; of whoever does not lead since, nothing is written.
    epoch: Option<Epoch>,
    rewrites: AtomicU64,
}

/// How often a batch is planned anew because somebody wrote meanwhile.
const ATTEMPTS: u32 = 5;
/// A namespace is a DNS label.
const LONGEST_NAMESPACE: usize = 63;

/// Room for the `node` of a first request, whose metadata holds the configuration.
const LARGEST_NODE: usize = 512 * 1024;

/// Where a Dataplane carries zone tags: of its gateway, and of its inbounds (2.x).
const DATAPLANE_TAGS: &[&[u32]] = &[&[1, 3, 1], &[1, 1, 2]];

impl Applier {
    pub(crate) fn new(store: Arc<dyn ResourceStore>, clock: Clock, origin: Origin, metrics: KdsMetrics) -> Self {
        Self { store, clock, origin, metrics, quotas: None, epoch: None, rewrites: AtomicU64::new(0) }
    }

    /// Takes no more of a zone than its quota.
    pub(crate) fn within(mut self, quotas: Quotas) -> Self {
        self.quotas = Some(quotas);
        self
    }

    /// Writes as the leader of an epoch.
    pub(crate) fn fenced(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Applies a plan. The error is the store's: the stream cannot go on; what is rejected is in the outcome.
    pub(crate) async fn apply(&self, plan: Plan) -> Result<Outcome, StoreError> {
        let start = Instant::now();
        let outcome = self.take_in(plan).await;
        self.metrics.taken_in(start.elapsed());
        outcome
    }

    async fn take_in(&self, plan: Plan) -> Result<Outcome, StoreError> {
        let mut rejected = Vec::new();
        let foreign = self.foreign_namespaces(&plan).await?;
        let plan = self.validated(plan, &foreign, &mut rejected);
        let plan = self.mapped(plan, &mut rejected);
        let side = self.side();
        let owner = match &self.origin {
            Origin::Global => None,
            Origin::Zone { name, .. } => Some(Key::global(Kind::ZONE, name.as_str())),
        };
        for attempt in 1.. {
            let local = self.local(&plan).await?;
            let resources: Vec<_> = local.values().map(|stored| Arc::clone(&stored.resource)).collect();
            let mut reconciled = sync::reconcile(plan.kind, &resources, &plan, side, self.clock.now(), owner.as_ref());
            let over_quota = self.admitted(&plan, &mut reconciled.changes, &local).await?;
            let writes: Vec<Write> = reconciled.changes.iter().map(|change| write(change, &local)).collect();
            if !writes.is_empty() {
                match self.store.apply(Batch { fence: self.epoch, ..Batch::of(writes) }).await {
                    Ok(_) => {}
                    // Somebody wrote between the look and the batch: look again.
                    Err(
                        StoreError::Conflict { .. } | StoreError::AlreadyExists { .. } | StoreError::NotFound { .. },
                    ) if attempt < ATTEMPTS => continue,
                    Err(error) => return Err(error),
                }
            }
            self.count(plan.kind, &reconciled.changes, &local);
            summarise(plan.kind, &reconciled.changes);
            rejected.extend(reconciled.rejected);
            rejected.extend(over_quota);
            break;
        }
        Ok(Outcome { rejected })
    }

    /// Keeps of the changes what the zone's quota has room for. Returns what to tell the zone if that is not all.
    async fn admitted(
        &self,
        plan: &Plan,
        changes: &mut Vec<Change>,
        local: &BTreeMap<Key, Stored>,
    ) -> Result<Option<String>, StoreError> {
        let (Some(quotas), Origin::Zone { name, .. }) = (&self.quotas, &self.origin) else { return Ok(None) };
        if plan.initial {
            let own = local.values().map(|stored| &*stored.resource);
            quotas.know(name, plan.kind, Usage::sum(own.filter(|here| sync::in_scope(plan.kind, here, self.side()))));
        }
        for kind in quotas.uncounted(name, changes, Kind::all().filter(|kind| kind.flow.zone_to_global())) {
            let items = self.store.list(&self.of_the_peer(kind)).await?.items;
            quotas.know(name, kind, Usage::sum(items.iter().map(|stored| &*stored.resource)));
        }
        Ok(quotas.admit(name, plan.kind, changes, local))
    }

    fn count(&self, kind: Kind, changes: &[Change], local: &BTreeMap<Key, Stored>) {
        if let (Some(quotas), Origin::Zone { name, .. }) = (&self.quotas, &self.origin) {
            quotas.wrote(name, kind, changes, local);
        }
    }

    /// Lets the receiver say what is here of each of these kinds already, so that the peer sends the difference only. A kind whose
    /// list would not fit into one request is asked for as a whole.
    pub(crate) async fn with_versions(
        &self,
        mut receiver: Receiver,
        max_message_size: usize,
        of: impl Fn(Kind) -> bool + Send,
    ) -> Result<Receiver, StoreError> {
        // What an earlier connection still had on the way into the store is there after this.
        self.store.settled().await?;
        for kind in receiver.kinds().into_iter().filter(|kind| of(*kind)) {
            let side = self.side();
            let items = self.store.list(&self.of_the_peer(kind)).await?.items;
            if let (Some(quotas), Origin::Zone { name, .. }) = (&self.quotas, &self.origin) {
                quotas.know(name, kind, Usage::sum(items.iter().map(|stored| &*stored.resource)));
            }
            let mut versions = BTreeMap::new();
            for stored in items.iter().filter(|stored| sync::in_scope(kind, &stored.resource, side)) {
                let key = &stored.resource.key;
                let name = WireName { mesh: key.mesh.clone(), name: key.name.clone() };
                versions.insert(name.to_string(), version_of_received(&stored.resource, side));
            }
            let bytes: usize = versions.iter().map(|(name, version)| name.len() + version.len() + 12).sum();
            if bytes + LARGEST_NODE <= max_message_size {
                receiver = receiver.with_initial_versions(kind, versions);
            }
        }
        Ok(receiver)
    }

    fn side(&self) -> Side<'_> {
        match &self.origin {
            Origin::Global => Side::Zone,
            Origin::Zone { name, .. } => Side::Global { zone: name },
        }
    }

    /// What may have come from the peer.
    fn of_the_peer(&self, kind: Kind) -> Query {
        let mut query = Query::all(kind);
        if let Origin::Zone { name, .. } = &self.origin {
            query.labels.insert(labels::ZONE.to_owned(), name.clone());
        }
        query
    }

    /// How many zone tags had to be corrected since the last call.
    pub(crate) fn take_rewrites(&self) -> u64 {
        self.rewrites.swap(0, Ordering::Relaxed)
    }

    /// Sets aside what the type's own validator finds invalid. Names are checked as the peer gave them.
    fn validated(&self, mut plan: Plan, foreign: &BTreeMap<String, String>, rejected: &mut Vec<String>) -> Plan {
        let kind = plan.kind;
        let (valid, invalid): (Vec<_>, Vec<Received>) = plan.resources.into_iter().partition(|received| {
            let name = &received.name;
            let mut violations = self.not_its_own(kind, received);
            let namespace = received.labels.get(labels::NAMESPACE);
            if let Some(zone) = namespace.and_then(|namespace| foreign.get(namespace)) {
                let reason = format!("names of this namespace and this zone are those of zone `{zone}`");
                violations.push(Violation::new("name", reason));
            }
            violations.extend(model::validate::received(
                kind,
                &name.name,
                &name.mesh,
                &received.labels,
                &received.spec,
            ));
            violations.extend(unreadable_status(kind, received));
            if !violations.is_empty() {
                rejected.push(model::validate::join(&violations));
            }
            violations.is_empty()
        });
        plan.resources = valid;
        plan.invalid.extend(invalid.into_iter().map(|received| received.name));
        plan
    }

    /// Namespaces of a zone under which its names would be those of another zone that is known here, and of which.
    async fn foreign_namespaces(&self, plan: &Plan) -> Result<BTreeMap<String, String>, StoreError> {
        let mut foreign = BTreeMap::new();
        let Origin::Zone { name: zone, prefix_names: false } = &self.origin else { return Ok(foreign) };
        let namespaces: BTreeSet<&String> =
            plan.resources.iter().filter_map(|received| received.labels.get(labels::NAMESPACE)).collect();
        for namespace in namespaces {
            for other in sync::zones_of_the_same_hash(zone, namespace).take(LONGEST_NAMESPACE) {
                if self.store.get(&Key::global(Kind::ZONE, other.as_str())).await?.is_some() {
                    foreign.insert(namespace.clone(), other);
                    break;
                }
            }
        }
        Ok(foreign)
    }

    /// What a zone calls its resources: names and labels keep to what every zone's own REST API allows, and a name with a
    /// hash is the zone's own.
    fn not_its_own(&self, kind: Kind, received: &Received) -> Vec<Violation> {
        let Origin::Zone { name: zone, prefix_names } = &self.origin else { return Vec::new() };
        let name = &received.name;
        let mut violations = model::validate::reported(kind, &name.name, &name.mesh, &received.labels);
        if violations.is_empty() && !prefix_names && sync::is_name_of_another(received, zone) {
            let reason = "its hash is not that of its display name, mesh, namespace and this zone";
            violations.push(Violation::new("name", reason));
        }
        violations
    }

    /// On global nothing of a zone is believed that says where it comes from (contract: kds 7.4).
    fn mapped(&self, mut plan: Plan, rejected: &mut Vec<String>) -> Plan {
        let Origin::Zone { name, prefix_names } = &self.origin else { return plan };
        let mut unusable = BTreeSet::new();
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
            match spec {
                Ok(spec) => received.spec = spec,
                Err(broken) => {
                    rejected.push(format!("spec: {broken}"));
                    unusable.insert(received.name.clone());
                }
            }
        }
        if *prefix_names {
            for other in plan.removed.iter_mut().chain(&mut plan.invalid) {
                other.name = format!("{name}.{}", other.name);
            }
        }
        plan.resources.retain(|received| !unusable.contains(&received.name));
        plan.invalid.extend(unusable);
        plan
    }

    /// What is here of the kind: all of it for a first response, which is authoritative; later what is mentioned.
    async fn local(&self, plan: &Plan) -> Result<BTreeMap<Key, Stored>, StoreError> {
        let mut local = BTreeMap::new();
        let mut mentioned: Vec<&WireName> = plan.resources.iter().map(|received| &received.name).collect();
        if plan.initial {
            let items = self.store.list(&self.of_the_peer(plan.kind)).await?.items;
            local.extend(items.into_iter().map(|stored| (stored.resource.key.clone(), stored)));
        } else {
            mentioned.extend(&plan.removed);
        }
        // A name that is taken by something that is not the peer's own must be seen too.
        for name in mentioned {
            let key = key(plan.kind, name);
            if !local.contains_key(&key)
                && let Some(stored) = self.store.get(&key).await?
            {
                local.insert(key, stored);
            }
        }
        Ok(local)
    }
}

/// A status is shown and compared like a spec. What the decoder let through may still be no JSON: it skips over texts
/// that are not UTF-8, numbers that are out of range, and any depth.
fn unreadable_status(kind: Kind, received: &Received) -> Option<Violation> {
    kind.empty_status?;
    let error = serde_json::from_slice::<serde_json::Value>(received.status.as_ref()?).err()?;
    Some(Violation::new("status", format!("is no valid JSON: {error}")))
}

fn key(kind: Kind, name: &WireName) -> Key {
    Key { kind, mesh: name.mesh.clone(), name: name.name.clone() }
}

/// The write of a change, on the condition that what is here is still what was looked at.
fn write(change: &Change, local: &BTreeMap<Key, Stored>) -> Write {
    let seen = |key: &Key| local.get(key).map_or(Precondition::Absent, |stored| Precondition::Version(stored.version));
    match change {
        Change::Create(resource) | Change::Update(resource) => {
            Write::Put { resource: resource.clone(), expect: seen(&resource.key) }
        }
        Change::Delete(key) => Write::Delete { key: key.clone(), expect: seen(key) },
    }
}

/// One line a batch: a peer decides how many resources it sends, and must not decide how long the log gets.
fn summarise(kind: Kind, changes: &[Change]) {
    let count = |which: fn(&Change) -> bool| changes.iter().filter(|change| which(change)).count();
    let created = count(|change| matches!(change, Change::Create(_)));
    let deleted = count(|change| matches!(change, Change::Delete(_)));
    if created + deleted > 0 {
        let kind = kind.name;
        info!(kind, created, updated = changes.len() - created - deleted, deleted, "resources changed by upstream");
    }
    for change in changes {
        let (what, key) = match change {
            Change::Create(resource) => ("created", &resource.key),
            Change::Update(resource) => ("updated", &resource.key),
            Change::Delete(key) => ("deleted", key),
        };
        debug!(what, kind = key.kind.name, name = key.name, mesh = key.mesh, "resource changed by upstream");
    }
}

#[cfg(test)]
mod tests;
