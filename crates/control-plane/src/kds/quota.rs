//! How much of one zone a global keeps: a zone with a good token must not be able to fill the disk of its global, on which
//! the revocation of that token depends.
//!
//! Counted as it is written. What is here of a kind is counted anew with each first response, which looks at all of it
//! anyway; kinds that a zone has not reported since the start are looked at only when it comes near its quota.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{Key, Kind, Resource};
use store::Stored;
use sync::Change;

/// What resources come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    resources: usize,
    bytes: usize,
}

impl Usage {
    fn of(resource: &Resource) -> Self {
        let labels: usize = resource.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        let status = resource.status.as_ref().map_or(0, bytes::Bytes::len);
        let name = resource.key.mesh.len() + resource.key.name.len();
        Self { resources: 1, bytes: name + labels + resource.spec.len() + status }
    }

    pub(crate) fn sum<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Self {
        resources.into_iter().map(Self::of).fold(Self::default(), Self::plus)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            resources: self.resources.saturating_add(other.resources),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            resources: self.resources.saturating_sub(other.resources),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn fits(self, limit: Self) -> bool {
        self.resources <= limit.resources && self.bytes <= limit.bytes
    }
}

/// The quotas of all zones. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Quotas {
    limit: Usage,
    /// What each zone has of each kind, as far as it is known.
    zones: Arc<Mutex<BTreeMap<String, BTreeMap<&'static str, Usage>>>>,
}

impl Quotas {
    /// Returns quotas of so many resources and bytes for each zone.
    pub(crate) fn new(resources: usize, bytes: usize) -> Self {
        Self { limit: Usage { resources, bytes }, zones: Arc::default() }
    }

    /// Notes what is here of a kind of a zone.
    pub(crate) fn know(&self, zone: &str, kind: Kind, usage: Usage) {
        self.lock().entry(zone.to_owned()).or_default().insert(kind.name, usage);
    }

    /// Forgets what was known of a zone: it is a new one.
    pub(crate) fn forget(&self, zone: &str) {
        self.lock().remove(zone);
    }

    /// Which of these kinds have to be counted before these changes are admitted: none while the zone is far from its quota.
    pub(crate) fn uncounted(&self, zone: &str, changes: &[Change], kinds: impl Iterator<Item = Kind>) -> Vec<Kind> {
        let zones = self.lock();
        let none = BTreeMap::new();
        let known = zones.get(zone).unwrap_or(&none);
        let more = Usage::sum(changes.iter().filter_map(written));
        let after = known.values().copied().fold(more, Usage::plus);
        let near = Usage { resources: self.limit.resources / 2, bytes: self.limit.bytes / 2 };
        if after.fits(near) {
            return Vec::new();
        }
        kinds.filter(|kind| !known.contains_key(kind.name)).collect()
    }

    /// Keeps of the changes what fits into the quota: all that makes less of what is here, and of the rest the first.
    /// Returns what to tell the zone if something does not.
    pub(crate) fn admit(
        &self,
        zone: &str,
        kind: Kind,
        changes: &mut Vec<Change>,
        local: &BTreeMap<Key, Stored>,
    ) -> Option<String> {
        let zones = self.lock();
        let mut total =
            zones.get(zone).into_iter().flat_map(BTreeMap::values).copied().fold(Usage::default(), Usage::plus);
        drop(zones);
        let before = |key: &Key| local.get(key).map_or_else(Usage::default, |stored| Usage::of(&stored.resource));
        let (mut growing, mut kept) = (Vec::new(), Vec::new());
        for change in std::mem::take(changes) {
            match &change {
                Change::Delete(key) => total = total.minus(before(key)),
                Change::Create(resource) | Change::Update(resource) => {
                    let (old, new) = (before(&resource.key), Usage::of(resource));
                    if !new.fits(old) {
                        growing.push(change);
                        continue;
                    }
                    total = total.minus(old).plus(new);
                }
            }
            kept.push(change);
        }
        let mut refused = 0;
        let mut admitted = Vec::new();
        for change in growing {
            let Some(resource) = written(&change) else { continue };
            let after = total.minus(before(&resource.key)).plus(Usage::of(resource));
            if after.fits(self.limit) {
                total = after;
                admitted.push(change);
            } else {
                refused += 1;
            }
        }
        // Creates first, then deletes and updates, as they came.
        let (creates, updates): (Vec<_>, Vec<_>) =
            admitted.into_iter().partition(|change| matches!(change, Change::Create(_)));
        *changes = creates.into_iter().chain(kept).chain(updates).collect();
        (refused > 0).then(|| self.refusal(zone, kind, refused))
    }

    /// Notes that changes were written.
    pub(crate) fn wrote(&self, zone: &str, kind: Kind, changes: &[Change], local: &BTreeMap<Key, Stored>) {
        let mut zones = self.lock();
        let usage = zones.entry(zone.to_owned()).or_default().entry(kind.name).or_default();
        for change in changes {
            let key = match change {
                Change::Create(resource) | Change::Update(resource) => &resource.key,
                Change::Delete(key) => key,
            };
            if let Some(stored) = local.get(key) {
                *usage = usage.minus(Usage::of(&stored.resource));
            }
            *usage = usage.plus(written(change).map_or_else(Usage::default, Usage::of));
        }
    }

    fn refusal(&self, zone: &str, kind: Kind, refused: usize) -> String {
        let Usage { resources, bytes } = self.limit;
        format!(
            "user error\nquota: {refused} resources of type {} are not taken: zone `{zone}` may keep {resources} resources of \
             {bytes} bytes together here; remove some, or raise multizone.global.kds.zoneQuota on global",
            kind.name
        )
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<&'static str, Usage>>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written(change: &Change) -> Option<&Resource> {
    match change {
        Change::Create(resource) | Change::Update(resource) => Some(resource),
        Change::Delete(_) => None,
    }
}
