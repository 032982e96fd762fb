//! What this end provides, encoded: follows the store and publishes the snapshots of all kinds that flow away from here.
//!
//! A change is mapped and encoded once, whatever the number of zones; streams get the new snapshots and compute what
//! differs. Bursts that are ready together are published together. While the store is behind, zones keep what they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::anyhow;
use model::{Key, Kind, Resource, labels, secret};
use store::{Change, Kinds, Mirror, Picture, ResourceStore, WatchEnded};
use sync::{Entry, Features, Outgoing, Passage, Snapshot, WireName};
use tokio::{sync::watch, time::Instant};
use tracing::{error, warn};

use crate::{
    kds::messages::{convert, patch},
    observe::kds_metrics::{GenerationReason, KdsMetrics},
    tasks::{OnError, Tasks},
};

/// Which end provides, and how it maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    /// Global, for zones that have the hash-suffix feature or not.
    Global {
        /// Whether names get their hash.
        hashed: bool,
        /// Labels with these prefixes stay here.
        skip_prefixes: Vec<String>,
    },
    Zone {
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
pub(crate) struct World {
    kinds: BTreeMap<&'static str, Arc<Snapshot>>,
}

impl World {
    /// Returns the snapshots, sorted by kind.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
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
pub(crate) struct Snapshots {
    world: watch::Receiver<Arc<World>>,
}

impl Snapshots {
    /// Builds the first snapshots and keeps them up to date from then on. There are none before the first whole picture: a
    /// zone would take what is missing for deleted.
    pub(crate) async fn start(
        provider: Provider,
        store: &Arc<dyn ResourceStore>,
        metrics: &KdsMetrics,
        tasks: &Tasks,
    ) -> Result<Self, WatchEnded> {
        let mut kinds: Vec<Kind> = Kind::all().filter(|kind| provider.provides(*kind)).collect();
        kinds.push(Kind::ZONE);
        let mut mirror = Mirror::of(&**store, Kinds::Only(kinds));
        let mut builder = Builder::new(provider, metrics.clone());
        builder.look_at(&mirror.changes().await?, mirror.picture());
        let (sender, world) = watch::channel(Arc::new(builder.publish(mirror.picture())));
        tasks.spawn("kds-snapshots", OnError::StopProgram, follow(mirror, builder, sender, tasks.clone()));
        Ok(Self { world })
    }

    /// Follows the snapshots.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<World>> {
        self.world.clone()
    }
}

async fn follow(
    mut mirror: Mirror,
    mut builder: Builder,
    sender: watch::Sender<Arc<World>>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let changes = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changes = mirror.changes() => changes.map_err(|_ended| anyhow!("the store's watch ended"))?,
        };
        builder.look_at(&changes, mirror.picture());
        if !builder.dirty.is_empty() {
            let world = builder.publish(mirror.picture());
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

#[derive(Default)]
struct Changes {
    upserts: Vec<Entry>,
    removals: Vec<WireName>,
    /// The names that a resource has from now on.
    taken: Vec<WireName>,
}

/// What became of the resources. What they are is in the picture that the methods get.
struct Builder {
    provider: Provider,
    metrics: KdsMetrics,
    /// Why what is dirty is dirty.
    reason: GenerationReason,
    /// How many whole pictures were looked at.
    pictures: usize,
    zones_disabled: BTreeSet<String>,
    /// Under which name each resource went out.
    names: BTreeMap<Key, WireName>,
    /// Names that more than one resource goes out under, by kind.
    shared: BTreeSet<(&'static str, WireName)>,
    kinds: BTreeMap<&'static str, Arc<Snapshot>>,
    dirty: BTreeSet<Key>,
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
            pictures: 0,
            zones_disabled: BTreeSet::new(),
            names: BTreeMap::new(),
            shared: BTreeSet::new(),
            kinds,
            dirty: BTreeSet::new(),
        }
    }

    /// Notes what has to be looked at again because of these changes.
    fn look_at(&mut self, changes: &[Change], picture: &Picture) {
        if picture.times_whole() != self.pictures {
            self.pictures = picture.times_whole();
            self.reason = GenerationReason::Resync;
        }
        let mut zones = BTreeSet::new();
        let mut meshes = BTreeSet::new();
        for change in changes {
            let key = change.key();
            let (was_there, now) = match change {
                Change::Set { was, now } => (was.is_some(), Some(&*now.resource)),
                Change::Gone { .. } => (true, None),
            };
            if key.kind == Kind::ZONE && self.set_disabled(&key.name, now) {
                zones.insert(key.name.as_str());
            }
            if !self.provider.provides(key.kind) {
                continue;
            }
            if key.kind == Kind::MESH && now.is_some() != was_there {
                meshes.insert(key.name.as_str());
            }
            self.dirty.insert(key.clone());
        }
        if zones.is_empty() && meshes.is_empty() {
            return;
        }
        // A zone that was disabled or enabled takes its resources away from the other zones or gives them back. What zones
        // report of a mesh goes to other zones while the mesh exists: a zone may well report what it has of one that was
        // deleted, and must not make others see meshes that nobody made.
        let affected = picture.stored().map(|stored| &stored.resource).filter(|resource| {
            let key = &resource.key;
            key.kind.flow.across_zones()
                && self.provider.provides(key.kind)
                && (meshes.contains(key.mesh.as_str())
                    || sync::origin_zone(resource).is_some_and(|zone| zones.contains(zone)))
        });
        self.dirty.extend(affected.map(|resource| resource.key.clone()));
    }

    /// Returns whether the zone was disabled or enabled.
    fn set_disabled(&mut self, name: &str, zone: Option<&Resource>) -> bool {
        use prost::Message as _;
        use wire::kuma::system::v1alpha1::Zone;
        let disabled =
            zone.is_some_and(|zone| Zone::decode(zone.spec.clone()).is_ok_and(|zone| zone.enabled == Some(false)));
        if disabled { self.zones_disabled.insert(name.to_owned()) } else { self.zones_disabled.remove(name) }
    }

    fn is_of_unknown_mesh(resource: &Resource, picture: &Picture) -> bool {
        let mesh = &resource.key.mesh;
        !mesh.is_empty()
            && resource.labels.get(labels::ORIGIN).is_some_and(|origin| origin == labels::ORIGIN_ZONE)
            && picture.get(&Key::global(Kind::MESH, mesh.as_str())).is_none()
    }

    fn publish(&mut self, picture: &Picture) -> World {
        let start = Instant::now();
        let mut changed = false;
        let mut changes: BTreeMap<&'static str, Changes> = BTreeMap::new();
        for key in std::mem::take(&mut self.dirty) {
            let entry = picture.get(&key).and_then(|stored| self.encode(&stored.resource, picture));
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
            self.settle_shared_names(kind, &mut changes, picture);
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
    fn settle_shared_names(&mut self, kind: &'static str, changes: &mut Changes, picture: &Picture) {
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
            let resources = owners.iter().filter_map(|key| picture.get(key)).map(|stored| &stored.resource);
            let first = resources.min_by_key(|one| (one.key.name != name.name, one.created, one.key.clone()));
            match first.and_then(|resource| self.encode(resource, picture)) {
                Some(entry) => changes.upserts.push(entry),
                None => changes.removals.push(name.clone()),
            }
            if owners.len() < 2 {
                self.shared.remove(&(kind, name.clone()));
            } else if self.shared.insert((kind, name.clone())) {
                let resource = first.map(|first| first.key.to_string());
                warn!(kind, name = %name, resource, others = owners.len() - 1, "several resources have one name for the zones, which get the first one only");
            }
        }
    }

    /// Filters, maps and encodes one resource; `None` if it stays here.
    fn encode(&self, resource: &Resource, picture: &Picture) -> Option<Entry> {
        let outgoing = match &self.provider {
            Provider::Global { .. } if Self::is_of_unknown_mesh(resource, picture) => return None,
            Provider::Global { hashed, skip_prefixes } => {
                let enabled = |zone: &str| !self.zones_disabled.contains(zone);
                let passage = sync::from_global(resource, &enabled);
                let mapped = sync::to_zone(resource, *hashed, skip_prefixes);
                match passage {
                    Passage::Block => return None,
                    Passage::Pass => readable(resource, mapped),
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
                            warn!(resource = %resource.key, error = %broken, "not sent to global");
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
        let data = secret::decode(&resource.spec).unwrap_or_default();
        match tokens::public_half(&data) {
            Ok(pem) => Some(Outgoing { spec: secret::encode(pem.as_bytes()), ..readable(resource, mapped) }),
            Err(problem) => {
                self.metrics.generation_failed();
                error!(secret = resource.key.name, problem = %problem, "a signing key is unusable; zones do not get its public half");
                None
            }
        }
    }
}

/// What a real zone would choke on goes to zones of ours only: it would verify and issue nothing with such a key.
fn readable(resource: &Resource, mapped: Outgoing) -> Outgoing {
    let Key { kind, mesh, name } = &resource.key;
    let is_secret = [Kind::SECRET, Kind::GLOBAL_SECRET].contains(kind);
    if !is_secret || !tokens::only_ours_read(mesh, name, &secret::decode(&resource.spec).unwrap_or_default()) {
        return mapped;
    }
    let add = |needs| needs | Features::KEY_ALGORITHMS;
    Outgoing { needs: add(mapped.needs), needs_for_all: add(mapped.needs_for_all), ..mapped }
}

#[cfg(test)]
mod tests;
