//! Documents: what users write (REST bodies, YAML files) and what REST shows.
//!
//! Two shapes (contract: rest 1.5): kinds in protobuf show meta and spec members in one object, kinds in JSON have a
//! member `spec` and perhaps `status`. Times, `kri`, `snis` and `status` in what users send are ignored.

mod read;
mod show;
mod sni;
mod strict;
mod text;
mod warnings;

use bytes::Bytes;
use thiserror::Error;

pub use crate::validate::Violation;
pub use read::{from_rest, from_yaml, split_yaml};
pub use show::{META, ZERO_TIME, is_meta, time, to_rest};
pub use text::{escape_html, to_rest_text};

use crate::{Kind, Labels, validate};

/// A document that names itself: kind, mesh and name are there and valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The kind.
    pub kind: Kind,
    /// The mesh; empty for kinds of global scope.
    pub mesh: String,
    /// The name.
    pub name: String,
    /// The labels as written.
    pub labels: Labels,
    /// The spec as it is stored.
    pub spec: Bytes,
    /// The status of a new resource, for kinds that have one.
    pub status: Option<Bytes>,
    /// What of the document has no effect, for its author.
    pub warnings: Vec<String>,
}

impl Document {
    /// Returns the document as a client sends it: zero times, the computed `kri`, `snis` and an empty status.
    pub fn to_rest(&self) -> serde_json::Value {
        show::of_document(self)
    }
}

/// What a REST body says. Type, mesh and name are as written, perhaps empty: the route knows what they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestBody {
    /// `type`.
    pub type_name: String,
    /// `mesh`; `default` where kinds in JSON leave it out.
    pub mesh: String,
    /// `name`.
    pub name: String,
    /// `labels`.
    pub labels: Labels,
    /// The spec as it is stored.
    pub spec: Bytes,
    /// What of the body has no effect, for its author.
    pub warnings: Vec<String>,
}

/// Why a text is no document. Displayed as REST says it in `detail`, and kumactl behind [`DocumentError::stage`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// No JSON, or members of a type that cannot be read.
    #[error("invalid {kind} object: {text:?}")]
    Malformed {
        /// The kind that was expected.
        kind: Kind,
        /// What is wrong.
        text: String,
    },
    /// A request that is refused for another reason.
    #[error("{text}")]
    BadRequest {
        /// What is wrong.
        text: String,
    },
    /// No YAML at all.
    #[error("invalid meta type: {text:?}")]
    NotYaml {
        /// What the reader said.
        text: String,
    },
    /// No kind has this name.
    #[error("invalid resource type {name:?}")]
    UnknownKind {
        /// `type` of the document.
        name: String,
    },
    /// Members that are missing or of the wrong type; hides everything else.
    #[error("{}", validate::join(.0))]
    Schema(Vec<Violation>),
    /// A spec that breaks rules.
    #[error("{}", validate::join(.0))]
    Invalid(Vec<Violation>),
    /// A name or a mesh that breaks rules (files only; REST compares them with the path first).
    #[error("{}", validate::join(.0))]
    Meta(Vec<Violation>),
}

impl DocumentError {
    /// What kumactl was about when it failed: it prints `<stage>: <error>`.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Meta(_) => "failed to read meta",
            Self::Malformed { .. }
            | Self::BadRequest { .. }
            | Self::NotYaml { .. }
            | Self::UnknownKind { .. }
            | Self::Schema(_)
            | Self::Invalid(_) => "failed to parse resource",
        }
    }
}
