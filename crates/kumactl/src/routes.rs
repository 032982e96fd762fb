//! The routes of resources.

use model::{Kind, Scope};

use crate::client;

pub(crate) fn list(kind: Kind, mesh: &str) -> String {
    match kind.scope {
        Scope::Mesh => format!("/meshes/{}/{}", client::segment(mesh), kind.path),
        Scope::Global => format!("/{}", kind.path),
    }
}

/// Returns the route of one resource.
pub(crate) fn item(kind: Kind, mesh: &str, name: &str) -> String {
    format!("{}/{}", list(kind, mesh), client::segment(name))
}
