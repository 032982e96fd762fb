//! What a zone had before it joined a global, and would lose by it (contract: kds 6.6).
//!
//! The first response of a kind that zones do not provide is authoritative: what it does not name is deleted, and with a
//! mesh everything in it. A zone that was alone may have meshes of its own. So the first time such a response comes, it is
//! compared with what is here before it is applied:
//!
//! ```text
//! first response ── deletes nothing of ours ───────────────────▶ apply, the kind has joined
//!                └─ would delete ─ deleteOwnMeshes ─▶ write a copy ▶ apply, the kind has joined
//!                                └ otherwise ──────▶ refuse, name it, keep everything
//! ```
//!
//! That a kind has joined is kept in a file of the work folder, and in the store where instances of the zone share one: after
//! that global decides, at every restart. A zone that starts without a global has left, and is asked again when it comes back.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use model::{Audience, Key, Kind, Resource, Scope, Writable, document, labels, reserved::CLUSTER_ID};
use serde_json::{Map, Value, json};
use store::{Precondition, Query, ResourceStore, StoreError};
use sync::{Plan, Side, WireName};
use thiserror::Error;
use tracing::{info, warn};

use super::shared::Shared;
use crate::{bootstrap::DEFAULT_MESH, files, records::RecordError};

/// So many resources are named; the rest is counted.
const NAMED: usize = 10;
/// Labels that the control plane computes anew wherever the copy is applied.
const COMPUTED_LABELS: [&str; 4] = [labels::ORIGIN, labels::ZONE, labels::ENV, labels::MESH];
/// Members of a resource that are computed.
const COMPUTED_MEMBERS: [&str; 5] = ["creationTime", "modificationTime", "kri", "snis", "status"];

/// Why a response is not applied.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// It would delete what the operator may want to keep.
    #[error("joining would delete {}", named(.0))]
    WouldDelete(Vec<Key>),
    /// The copy of what goes could not be written.
    #[error("cannot write the copy of what joining deletes to `{}`: {cause}", path.display())]
    NoCopy {
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The store cannot be read.
    #[error("cannot read what is here: {0}")]
    Store(StoreError),
}

/// Guards what the zone had before it joined.
pub(crate) struct OwnMeshes {
    folder: PathBuf,
    zone: String,
    /// `multizone.zone.kds.deleteOwnMeshes`.
    delete: bool,
    /// Whether the store outlives the program; only then is the file of use.
    durable: bool,
    /// Where other instances of the zone find what has joined.
    shared: Option<Arc<Shared>>,
    /// The kinds that have joined, by name.
    joined: Mutex<BTreeSet<String>>,
    /// Why the zone has not joined, if it refused last time.
    refusal: Mutex<Option<Refusal>>,
}

impl OwnMeshes {
    /// Reads which kinds have joined. `durable` says that the store outlives the program.
    pub(crate) fn new(folder: &Path, zone: &str, delete: bool, durable: bool) -> Self {
        let text = if durable {
            files::read_text(&marker(folder, zone), files::TOKEN).unwrap_or_default()
        } else {
            String::new()
        };
        Self {
            folder: folder.to_path_buf(),
            zone: zone.to_owned(),
            delete,
            durable,
            shared: None,
            joined: Mutex::new(text.lines().map(str::to_owned).collect()),
            refusal: Mutex::default(),
        }
    }

    /// Keeps what has joined for the other instances of the zone, too.
    pub(crate) fn shared(self, shared: Option<Arc<Shared>>) -> Self {
        Self { shared, ..self }
    }

    /// Learns what has joined while another instance of the zone led.
    pub(super) async fn take_over(&self) -> Result<(), RecordError> {
        if let Some(shared) = &self.shared {
            let kinds = shared.joined().await?;
            lock(&self.joined).extend(kinds);
        }
        Ok(())
    }

