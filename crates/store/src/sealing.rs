//! Secrets as they lie in a database: sealed under keys that are not in it.
//!
//! ```text
//! what a resource says ──► sealed under a data key ──► row             AES-256-GCM, bound to kind, mesh and name
//!                          data key ──► sealed by a `Sealer` ──► row   a key in a file, or a command that asks a service
//! ```
//!
//! A backend writes what [`Sealing::seal`] makes of `spec` and `status`, and reads what [`Sealing::open`] makes of the
//! columns; everything above it sees plain content. What is secret is told by whoever opens the store: no rule about kinds
//! is in here. A row says itself whether it is sealed and under which data key, so rows of before, and rows under different
//! keys, stand side by side while a store is sealed anew.

mod cipher;
mod data_key;
mod key;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use model::Key;
use thiserror::Error;

pub use self::{
    data_key::{DataKey, DataKeyId, NotADataKey, SealedDataKey},
    key::{Fingerprint, KeyText, NotAKey, SealingKey},
};

/// What seals data keys: a key, or whoever has one.
pub trait Sealer: Send + Sync + 'static {
    /// What data keys that are sealed now name as what sealed them: the fingerprint of a key, or the word for a command.
    /// None if there is no key now.
    fn name(&self) -> Option<String>;

    /// Seals a new data key.
    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError>;

    /// Opens a data key. One that something else sealed is refused with [`SealerError::AnotherKey`].
    fn unseal(&self, sealed: &SealedDataKey) -> Result<DataKey, SealerError>;
}

/// What data keys that a command sealed name as what sealed them: nobody here knows its key.
pub const COMMAND: &str = "command";

/// Returns the words for what sealed a data key, as it is named there.
pub fn named(sealed_by: &str) -> String {
    if sealed_by == COMMAND { "a command (store.sealing.command)".to_owned() } else { format!("the key `{sealed_by}`") }
}

/// Why a data key is not sealed, or not opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealerError {
    /// Another key than the one that is there sealed it.
    #[error("the secrets of the store are sealed with {}, and not with {found}", named(.wanted))]
    AnotherKey {
        /// What sealed it: the fingerprint of a key, or the word for a command.
        wanted: String,
        /// What is there, in words.
        found: String,
    },
    /// The key that sealed it is not there.
    #[error("the secrets of the store are sealed with {}, and {missing}", named(.wanted))]
    NoKey {
        /// What sealed it.
        wanted: String,
        /// What is missing, in words, and what to do.
        missing: String,
    },
    /// The key, or who has it, cannot be used now.
    #[error("{detail}")]
    Unusable {
        /// What is wrong.
        detail: String,
    },
    /// The key is the right one, and what it sealed is damaged.
    #[error("data key {id} of the store is damaged")]
    Damaged {
        /// Which one.
        id: DataKeyId,
    },
}

/// Why content is not sealed, or not opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealingError {
    /// It is sealed under a data key that was not taken in: a database that others write to may have it.
    #[error("it is sealed under data key {id}, which is not known")]
    UnknownDataKey {
        /// Which one.
        id: DataKeyId,
    },
    /// It does not open: it was changed, or belongs to another resource.
    #[error("it does not open: it was damaged, or is that of another resource")]
    Damaged,
    /// Its form is none that this program knows.
    #[error("it has a form that this program does not know")]
    UnknownForm,
    /// There is no data key to seal with.
    #[error("there is no data key")]
    NoDataKey,
    /// The system gave no random bytes, or the content is too large.
    #[error("it cannot be sealed")]
    Unable,
}

/// What is sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// The data keys, under the new key. No row changes.
    KeyAlone,
    /// Every row, too, under a new data key: what the old ones opened they open no longer.
    DataKeys,
}

/// The columns of a row that are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// What the resource says.
    Spec,
    /// What is known of it.
    Status,
}

/// How content lay in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Sealed under this data key.
    Sealed(DataKeyId),
}

/// Content of a row, opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The content.
    pub content: Bytes,
    /// How it lay there.
    pub form: Form,
}

/// Protobuf has no field of number zero and no JSON begins with it, so what begins so is a form of ours.
const OURS: u8 = 0;
/// What follows is as it was.
const PLAIN: u8 = 0;
/// A data key's id, and what was sealed under that key.
const SEALED: u8 = 1;
/// Before the content, whatever the form.
const HEAD: usize = 2;
const ID: usize = size_of::<u32>();

/// How secrets are kept: who seals, what is secret, and the data keys of one database; another database needs another one.
pub struct Sealing {
    is_secret: fn(&Key) -> bool,
    sealer: Option<Arc<dyn Sealer>>,
    keys: RwLock<DataKeys>,
}

/// Data keys, opened.
#[derive(Clone, Default)]
struct DataKeys {
    known: BTreeMap<DataKeyId, Arc<DataKey>>,
    /// The one to seal with: the newest of those that the database holds. A database that was put back may hold fewer
    /// than are known.
    newest: Option<DataKeyId>,
}

impl Sealing {
    /// Seals what is secret.
    pub fn by(sealer: Arc<dyn Sealer>, is_secret: fn(&Key) -> bool) -> Self {
        Self { is_secret, sealer: Some(sealer), keys: RwLock::default() }
    }

    /// Leaves everything as it is. A database that has sealed secrets is refused.
    pub fn off() -> Self {
        Self { is_secret: |_key| false, sealer: None, keys: RwLock::default() }
    }

    /// Whether what this key names is sealed.
    pub fn seals(&self, key: &Key) -> bool {
        self.sealer.is_some() && (self.is_secret)(key)
    }

    /// Whether anything is sealed. A database without a data key needs one then, before anything is written to it.
    pub fn is_on(&self) -> bool {
        self.sealer.is_some()
    }

