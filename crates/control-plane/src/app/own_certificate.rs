//! The certificate of a control plane that is given none.
//!
//! ```text
//! a store of one program         kuma-cp.crt and kuma-cp.key in the work folder, made once
//! a store that several share     authority in the store, sealed ──► kuma-cp.crt in each work folder: the root file of zones
//!                                                               └─► a certificate of each instance, in memory
//! ```
//!
//! A control plane that moves to a shared store brings what it made for itself: its pair becomes the authority, and its zones
//! keep their root file. A store that has an authority keeps it, wherever it is moved.

use std::{io::Write as _, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, reserved::TLS_AUTHORITY, secret};
use store::{Precondition, Query, ResourceStore, StoreError};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    config::{Config, StoreType},
    files::{self, whole},
    tls::{CERT_FILE, NoAuthority, OwnAuthority, PairFiles, ServerIdentity, self_signed},
};

/// Returns what this control plane shows on its ports.
pub(super) async fn identity(
    config: &Config,
    store: &dyn ResourceStore,
    clock: &Clock,
) -> anyhow::Result<Arc<ServerIdentity>> {
    let (folder, names) = (&config.work_dir, &config.global.tls_names);
    let is_shared = config.store == StoreType::Postgres;
    let authority = match stored(store).await? {
        None if !is_shared => {
            let identity = ServerIdentity::load(&own_pair(folder, names, store, clock.now()).await?)?;
            if !identity.has_names(names) {
                warn!(
                    names = %names.join(", "),
                    "the certificate of this control plane was made before multizone.global.kds.tlsNames was set, and does not have \
                     these names: delete kuma-cp.crt and kuma-cp.key to have another one made, which zones then need as their root \
                     file"
                );
            }
            return Ok(identity);
        }
        None => agreed(folder, store, clock.now()).await?,
        Some(authority) => authority,
    };
    put_root(folder, &authority)?;
    Ok(ServerIdentity::of_authority(authority, &folder.join(CERT_FILE), names, clock.clone())?)
}

/// Returns the certificate that this control plane made for itself, and makes it where there is none.
async fn own_pair(
    folder: &Path,
    names: &[String],
    store: &dyn ResourceStore,
    now: Timestamp,
) -> anyhow::Result<PairFiles> {
    let files = PairFiles::own(folder);
    let was_there = files.cert.exists() && files.key.exists();
    let files = self_signed(folder, names, now)?;
    let keys = Query { limit: Some(0), ..Query::all(Kind::GLOBAL_SECRET) };
    if !was_there && store.list(&keys).await?.total > 0 {
        warn!(
            cert = %files.cert.display(),
            "the certificate of this control plane, or its key, was gone and both are new: zones and clients that trust the \
             old one refuse this control plane until they have the new one"
        );
    }
    Ok(files)
}

/// The authority of this store, if it has one.
async fn stored(store: &dyn ResourceStore) -> anyhow::Result<Option<OwnAuthority>> {
    let Some(found) = store.get(&key()).await? else { return Ok(None) };
    let data = secret::decode(&found.resource.spec).unwrap_or_default();
    let authority = OwnAuthority::read(&data).with_context(|| {
        format!(
            "the global secret `{TLS_AUTHORITY}` holds the authority of the certificates of these control planes: put its value \
             back, or delete it (another one is made then, and zones need the new kuma-cp.crt)"
        )
    })?;
    Ok(Some(authority))
}

/// Puts an authority into a store that has none. Of several instances that start at once one is quicker, and all take its own.
async fn agreed(folder: &Path, store: &dyn ResourceStore, now: Timestamp) -> anyhow::Result<OwnAuthority> {
    let (authority, of_this_folder) = match brought(folder, now)? {
        Some(brought) => (brought, true),
        None => (OwnAuthority::make(now)?, false),
    };
    let resource = Resource {
        key: key(),
        labels: Labels::new(),
        spec: secret::encode(authority.secret().as_bytes()),
        status: None,
        owner: None,
        created: now,
        modified: now,
    };
    match store.put(resource, Precondition::Absent).await {
        Ok(_) => {
            if of_this_folder {
                info!(
                    folder = %folder.display(),
                    "the certificate that this control plane made for itself is the authority of all instances on this store from \
                     now on, and zones keep their root file; its key is sealed in the store, and kuma-cp.key is not needed here any \
                     more"
                );
            } else {
                info!("made a certificate authority for the instances on this store");
            }
            Ok(authority)
        }
        Err(StoreError::AlreadyExists { .. }) => {
            stored(store).await?.context("the certificate authority of this store was deleted while it was read")
        }
        Err(problem) => Err(problem).context("write the certificate authority of this store"),
    }
}

/// What a control plane made for itself in this folder before its store was shared.
fn brought(folder: &Path, now: Timestamp) -> anyhow::Result<Option<OwnAuthority>> {
    let files = PairFiles::own(folder);
    if !files.are_filled()? {
        return Ok(None);
    }
    let mut pair = Zeroizing::new(Vec::new());
    for path in [&files.cert, &files.key] {
        let text = files::read(path, files::LARGEST).with_context(|| format!("read `{}`", path.display()))?;
        pair.extend_from_slice(&text);
        pair.push(b'\n');
    }
    let authority = OwnAuthority::read(&pair).and_then(|authority| authority.running(now));
    authority.map(Some).map_err(|problem: NoAuthority| unusable(folder, problem))
}

fn unusable(folder: &Path, problem: NoAuthority) -> anyhow::Error {
    anyhow::Error::new(problem).context(format!(
        "kuma-cp.crt and kuma-cp.key in `{}` cannot become the certificate authority of a store that several control planes share: \
         if they were put there by hand, name them in general.tlsCertFile and general.tlsKeyFile; otherwise move both away, and a \
         new authority is made, whose certificate zones then need as their root file",
        folder.display()
    ))
}

/// Leaves in the work folder what zones need to believe this control plane.
fn put_root(folder: &Path, authority: &OwnAuthority) -> anyhow::Result<()> {
    let files = PairFiles::own(folder);
    let there = match files::read(&files.cert, files::LARGEST) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Zeroizing::default(),
        Err(cause) => return Err(cause).with_context(|| format!("read `{}`", files.cert.display())),
    };
    if authority.is_first_in(&there) {
        return Ok(());
    }
    if files.are_filled()? {
        bail!(
            "kuma-cp.crt and kuma-cp.key in `{}` are of another control plane than those that work with this store: whoever has \
             that certificate as a root file refuses what this one shows. Move both files away, and give zones and clients the \
             kuma-cp.crt that is written then; or give this control plane another work folder (general.workDir)",
            folder.display()
        );
    }
    if !there.is_empty() {
        warn!(
            root = %files.cert.display(),
            "the root file is that of another authority and is replaced: zones and clients that have the old one refuse this control \
             plane until they have the new one; control planes with other stores need other work folders (general.workDir)"
        );
    }
    files::check_folder(folder).with_context(|| format!("look at the work folder `{}`", folder.display()))?;
    let root = authority.root();
    whole::put(&files.cert, |file| file.write_all(root.as_bytes()))
        .with_context(|| format!("write `{}`", files.cert.display()))
}

fn key() -> Key {
    Key::global(Kind::GLOBAL_SECRET, TLS_AUTHORITY)
}

#[cfg(test)]
mod tests;
