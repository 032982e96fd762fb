//! The lines of a backup: JSON with bytes in base64.

use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use serde::{Deserialize, Serialize};
use store::sealing::{Column, SealedDataKey, Sealing, SealingError};
use zeroize::Zeroizing;

use super::{BackupError, FileBeside, place, wrong};

/// What is read of the first line before it is known to be ours.
#[derive(Deserialize)]
pub(super) struct Front {
    pub(super) format: String,
    pub(super) version: u32,
}

/// The last line.
#[derive(Serialize, Deserialize)]
pub(super) struct Trailer {
    pub(super) sha256: String,
    #[serde(with = "bytes::option", default, skip_serializing_if = "Option::is_none")]
    pub(super) seal: Option<Vec<u8>>,
}

/// The data key of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataKeyLine {
    pub(super) id: u32,
    pub(super) sealed_by: String,
    #[serde(with = "bytes")]
    pub(super) sealed: Vec<u8>,
}

impl DataKeyLine {
    pub(super) fn of(key: &SealedDataKey) -> Self {
        Self { id: key.id.number(), sealed_by: key.sealed_by.clone(), sealed: key.sealed.clone() }
    }
}

/// A line between the first and the last one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Resource(ResourceLine),
    File(FileLine),
}

#[derive(Serialize, Deserialize)]
struct KeyLine {
    kind: String,
    mesh: String,
    name: String,
}

impl KeyLine {
    fn of(key: &Key) -> Self {
        Self { kind: key.kind.name.to_owned(), mesh: key.mesh.clone(), name: key.name.clone() }
    }

    fn key(self, number: usize) -> Result<Key, BackupError> {
        let unknown = || wrong(number, &format!("kind `{}` is not known to this program: use a newer one", self.kind));
        let kind = Kind::by_name(&self.kind).ok_or_else(unknown)?;
        Ok(Key { kind, mesh: self.mesh, name: self.name })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResourceLine {
    key: KeyLine,
    labels: Labels,
    #[serde(with = "bytes")]
    spec: Vec<u8>,
    #[serde(with = "bytes::option", default, skip_serializing_if = "Option::is_none")]
    status: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<KeyLine>,
    #[serde(with = "crate::records::text")]
    created: Timestamp,
    #[serde(with = "crate::records::text")]
    modified: Timestamp,
}

impl ResourceLine {
    pub(super) fn of(resource: &Resource, sealing: &Sealing) -> Result<Self, BackupError> {
        let Resource { key, labels, spec, status, owner, created, modified } = resource;
        let failed = |cause: SealingError| BackupError::Sealing { of: key.to_string(), cause };
        let seal = |column, content| sealing.seal(key, column, content).map(Vec::from).map_err(failed);
        Ok(Self {
            key: KeyLine::of(key),
            labels: labels.clone(),
            spec: seal(Column::Spec, spec)?,
            status: status.as_deref().map(|status| seal(Column::Status, status)).transpose()?,
            owner: owner.as_ref().map(KeyLine::of),
            created: *created,
            modified: *modified,
        })
    }

    pub(super) fn open(self, sealing: &Sealing, number: usize) -> Result<Resource, BackupError> {
        let key = self.key.key(number)?;
        let failed = |cause: SealingError| BackupError::Sealing { of: key.to_string(), cause };
        let open = |column, content: &[u8]| sealing.open(&key, column, content).map(|opened| opened.content);
        let spec = open(Column::Spec, &self.spec).map_err(failed)?;
        let status = self.status.map(|status| open(Column::Status, &status)).transpose().map_err(failed)?;
        let owner = self.owner.map(|owner| owner.key(number)).transpose()?;
        Ok(Resource { key, labels: self.labels, spec, status, owner, created: self.created, modified: self.modified })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct FileLine {
    name: String,
    #[serde(with = "bytes")]
    content: Vec<u8>,
}

impl FileLine {
    pub(super) fn of(file: &FileBeside, sealing: &Sealing) -> Result<Self, BackupError> {
        let sealed = sealing.seal(&place(&file.name), Column::Spec, &file.content);
        let failed = |cause| BackupError::Sealing { of: format!("file {}", file.name), cause };
        Ok(Self { name: file.name.clone(), content: sealed.map(Vec::from).map_err(failed)? })
    }

    pub(super) fn open(self, sealing: &Sealing) -> Result<FileBeside, BackupError> {
        let opened = sealing.open(&place(&self.name), Column::Spec, &self.content);
        let opened = opened.map_err(|cause| BackupError::Sealing { of: format!("file {}", self.name), cause })?;
        Ok(FileBeside { name: self.name, content: Zeroizing::new(opened.content.to_vec()) })
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes in base64.
mod bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// The same for what may not be there.
    pub(super) mod option {
        use super::{Deserializer, Serializer};

        #[expect(clippy::ref_option, reason = "serde calls it so")]
        pub(in super::super) fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => super::serialize(bytes, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}
