//! What `kuma-cp store …` does with a store: backup, restore, and another key.
//!
//! Each returns what to tell the operator. Nothing here serves; a backup may run beside the control plane that serves.
#![expect(clippy::disallowed_methods, reason = "a command that does one thing and ends")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use model::{Key, Kind, Resource, reserved::CLUSTER_ID};
use prost::Message as _;
use store::{
    sealing::{SealedDataKey, Sealer, SealerError, Sealing, SealingKey},
    sqlite::{self, Beside, OpenError, Present, Renew},
};
use zeroize::Zeroizing;

use super::{
    open_store::{other_stores, store_file},
    sealing::{self, KeyFile},
};
use crate::{
    backup::{self, About, Content, FileBeside, Unopened, Whose},
    clock::Clock,
    config::{Config, Mode, SealedBy, StoreType},
    files,
    tls::SELF_SIGNED_FILES,
};

/// The largest backup that is read.
const LARGEST_BACKUP: u64 = 8 * 1024 * 1024 * 1024;

/// What a restore does.
pub struct Restore {
    /// The backup.
    pub from: PathBuf,
    /// Says what is in it, and writes nothing.
    pub dry_run: bool,
    /// Takes the place of what is there.
    pub present: Present,
    /// The key that sealed the backup, where that is not the one of the settings.
    pub key_file: Option<PathBuf>,
}

/// Returns a new key for `store.sealing.keyFile`, as its file holds it.
pub fn generate_key() -> anyhow::Result<store::sealing::KeyText> {
    let key = SealingKey::generate().context("the system gave no random bytes")?;
    Ok(key.text())
}

/// Writes all that the control plane has into a file, whether it runs or not.
pub fn backup(config: &Config, to: &Path, force: bool) -> anyhow::Result<String> {
    let path = file_of(config)?;
    let stored = sqlite::read(&path, &sealing::sealing(config)).context("read the store")?;
    let resources: Vec<Resource> = stored.into_iter().map(|stored| Resource::clone(&stored.resource)).collect();
    let content = Content { resources, files: files_beside(config)? };
    let sealing = sealing::sealing(config);
    let data_key = if sealing.is_on() {
        let key = sealing.new_data_key().context("seal the backup")?;
        sealing.take_in(std::slice::from_ref(&key)).context("seal the backup")?;
        Some(key)
    } else {
        None
    };
    let whose = Whose { created: Clock::system().now(), mode: mode(config), zone: zone(config) };
    write_whole(to, force, |file| {
        backup::write(whose, &content, &sealing, data_key.as_ref(), file).map_err(anyhow::Error::from)
    })
    .with_context(|| format!("write `{}`", to.display()))?;
    let key = match &data_key {
        Some(key) => format!(
            "its secrets are sealed with the key `{}`, which is not in it: keep a copy of that key elsewhere",
            key.sealed_by
        ),
        None => "its secrets are NOT sealed (store.sealing.enabled is `false`): whoever reads it has every signing key"
            .to_owned(),
    };
    let (resources, files) = (content.resources.len(), content.files.len());
    Ok(format!("wrote {resources} resources and {files} files to `{}`; {key}", to.display()))
}

/// Makes what is in a backup all that the control plane of these settings has; all of it or nothing.
pub fn restore(config: &Config, restore: &Restore) -> anyhow::Result<String> {
    let path = file_of(config)?;
    let from = || format!("read the backup `{}`", restore.from.display());
    let file = files::read(&restore.from, LARGEST_BACKUP).with_context(from)?;
    let backup = Unopened::read(&file).with_context(from)?;
    let about = &backup.about;
    if (about.mode.as_str(), &about.zone) != (mode(config), &zone(config)) {
        bail!("the backup is of {}, and the settings are those of {}", named(about), whose(config));
    }
    let opened = open(config, restore, &backup);
    if restore.dry_run {
        return Ok(told(about, &opened));
    }
    let content = opened.with_context(from)?;
    let beside: Vec<Beside<'_>> =
        content.files.iter().map(|file| Beside { name: &file.name, content: &file.content }).collect();
    let resources = content.resources.len();
    sqlite::replace(&path, &sealing::sealing(config), content.resources, &beside, restore.present)
        .context("restore the store")?;
    Ok(format!("restored {resources} resources and {} files of {}", beside.len(), named(about)))
}

