//! Makes what a fresh control plane has: signing keys, the admin's token, CAs, the id of the cluster, the default mesh,
//! host name generators, and on a zone the zone itself (contract: rest 2.4, 2.5, 3; kds 8.1).
//!
//! Runs at every start, in one transaction, and only adds: what is there is never written again, but for an admin
//! token that is dead because its key was replaced or deleted or its time is over. A signing key is
//! made when its family has none at all, so that a key that was deleted after a rotation stays deleted. What belongs
//! to a mesh is made with the mesh alone. Default mesh, generators, CAs, cluster id and admin token do come back at
//! the next start when they were deleted; settings say that mesh, generators and token are not wanted.

mod authority;
mod secrets;

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use model::{
    Key, Kind, Labels, Resource, defaults,
    reserved::{ADMIN_TOKEN, CLUSTER_ID},
    secret,
};
use prost::Message as _;
use store::{Batch, Outcome, Precondition, Query, ResourceStore, StoreError, Stored, Write};
use thiserror::Error;
use tokens::Family;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    issuing::{KeyNotMade, new_signing_key},
    records::{
        self,
        rotation::{self, Rotations},
    },
    writes::{MeshDefaults, Side, mesh_batch, missing_authorities},
};
use secrets::Secrets;

/// The name of the mesh that a fresh control plane has.
pub(crate) const DEFAULT_MESH: &str = "default";
/// How often a plan is made anew because another instance wrote meanwhile.
const ATTEMPTS: usize = 5;

/// What a fresh control plane should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The secret `admin-user-token` (`apiServer.authn.tokens.bootstrapAdminToken`).
    pub admin_token: bool,
    /// The mesh `default` (not `defaults.skipMeshCreation`).
    pub default_mesh: bool,
    /// The policies of that mesh.
    pub mesh_defaults: MeshDefaults,
    /// Host name generators (not `defaults.SkipHostnameGenerators`).
    pub hostname_generators: bool,
    /// Families whose tokens are signed outside of the store: no key is made for them.
    pub signed_outside: BTreeSet<Family>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            admin_token: true,
            default_mesh: true,
            mesh_defaults: MeshDefaults::AsTheMeshSays,
            hostname_generators: true,
            signed_outside: BTreeSet::new(),
        }
    }
}

/// Why a control plane could not make what it needs.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// The store refused.
    #[error("cannot write the resources of a fresh control plane")]
    Store {
        /// What it said.
        source: StoreError,
    },
    /// A CA could not be made.
    #[error("cannot make a certificate authority")]
    Authority {
        /// What the certificate library said.
        source: rcgen::Error,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyNotMade),
    /// The admin's token could not be written down in the ledger.
    #[error("cannot write the entry of the admin's token into the ledger of tokens")]
    Ledger(#[from] serde_json::Error),
}

