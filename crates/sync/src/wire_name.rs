//! How a resource is named on the wire: `<name>.<mesh>`, with the dot also where there is no mesh (contract: kds 4.3, 4.6).

use std::fmt;

/// Mesh and name of a resource on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireName {
    /// The mesh; empty for global kinds.
    pub mesh: String,
    /// The name.
    pub name: String,
}

impl WireName {
    /// Reads an entry of a removal list: split at the last dot; without one there is no mesh.
    pub fn parse(entry: &str) -> Self {
        let (name, mesh) = entry.rsplit_once('.').unwrap_or((entry, ""));
        Self { mesh: mesh.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.mesh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_last_dot() {
        for (entry, name, mesh) in [
            ("default.", "default", ""),
            ("with.dot-wzb57dz8d5fb5247.default", "with.dot-wzb57dz8d5fb5247", "default"),
            ("plain", "plain", ""),
            ("", "", ""),
        ] {
            assert_eq!(WireName::parse(entry), WireName { mesh: mesh.to_owned(), name: name.to_owned() }, "{entry}");
        }
        assert_eq!(WireName::parse("default.").to_string(), "default.");
    }
}
