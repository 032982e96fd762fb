//! A resource as it is stored.

use bytes::Bytes;
use jiff::Timestamp;

use crate::{Key, Labels};

/// One resource: who it is, what it says, when it was written.
///
/// `spec` holds the bytes that travel: UTF-8 JSON of the `spec` member for kinds in JSON, protobuf bytes for kinds
/// in protobuf ([`crate::SpecForm`]). Protobuf specs are kept as the bytes that came, so that fields unknown here
/// survive the way from a zone to other zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Who it is.
    pub key: Key,
    /// Its labels, in key order.
    pub labels: Labels,
    /// The spec: JSON or protobuf bytes, as the kind says.
    pub spec: Bytes,
    /// The status, JSON bytes, for kinds that have one.
    pub status: Option<Bytes>,
    /// The resource that this one is deleted with: the mesh of a policy, the zone of what it synced up.
    pub owner: Option<Key>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last written; equal to `created` after creation.
    pub modified: Timestamp,
}