    /// A zone that starts without a global has none any more.
    pub(crate) fn left(folder: &Path, zone: &str) -> io::Result<()> {
        match fs::remove_file(marker(folder, zone)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether a plan may be applied. With the setting, what it deletes is in a file when this returns.
    pub(super) async fn admit(&self, store: &dyn ResourceStore, plan: &Plan, now: Timestamp) -> Result<(), ()> {
        let admitted = self.judge(store, plan, now).await;
        let admitted = admitted.map_err(|refusal| *lock(&self.refusal) = Some(refusal));
        if admitted.is_ok() {
            self.give_way(store, plan).await;
        }
        admitted
    }

    /// Takes the reason of a refusal, once.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).take()
    }

    /// A first response was applied: from now on global decides about the kind.
    pub(super) async fn applied(&self, kind: Kind) {
        if kind.flow.provided_by_zone() || !lock(&self.joined).insert(kind.name.to_owned()) || !self.durable {
            return;
        }
        if let Some(shared) = &self.shared {
            let kinds = lock(&self.joined).clone();
            if let Err(error) = shared.keep_joined(kinds).await {
                warn!(%error, "cannot note in the store that this zone has joined, another instance of it will look for meshes of its own");
            }
        }
        let text: String = lock(&self.joined).iter().map(|kind| format!("{kind}\n")).collect();
        let path = marker(&self.folder, &self.zone);
        let file = path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&file, &text)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            warn!(path = %path.display(), %error, "cannot note that this zone has joined, it will look for meshes of its own again");
        }
    }

    /// Whether global decides about a kind already. Of another one nothing is said to be here: global would take what this
    /// zone made for what it sent once, and delete it.
    pub(super) fn has_joined(&self, kind: Kind) -> bool {
        kind.flow.provided_by_zone() || lock(&self.joined).contains(kind.name)
    }

    async fn judge(&self, store: &dyn ResourceStore, plan: &Plan, now: Timestamp) -> Result<(), Refusal> {
        if self.has_joined(plan.kind) {
            return Ok(());
        }
        let goes = gone(store, plan).await.map_err(Refusal::Store)?;
        let losses: Vec<Key> =
            goes.iter().filter(|going| going.is_loss).map(|going| going.resource.key.clone()).collect();
        if losses.is_empty() {
            return Ok(());
        }
        if !self.delete {
            return Err(Refusal::WouldDelete(losses));
        }
        let text = copy(goes.iter().map(|going| &*going.resource));
        let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("deleted-on-joining-{}-{}-{stamp}.yaml", self.zone, plan.kind.name.to_lowercase());
        let path = self.folder.join(name);
        let file = path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&file, &text)).await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                warn!(copy = %path.display(), deleted = %named(&losses), "joining deletes what this zone had of its own, as multizone.zone.kds.deleteOwnMeshes says; kumactl apply takes the copy");
                Ok(())
            }
            Err(cause) => Err(Refusal::NoCopy { path, cause }),
        }
    }

    /// The id of the cluster is global's as soon as there is one: the own one gives way to it.
    async fn give_way(&self, store: &dyn ResourceStore, plan: &Plan) {
        let comes = |received: &sync::Received| received.name.name == CLUSTER_ID;
        if plan.kind != Kind::CONFIG || !plan.resources.iter().any(comes) {
            return;
        }
        let key = Key::global(Kind::CONFIG, CLUSTER_ID);
        let Ok(Some(own)) = store.get(&key).await else { return };
        if is_own(&own.resource) && store.delete(&key, Precondition::Version(own.version)).await.is_ok() {
            info!("this zone takes the cluster id of the global control plane");
        }
    }
}

/// A resource that a plan deletes.
struct Going {
    resource: Arc<Resource>,
    /// Whether anybody made or changed it; what the control plane made for itself at its first start is no loss.
    is_loss: bool,
}

