//! What this end provides, encoded: follows the store and publishes the snapshots of all kinds that flow away from here.
//!
//! A change is mapped and encoded once, whatever the number of zones; streams get the new snapshots and compute what
//! differs. Bursts that are ready together are published together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt as _, StreamExt as _};
use model::{Key, Kind, Resource, labels};
use store::{Event, Kinds, ResourceStore, Watch};
use sync::{Entry, Outgoing, Passage, Snapshot, WireName};
use tokio::{sync::watch, time::Instant};
use tracing::{error, warn};

use crate::{
    kds::{convert, patch},
    keys::secret_data,
    observe::kds_metrics::{GenerationReason, KdsMetrics},
    tasks::{OnError, Tasks},
};

/// Which end provides, and how it maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Global, for zones that have the hash-suffix feature or not.
    Global {
        /// Whether names get their hash.
        hashed: bool,
        /// Labels with these prefixes stay here.
        skip_prefixes: Vec<String>,
    },
    /// A zone.
    Zone {
        /// Its name.
        name: String,
        /// Labels with these prefixes stay here.
        skip_prefixes: Vec<String>,
    },
}

impl Provider {
    fn provides(&self, kind: Kind) -> bool {
        match self {
            Self::Global { .. } => kind.flow.global_to_zone(),
            Self::Zone { .. } => kind.flow.zone_to_global(),
        }
    }
}

/// The snapshots of all kinds at one moment.
#[derive(Debug, Default)]
pub struct World {
    kinds: BTreeMap<&'static str, Arc<Snapshot>>,
}

impl World {
    /// Returns the snapshots, sorted by kind.
    pub fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.kinds.values()
    }

    /// Whether some kind is at another generation.
    fn differs_from(&self, other: &Self) -> bool {
        self.generations().ne(other.generations())
    }

    fn generations(&self) -> impl Iterator<Item = u64> {
        self.snapshots().map(|snapshot| snapshot.generation())
    }
}

/// A handle on the current snapshots. Cheap to clone.
#[derive(Clone)]
pub struct Snapshots {
    world: watch::Receiver<Arc<World>>,
}

impl Snapshots {
    /// Builds the first snapshots and keeps them up to date from then on.
    pub async fn start(
        provider: Provider,
        store: &Arc<dyn ResourceStore>,
        metrics: &KdsMetrics,
        tasks: &Tasks,
    ) -> Self {
        let mut kinds: Vec<Kind> = Kind::all().filter(|kind| provider.provides(*kind)).collect();
        kinds.push(Kind::ZONE);
        let mut watch = store.watch(Kinds::Only(kinds));
        let mut builder = Builder::new(provider, metrics.clone());
        while !builder.complete {
            match watch.next().await {
                Some(event) => builder.take(event),
                None => break,
            }
        }
        let (sender, world) = watch::channel(Arc::new(builder.publish()));
        tasks.spawn("kds-snapshots", OnError::StopProgram, follow(watch, builder, sender, tasks.clone()));
        Self { world }
    }

    /// Follows the snapshots.
    pub fn subscribe(&self) -> watch::Receiver<Arc<World>> {
        self.world.clone()
    }
}

async fn follow(
    mut watch: Watch,
    mut builder: Builder,
    sender: watch::Sender<Arc<World>>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let event = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            event = watch.next() => event,
        };
        let Some(event) = event else { anyhow::bail!("the store's watch ended") };
        builder.take(event);
        while let Some(Some(event)) = watch.next().now_or_never() {
            builder.take(event);
        }
        if builder.complete && !builder.dirty.is_empty() {
            let world = builder.publish();
            // What zones report of themselves changes nothing for the others: their streams stay asleep.
            sender.send_if_modified(|known| {
                let differs = world.differs_from(known);
                if differs {
                    *known = Arc::new(world);
                }
                differs
            });
        }
    }
}

/// What changes in one kind.
#[derive(Default)]
struct Changes {
    upserts: Vec<Entry>,
    removals: Vec<WireName>,
    /// The names that a resource has from now on.
    taken: Vec<WireName>,
}

