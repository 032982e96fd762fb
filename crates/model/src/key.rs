//! The identity of a resource inside one control plane.

use std::fmt;

use crate::{Kind, Scope};

/// Names one resource: kind, mesh (empty for global kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind of the resource.
    pub kind: Kind,
    /// The mesh it belongs to; empty for kinds of global scope.
    pub mesh: String,
    /// Its name, unique in kind and mesh.
    pub name: String,
}

impl Key {
    /// Returns the key of a mesh-scoped resource.
    pub fn in_mesh(kind: Kind, mesh: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, mesh: mesh.into(), name: name.into() }
    }

    /// Returns the key of a resource of global scope.
    pub fn global(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, mesh: String::new(), name: name.into() }
    }

    /// Returns the key of what has this name in this mesh; the mesh counts for kinds of mesh scope only.
    pub fn of(kind: Kind, mesh: impl Into<String>, name: impl Into<String>) -> Self {
        match kind.scope {
            Scope::Global => Self::global(kind, name),
            Scope::Mesh => Self::in_mesh(kind, mesh, name),
        }
    }
}

/// Writes the key as Kuma's error texts do: `type="Mesh" name="default" mesh=""`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type=\"{}\" name=\"{}\" mesh=\"{}\"", self.kind.name, self.name, self.mesh)
    }
}
