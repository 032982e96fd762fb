//! What a handler gets to work with.
//!
//! What is stored, and what proxies say, is behind the methods of [`Call`], which ask what the caller may do: a handler
//! that forgets to ask does not compile.

use std::sync::Arc;

use bytes::Bytes;
use model::{Key, Kind, Resource};
use store::{Page, Query, ResourceStore, Stored};
use tokens::{Family, Inspected, TokenFacts, ZoneTerms};

use super::{AdminAnswer, AdminRequest, EnvoyAdmin, Settings, error::ApiError, query::Parameters};
use crate::{
    access::{Denied, Permit, Remote},
    clock::Clock,
    doctor::Doctor,
    issuing::Issuer,
    keys::Keys,
    ledger::{Known, Ledger},
    observe::readiness::Readiness,
    revoking::Revoker,
    rotation::Rotations,
    writes::{Writes, mesh_exists},
};

/// What handlers work with, whatever the request is. Signing keys are behind the issuer, which asks for the permit.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) writes: Writes,
    pub(crate) issuer: Issuer,
    pub(crate) revoker: Revoker,
    pub(crate) settings: Settings,
    pub(crate) readiness: Readiness,
    pub(crate) rotations: Option<Rotations>,
    pub(crate) doctor: Option<Doctor>,
    pub(crate) guarded: Guarded,
}

/// What only the methods of [`Call`] reach.
pub(crate) struct Guarded {
    store: Arc<dyn ResourceStore>,
    admin: Arc<dyn EnvoyAdmin>,
    ledger: Ledger,
    keys: Keys,
    /// On which terms zones are let in; on a zone none are.
    zones: Option<ZoneTerms>,
}

impl Guarded {
    pub(crate) fn new(
        store: Arc<dyn ResourceStore>,
        admin: Arc<dyn EnvoyAdmin>,
        ledger: Ledger,
        keys: Keys,
        zones: Option<ZoneTerms>,
    ) -> Self {
        Self { store, admin, ledger, keys, zones }
    }
}

/// What a handler knows of a request.
pub(crate) struct Call<'a> {
    /// What the API works with.
    pub(crate) handles: &'a Parts,
    /// The path as it was asked, with the base path.
    pub(crate) path: &'a str,
    /// `http://host`
    pub(crate) origin: String,
    pub(crate) parameters: Parameters,
    /// The body; empty for GET and DELETE.
    pub(crate) body: Bytes,
    /// Who asks, and what they may do.
    pub(crate) permit: Permit,
    /// Where the request came from, and how.
    pub(crate) remote: Remote,
}

impl Call<'_> {
    /// Reads a resource, if the caller may read its kind and it is no signing key that the caller may not see; `title` is
    /// for what the store says.
    pub(crate) async fn get(&self, key: &Key, title: &'static str) -> Result<Option<Stored>, ApiError> {
        self.permit.read(key.kind)?;
        let stored = self.handles.guarded.store.get(key).await.map_err(|source| ApiError::Store { title, source })?;
        match &stored {
            Some(found) if self.hides(&found.resource) => {
                let (caller, name) = (self.permit.caller().to_string(), key.name.clone());
                Err(Denied::SigningKey { caller, name }.into())
            }
            _ => Ok(stored),
        }
    }

    /// Lists resources, if the caller may read their kind; of signing keys that the caller may not see nothing is there
    /// but their names. `title` is for what the store says.
    pub(crate) async fn list(&self, query: &Query, title: &'static str) -> Result<Page, ApiError> {
        self.permit.read(query.kind)?;
        let listed = self.handles.guarded.store.list(query).await;
        let mut page = listed.map_err(|source| ApiError::Store { title, source })?;
        for stored in page.items.iter_mut().filter(|stored| self.hides(&stored.resource)) {
            stored.resource = Arc::new(Resource { spec: Bytes::new(), ..(*stored.resource).clone() });
        }
        Ok(page)
    }

    /// Whether a secret holds a private half, and the caller may not see it.
    fn hides(&self, resource: &Resource) -> bool {
        let Key { kind, mesh, name } = &resource.key;
        (*kind == Kind::SECRET || *kind == Kind::GLOBAL_SECRET)
            && !self.permit.sees_signing_keys()
            && tokens::names_private_half(mesh, name)
    }

    /// The tokens that were issued, if the caller may read the secrets that sign them.
    pub(crate) fn ledger(&self) -> Result<&Ledger, ApiError> {
        self.permit.read(Kind::GLOBAL_SECRET)?;
        Ok(&self.handles.guarded.ledger)
    }

    /// Returns what a token says and whether it would be accepted, if the caller may ask.
    pub(crate) fn inspected(&self, raw: &str) -> Result<Inspected, ApiError> {
        self.permit.inspect()?;
        let Guarded { keys, zones, .. } = &self.handles.guarded;
        let ring = keys.to_admit().map_err(ApiError::KeysBehind)?;
        tokens::inspect(raw, &ring, self.handles.clock.now(), zones.as_ref())
            .map_err(|rejection| ApiError::BadRequest { text: format!("no token: {}", rejection.validator_text()) })
    }

    /// What is known of a token that the caller has in hand, if the caller may ask.
    pub(crate) fn in_ledger(&self, family: &Family, id: &str) -> Option<Known> {
        self.permit.inspect().ok()?;
        self.handles.guarded.ledger.get(family, id)
    }

    /// Tells of tokens whether they are revoked now, if the caller may read the lists that say so.
    pub(crate) fn revoked(&self) -> Result<impl Fn(&TokenFacts<'_>) -> bool + use<>, ApiError> {
        self.permit.read(Kind::GLOBAL_SECRET)?;
        let ring = self.handles.guarded.keys.ring();
        Ok(move |token: &TokenFacts<'_>| ring.revokes(token))
    }

    /// Checks that the mesh of a path is there, if the path has one and the caller may read meshes.
    pub(crate) async fn mesh_exists(&self, mesh: &str) -> Result<(), ApiError> {
        if mesh.is_empty() {
            return Ok(());
        }
        self.permit.read(Kind::MESH)?;
        Ok(mesh_exists(&*self.handles.guarded.store, mesh).await?)
    }

    /// Asks a zone for a proxy of it, if the caller may look into proxies this way.
    pub(crate) async fn look_into(
        &self,
        zone: &str,
        proxy: &Resource,
        request: AdminRequest,
    ) -> Result<AdminAnswer, ApiError> {
        self.permit.view(request.view)?;
        Ok(self.handles.guarded.admin.ask(zone, proxy, request).await?)
    }
}