/// Makes what a fresh global control plane has; returns what was missing.
pub async fn global(
    store: &Arc<dyn ResourceStore>,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Vec<Key>, BootstrapError> {
    run(store, &Side::Global, wanted, now).await
}

/// Makes what a fresh zone has; returns what was missing. Zones of other names are deleted.
pub async fn zone(
    store: &Arc<dyn ResourceStore>,
    side: &Side,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Vec<Key>, BootstrapError> {
    run(store, side, wanted, now).await
}

async fn run(
    store: &Arc<dyn ResourceStore>,
    side: &Side,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Vec<Key>, BootstrapError> {
    let mut attempt = 1;
    loop {
        let batch = plan(store, side, wanted, now).await?;
        let keys: Vec<Key> = batch.writes.iter().map(key_of).collect();
        if keys.is_empty() {
            return Ok(keys);
        }
        match store.apply(batch).await {
            Ok(applied) => {
                let renewed = keys
                    .iter()
                    .zip(&applied.outcomes)
                    .any(|(key, outcome)| key.name == ADMIN_TOKEN && *outcome == Outcome::Updated);
                let created =
                    keys.into_iter().zip(applied.outcomes).filter(|(_, outcome)| *outcome == Outcome::Created);
                // An entry of the ledger goes with the token that it is about.
                let created = created.map(|(key, _)| key).filter(|key| key.kind != Kind::RECORD);
                let created: Vec<Key> = created.collect();
                tell(&created);
                if renewed {
                    info!("the stored admin token could no longer be used (key gone or expired): a new one was made");
                }
                return Ok(created);
            }
            // Another instance made some of it; what is left is a shorter plan.
            Err(StoreError::AlreadyExists { .. } | StoreError::Conflict { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(source) => return Err(BootstrapError::Store { source }),
        }
    }
}

fn key_of(write: &Write) -> Key {
    match write {
        Write::Put { resource, .. } => resource.key.clone(),
        Write::Delete { key, .. } => key.clone(),
    }
}

fn tell(created: &[Key]) {
    for key in created {
        info!(kind = key.kind.name, name = %key.name, mesh = %key.mesh, "made for this control plane");
    }
    if created.iter().any(|key| key.name == ADMIN_TOKEN) {
        info!(
            "the admin's token is in the global secret `admin-user-token`: read it on this machine from /global-secrets/admin-user-token of the API server"
        );
    }
}

/// Looks at what is there and lists what is missing.
async fn plan(
    store: &Arc<dyn ResourceStore>,
    side: &Side,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Batch, BootstrapError> {
    let mut missing = Missing { store, now, writes: Vec::new() };
    missing.secrets(side, wanted).await?;
    if side.zone().is_none() || matches!(side, Side::LoneZone(_)) {
        missing.cluster_id().await?;
        if wanted.default_mesh {
            missing.default_mesh(side, wanted.mesh_defaults).await?;
        }
    }
    match side.zone() {
        Some(zone) => missing.own_zone(zone).await?,
        None => missing.mesh_authorities().await?,
    }
    if wanted.hostname_generators {
        missing.hostname_generators(side).await?;
    }
    Ok(Batch::of(missing.writes))
}

/// Collects what is missing.
struct Missing<'a> {
    store: &'a Arc<dyn ResourceStore>,
    now: Timestamp,
    writes: Vec<Write>,
}

impl Missing<'_> {
    async fn secrets(&mut self, side: &Side, wanted: &Wanted) -> Result<(), BootstrapError> {
        let mut secrets = Secrets::of(&self.stored(Kind::GLOBAL_SECRET).await?);
        // A zone that belongs to a global one verifies zone tokens with that one's public key.
        let (families, authorities): (&[Family], _) = match side {
            Side::Global => (&[Family::ControlPlane, Family::Zone, Family::User], [Some(&authority::INTER_CP), None]),
            Side::LoneZone(_) => {
                (&[Family::Zone, Family::User], [Some(&authority::INTER_CP), Some(&authority::ENVOY_ADMIN)])
            }
            Side::FederatedZone(_) => (&[Family::User], [Some(&authority::INTER_CP), Some(&authority::ENVOY_ADMIN)]),
        };
        for family in families.iter().filter(|family| !wanted.signed_outside.contains(family)) {
            secrets.add_key(family).await?;
        }
        if wanted.admin_token && wanted.signed_outside.contains(&Family::User) {
            if !secrets.has(ADMIN_TOKEN) {
                info!(
                    "no admin token was made, for tokens of users are signed outside of the store: `kumactl generate \
                     user-token` on this machine makes one"
                );
            }
        } else if wanted.admin_token {
            // A key that a rotation holds ready signs nothing yet, the admin's token neither.
            let rotations = records::get::<Rotations>(&**self.store, &rotation::rest(&Family::User)).await;
            let made = match rotations {
                Ok(kept) => {
                    let state = kept.map(|kept| kept.record.state).unwrap_or_default();
                    secrets.add_admin_token(&state, self.now).map_err(|reason| reason.to_string())
                }
                Err(problem) => Err(problem.to_string()),
            };
            if let Err(reason) = made {
                warn!(%reason, "no admin token was made");
            }
        }
        for authority in authorities.into_iter().flatten() {
            secrets.add_authority(authority, self.now)?;
        }
        for entry in secrets.tokens() {
            self.writes.push(records::write(entry, Precondition::Absent, self.now)?);
        }
        for (name, data, expect) in secrets.into_new() {
            let resource = self.resource(Key::global(Kind::GLOBAL_SECRET, name), Labels::new(), secret::encode(&data));
            self.writes.push(Write::Put { resource, expect });
        }
        Ok(())
    }

    async fn cluster_id(&mut self) -> Result<(), BootstrapError> {
        let key = Key::global(Kind::CONFIG, CLUSTER_ID);
        if self.has(&key).await? {
            return Ok(());
        }
        let config = wire::kuma::system::v1alpha1::Config { config: Uuid::new_v4().to_string() };
        self.put(key, Labels::new(), config.encode_to_vec().into());
        Ok(())
    }

    async fn default_mesh(&mut self, side: &Side, policies: MeshDefaults) -> Result<(), BootstrapError> {
        let key = Key::global(Kind::MESH, DEFAULT_MESH);
        if self.has(&key).await? {
            return Ok(());
        }
        let signing_key = new_signing_key().await?;
        let mesh = self.resource(key, Labels::new(), Bytes::new());
        self.writes.extend(mesh_batch(mesh, side, &signing_key, policies).writes);
        Ok(())
    }

    /// A mesh that an earlier version stored may lack what its builtin backends need.
    async fn mesh_authorities(&mut self) -> Result<(), BootstrapError> {
        for mesh in self.all(Kind::MESH).await? {
            match missing_authorities(&**self.store, &mesh, self.now).await {
                Ok(writes) => self.writes.extend(writes),
                // The mesh is no worse than before, and everything else can start.
                Err(reason) => {
                    warn!(mesh = %mesh.key.name, %reason, "the certificate authorities of a mesh were not made");
                }
            }
        }
        Ok(())
    }

    /// A zone knows itself and no other zone.
    async fn own_zone(&mut self, zone: &str) -> Result<(), BootstrapError> {
        let mut known = false;
        for other in self.all(Kind::ZONE).await? {
            if other.key.name == zone {
                known = true;
            } else {
                self.writes.push(Write::Delete { key: other.key.clone(), expect: Precondition::Any });
            }
        }
        if !known {
            self.put(Key::global(Kind::ZONE, zone), Labels::new(), Bytes::new());
        }
        Ok(())
    }

    async fn hostname_generators(&mut self, side: &Side) -> Result<(), BootstrapError> {
        let generators = match side {
            Side::Global => defaults::global_hostname_generators(),
            Side::FederatedZone(_) | Side::LoneZone(_) => defaults::zone_hostname_generators(),
        };
        for (kind, name, labels, spec) in generators {
            let key = Key::global(kind, name);
            if !self.has(&key).await? {
                self.put(key, labels, spec);
            }
        }
        Ok(())
    }

    async fn has(&self, key: &Key) -> Result<bool, BootstrapError> {
        let found = self.store.get(key).await.map_err(|source| BootstrapError::Store { source })?;
        Ok(found.is_some())
    }

    async fn all(&self, kind: Kind) -> Result<Vec<Arc<Resource>>, BootstrapError> {
        Ok(self.stored(kind).await?.into_iter().map(|stored| stored.resource).collect())
    }

    async fn stored(&self, kind: Kind) -> Result<Vec<Stored>, BootstrapError> {
        let page = self.store.list(&Query::all(kind)).await.map_err(|source| BootstrapError::Store { source })?;
        Ok(page.items)
    }

    fn put(&mut self, key: Key, labels: Labels, spec: Bytes) {
        let resource = self.resource(key, labels, spec);
        self.writes.push(Write::Put { resource, expect: Precondition::Absent });
    }

    fn resource(&self, key: Key, labels: Labels, spec: Bytes) -> Resource {
        let status = key.kind.empty_status.map(|status| Bytes::from_static(status.as_bytes()));
        Resource { key, labels, spec, status, owner: None, created: self.now, modified: self.now }
    }
}

#[cfg(test)]
mod tests;