/// What a response deletes of what global never sent, with everything in the meshes among it: a first one what it does not
/// name, another one what it says is gone.
async fn gone(store: &dyn ResourceStore, plan: &Plan) -> Result<Vec<Going>, StoreError> {
    let invalid = plan.invalid.iter().chain(&plan.named_before);
    let stays: BTreeSet<&WireName> = plan.resources.iter().map(|received| &received.name).chain(invalid).collect();
    let mut going = Vec::new();
    for stored in store.list(&Query::all(plan.kind)).await?.items {
        let resource = stored.resource;
        let name = WireName { mesh: resource.key.mesh.clone(), name: resource.key.name.clone() };
        let goes = if plan.initial { !stays.contains(&name) } else { plan.removed.contains(&name) };
        if !goes || !is_own(&resource) || !sync::in_scope(plan.kind, &resource, Side::Zone) {
            continue;
        }
        let mesh = Arc::clone(&resource);
        if can_be_applied(plan.kind) {
            let is_loss = !is_fresh_mesh(&resource);
            going.push(Going { resource, is_loss });
        }
        if plan.kind != Kind::MESH {
            continue;
        }
        for kind in Kind::all().filter(|kind| kind.scope == Scope::Mesh && can_be_applied(*kind)) {
            for stored in store.list(&Query::in_mesh(kind, &*mesh.key.name)).await?.items {
                let resource = stored.resource;
                let is_loss = !(is_fresh_mesh(&mesh) && is_made_with(&mesh, &resource));
                going.push(Going { resource, is_loss });
            }
        }
    }
    // kumactl applies in this order: keys replace those that the mesh makes for itself.
    going.sort_by_key(|going| {
        let kind = going.resource.key.kind;
        (kind != Kind::MESH, kind != Kind::SECRET)
    });
    Ok(going)
}

fn can_be_applied(kind: Kind) -> bool {
    kind.in_rest && kind.writable != Writable::Never
}

fn is_own(resource: &Resource) -> bool {
    resource.labels.get(labels::ORIGIN).map(String::as_str) != Some(labels::ORIGIN_GLOBAL)
}

/// The mesh `default` as a control plane makes it at its first start.
fn is_fresh_mesh(resource: &Resource) -> bool {
    let is_default = resource.key == Key::global(Kind::MESH, DEFAULT_MESH);
    is_default && resource.spec.is_empty() && resource.created == resource.modified
}

/// Policies and keys of a mesh are made in one transaction with it, at one time.
fn is_made_with(mesh: &Resource, resource: &Resource) -> bool {
    resource.created == mesh.created && resource.modified == resource.created
}

/// The first names, and how many there are beside.
fn named(keys: &[Key]) -> String {
    let mut text = keys.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = keys.len().checked_sub(NAMED) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn name(key: &Key) -> String {
    let kind = key.kind.name;
    if key.mesh.is_empty() {
        format!("{kind} `{}`", key.name)
    } else {
        format!("{kind} `{}` of mesh `{}`", key.name, key.mesh)
    }
}

/// The resources as `kumactl apply` takes them.
fn copy<'a>(resources: impl Iterator<Item = &'a Resource>) -> String {
    let mut text = String::new();
    let mut comment = "# What this zone deleted when it joined a global control plane. May hold secrets.\n";
    for resource in resources {
        let mut shown = document::to_rest(resource, None, Audience::Administrator);
        if let Some(members) = shown.as_object_mut() {
            without_computed(members);
            if resource.key.kind == Kind::MESH {
                // Those it had are in the copy.
                members.insert("skipCreatingInitialPolicies".to_owned(), json!(["*"]));
            }
        }
        // JSON is YAML, and says each text as it is.
        text.push_str(&format!("---\n{comment}{shown:#}\n"));
        comment = "";
    }
    text
}

fn without_computed(members: &mut Map<String, Value>) {
    members.retain(|name, _| !COMPUTED_MEMBERS.contains(&name.as_str()));
    if let Some(Value::Object(labels)) = members.get_mut("labels") {
        labels.retain(|name, _| !COMPUTED_LABELS.contains(&name.as_str()));
        if labels.is_empty() {
            members.retain(|name, _| name != "labels");
        }
    }
}

fn marker(folder: &Path, zone: &str) -> PathBuf {
    folder.join(format!("zone-{zone}.joined"))
}

/// Writes a file that only its owner reads; it is there as a whole, and durable, when this returns.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(folder)?.sync_all()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