/// Seals the store with the key of a file in place of the one of the settings. The control plane is stopped.
pub fn reseal(config: &Config, new_key_file: &Path, renew: Renew) -> anyhow::Result<String> {
    let path = file_of(config)?;
    if matches!(config.sealed_by, SealedBy::Nobody) {
        bail!("store.sealing.enabled is `false`: there is no key to change; without it the next start seals the store");
    }
    let new = KeyFile::of(new_key_file).read()?;
    let Some(new) = new else {
        bail!("there is no key `{}`: `kuma-cp store generate-key` makes one", new_key_file.display());
    };
    let (name, text) = (new.fingerprint().to_string(), new.text());
    let new: Arc<dyn Sealer> = Arc::new(new);
    match sqlite::reseal(&path, &sealing::sealing(config), Arc::clone(&new), renew) {
        // A run before this one was stopped when the store was sealed, and the key not yet in its place.
        Err(OpenError::Sealed {
            cause: SealerError::AnotherKey { wanted, .. } | SealerError::NoKey { wanted, .. },
            ..
        }) if wanted == name => {
            if renew == Renew::DataKeys {
                let sealing = Arc::new(Sealing::by(Arc::clone(&new), sealing::is_secret));
                sqlite::reseal(&path, &sealing, new, renew).context("seal the store")?;
            }
        }
        done => done.context("seal the store")?,
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

/// Opens a backup with the key that is at hand.
fn open(config: &Config, restore: &Restore, backup: &Unopened<'_>) -> anyhow::Result<Content> {
    let Some(data_key) = backup.about.data_key() else { return Ok(backup.open(&Sealing::off())?) };
    let sealer: Arc<dyn Sealer> = match &restore.key_file {
        Some(path) => Arc::new(KeyFile::of(path)),
        None => sealing::sealer(config).with_context(|| missing(&data_key))?,
    };
    let sealing = Sealing::by(sealer, sealing::is_secret);
    sealing.take_in(std::slice::from_ref(&data_key)).with_context(|| missing(&data_key))?;
    Ok(backup.open(&sealing)?)
}

fn missing(key: &SealedDataKey) -> String {
    format!(
        "the backup needs the key `{}`: put it where the settings say, or name its file with --key-file",
        key.sealed_by
    )
}

/// What a dry run says.
fn told(about: &About, opened: &anyhow::Result<Content>) -> String {
    let mut text = format!("backup of {}, made {}\n", named(about), about.created);
    for (kind, count) in &about.kinds {
        text.push_str(&format!("  {kind}: {count}\n"));
    }
    for file in &about.files {
        text.push_str(&format!("  file {file}\n"));
    }
    match about.data_key() {
        Some(key) => text.push_str(&format!("sealed with the key `{}`\n", key.sealed_by)),
        None => text.push_str("its secrets are not sealed\n"),
    }
    match opened {
        Ok(content) => {
            if let Some(cluster) = cluster(&content.resources) {
                text.push_str(&format!("cluster {cluster}\n"));
            }
            text.push_str("it is whole and can be opened; nothing was written\n");
        }
        Err(problem) => text.push_str(&format!("it is whole, and cannot be opened: {problem:#}\n")),
    }
    text
}

fn cluster(resources: &[Resource]) -> Option<String> {
    let key = Key::global(Kind::CONFIG, CLUSTER_ID);
    let found = resources.iter().find(|resource| resource.key == key)?;
    Some(wire::kuma::system::v1alpha1::Config::decode(&*found.spec).ok()?.config)
}

/// The certificate that this control plane made for itself, if it did.
fn files_beside(config: &Config) -> anyhow::Result<Vec<FileBeside>> {
    let mut found = Vec::new();
    for name in SELF_SIGNED_FILES {
        let path = config.work_dir.join(name);
        match files::read(&path, files::LARGEST) {
            Ok(content) => found.push(FileBeside { name: name.to_owned(), content: Zeroizing::new(content.to_vec()) }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause).with_context(|| format!("read `{}`", path.display())),
        }
    }
    Ok(found)
}

fn file_of(config: &Config) -> anyhow::Result<PathBuf> {
    match config.store {
        StoreType::Sqlite => Ok(config.work_dir.join(store_file(config))),
        StoreType::Memory => bail!("store.type is `memory`: there is nothing that outlives the program"),
    }
}

fn mode(config: &Config) -> &'static str {
    match config.mode {
        Mode::Global => "global",
        Mode::Zone => "zone",
    }
}

fn zone(config: &Config) -> Option<String> {
    (config.mode == Mode::Zone).then(|| config.zone_name.as_str().to_owned())
}

fn whose(config: &Config) -> String {
    zone(config).map_or_else(|| "a global control plane".to_owned(), |zone| format!("zone `{zone}`"))
}

fn named(about: &About) -> String {
    about.zone.as_ref().map_or_else(|| format!("a {} control plane", about.mode), |zone| format!("zone `{zone}`"))
}

/// Writes a file for us alone that is there whole or not at all, and is durable when this returns.
fn write_whole(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let is_there = || anyhow::anyhow!("it is there already: `--force` overwrites it");
    if !force && fs::symlink_metadata(path).is_ok() {
        return Err(is_there());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(name);
    let written = (|| {
        let _left_behind = fs::remove_file(&beside);
        let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        if force {
            fs::rename(&beside, path)?;
        } else {
            // Unlike a renamed file, a link takes no other one's place.
            fs::hard_link(&beside, path)?;
            fs::remove_file(&beside)?;
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or_else(|| Path::new("."));
        Ok(File::open(folder)?.sync_all()?)
    })();
    if written.is_err() {
        let _nothing_there = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests;
