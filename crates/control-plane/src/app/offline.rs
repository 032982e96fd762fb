//! What `kuma-cp store …` does with a store: backup, restore, another place, and another key. Each returns what to tell the
//! operator. A backup may run beside the control plane that serves.

mod reseal;

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use model::Resource;
use store::{
    Batch, Event, Kinds, Missing, Precondition, ResourceStore, Write,
    postgres::PostgresStore,
    sealing::{SealedDataKey, Sealer, Sealing, SealingKey, named},
    sqlite::{self, Beside, Present},
};
use zeroize::Zeroizing;

pub use self::reseal::reseal;
use super::{
    open_postgres,
    open_store::open_store,
    sealing::{self, KeyFile},
    store_files::store_file,
    whose::{self, cluster},
};
use crate::{
    backup::{self, About, Content, FileBeside, Unopened, Whose},
    clock::Clock,
    config::{Config, Mode, StoreType},
    files::{self, whole},
    tls::SELF_SIGNED_FILES,
};

/// The largest backup that is read.
const LARGEST_BACKUP: u64 = 8 * 1024 * 1024 * 1024;

/// What is said of a backup that nobody sealed.
const NOT_SEALED: &str = "its secrets are NOT sealed: whoever could write to it chose the keys in it";

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
pub async fn backup(config: &Config, to: &Path, force: bool) -> anyhow::Result<String> {
    let resources = match config.store {
        // The file is read beside the program that works with it.
        StoreType::Sqlite => {
            let path = config.work_dir.join(store_file(config));
            let opener = whose::opener(config);
            let stored = sqlite::read(&path, &sealing::sealing(config), Some(&opener))
                .with_context(|| format!("read the store of {}", named_by(config)))?;
            stored.into_iter().map(|stored| Resource::clone(&stored.resource)).collect()
        }
        StoreType::Postgres | StoreType::Memory => picture(&*opened(config).await?).await?,
    };
    let content = Content { resources, files: files_beside(config)? };
    let sealing = sealing::sealing(config);
    let data_key = if sealing.is_on() {
        let key = sealing.new_data_key().context("seal the backup")?;
        sealing.take_in(std::slice::from_ref(&key)).context("seal the backup")?;
        Some(key)
    } else {
        None
    };
    let whose = Whose { created: Clock::system().now(), mode: config.mode.as_str(), zone: zone(config) };
    let write = |file: &mut File| {
        let mut file = BufWriter::new(file);
        backup::write(whose, &content, &sealing, data_key.as_ref(), &mut file)?;
        anyhow::Ok(file.flush()?)
    };
    let written = if force { whole::put(to, write) } else { whole::put_new(to, write) };
    let hint = if is_there(&written) { ": `--force` overwrites it" } else { "" };
    written.with_context(|| format!("write `{}`{hint}", to.display()))?;
    let key = match &data_key {
        Some(key) => format!(
            "its secrets are sealed with {}, which is not in it: keep a copy of that elsewhere",
            named(&key.sealed_by)
        ),
        None => "its secrets are NOT sealed (store.sealing.enabled is `false`): whoever reads it has every signing key"
            .to_owned(),
    };
    let (resources, files) = (content.resources.len(), content.files.len());
    Ok(format!("wrote {resources} resources and {files} files to `{}`; {key}", to.display()))
}

/// Makes what is in a backup all that the control plane of these settings has; all of it or nothing.
pub async fn restore(config: &Config, restore: &Restore) -> anyhow::Result<String> {
    outlives(config)?;
    let from = || format!("read the backup `{}`", restore.from.display());
    let file = files::read(&restore.from, LARGEST_BACKUP).with_context(from)?;
    let backup = Unopened::read(&file).with_context(from)?;
    let about = &backup.about;
    if (about.mode.as_str(), &about.zone) != (config.mode.as_str(), &zone(config)) {
        bail!("the backup is of {}, and the settings are those of {}", whose_is(about), named_by(config));
    }
    let opened = open(config, restore, &backup);
    if restore.dry_run {
        return Ok(told(about, &opened));
    }
    let content = opened.with_context(from)?;
    let (resources, files) = (content.resources.len(), content.files.len());
    put(config, content, restore.present).await.context("restore the store")?;
    let note = if about.data_key().is_none() { format!("; {NOT_SEALED}") } else { String::new() };
    Ok(format!("restored {resources} resources and {files} files of {}{note}", whose_is(about)))
}

