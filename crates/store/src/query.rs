//! What callers ask to see.

use model::{Kind, Labels};

use crate::Stored;

/// Which resources to list. All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The kind.
    pub kind: Kind,
    /// Only this mesh.
    pub mesh: Option<String>,
    /// Only names that contain this text.
    pub name_contains: Option<String>,
    /// Only resources that carry these labels with these values.
    pub labels: Labels,
    /// How many matches to skip.
    pub offset: usize,
    /// How many to return at most; all when absent.
    pub limit: Option<usize>,
}

impl Query {
    /// Returns the query for everything of a kind.
    pub fn all(kind: Kind) -> Self {
        Self { kind, mesh: None, name_contains: None, labels: Labels::new(), offset: 0, limit: None }
    }

    /// Returns the query for everything of a kind in one mesh.
    pub fn in_mesh(kind: Kind, mesh: impl Into<String>) -> Self {
        Self { mesh: Some(mesh.into()), ..Self::all(kind) }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The resources, sorted by mesh and name.
    pub items: Vec<Stored>,
    /// How many match in all, before offset and limit.
    pub total: usize,
}
