//! Another key for a store: the data keys are sealed anew, or all that they sealed.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use store::{
    postgres,
    sealing::{Renew, Sealer, SealerError, Sealing},
    sqlite::{self, OpenError},
};

use super::{
    super::{
        open_postgres,
        sealing::{self, KeyFile},
        store_files::{other_stores, store_file},
    },
    outlives,
};
use crate::config::{Config, SealedBy, StoreType};

/// Seals the store with the key of a file in place of the one of the settings. Whoever works with a file is stopped; with
/// a database control planes go on.
pub async fn reseal(config: &Config, new_key_file: &Path, renew: Renew) -> anyhow::Result<String> {
    outlives(config)?;
    let path = config.work_dir.join(store_file(config));
    if matches!(config.sealed_by, SealedBy::Nobody) {
        bail!("store.sealing.enabled is `false`: there is no key to change; without it the next start seals the store");
    }
    let new = KeyFile::of(new_key_file).read()?;
    let Some(new) = new else {
        bail!("there is no key `{}`: `kuma-cp store generate-key` makes one", new_key_file.display());
    };
    let (name, text) = (new.fingerprint().to_string(), new.text());
    let new: Arc<dyn Sealer> = Arc::new(new);
    if config.store == StoreType::Postgres {
        reseal_database(config, &name, new, renew).await?;
    } else {
        reseal_file(config, &path, &name, new, renew)?;
    }
    let others = other_stores(&config.work_dir, &path);
    let own = config.work_dir.join(sealing::KEY_FILE);
    let next = match &config.sealed_by {
        SealedBy::OwnFile if others.is_empty() => {
            sealing::replace(&own, &text).with_context(|| format!("write `{}`", own.display()))?;
            format!("it is in `{}` now", own.display())
        }
        SealedBy::OwnFile => format!(
            "`{}` stays as it is, for it seals {} too: name the new one before the next start (store.sealing.keyFile: {})",
            own.display(),
            others.join(", "),
            new_key_file.display()
        ),
        SealedBy::Nobody | SealedBy::File(_) | SealedBy::Key(_) | SealedBy::Command(_) => format!(
            "give it to the control plane before the next start (store.sealing.keyFile: {})",
            new_key_file.display()
        ),
    };
    Ok(format!("the store is sealed with the key `{name}`; {next}. Backups of before need the key of before"))
}

fn reseal_file(config: &Config, path: &Path, name: &str, new: Arc<dyn Sealer>, renew: Renew) -> anyhow::Result<()> {
    match sqlite::reseal(path, &sealing::sealing(config), Arc::clone(&new), renew) {
        // A run before this one was stopped when the store was sealed, and the key not yet in its place.
        Err(OpenError::Sealed {
            cause: SealerError::AnotherKey { wanted, .. } | SealerError::NoKey { wanted, .. },
            ..
        }) if wanted == name => {
            if renew == Renew::DataKeys {
                let sealing = Arc::new(Sealing::by(Arc::clone(&new), sealing::is_secret));
                sqlite::reseal(path, &sealing, new, renew).context("seal the store")?;
            }
            Ok(())
        }
        done => done.context("seal the store"),
    }
}

async fn reseal_database(config: &Config, name: &str, new: Arc<dyn Sealer>, renew: Renew) -> anyhow::Result<()> {
    let settings = open_postgres::settings(config, None);
    let sealing = sealing::sealing(config);
    match postgres::reseal(settings.clone(), sealing, Arc::clone(&new), renew).await {
        // The data keys were sealed with it before.
        Err(postgres::OpenError::Sealed {
            cause: SealerError::AnotherKey { wanted, .. } | SealerError::NoKey { wanted, .. },
            ..
        }) if wanted == name => {
            if renew == Renew::DataKeys {
                let sealing = Arc::new(Sealing::by(Arc::clone(&new), sealing::is_secret));
                postgres::reseal(settings, sealing, new, renew).await.context("seal the store")?;
            }
            Ok(())
        }
        done => done.context("seal the store"),
    }
}