/// Puts all that the control plane has into a store of another kind. The control plane is stopped.
pub async fn copy(config: &Config, to: StoreType, present: Present) -> anyhow::Result<String> {
    if to == config.store {
        bail!("store.type is what is copied from, and the other kind of store is what is copied to: both are the same");
    }
    let mut target = config.clone();
    target.store = to;
    outlives(&target)?;
    if to == StoreType::Postgres
        && let Some(problem) = target.sealed_by.lacks_a_key_for_all()
    {
        bail!(problem);
    }
    // As long as it is open nobody else can open a file.
    let source = opened(config).await?;
    let resources = picture(&*source).await?;
    if resources.is_empty() {
        bail!("there is nothing in the store of store.type");
    }
    let count = resources.len();
    put(&target, Content { resources, files: Vec::new() }, present).await.context("write the other store")?;
    Ok(format!("copied {count} resources; set store.type to the other kind before the next start"))
}

/// Makes this content all that a store has.
async fn put(config: &Config, content: Content, present: Present) -> anyhow::Result<()> {
    match config.store {
        StoreType::Sqlite => {
            let path = config.work_dir.join(store_file(config));
            let beside: Vec<Beside<'_>> =
                content.files.iter().map(|file| Beside { name: &file.name, content: &file.content }).collect();
            let (sealing, opener) = (sealing::sealing(config), whose::opener(config));
            Ok(sqlite::replace(&path, &sealing, &opener, content.resources, &beside, present)?)
        }
        StoreType::Postgres => put_into_database(config, content, present).await,
        StoreType::Memory => outlives(config),
    }
}

async fn put_into_database(config: &Config, content: Content, present: Present) -> anyhow::Result<()> {
    // The database of who takes zones belongs to the cluster whose id it tells; of others the folder says it.
    let settings = match cluster(&content.resources).filter(|_| config.mode.takes_zones()) {
        Some(cluster) => open_postgres::settings(config, Some(cluster)),
        None => open_postgres::known_settings(config)?,
    };
    let store = PostgresStore::open_sealed(settings, sealing::sealing(config)).await?;
    let found = picture(&store).await?;
    if !found.is_empty() && present == Present::Keep {
        bail!("the database holds {} resources: `--overwrite` puts the new content in their place", found.len());
    }
    // It would take what it serves for deleted, and write into what was restored.
    if let Some(leader) = store.leader().await? {
        bail!("a control plane works with the database (`{leader}` leads): stop all of them, and run this again");
    }
    let files = files_to_put(config, &content.files, present)?;
    let gone = found.into_iter().map(|resource| Write::Delete { key: resource.key, expect: Precondition::Any });
    let come = content.resources.into_iter().map(|resource| Write::Put { resource, expect: Precondition::Any });
    store.apply(Batch::of(gone.chain(come).collect())).await?;
    for (path, file) in files {
        whole::put(&path, |to| to.write_all(&file.content)).with_context(|| format!("write `{}`", path.display()))?;
    }
    Ok(())
}

/// The files that are not in the work folder yet; nothing is replaced that nobody asked for.
fn files_to_put<'a>(
    config: &Config,
    files: &'a [FileBeside],
    present: Present,
) -> anyhow::Result<Vec<(PathBuf, &'a FileBeside)>> {
    let mut to_put = Vec::new();
    for file in files {
        let path = config.work_dir.join(&file.name);
        if files::read(&path, files::LARGEST).is_ok_and(|found| *found == *file.content) {
            continue;
        }
        if present == Present::Keep && path.symlink_metadata().is_ok() {
            bail!(
                "`{}` is there already, and another one: `--overwrite` puts the new one in its place",
                path.display()
            );
        }
        to_put.push((path, file));
    }
    Ok(to_put)
}

