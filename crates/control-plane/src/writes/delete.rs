//! Deleting one resource and what belongs to it (contract: rest 1.12).

use std::{collections::BTreeSet, sync::Arc};

use model::{Key, Kind, Scope, insight};
use store::{Batch, Precondition, Query, StoreError, Stored, Write};
use tracing::info;

use super::{Operation, WriteError, Writes, labels, retry_on_conflict};
use crate::{
    access::{Denied, Permit},
    observe::shown,
};

impl Writes {
    /// Deletes a resource and everything it owns. Durable when it returns.
    pub async fn delete(&self, permit: &Permit, kind: Kind, mesh: &str, name: &str) -> Result<(), WriteError> {
        let attempt = || self.try_delete(permit, kind, mesh, name);
        let result = retry_on_conflict(&Key::of(kind, mesh, name), attempt).await;
        let Some(line) = self.line(permit, &result) else { return result };
        let said = match &result {
            Ok(()) => "deleted".to_owned(),
            Err(error) => error.said(),
        };
        let (mesh, name) = (shown::name(mesh), shown::name(name));
        info!(
            caller = %shown::name(&permit.caller().to_string()), method = "DELETE",
            kind = kind.name, mesh = &*mesh, name = &*name, result = said, left_out = line.told(), "resource deleted"
        );
        result
    }

    async fn try_delete(&self, permit: &Permit, kind: Kind, mesh: &str, name: &str) -> Result<(), WriteError> {
        self.writable(kind)?;
        permit.write(kind)?;
        self.mesh_exists(kind, mesh).await?;
        let key = Key::of(kind, mesh, name);
        let stored = match self.store.get(&key).await.map_err(failed)? {
            Some(stored) => stored,
            None => {
                // Another instance may have written it, and whoever hears that nothing is there takes it for deleted.
                self.store.settled().await.map_err(failed)?;
                self.store.get(&key).await.map_err(failed)?.ok_or(WriteError::NotFound)?
            }
        };
        self.check_what_goes_with(permit, &key).await?;
        // The field has no `labels` in front here, unlike in a PUT.
        let violations = labels::check_ours(&self.rules, kind, &stored.resource.labels, "[\"kuma.io/origin\"]");
        if !violations.is_empty() {
            return Err(WriteError::Invalid { operation: Operation::Delete, violations });
        }
        if !self.rules.unsafe_delete {
            self.check_unused(&key).await?;
        }
        let batch = self.batch(&key, &stored).await.map_err(failed)?;
        match self.store.apply(batch).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => Err(WriteError::NotFound),
            Err(source) => Err(failed(source)),
        }
    }

    /// A connected zone and a mesh with proxies stay.
    async fn check_unused(&self, key: &Key) -> Result<(), WriteError> {
        let refused = |field: &str, reason: &str| Err(WriteError::one(Operation::Delete, field, reason));
        if key.kind == Kind::ZONE {
            let insight = self.store.get(&Key::global(Kind::ZONE_INSIGHT, &key.name)).await.map_err(failed)?;
            if insight.is_some_and(|stored| insight::is_online(Kind::ZONE_INSIGHT, &stored.resource.spec)) {
                let reason = "unable to delete Zone, Zone CP is still connected, please shut it down first";
                return refused("zone", reason);
            }
        }
        if key.kind == Kind::MESH {
            let query = Query { limit: Some(0), ..Query::in_mesh(Kind::DATAPLANE, &key.name) };
            if self.store.list(&query).await.map_err(failed)?.total > 0 {
                return refused("mesh", "unable to delete mesh, there are still some dataplanes attached");
            }
        }
        Ok(())
    }

    /// Refuses to let a caller change with a resource what they may not change alone: what a mesh holds, what the
    /// resource owns, and what that owns.
    pub(super) async fn check_what_goes_with(&self, permit: &Permit, key: &Key) -> Result<(), WriteError> {
        let unknown = |source| WriteError::Store { operation: Operation::Find, source };
        for kind in Kind::all() {
            let Err(_denied) = permit.write(kind) else { continue };
            for stored in self.store.list(&Query::all(kind)).await.map_err(unknown)?.items {
                if self.goes_with(key, &stored).await.map_err(unknown)? {
                    let caller = permit.caller().to_string();
                    return Err(Denied::GoesWith { caller, kind, with: key.kind }.into());
                }
            }
        }
        Ok(())
    }

    /// Follows the owners of a resource to one that goes with `key`.
    async fn goes_with(&self, key: &Key, stored: &Stored) -> Result<bool, StoreError> {
        let of_zone = |one: &Key| key.kind == Kind::ZONE && one.kind == Kind::ZONE_INSIGHT && one.name == key.name;
        let goes = |one: &Key| one == key || (key.kind == Kind::MESH && one.mesh == key.name) || of_zone(one);
        let mut resource = Arc::clone(&stored.resource);
        let mut seen = BTreeSet::new();
        while !goes(&resource.key) {
            let Some(owner) = resource.owner.clone().filter(|owner| seen.insert(owner.clone())) else {
                return Ok(false);
            };
            if goes(&owner) {
                return Ok(true);
            }
            let Some(next) = self.store.get(&owner).await? else { return Ok(false) };
            resource = next.resource;
        }
        Ok(true)
    }

    /// What goes with a resource. The store deletes what it owns; what lives in a mesh or tells of a zone goes too,
    /// whoever owns it.
    async fn batch(&self, key: &Key, stored: &Stored) -> Result<Batch, StoreError> {
        let mut writes = Vec::new();
        if key.kind == Kind::MESH {
            for kind in Kind::all().filter(|kind| kind.scope == Scope::Mesh) {
                for inside in self.store.list(&Query::in_mesh(kind, &key.name)).await?.items {
                    writes.push(Write::Delete { key: inside.resource.key.clone(), expect: Precondition::Any });
                }
            }
        }
        if key.kind == Kind::ZONE {
            let insight = Key::global(Kind::ZONE_INSIGHT, &key.name);
            writes.push(Write::Delete { key: insight, expect: Precondition::Any });
        }
        writes.push(Write::Delete { key: key.clone(), expect: Precondition::Version(stored.version) });
        Ok(Batch::for_safety(writes))
    }
}

fn failed(source: StoreError) -> WriteError {
    WriteError::Store { operation: Operation::Delete, source }
}
