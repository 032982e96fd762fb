//! Resources for the cases, and short names for what they do.

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};

use super::Shared;
use crate::{Applied, Batch, Precondition, StoreError, Version, Write};

/// A kind that lives in meshes.
pub(super) fn policy() -> Kind {
    kind("MeshTimeout")
}

pub(super) fn kind(name: &str) -> Kind {
    Kind::by_name(name).unwrap()
}

pub(super) fn mesh(name: &str) -> Key {
    Key::global(Kind::MESH, name)
}

pub(super) fn zone(name: &str) -> Key {
    Key::global(Kind::ZONE, name)
}

pub(super) fn timeout(mesh: &str, name: &str) -> Key {
    Key::in_mesh(policy(), mesh, name)
}

/// A resource that says `spec`.
pub(super) fn saying(key: &Key, spec: &str) -> Resource {
    Resource {
        key: key.clone(),
        labels: Labels::new(),
        spec: Bytes::copy_from_slice(spec.as_bytes()),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

pub(super) fn plain(key: &Key) -> Resource {
    saying(key, "{}")
}

pub(super) fn owned_by(owner: &Key, key: &Key) -> Resource {
    Resource { owner: Some(owner.clone()), ..plain(key) }
}

pub(super) fn labelled(key: &Key, labels: &[(&str, &str)]) -> Resource {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Resource { labels, ..plain(key) }
}

pub(super) fn put(resource: Resource) -> Write {
    Write::Put { resource, expect: Precondition::Any }
}

pub(super) fn create(resource: Resource) -> Write {
    Write::Put { resource, expect: Precondition::Absent }
}

pub(super) fn delete(key: &Key) -> Write {
    Write::Delete { key: key.clone(), expect: Precondition::Present }
}

pub(super) async fn try_apply(store: &Shared, writes: Vec<Write>) -> Result<Applied, StoreError> {
    store.apply(Batch::of(writes)).await
}

pub(super) async fn apply(store: &Shared, writes: Vec<Write>) -> Applied {
    try_apply(store, writes).await.unwrap()
}

/// Writes resources in one batch.
pub(super) async fn fill(store: &Shared, resources: impl IntoIterator<Item = Resource>) -> Version {
    apply(store, resources.into_iter().map(put).collect()).await.version
}

pub(super) async fn is_there(store: &Shared, key: &Key) -> bool {
    store.get(key).await.unwrap().is_some()
}

pub(super) async fn spec_of(store: &Shared, key: &Key) -> String {
    let stored = store.get(key).await.unwrap().unwrap();
    String::from_utf8(stored.resource.spec.to_vec()).unwrap()
}

/// Checks which of the resources are there, by name.
pub(super) async fn check_there(store: &Shared, keys: &[&Key], expected: &[&Key]) {
    let mut found = Vec::new();
    for key in keys {
        if is_there(store, key).await {
            found.push(*key);
        }
    }
    assert_eq!(found, expected);
}
