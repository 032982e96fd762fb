//! The file: its schema, its lock, its rows.

use std::{
    fs,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use thiserror::Error;
use tracing::warn;

use crate::{
    Stored, Version,
    index::{Change, Index},
};

/// The schema this program writes.
const SCHEMA: i64 = 1;

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT NOT NULL, mesh TEXT NOT NULL, name TEXT NOT NULL,
    labels TEXT NOT NULL, spec BLOB NOT NULL, status BLOB,
    owner_kind TEXT, owner_mesh TEXT, owner_name TEXT,
    created TEXT NOT NULL, modified TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (kind, mesh, name)
) STRICT, WITHOUT ROWID;
";

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be made, read or written.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process holds the file.
    #[error("`{}` is in use by process {holder}: stop that control plane, or give this one another general.workDir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process id, as it wrote it.
        holder: String,
    },
    /// A newer program wrote the file.
    #[error("`{}` has schema version {found}, this program knows {SCHEMA}: run the newer program, or restore an older copy", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A row that cannot be read.
    #[error("`{}` is damaged: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Which row, and what is wrong.
        detail: String,
    },
    /// SQLite said no.
    #[error("cannot open `{}`", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// No thread could be started.
    #[error("cannot start the store's writer thread")]
    Thread(#[source] std::io::Error),
}

/// The open file, held exclusively until it is dropped.
pub(super) struct File {
    connection: Connection,
    /// Holds the lock.
    _lock: fs::File,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<(Self, Index), OpenError> {
        if let Some(folder) = path.parent() {
            private_folder(folder).map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
        }
        let lock = lock(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        private_file(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let connection = Connection::open(path).map_err(sqlite)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(sqlite)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
        // What was answered must survive a power loss: every commit is on the disk.
        connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        connection.execute_batch(CREATE).map_err(sqlite)?;
        let found: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE key = 'schema'", [], |row| row.get(0))
            .optional()
            .map_err(sqlite)?;
        match found {
            None => {
                connection.execute("INSERT INTO meta VALUES ('schema', ?1)", [SCHEMA]).map_err(sqlite)?;
            }
            Some(found) if found > SCHEMA => return Err(OpenError::Newer { path: path.to_owned(), found }),
            Some(_) => {}
        }
        let index = load(&connection, path)?;
        Ok((Self { connection, _lock: lock }, index))
    }

    /// Writes the changes of several batches in one transaction: all, or nothing.
    pub(super) fn write<'a>(&mut self, batches: impl Iterator<Item = &'a [Change]>) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        let mut newest = 0;
        for change in batches.flatten() {
            match change {
                Change::Put(stored) => {
                    newest = newest.max(stored.version.0);
                    put(&transaction, stored)?;
                }
                Change::Delete { key, version } => {
                    newest = newest.max(version.0);
                    let mut statement =
                        transaction.prepare_cached("DELETE FROM resources WHERE kind = ?1 AND mesh = ?2 AND name = ?3")?;
                    statement.execute(params![key.kind.name, key.mesh, key.name])?;
                }
            }
        }
        // A deleted resource has no row to remember its version by; versions must grow across restarts all the same.
        let newest = i64::try_from(newest).unwrap_or(i64::MAX);
        transaction.execute("INSERT INTO meta VALUES ('version', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [newest])?;
        transaction.commit()
    }
}

fn put(connection: &Connection, stored: &Stored) -> Result<(), rusqlite::Error> {
    let resource = &stored.resource;
    let owner = resource.owner.as_ref();
    let labels = serde_json::to_string(&resource.labels).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO resources VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (kind, mesh, name) DO UPDATE SET labels = ?4, spec = ?5, status = ?6, owner_kind = ?7,
         owner_mesh = ?8, owner_name = ?9, created = ?10, modified = ?11, version = ?12",
    )?;
    statement.execute(params![
        resource.key.kind.name,
        resource.key.mesh,
        resource.key.name,
        labels,
        &*resource.spec,
        resource.status.as_deref(),
        owner.map(|owner| owner.kind.name),
        owner.map(|owner| owner.mesh.as_str()),
        owner.map(|owner| owner.name.as_str()),
        resource.created.to_string(),
        resource.modified.to_string(),
        i64::try_from(stored.version.0).unwrap_or(i64::MAX),
    ])?;
    Ok(())
}

