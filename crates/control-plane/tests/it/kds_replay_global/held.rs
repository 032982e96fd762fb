//! What the recorded global held, as its responses tell it, and the writes that make our store hold the same.
//!
//! A response names resources as they travel; here they get back the name and the labels under which they are stored. What
//! a zone made is left out: it reaches our store as it reached the recorded one, through ZoneToGlobalSync.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use control_plane::writes::{MeshDefaults, Side, mesh_batch};
use jiff::Timestamp;
use model::{Key, Kind, Resource, Scope, labels};
use prost::Message as _;
use store::{Precondition, Write};
use wire::{envoy::service::discovery::v3::DeltaDiscoveryResponse, kuma::mesh::v1alpha1::KumaResource};

use super::{global::Global, recording::Recording};

/// How a response tells what is held.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// Names carry their hash.
    pub(crate) hashed: bool,
    /// What it does not name is not there.
    pub(crate) complete: bool,
}

/// What the recorded global held so far.
pub(crate) struct Held {
    /// What our global made by itself: it is compared with the recording, not taken from it.
    own: BTreeSet<Key>,
    /// The versions told last, by name with or without hash.
    told: BTreeMap<(Key, bool), String>,
}

impl Held {
    /// What a global holds that just started.
    pub(crate) async fn at_start(global: &Global) -> Self {
        let mut own = BTreeSet::new();
        for kind in Kind::all() {
            own.extend(global.all(kind).await.iter().map(|resource| resource.key.clone()));
        }
        Self { own, told: BTreeMap::new() }
    }

    /// The writes after which our store holds what a response tells.
    pub(crate) async fn writes(
        &mut self,
        global: &Global,
        response: &DeltaDiscoveryResponse,
        told: Told,
    ) -> Vec<Write> {
        let Some(kind) = Kind::by_name(&response.type_url) else { return Vec::new() };
        let mut writes = Vec::new();
        let mut named = BTreeSet::new();
        for wire in &response.resources {
            named.insert(wire.name.clone());
            let Some(resource) = stored(kind, wire) else { continue };
            let seen = (resource.key.clone(), told.hashed);
            let before = self.told.insert(seen, wire.version.clone());
            let here = global.get(&resource.key).await;
            let same = here.as_ref().is_some_and(|here| {
                let sent = sync::to_zone(here, told.hashed, &[]);
                sent.labels == on_the_wire(&resource, told.hashed) && here.spec == resource.spec
            });
            let ours_stays = before.is_none() && self.own.contains(&resource.key) && !over_rest(&resource);
            if same || before.as_ref() == Some(&wire.version) || ours_stays {
                continue;
            }
            self.own.remove(&resource.key);
            writes.push(Write::Put { resource, expect: Precondition::Any });
        }
        for here in global.all(kind).await {
            if here.labels.contains_key(labels::ZONE) {
                continue;
            }
            let name = sync::to_zone(&here, told.hashed, &[]).name.to_string();
            let known = self.told.contains_key(&(here.key.clone(), told.hashed));
            let removed = response.removed_resources.contains(&name) && !named.contains(&name);
            if removed || (told.complete && known && !named.contains(&name)) {
                self.told.retain(|(key, _), _| *key != here.key);
                self.own.remove(&here.key);
                writes.push(Write::Delete { key: here.key.clone(), expect: Precondition::Any });
            }
        }
        writes
    }

    /// The writes of our global for a mesh that a response names and that is new, and of what comes with it in the same
    /// responses.
    pub(crate) async fn new_mesh(
        &mut self,
        global: &Global,
        (recording, index, connection): (&Recording, usize, u64),
        response: &DeltaDiscoveryResponse,
    ) -> Vec<Write> {
        let Some(name) = new_mesh(global, response).await else { return Vec::new() };
        let find = |(_, _, later): (_, _, DeltaDiscoveryResponse)| {
            (later.type_url == "Mesh")
                .then_some(later.resources)?
                .into_iter()
                .find(|one| one.name == format!("{name}."))
        };
        let mesh = recording.responses(index, connection).find_map(find).expect("the mesh itself comes too");
        let mesh = stored(Kind::MESH, &mesh).expect("a mesh of the global");
        self.told.insert((mesh.key.clone(), true), String::new());
        let mut writes =
            mesh_batch(mesh, &Side::Global, &tokens::generate_signing_key(), MeshDefaults::AsTheMeshSays).writes;
        let mut kinds = BTreeSet::new();
        for write in &writes {
            if let Write::Put { resource, .. } = write {
                kinds.insert(resource.key.kind);
                self.own.insert(resource.key.clone());
            }
        }
        for kind in kinds {
            let next = recording.responses(index, connection).find(|(_, _, later)| later.type_url == kind.name);
            let Some((_, _, later)) = next else { continue };
            writes.extend(self.writes(global, &later, Told { hashed: true, complete: false }).await);
        }
        writes
    }
}

/// The first mesh that a response names and that is not there.
async fn new_mesh(global: &Global, response: &DeltaDiscoveryResponse) -> Option<String> {
    let kind = Kind::by_name(&response.type_url)?;
    for wire in &response.resources {
        let resource = stored(kind, wire)?;
        let mesh = if kind == Kind::MESH { resource.key.name } else { resource.key.mesh };
        if !mesh.is_empty() && global.get(&Key::global(Kind::MESH, &mesh)).await.is_none() {
            return Some(mesh);
        }
    }
    None
}

/// What was written over REST and replaced what a global makes by itself: a 3.0 global gives it a display name. Its
/// cluster id is the recorded one's.
fn over_rest(resource: &Resource) -> bool {
    let kind = resource.key.kind;
    kind == Kind::CONFIG || (!kind.hashed && resource.labels.contains_key(labels::DISPLAY_NAME))
}

/// A resource as the recorded global stored it; `None` if a zone made it, or if it is the public half of a key.
fn stored(kind: Kind, wire: &wire::envoy::service::discovery::v3::Resource) -> Option<Resource> {
    let any = wire.resource.as_ref()?;
    let kuma = KumaResource::decode(any.value.as_slice()).expect("a recorded resource");
    let meta = kuma.meta?;
    if meta.labels.contains_key(labels::ZONE) || meta.name.starts_with("zone-token-signing-public-key") {
        return None;
    }
    let mut labels = meta.labels;
    labels.remove(labels::ORIGIN);
    let display = labels.get(labels::DISPLAY_NAME).filter(|_| kind.hashed).cloned();
    let name = display.unwrap_or(meta.name);
    let key = match kind.scope {
        Scope::Mesh => Key::in_mesh(kind, meta.mesh, name),
        Scope::Global => Key::global(kind, name),
    };
    Some(Resource {
        key,
        labels,
        spec: kuma.spec.map(|spec| Bytes::from(spec.value)).unwrap_or_default(),
        status: kind.empty_status.map(|status| Bytes::from_static(status.as_bytes())),
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    })
}

fn on_the_wire(resource: &Resource, hashed: bool) -> model::Labels {
    sync::to_zone(resource, hashed, &[]).labels
}