/// The store that the settings name, as it is: none is made. A file is opened by one program at a time.
async fn opened(config: &Config) -> anyhow::Result<Arc<dyn ResourceStore>> {
    outlives(config)?;
    if config.store != StoreType::Postgres {
        return open_store(config, &Clock::system()).await;
    }
    let mut settings = open_postgres::known_settings(config)?;
    settings.options.missing = Missing::Refuse;
    Ok(Arc::new(PostgresStore::open_sealed(settings, sealing::sealing(config)).await?))
}

/// All that a store holds at one moment, owners first.
async fn picture(store: &dyn ResourceStore) -> anyhow::Result<Vec<Resource>> {
    let mut events = store.watch(Kinds::All);
    let mut resources: Vec<Resource> = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => resources.clear(),
            Event::InitApply(stored) => resources.push(Resource::clone(&stored.resource)),
            Event::InitDone => return Ok(backup::owners_first(resources)),
            Event::Apply(_) | Event::Delete { .. } => {}
        }
    }
    bail!("the store ended before it was read")
}

/// Opens a backup with the key that is at hand, if it holds no other files than a control plane makes: their names become
/// paths, and a backup may be anybody's.
fn open(config: &Config, restore: &Restore, backup: &Unopened<'_>) -> anyhow::Result<Content> {
    let content = opened_with(config, restore, backup)?;
    let made_here = |file: &&FileBeside| SELF_SIGNED_FILES.contains(&file.name.as_str());
    if let Some(file) = content.files.iter().find(|file| !made_here(file)) {
        bail!("it holds a file `{}`, which no control plane makes", file.name.escape_debug());
    }
    Ok(content)
}

fn opened_with(config: &Config, restore: &Restore, backup: &Unopened<'_>) -> anyhow::Result<Content> {
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
        "the backup needs {}: put it where the settings say, or name the file of a key with --key-file",
        named(&key.sealed_by)
    )
}

/// What a dry run says.
fn told(about: &About, opened: &anyhow::Result<Content>) -> String {
    let mut text = format!("backup of {}, made {}\n", whose_is(about), about.created);
    for (kind, count) in &about.kinds {
        text.push_str(&format!("  {kind}: {count}\n"));
    }
    for file in &about.files {
        text.push_str(&format!("  file {file}\n"));
    }
    match about.data_key() {
        Some(key) => text.push_str(&format!("sealed with {}\n", named(&key.sealed_by))),
        None => text.push_str(&format!("{NOT_SEALED}\n")),
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

fn is_there(written: &anyhow::Result<()>) -> bool {
    let cause = written.as_ref().err().and_then(|error| error.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::AlreadyExists)
}

/// Refuses a store that is gone when the program ends.
fn outlives(config: &Config) -> anyhow::Result<()> {
    ensure!(config.mode != Mode::Connector, "a connector keeps nothing: there is no store");
    match config.store {
        StoreType::Sqlite | StoreType::Postgres => Ok(()),
        StoreType::Memory => bail!("store.type is `memory`: there is nothing that outlives the program"),
    }
}

fn zone(config: &Config) -> Option<String> {
    (config.mode == Mode::Zone).then(|| config.zone_name.as_str().to_owned())
}

fn named_by(config: &Config) -> String {
    zone(config).map_or_else(|| format!("a {} control plane", config.mode.as_str()), |zone| format!("zone `{zone}`"))
}

fn whose_is(about: &About) -> String {
    about.zone.as_ref().map_or_else(|| format!("a {} control plane", about.mode), |zone| format!("zone `{zone}`"))
}

#[cfg(test)]
mod tests;
