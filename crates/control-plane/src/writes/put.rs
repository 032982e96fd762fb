//! Creating and changing one resource (contract: rest 1.9).

use bytes::Bytes;
use model::{Key, Kind, Resource, Scope, defaults, document, labels as known, validate};
use store::{Batch, Precondition, Stored, Write};
use tracing::info;

use super::{Operation, Side, WriteError, Writes, keys, labels, mesh, retry_on_conflict};
use crate::{
    access::Permit,
    issuing::{KeyNotMade, new_signing_key},
    observe::shown,
};

/// What a PUT did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The resource is new.
    Created,
    /// The resource was there.
    Updated,
}

/// What a PUT did, and what its author should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it did.
    pub put: Put,
    /// What of the document has no effect, or not everywhere.
    pub warnings: Vec<String>,
}

impl Writes {
    /// Creates or replaces a resource from a REST body. Durable when it returns.
    pub async fn put(
        &self,
        permit: &Permit,
        kind: Kind,
        mesh: &str,
        name: &str,
        body: &[u8],
    ) -> Result<Written, WriteError> {
        let attempt = || self.try_put(permit, kind, mesh, name, body);
        let result = retry_on_conflict(&Key::of(kind, mesh, name), attempt).await;
        let Some(line) = self.line(permit, &result) else { return result };
        let said = match &result {
            Ok(Written { put: Put::Created, .. }) => "created".to_owned(),
            Ok(Written { put: Put::Updated, .. }) => "updated".to_owned(),
            Err(error) => error.said(),
        };
        let (mesh, name) = (shown::name(mesh), shown::name(name));
        info!(
            caller = %shown::name(&permit.caller().to_string()), method = "PUT", kind = kind.name,
            mesh = &*mesh, name = &*name, result = said, left_out = line.told(), "resource written"
        );
        result
    }

    async fn try_put(
        &self,
        permit: &Permit,
        kind: Kind,
        mesh: &str,
        name: &str,
        body: &[u8],
    ) -> Result<Written, WriteError> {
        self.writable(kind)?;
        permit.write(kind)?;
        self.mesh_exists(kind, mesh).await?;
        let body = document::from_rest(kind, body)?;
        let key = Key::of(kind, mesh, name);
        let stored =
            self.store.get(&key).await.map_err(|source| WriteError::Store { operation: Operation::Find, source })?;
        let violations = labels::check_meta(&self.rules, kind, mesh, name, &body);
        if !violations.is_empty() {
            return Err(WriteError::Invalid { operation: Operation::Check, violations });
        }
        let new_labels = labels::computed(&self.rules, kind, mesh, name, &body.labels, &body.spec);
        if kind == Kind::ZONE {
            // In shadow whoever says the name of the zone is let in: that is as good as a token for it.
            let before = stored.as_ref().and_then(|stored| stored.resource.labels.get(known::AUTH));
            if before != new_labels.get(known::AUTH) {
                permit.write(Kind::GLOBAL_SECRET)?;
            }
        }
        let unread = self.unread_in_zones(&key, &body.spec).await?;
        let put = match stored {
            None => {
                self.check_workload(kind, &new_labels)?;
                if let Some(violation) = validate::display_name(kind, name) {
                    return Err(WriteError::Invalid { operation: Operation::Create, violations: vec![violation] });
                }
                if kind == Kind::MESH {
                    // A mesh comes with a signing key, in the place of what a mesh of this name left behind.
                    self.check_what_goes_with(permit, &key).await?;
                }
                self.create(key, new_labels, body.spec).await?;
                Put::Created
            }
            Some(stored) => {
                self.update(&stored, new_labels, body.spec).await?;
                Put::Updated
            }
        };
        Ok(Written { put, warnings: body.warnings.into_iter().chain(unread).collect() })
    }

    async fn create(&self, key: Key, labels: model::Labels, spec: Bytes) -> Result<(), WriteError> {
        self.check_secret(&key, &spec).await?;
        let now = self.clock.now();
        let kind = key.kind;
        let resource = Resource {
            owner: (kind.scope == Scope::Mesh).then(|| Key::global(Kind::MESH, &key.mesh)),
            key,
            labels,
            spec,
            status: defaults::status(kind),
            created: now,
            modified: now,
        };
        let failed = |source| WriteError::Store { operation: Operation::Create, source };
        if kind == Kind::MESH {
            let authorities = self.authorities(&resource).await?;
            let key = new_signing_key().await.map_err(|KeyNotMade| WriteError::NoKey)?;
            let mut batch = mesh::mesh_batch(resource, &self.rules.side, &key, self.rules.mesh_defaults);
            batch.writes.extend(authorities);
            self.store.apply(batch).await.map_err(failed)?;
        } else {
            let key = resource.key.clone();
            let mut writes = vec![Write::Put { resource, expect: Precondition::Absent }];
            writes.extend(keys::conditions(&key));
            let batch = Batch { importance: keys::importance(&key), ..Batch::of(writes) };
            self.store.apply(batch).await.map_err(|source| keys::refused(Operation::Create, &key, source))?;
        }
        Ok(())
    }

    async fn update(&self, stored: &Stored, labels: model::Labels, spec: Bytes) -> Result<(), WriteError> {
        let old = &stored.resource;
        let key = &old.key;
        let violations = labels::check_kept(&self.rules, &old.labels, &labels);
        if !violations.is_empty() {
            return Err(WriteError::Invalid { operation: Operation::Update, violations });
        }
        let field = format!("labels[\"{}\"]", known::ORIGIN);
        let violations = labels::check_ours(&self.rules, key.kind, &old.labels, &field);
        if !violations.is_empty() {
            return Err(WriteError::Invalid { operation: Operation::Update, violations });
        }
        self.check_secret(key, &spec).await?;
        let resource = Resource {
            key: key.clone(),
            labels,
            spec,
            status: old.status.clone(),
            owner: old.owner.clone(),
            created: old.created,
            modified: self.clock.now(),
        };
        let authorities = self.authorities(&resource).await?;
        let mut writes = vec![Write::Put { resource, expect: Precondition::Version(stored.version) }];
        writes.extend(authorities);
        writes.extend(keys::conditions(key));
        let batch = Batch { importance: keys::importance(key), ..Batch::of(writes) };
        self.store.apply(batch).await.map_err(|source| keys::refused(Operation::Update, key, source))?;
        Ok(())
    }

    /// A proxy says its workload on a zone, in a form that can become a name.
    fn check_workload(&self, kind: Kind, labels: &model::Labels) -> Result<(), WriteError> {
        let Some(workload) = labels.get("kuma.io/workload").filter(|_| kind == Kind::DATAPLANE) else { return Ok(()) };
        if self.rules.side == Side::Global {
            return Err(WriteError::Workload { reason: "is not allowed on a global control plane".to_owned() });
        }
        let rule = "must be a valid DNS-1035 label (at most 63 characters, matching regex [a-z]([-a-z0-9]*[a-z0-9])?)";
        model::ZoneName::parse(workload)
            .map(drop)
            .map_err(|error| WriteError::Workload { reason: format!("{rule}: {error}") })
    }
}