    /// What seals data keys now, if anything does.
    pub fn name(&self) -> Option<String> {
        self.sealer.as_ref()?.name()
    }

    /// The data key that seals, if one was taken in.
    pub fn newest(&self) -> Option<DataKeyId> {
        self.read().newest
    }

    /// Takes in the data keys that a database holds; the newest of them seals from here on. Those that are known already
    /// are not opened again.
    pub fn take_in(&self, sealed: &[SealedDataKey]) -> Result<(), SealerError> {
        for one in sealed {
            if self.read().known.contains_key(&one.id) {
                continue;
            }
            let Some(sealer) = &self.sealer else {
                return Err(SealerError::NoKey {
                    wanted: one.sealed_by.clone(),
                    missing:
                        "sealing is switched off (store.sealing.enabled): switch it on; a store is moved to another \
                              one without sealing by a backup"
                            .to_owned(),
                });
            };
            let key = sealer.unseal(one)?;
            self.write().known.insert(one.id, Arc::new(key));
        }
        if let Some(newest) = sealed.iter().map(|one| one.id).max() {
            self.write().newest = Some(newest);
        }
        Ok(())
    }

    /// Makes the next data key. It seals nothing before it was taken in, which is to happen when it is in the database: the
    /// newest one seals.
    pub fn new_data_key(&self) -> Result<SealedDataKey, SealerError> {
        let Some(sealer) = &self.sealer else {
            return Err(SealerError::Unusable { detail: "sealing is switched off".to_owned() });
        };
        let id = self.read().known.keys().next_back().map_or(Some(DataKeyId::FIRST), |last| last.next());
        let id = id.ok_or_else(|| SealerError::Unusable { detail: "no id of a data key is left".to_owned() })?;
        let key = DataKey::generate().ok_or_else(no_random)?;
        let sealed = sealer.seal(id, &key)?;
        // A command that cannot open what it sealed must not be heard of at the next start.
        if sealer.unseal(&sealed)?.reveal() != key.reveal() {
            return Err(SealerError::Unusable {
                detail: "what seals data keys opens them to something else".to_owned(),
            });
        }
        Ok(sealed)
    }

    /// Returns the same with another sealer in place of ours, and the data keys as they lie in the database then.
    pub fn handed_to(&self, sealer: Arc<dyn Sealer>) -> Result<(Self, Vec<SealedDataKey>), SealerError> {
        let keys = self.read().clone();
        let sealed = keys.known.iter().map(|(id, key)| sealer.seal(*id, key)).collect::<Result<_, _>>()?;
        Ok((Self { is_secret: self.is_secret, sealer: Some(sealer), keys: RwLock::new(keys) }, sealed))
    }

    /// Returns what to write into a column.
    pub fn seal<'a>(&self, key: &Key, column: Column, content: &'a [u8]) -> Result<Cow<'a, [u8]>, SealingError> {
        if !self.seals(key) {
            return Ok(as_it_is(content));
        }
        let (id, data_key) = self.read().sealing().ok_or(SealingError::NoDataKey)?;
        let mut form = vec![OURS, SEALED];
        form.extend_from_slice(&id.number().to_be_bytes());
        cipher::seal(data_key.reveal(), &bound_to(key, column), content, &mut form).ok_or(SealingError::Unable)?;
        Ok(Cow::Owned(form))
    }

    /// Returns what a column holds. What is not sealed is content as it is, also where it should be sealed.
    pub fn open(&self, key: &Key, column: Column, found: &[u8]) -> Result<Opened, SealingError> {
        let plain = |content: &[u8]| Opened { content: Bytes::copy_from_slice(content), form: Form::Plain };
        match found {
            [OURS, PLAIN, content @ ..] => Ok(plain(content)),
            [OURS, SEALED, rest @ ..] => {
                let (id, sealed) = rest.split_first_chunk::<ID>().ok_or(SealingError::Damaged)?;
                let id = DataKeyId::of(u32::from_be_bytes(*id));
                let data_key = self.read().known.get(&id).cloned().ok_or(SealingError::UnknownDataKey { id })?;
                let content = cipher::open(data_key.reveal(), &bound_to(key, column), sealed);
                let content = Bytes::from(content.ok_or(SealingError::Damaged)?);
                Ok(Opened { content, form: Form::Sealed(id) })
            }
            [OURS, _, ..] => Err(SealingError::UnknownForm),
            content => Ok(plain(content)),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, DataKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, DataKeys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataKeys {
    fn sealing(&self) -> Option<(DataKeyId, Arc<DataKey>)> {
        let id = self.newest?;
        Some((id, Arc::clone(self.known.get(&id)?)))
    }
}

impl Default for Sealing {
    fn default() -> Self {
        Self::off()
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("is_on", &self.sealer.is_some()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("form", &self.form).finish_non_exhaustive()
    }
}

/// Content that could be taken for a form of ours gets one.
fn as_it_is(content: &[u8]) -> Cow<'_, [u8]> {
    if content.first() != Some(&OURS) {
        return Cow::Borrowed(content);
    }
    let mut form = Vec::with_capacity(HEAD + content.len());
    form.extend_from_slice(&[OURS, PLAIN]);
    form.extend_from_slice(content);
    Cow::Owned(form)
}

/// Where content belongs: each part with its length, so that no two places are written alike.
fn bound_to(key: &Key, column: Column) -> Vec<u8> {
    let column = match column {
        Column::Spec => "spec",
        Column::Status => "status",
    };
    let mut bound = Vec::new();
    for part in [key.kind.name, &key.mesh, &key.name, column] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part.as_bytes());
    }
    bound
}

fn no_random() -> SealerError {
    SealerError::Unusable { detail: "the system gave no random bytes".to_owned() }
}

#[cfg(test)]
mod tests;