fn load(connection: &Connection, path: &Path) -> Result<Index, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let mut index = Index::default();
    let mut unknown = 0_u64;
    let mut statement = connection.prepare("SELECT * FROM resources").map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let kind: String = row.get(0).map_err(sqlite)?;
        let Some(kind) = Kind::by_name(&kind) else {
            unknown += 1;
            continue;
        };
        let stored = read(kind, row).map_err(|what| {
            let name = row.get::<_, String>(2).unwrap_or_default();
            OpenError::Corrupt { path: path.to_owned(), detail: format!("row {kind} `{name}`: {what}") }
        })?;
        index.set_version(stored.version.0);
        index.insert(stored);
    }
    if unknown > 0 {
        warn!(target: "store", rows = unknown, "resources of kinds that this program does not know are kept and not used");
    }
    let version: Option<i64> =
        connection.query_row("SELECT value FROM meta WHERE key = 'version'", [], |row| row.get(0)).optional().map_err(sqlite)?;
    index.set_version(u64::try_from(version.unwrap_or(0)).unwrap_or(0));
    Ok(index)
}

fn read(kind: Kind, row: &Row<'_>) -> Result<Stored, String> {
    let text = |column: usize| row.get::<_, String>(column).map_err(|error| error.to_string());
    let time = |column: usize| text(column)?.parse::<Timestamp>().map_err(|error| error.to_string());
    let optional = |column: usize| row.get::<_, Option<String>>(column).map_err(|error| error.to_string());
    let labels: Labels = serde_json::from_str(&text(3)?).map_err(|error| format!("labels: {error}"))?;
    let owner = match optional(6)? {
        None => None,
        Some(owner) => Kind::by_name(&owner).map(|kind| -> Result<Key, String> {
            Ok(Key { kind, mesh: optional(7)?.unwrap_or_default(), name: optional(8)?.unwrap_or_default() })
        }),
    };
    let resource = Resource {
        key: Key { kind, mesh: text(1)?, name: text(2)? },
        labels,
        spec: row.get::<_, Vec<u8>>(4).map_err(|error| error.to_string())?.into(),
        status: row.get::<_, Option<Vec<u8>>>(5).map_err(|error| error.to_string())?.map(Into::into),
        owner: owner.transpose()?,
        created: time(9)?,
        modified: time(10)?,
    };
    let version = row.get::<_, i64>(11).map_err(|error| error.to_string())?;
    let version = Version(u64::try_from(version).map_err(|_negative| "its version is negative".to_owned())?);
    Ok(Stored { resource: Arc::new(resource), version })
}

/// Takes the lock beside the file, or says who has it.
fn lock(path: &Path) -> Result<fs::File, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let io = |source| OpenError::Io { path: lock_path.clone(), source };
    private_file(&lock_path).map_err(io)?;
    let mut file = fs::File::options().read(true).write(true).open(&lock_path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(32).read_to_string(&mut holder);
            let known = read.is_ok() && !holder.trim().is_empty();
            let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
            return Err(OpenError::InUse { path: path.to_owned(), holder });
        }
        Err(fs::TryLockError::Error(source)) => return Err(io(source)),
    }
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
    Ok(file)
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // A folder that was there before may be somebody's home or /tmp: say it, but leave it as it is.
    if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
        warn!(target: "store", folder = %folder.display(), "others may look into the work directory; it holds keys, `chmod 700` it");
    }
    Ok(())
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    fs::File::options().create(true).append(true).mode(0o600).open(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}