/// The raw resources and what became of them.
struct Builder {
    provider: Provider,
    metrics: KdsMetrics,
    /// Why what is dirty is dirty.
    reason: GenerationReason,
    resources: BTreeMap<Key, Arc<Resource>>,
    /// The full picture that is being received.
    next: Option<BTreeMap<Key, Arc<Resource>>>,
    zones_disabled: BTreeSet<String>,
    /// Under which name each resource went out.
    names: BTreeMap<Key, WireName>,
    /// Names that more than one resource goes out under, by kind.
    shared: BTreeSet<(&'static str, WireName)>,
    kinds: BTreeMap<&'static str, Arc<Snapshot>>,
    dirty: BTreeSet<Key>,
    complete: bool,
}

impl Builder {
    fn new(provider: Provider, metrics: KdsMetrics) -> Self {
        let kinds = Kind::all()
            .filter(|kind| provider.provides(*kind))
            .map(|kind| (kind.name, Arc::new(Snapshot::empty(kind.name))))
            .collect();
        Self {
            provider,
            metrics,
            reason: GenerationReason::Event,
            resources: BTreeMap::new(),
            next: None,
            zones_disabled: BTreeSet::new(),
            names: BTreeMap::new(),
            shared: BTreeSet::new(),
            kinds,
            dirty: BTreeSet::new(),
            complete: false,
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Init => self.next = Some(BTreeMap::new()),
            Event::InitApply(stored) => {
                self.next.get_or_insert_default().insert(stored.resource.key.clone(), stored.resource);
            }
            Event::InitDone => {
                let next = self.next.take().unwrap_or_default();
                let disabled = self.zones_disabled.iter().map(|zone| Key::global(Kind::ZONE, zone.as_str()));
                let gone: Vec<Key> =
                    self.resources.keys().cloned().chain(disabled).filter(|key| !next.contains_key(key)).collect();
                for key in gone {
                    self.set(&key, None);
                }
                for (key, resource) in next {
                    self.set(&key, Some(resource));
                }
                self.complete = true;
                self.reason = GenerationReason::Resync;
            }
            Event::Apply(stored) => self.set(&stored.resource.key.clone(), Some(stored.resource)),
            Event::Delete { key, .. } => self.set(&key, None),
        }
    }

    fn set(&mut self, key: &Key, resource: Option<Arc<Resource>>) {
        if key.kind == Kind::ZONE {
            self.set_zone(key, resource.as_deref());
        }
        if !self.provider.provides(key.kind) {
            return;
        }
        if self.complete && key.kind == Kind::MESH && resource.is_some() != self.resources.contains_key(key) {
            self.set_mesh(&key.name);
        }
        self.dirty.insert(key.clone());
        match resource {
            Some(resource) => self.resources.insert(key.clone(), resource),
            None => self.resources.remove(key),
        };
    }

    /// A zone that was disabled or enabled takes its resources away from the other zones or gives them back.
    fn set_zone(&mut self, key: &Key, zone: Option<&Resource>) {
        use prost::Message as _;
        use wire::kuma::system::v1alpha1::Zone;
        let disabled =
            zone.is_some_and(|zone| Zone::decode(zone.spec.clone()).is_ok_and(|zone| zone.enabled == Some(false)));
        let changed =
            if disabled { self.zones_disabled.insert(key.name.clone()) } else { self.zones_disabled.remove(&key.name) };
        if changed {
            let name = key.name.as_str();
            let affected = self
                .resources
                .iter()
                .filter(|(key, resource)| {
                    key.kind.flow.across_zones() && sync::origin_zone(resource).is_some_and(|zone| zone == name)
                })
                .map(|(key, _)| key.clone());
            self.dirty.extend(affected);
        }
    }

    /// What zones report of a mesh goes to other zones while the mesh exists: a zone may well report what it has of one that
    /// was deleted, and must not make others see meshes that nobody made.
    fn set_mesh(&mut self, mesh: &str) {
        let affected = self.resources.keys().filter(|key| key.mesh == mesh && key.kind.flow.across_zones());
        self.dirty.extend(affected.cloned());
    }

    fn is_of_unknown_mesh(&self, resource: &Resource) -> bool {
        let mesh = &resource.key.mesh;
        !mesh.is_empty()
            && resource.labels.get(labels::ORIGIN).is_some_and(|origin| origin == labels::ORIGIN_ZONE)
            && !self.resources.contains_key(&Key::global(Kind::MESH, mesh.as_str()))
    }

    fn publish(&mut self) -> World {
        let start = Instant::now();
        let mut changed = false;
        let mut changes: BTreeMap<&'static str, Changes> = BTreeMap::new();
        for key in std::mem::take(&mut self.dirty) {
            let entry = self.resources.get(&key).and_then(|resource| self.encode(resource));
            let Changes { upserts, removals, taken } = changes.entry(key.kind.name).or_default();
            let before = match &entry {
                Some(entry) => self.names.insert(key, entry.name.clone()),
                None => self.names.remove(&key),
            };
            let renamed = entry.as_ref().is_none_or(|entry| before.as_ref() != Some(&entry.name));
            if renamed {
                removals.extend(before);
                taken.extend(entry.as_ref().map(|entry| entry.name.clone()));
            }
            upserts.extend(entry);
        }
        for (kind, mut changes) in changes {
            self.settle_shared_names(kind, &mut changes);
            let Changes { upserts, mut removals, .. } = changes;
            let Some(snapshot) = self.kinds.get_mut(kind) else { continue };
            // A name that moved from one resource to another is an update.
            let moved: BTreeSet<&WireName> = upserts.iter().map(|entry| &entry.name).collect();
            removals.retain(|name| !moved.contains(name));
            let next = snapshot.with_changes(upserts, &removals);
            changed |= next.generation() != snapshot.generation();
            *snapshot = Arc::new(next);
        }
        let reason = std::mem::replace(&mut self.reason, GenerationReason::Event);
        let zone = match &self.provider {
            Provider::Global { .. } => "",
            Provider::Zone { name, .. } => name,
        };
        self.metrics.generated(zone, reason, changed, start.elapsed());
        World { kinds: self.kinds.clone() }
    }

