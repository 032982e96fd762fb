//! Resources as rows: what each column holds, and what is wrong with a row that cannot be read.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use rusqlite::{CachedStatement, Connection, Row, named_params, types::ValueRef};

use crate::{
    Stored, Version,
    index::Index,
    sealing::{Column, Form, Sealing, SealingError},
};

const PUT: &str = "
    INSERT INTO resources (kind, mesh, name, labels, spec, status, owner_kind, owner_mesh, owner_name, created, modified, version)
    VALUES (:kind, :mesh, :name, :labels, :spec, :status, :owner_kind, :owner_mesh, :owner_name, :created, :modified, :version)
    ON CONFLICT (kind, mesh, name) DO UPDATE SET
        labels = excluded.labels, spec = excluded.spec, status = excluded.status,
        owner_kind = excluded.owner_kind, owner_mesh = excluded.owner_mesh, owner_name = excluded.owner_name,
        created = excluded.created, modified = excluded.modified, version = excluded.version";
const DELETE: &str = "DELETE FROM resources WHERE kind = :kind AND mesh = :mesh AND name = :name";
const READ: &str = "
    SELECT rowid, kind, mesh, name, labels, spec, status, owner_kind, owner_mesh, owner_name, created, modified, version
    FROM resources";

/// Why the rows cannot be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// A row holds what no resource can be.
    Corrupt(String),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for ReadError {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}

/// What was found beside the resources.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Resources that lie there as they are, and should be sealed.
    pub(super) plain: Vec<Stored>,
    /// How many rows there are of kinds that are unknown here.
    pub(super) unknown: BTreeMap<String, usize>,
}

impl Found {
    /// Rows of kinds unknown here are reported and left alone: a newer program wrote them, and may run again.
    pub(super) fn tell_unknown(&self) {
        for (kind, count) in &self.unknown {
            tracing::warn!(
                kind,
                count,
                "the store holds resources of a kind that this program does not know, they are kept"
            );
        }
    }
}

/// Writes a resource over what is there, sealed where it is secret.
pub(super) fn put(connection: &Connection, stored: &Stored, sealing: &Sealing) -> rusqlite::Result<()> {
    let Resource { key, labels, spec, status, owner, created, modified } = &*stored.resource;
    let labels =
        serde_json::to_string(labels).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))?;
    let unable = |cause: SealingError| rusqlite::Error::ToSqlConversionFailure(Box::new(cause));
    let spec = sealing.seal(key, Column::Spec, spec).map_err(unable)?;
    let status =
        status.as_deref().map(|status| sealing.seal(key, Column::Status, status)).transpose().map_err(unable)?;
    let written = connection.prepare_cached(PUT)?.execute(named_params! {
        ":kind": key.kind.name,
        ":mesh": key.mesh,
        ":name": key.name,
        ":labels": labels,
        ":spec": &*spec,
        ":status": status.as_deref(),
        ":owner_kind": owner.as_ref().map(|owner| owner.kind.name),
        ":owner_mesh": owner.as_ref().map(|owner| &owner.mesh),
        ":owner_name": owner.as_ref().map(|owner| &owner.name),
        ":created": created.to_string(),
        ":modified": modified.to_string(),
        ":version": version_number(stored.version)?,
    })?;
    expect_one(written)
}

/// Removes a resource that is there.
pub(super) fn delete(connection: &Connection, key: &Key) -> rusqlite::Result<()> {
    let parameters = named_params! { ":kind": key.kind.name, ":mesh": key.mesh, ":name": key.name };
    expect_one(connection.prepare_cached(DELETE)?.execute(parameters)?)
}

/// Returns the number that SQLite keeps for a version.
pub(super) fn version_number(version: Version) -> rusqlite::Result<i64> {
    i64::try_from(version.0).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))
}

/// Reads all rows into the index.
pub(super) fn read_all(connection: &Connection, index: &mut Index, sealing: &Sealing) -> Result<Found, ReadError> {
    let mut found = Found::default();
    let mut statement: CachedStatement<'_> = connection.prepare_cached(READ)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let version = version(row)?;
        let kind_name: String = column(row, "kind")?;
        match Kind::by_name(&kind_name) {
            Some(kind) => {
                let (resource, is_plain) = resource(row, kind, sealing)?;
                let stored = Stored { resource: Arc::new(resource), version };
                if is_plain && sealing.seals(&stored.resource.key) {
                    found.plain.push(stored.clone());
                }
                index.restore(stored);
            }
            None => {
                index.raise_version(version);
                *found.unknown.entry(kind_name).or_default() += 1;
            }
        }
    }
    Ok(found)
}

