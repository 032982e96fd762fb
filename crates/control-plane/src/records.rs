//! What a control plane keeps for itself in the store: tokens that were issued, revocations, rotations.
//!
//! A record is a resource of the kind [`Kind::RECORD`], which REST does not show and KDS does not send. Its name says what
//! it is: a front for the sort of record, a dot, and the rest. A record that cannot be read is an error and never a missing one.

pub(crate) mod revocation;
pub(crate) mod rotation;
pub(crate) mod text;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use serde::{Serialize, de::DeserializeOwned};
use store::{Precondition, Query, ResourceStore, StoreError, Stored, Version, Write};
use thiserror::Error;

/// A sort of record.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// What the names of all of its sort begin with, without the dot.
    const FRONT: &'static str;

    /// The rest of its name, which tells it from others of its sort.
    fn rest(&self) -> String;

    /// What it is deleted with, if that is something.
    fn owner(&self) -> Option<Key> {
        None
    }
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept<R> {
    /// The record.
    pub(crate) record: R,
    /// Its version, for a write that must not overwrite somebody else's.
    pub(crate) version: Version,
}

/// Why there is no record.
#[derive(Debug, Error)]
pub(crate) enum RecordError {
    /// The store did not give it out.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is none: somebody or something damaged it.
    #[error("the record {name:?} of this control plane cannot be read: {problem}")]
    Unreadable {
        /// Its whole name.
        name: String,
        /// What is wrong with it.
        problem: serde_json::Error,
    },
}

/// The key of a record of a sort.
pub(crate) fn key<R: Record>(rest: &str) -> Key {
    Key::global(Kind::RECORD, format!("{}.{rest}", R::FRONT))
}

/// Whether a key is that of a record of a sort.
pub(crate) fn is<R: Record>(key: &Key) -> bool {
    key.kind == Kind::RECORD && key.name.strip_prefix(R::FRONT).is_some_and(|rest| rest.starts_with('.'))
}

/// The write of a record, for a batch. Together with a version or an absence it overwrites nobody else's.
pub(crate) fn write<R: Record>(record: &R, expect: Precondition, now: Timestamp) -> Result<Write, serde_json::Error> {
    let resource = Resource {
        key: key::<R>(&record.rest()),
        labels: Labels::new(),
        spec: Bytes::from(serde_json::to_vec(record)?),
        status: None,
        owner: record.owner(),
        created: now,
        modified: now,
    };
    Ok(Write::Put { resource, expect })
}

/// Reads a record.
pub(crate) fn read<R: Record>(resource: &Resource) -> Result<R, RecordError> {
    serde_json::from_slice(&resource.spec)
        .map_err(|problem| RecordError::Unreadable { name: resource.key.name.clone(), problem })
}

/// Returns a record by the rest of its name, if it is there.
pub(crate) async fn get<R: Record>(store: &dyn ResourceStore, rest: &str) -> Result<Option<Kept<R>>, RecordError> {
    let stored = store.get(&key::<R>(rest)).await?;
    stored.as_ref().map(kept).transpose()
}

/// Returns all records of a sort, by name: tests look at all that is kept.
#[cfg(test)]
pub(crate) async fn all<R: Record>(store: &dyn ResourceStore) -> Result<Vec<Kept<R>>, RecordError> {
    stored::<R>(store).await?.iter().map(kept).collect()
}

/// Returns all records of a sort, by name and unread: for whoever goes on where one is damaged.
pub(crate) async fn stored<R: Record>(store: &dyn ResourceStore) -> Result<Vec<Stored>, StoreError> {
    let named = Query { name_contains: Some(format!("{}.", R::FRONT)), ..Query::all(Kind::RECORD) };
    let mut page = store.list(&named).await?;
    page.items.retain(|stored| is::<R>(&stored.resource.key));
    Ok(page.items)
}

fn kept<R: Record>(stored: &Stored) -> Result<Kept<R>, RecordError> {
    Ok(Kept { record: read(&stored.resource)?, version: stored.version })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Note {
        name: String,
        text: String,
    }

    impl Record for Note {
        const FRONT: &'static str = "note";

        fn rest(&self) -> String {
            self.name.clone()
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Notebook;

    impl Record for Notebook {
        const FRONT: &'static str = "notebook";

        fn rest(&self) -> String {
            String::new()
        }
    }

    fn note(name: &str, text: &str) -> Note {
        Note { name: name.to_owned(), text: text.to_owned() }
    }

    async fn put(store: &dyn ResourceStore, write: Write) -> Result<(), StoreError> {
        store.apply(store::Batch::of(vec![write])).await.map(|_applied| ())
    }

    #[tokio::test]
    async fn records_are_found_by_their_sort_and_written_over_by_version() {
        let store = store::memory::MemoryStore::new();
        let now = Timestamp::UNIX_EPOCH;
        for written in [note("b", "2"), note("a", "1")] {
            put(&store, write(&written, Precondition::Absent, now).unwrap()).await.unwrap();
        }
        put(&store, write(&Notebook, Precondition::Absent, now).unwrap()).await.unwrap();
        let found: Vec<Note> = all(&store).await.unwrap().into_iter().map(|kept| kept.record).collect();
        assert_eq!(found, [note("a", "1"), note("b", "2")], "of the sort, and no other that begins like it");
        let first = get::<Note>(&store, "a").await.unwrap().unwrap();
        let over = || write(&note("a", "3"), Precondition::Version(first.version), now).unwrap();
        put(&store, over()).await.unwrap();
        assert!(matches!(put(&store, over()).await, Err(StoreError::Conflict { .. })));
        assert_eq!(get::<Note>(&store, "a").await.unwrap().unwrap().record.text, "3");
        assert_eq!(get::<Note>(&store, "none").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_record_is_no_missing_one() {
        let store = store::memory::MemoryStore::new();
        let Ok(Write::Put { mut resource, expect }) = write(&note("a", "1"), Precondition::Any, Timestamp::UNIX_EPOCH)
        else {
            panic!("a note is written")
        };
        resource.spec = Bytes::from_static(b"{");
        put(&store, Write::Put { resource, expect }).await.unwrap();
        assert!(get::<Note>(&store, "a").await.is_err());
        let error = all::<Note>(&store).await.unwrap_err().to_string();
        assert!(error.starts_with("the record \"note.a\" of this control plane cannot be read: "), "{error}");
    }
}