    /// Decides who has a name that more than one resource goes out under: a zone decides what it calls its own, and must
    /// neither replace nor remove what another zone has. It stays with the resource that has it here too, and then with
    /// the oldest.
    fn settle_shared_names(&mut self, kind: &'static str, changes: &mut Changes) {
        let Some(snapshot) = self.kinds.get(kind) else { return };
        let mut new = BTreeSet::new();
        let mut once = BTreeSet::new();
        for name in &changes.taken {
            if snapshot.entries().contains_key(name) || !once.insert(name) {
                new.insert(name.clone());
            }
        }
        let said = changes.upserts.iter().map(|entry| &entry.name).chain(&changes.removals);
        let known = said.filter(|name| self.shared.contains(&(kind, (*name).clone()))).cloned();
        let touched: BTreeSet<WireName> = known.chain(new.iter().cloned()).collect();
        if touched.is_empty() {
            return;
        }
        let mut owners: BTreeMap<&WireName, Vec<&Key>> = BTreeMap::new();
        for (key, name) in self.names.iter().filter(|(key, name)| key.kind.name == kind && touched.contains(*name)) {
            owners.entry(name).or_default().push(key);
        }
        changes.upserts.retain(|entry| !touched.contains(&entry.name));
        changes.removals.retain(|name| !touched.contains(name));
        for name in &touched {
            let owners = owners.get(name).map_or(&[][..], Vec::as_slice);
            let resources = owners.iter().filter_map(|key| self.resources.get(*key));
            let first = resources.min_by_key(|one| (one.key.name != name.name, one.created, one.key.clone()));
            match first.and_then(|resource| self.encode(resource)) {
                Some(entry) => changes.upserts.push(entry),
                None => changes.removals.push(name.clone()),
            }
            if owners.len() < 2 {
                self.shared.remove(&(kind, name.clone()));
            } else if self.shared.insert((kind, name.clone())) {
                let resource = first.map(|first| first.key.to_string());
                warn!(target: "kds", kind, name = %name, resource, others = owners.len() - 1, "several resources have one name for the zones, which get the first one only");
            }
        }
    }

    /// Filters, maps and encodes one resource; `None` if it stays here.
    fn encode(&self, resource: &Resource) -> Option<Entry> {
        let outgoing = match &self.provider {
            Provider::Global { .. } if self.is_of_unknown_mesh(resource) => return None,
            Provider::Global { hashed, skip_prefixes } => {
                let enabled = |zone: &str| !self.zones_disabled.contains(zone);
                let passage = sync::from_global(resource, &enabled);
                let mapped = sync::to_zone(resource, *hashed, skip_prefixes);
                match passage {
                    Passage::Block => return None,
                    Passage::Pass => mapped,
                    Passage::PublicHalf => self.with_public_half(resource, mapped)?,
                }
            }
            Provider::Zone { name, skip_prefixes } => {
                if sync::from_zone(resource) == Passage::Block {
                    return None;
                }
                let mapped = sync::to_global(resource, name, skip_prefixes);
                if resource.key.kind == Kind::DATAPLANE_INSIGHT {
                    match patch::without_generations(&mapped.spec) {
                        Ok(spec) => Outgoing { spec, ..mapped },
                        Err(broken) => {
                            self.metrics.generation_failed();
                            warn!(target: "kds", resource = %resource.key, error = %broken, "not sent to global");
                            return None;
                        }
                    }
                } else {
                    mapped
                }
            }
        };
        Some(convert::entry(resource.key.kind, outgoing))
    }

    /// Zones verify and never sign: they get the public half of a key. One unusable key is left out and blocks nobody.
    fn with_public_half(&self, resource: &Resource, mapped: Outgoing) -> Option<Outgoing> {
        use prost::Message as _;
        use wire::kuma::system::v1alpha1::Secret;
        match tokens::public_half(&secret_data(&resource.spec).unwrap_or_default()) {
            Ok(pem) => {
                let spec = Secret { data: Some(pem.into_bytes()) }.encode_to_vec().into();
                Some(Outgoing { spec, ..mapped })
            }
            Err(problem) => {
                self.metrics.generation_failed();
                error!(target: "kds", secret = resource.key.name, problem = %problem, "a signing key is unusable; zones do not get its public half");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