/// Returns a resource, and whether any of its content lies there as it is.
fn resource(row: &Row<'_>, kind: Kind, sealing: &Sealing) -> Result<(Resource, bool), ReadError> {
    let key = Key { kind, mesh: column(row, "mesh")?, name: column(row, "name")? };
    let labels: String = column(row, "labels")?;
    let labels: Labels = serde_json::from_str(&labels).map_err(|cause| wrong(row, "labels", &cause.to_string()))?;
    let open = |column: Column, name: &str| -> Result<Option<(Bytes, bool)>, ReadError> {
        let Some(content) = content(row, name)? else { return Ok(None) };
        let opened = sealing.open(&key, column, content).map_err(|cause| wrong(row, name, &cause.to_string()))?;
        Ok(Some((opened.content, opened.form == Form::Plain)))
    };
    let (spec, plain_spec) = open(Column::Spec, "spec")?.ok_or_else(|| wrong(row, "spec", "there is no content"))?;
    let (status, plain_status) = open(Column::Status, "status")?.unzip();
    let resource = Resource {
        labels,
        spec,
        status,
        owner: owner(row)?,
        created: time(row, "created")?,
        modified: time(row, "modified")?,
        key,
    };
    Ok((resource, plain_spec || plain_status == Some(true)))
}

/// The bytes of a column, which may have none.
fn content<'a>(row: &'a Row<'_>, name: &str) -> Result<Option<&'a [u8]>, ReadError> {
    match row.get_ref(name)? {
        ValueRef::Blob(content) => Ok(Some(content)),
        ValueRef::Null => Ok(None),
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => Err(wrong(row, name, "it holds no bytes")),
    }
}

fn owner(row: &Row<'_>) -> Result<Option<Key>, ReadError> {
    let kind: Option<String> = column(row, "owner_kind")?;
    let mesh: Option<String> = column(row, "owner_mesh")?;
    let name: Option<String> = column(row, "owner_name")?;
    match (kind, mesh, name) {
        (None, None, None) => Ok(None),
        // an owner of an unknown kind is never deleted here
        (Some(kind), Some(mesh), Some(name)) => Ok(Kind::by_name(&kind).map(|kind| Key { kind, mesh, name })),
        _ => Err(wrong(row, "owner_kind", "an owner needs kind, mesh and name")),
    }
}

fn time(row: &Row<'_>, name: &str) -> Result<Timestamp, ReadError> {
    let text: String = column(row, name)?;
    text.parse().map_err(|cause: jiff::Error| wrong(row, name, &cause.to_string()))
}

fn version(row: &Row<'_>) -> Result<Version, ReadError> {
    let number: i64 = column(row, "version")?;
    u64::try_from(number).map(Version).map_err(|cause| wrong(row, "version", &cause.to_string()))
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, name: &str) -> Result<T, ReadError> {
    row.get(name).map_err(|cause| match cause {
        rusqlite::Error::SqliteFailure(..) => ReadError::Sqlite(cause),
        other => wrong(row, name, &other.to_string()),
    })
}

/// Names the row as well as it can be read.
fn wrong(row: &Row<'_>, column: &str, why: &str) -> ReadError {
    let text = |name: &str| row.get::<_, String>(name).unwrap_or_else(|_unreadable| "?".to_owned());
    let id = row.get::<_, i64>("rowid").map_or_else(|_unreadable| "?".to_owned(), |id| id.to_string());
    let (kind, mesh, name) = (text("kind"), text("mesh"), text("name"));
    ReadError::Corrupt(format!("row {id} (type=\"{kind}\" name=\"{name}\" mesh=\"{mesh}\"), column `{column}`: {why}"))
}

/// The index said what is there; if the file disagrees, something else wrote to it.
fn expect_one(changed: usize) -> rusqlite::Result<()> {
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}
