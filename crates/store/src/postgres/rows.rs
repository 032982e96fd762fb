//! Resources as rows, in the table of what is there and in that of what changed: what each column holds, and what is wrong
//! with a row that cannot be read.
//!
//! What is written goes through [`Changes`] and what is read through [`resource`], and nothing else knows the content of
//! `spec` and `status`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

use super::error::Trouble;
use crate::{
    Epoch, Event, Stored, Version,
    sealing::{Column, Form, Sealing, SealingError},
};

/// The columns of a resource, in the order in which they are read.
pub(super) const COLUMNS: &str =
    "kind, mesh, name, labels, spec, status, owner_kind, owner_mesh, owner_name, created, modified";

/// Changes as columns: one statement writes any number of them. A deletion has no labels, no content and no times.
#[derive(Default)]
pub(super) struct Changes<'a> {
    revision: Vec<i64>,
    position: Vec<i32>,
    /// Whether it is the last one of its resource, and so what is there in the end.
    is_last: Vec<bool>,
    kind: Vec<&'a str>,
    mesh: Vec<Cow<'a, str>>,
    name: Vec<Cow<'a, str>>,
    labels: Vec<Option<String>>,
    spec: Vec<Option<Cow<'a, [u8]>>>,
    status: Vec<Option<Cow<'a, [u8]>>>,
    owner_kind: Vec<Option<&'a str>>,
    owner_mesh: Vec<Option<Cow<'a, str>>>,
    owner_name: Vec<Option<Cow<'a, str>>>,
    created: Vec<Option<String>>,
    modified: Vec<Option<String>>,
}

impl<'a> Changes<'a> {
    /// Takes over what an index told, sealed where it is secret.
    pub(super) fn of(events: &'a [Event], sealing: &Sealing) -> Result<Self, Trouble> {
        let mut changes = Self::default();
        let mut last: HashMap<&Key, usize> = HashMap::new();
        for event in events {
            let (key, version) = match event {
                Event::Apply(stored) => (&stored.resource.key, stored.version),
                Event::Delete { key, version } => (key, *version),
                // no batch makes these
                Event::Init | Event::InitApply(_) | Event::InitDone => continue,
            };
            let position = changes.revision.len();
            if let Some(before) = last.insert(key, position)
                && let Some(is_last) = changes.is_last.get_mut(before)
            {
                *is_last = false;
            }
            changes.revision.push(revision_of(version)?);
            changes.position.push(i32::try_from(position).map_err(|cause| unwritable(key, &cause))?);
            changes.is_last.push(true);
            changes.kind.push(key.kind.name);
            changes.mesh.push(to_column(&key.mesh));
            changes.name.push(to_column(&key.name));
            changes.push(
                match event {
                    Event::Apply(stored) => Some(&stored.resource),
                    _ => None,
                },
                sealing,
            )?;
        }
        Ok(changes)
    }

    /// What becomes of the key that was pushed last.
    fn push(&mut self, resource: Option<&'a Arc<Resource>>, sealing: &Sealing) -> Result<(), Trouble> {
        let labels = resource
            .map(|resource| serde_json::to_string(&resource.labels).map_err(|cause| unwritable(&resource.key, &cause)));
        self.labels.push(labels.transpose()?);
        let seal = |column, of: &'a Resource, content: &'a [u8]| {
            sealing.seal(&of.key, column, content).map_err(|cause| unwritable(&of.key, &cause))
        };
        self.spec.push(resource.map(|resource| seal(Column::Spec, resource, &resource.spec)).transpose()?);
        let status = resource.and_then(|resource| Some((resource, resource.status.as_deref()?)));
        self.status.push(status.map(|(resource, status)| seal(Column::Status, resource, status)).transpose()?);
        let owner = resource.and_then(|resource| resource.owner.as_ref());
        self.owner_kind.push(owner.map(|owner| owner.kind.name));
        self.owner_mesh.push(owner.map(|owner| to_column(&owner.mesh)));
        self.owner_name.push(owner.map(|owner| to_column(&owner.name)));
        self.created.push(resource.map(|resource| resource.created.to_string()));
        self.modified.push(resource.map(|resource| resource.modified.to_string()));
        Ok(())
    }

    /// How many bytes of content there are.
    pub(super) fn size(&self) -> usize {
        self.spec.iter().chain(&self.status).flatten().map(|content| content.len()).sum()
    }

    /// The parameters of the statement that writes them.
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 14] {
        [
            &self.revision,
            &self.position,
            &self.is_last,
            &self.kind,
            &self.mesh,
            &self.name,
            &self.labels,
            &self.spec,
            &self.status,
            &self.owner_kind,
            &self.owner_mesh,
            &self.owner_name,
            &self.created,
            &self.modified,
        ]
    }
}

fn unwritable(key: &Key, cause: &dyn std::fmt::Display) -> Trouble {
    Trouble::Corrupt(format!("{key} cannot be written: {cause}"))
}

/// A text of PostgreSQL holds no NUL. No name that came over REST has one, or a backslash; what came from elsewhere may.
pub(super) fn to_column(text: &str) -> Cow<'_, str> {
    if text.contains(['\0', '\\']) {
        Cow::Owned(text.replace('\\', r"\\").replace('\0', r"\0"))
    } else {
        Cow::Borrowed(text)
    }
}

fn of_column(column: String) -> String {
    if !column.contains('\\') {
        return column;
    }
    let mut text = String::with_capacity(column.len());
    let mut characters = column.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' if characters.next() == Some('0') => '\0',
            other => other,
        });
    }
    text
}

/// Returns the number that the database keeps for a version.
pub(super) fn revision_of(version: Version) -> Result<i64, Trouble> {
    i64::try_from(version.0).map_err(|cause| Trouble::Corrupt(format!("version {}: {cause}", version.0)))
}

/// Returns the version of a column.
pub(super) fn version(row: &Row, column: usize) -> Result<Version, Trouble> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map(Version).map_err(|cause| Trouble::Corrupt(format!("revision {number}: {cause}")))
}

/// Returns the epoch of a column.
pub(super) fn epoch(row: &Row, column: usize) -> Result<Epoch, Trouble> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map(Epoch).map_err(|cause| Trouble::Corrupt(format!("epoch {number}: {cause}")))
}

/// Counts rows of kinds that this program does not know. They are left alone: a newer program wrote them.
#[derive(Default)]
pub(super) struct Unknown(BTreeMap<String, usize>);

impl Unknown {
    /// Says which there were.
    pub(super) fn tell(self) {
        for (kind, count) in self.0 {
            tracing::warn!(
                kind,
                count,
                "the store holds resources of a kind that this program does not know, they are kept"
            );
        }
    }
}

/// Returns what a row of [`COLUMNS`] is about, from column `first` on; nothing if it is of a kind that is not known here.
pub(super) fn key(row: &Row, first: usize, unknown: &mut Unknown) -> Result<Option<Key>, Trouble> {
    let kind: String = column(row, first, 0)?;
    let Some(kind) = Kind::by_name(&kind) else {
        *unknown.0.entry(kind).or_default() += 1;
        return Ok(None);
    };
    Ok(Some(Key { kind, mesh: of_column(column(row, first, 1)?), name: of_column(column(row, first, 2)?) }))
}

/// Returns the event of a row of changes.
pub(super) fn event(row: &Row, first: usize, key: Key, version: Version, sealing: &Sealing) -> Result<Event, Trouble> {
    let content: Option<&[u8]> = column(row, first, 4)?;
    Ok(match content {
        None => Event::Delete { key, version },
        Some(_) => Event::Apply(stored(row, first, key, version, sealing)?.0),
    })
}

/// Returns the resource of a row, and whether any of its content lies there as it is.
pub(super) fn stored(
    row: &Row,
    first: usize,
    key: Key,
    version: Version,
    sealing: &Sealing,
) -> Result<(Stored, bool), Trouble> {
    let (resource, is_plain) = resource(row, first, key, sealing)?;
    Ok((Stored { resource: Arc::new(resource), version }, is_plain))
}

fn resource(row: &Row, first: usize, key: Key, sealing: &Sealing) -> Result<(Resource, bool), Trouble> {
    let labels: &str = column(row, first, 3)?;
    let labels: Labels = serde_json::from_str(labels).map_err(|cause| wrong(&key, "labels", &cause))?;
    let spec: &[u8] = column(row, first, 4)?;
    let status: Option<&[u8]> = column(row, first, 5)?;
    let time = |at: usize, name: &str| -> Result<Timestamp, Trouble> {
        column::<&str>(row, first, at)?.parse().map_err(|cause| wrong(&key, name, &cause))
    };
    let open = |column, name: &str, content: &[u8]| -> Result<(Bytes, bool), Trouble> {
        let opened = sealing.open(&key, column, content).map_err(|cause: SealingError| wrong(&key, name, &cause))?;
        Ok((opened.content, opened.form == Form::Plain))
    };
    let (spec, plain_spec) = open(Column::Spec, "spec", spec)?;
    let (status, plain_status) = status.map(|status| open(Column::Status, "status", status)).transpose()?.unzip();
    let resource = Resource {
        labels,
        spec,
        status,
        owner: owner(row, first, &key)?,
        created: time(9, "created")?,
        modified: time(10, "modified")?,
        key,
    };
    Ok((resource, plain_spec || plain_status == Some(true)))
}

fn owner(row: &Row, first: usize, key: &Key) -> Result<Option<Key>, Trouble> {
    let kind: Option<&str> = column(row, first, 6)?;
    let mesh: Option<String> = column(row, first, 7)?;
    let name: Option<String> = column(row, first, 8)?;
    match (kind, mesh, name) {
        (None, None, None) => Ok(None),
        // an owner of an unknown kind is never deleted here
        (Some(kind), Some(mesh), Some(name)) => {
            Ok(Kind::by_name(kind).map(|kind| Key { kind, mesh: of_column(mesh), name: of_column(name) }))
        }
        _ => Err(wrong(key, "owner_kind", &"an owner needs kind, mesh and name")),
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, first: usize, at: usize) -> Result<T, Trouble> {
    row.try_get(first + at).map_err(|cause| Trouble::Corrupt(model::causes::on_one_line(&cause)))
}

fn wrong(key: &Key, column: &str, why: &dyn std::fmt::Display) -> Trouble {
    Trouble::Corrupt(format!(
        "row (type=\"{}\" name=\"{}\" mesh=\"{}\"), column `{column}`: {why}",
        key.kind, key.name, key.mesh
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_and_hold_no_nul_meanwhile() {
        for text in ["", "west", "\0", r"\0", "\\\0", r"a\\0\", "\0\0\\"] {
            let column = to_column(text);
            assert!(!column.contains('\0'), "{column:?}");
            assert_eq!(of_column(column.into_owned()), text);
        }
    }
}
