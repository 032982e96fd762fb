//! Kuma resource identifiers: `kri_<short>_<mesh>_<zone>_<namespace>_<name>_<section>` (contract: rest 1.4, 1.5).

use thiserror::Error;

use crate::{Kind, Labels, labels};

/// A parsed identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kri {
    /// The kind, found by its short name.
    pub kind: Kind,
    /// The mesh, empty for kinds of global scope.
    pub mesh: String,
    /// The zone of origin, empty for what the global control plane made.
    pub zone: String,
    /// The namespace of origin, empty in universal environments.
    pub namespace: String,
    /// The display name.
    pub name: String,
    /// A part of the resource, usually a port; empty for the whole.
    pub section: String,
}

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KriError {
    /// Fewer than seven parts.
    #[error("bad request: invalid identifier string: {0:?}")]
    TooFewParts(String),
    /// Another first part than `kri`.
    #[error("bad request: identifier must start with 'kri': {0:?}")]
    NotAKri(String),
    /// No kind has this short name.
    #[error("bad request: unknown short name of resource type: {0:?}")]
    UnknownKind(String),
}

/// Returns the identifier of a resource, if its kind has a short name.
pub fn of(kind: Kind, mesh: &str, labels: &Labels, name: &str) -> Option<String> {
    if kind.short.is_empty() {
        return None;
    }
    let label = |key: &str| labels.get(key).map_or("", String::as_str);
    let name = match label(labels::DISPLAY_NAME) {
        "" => name,
        display => display,
    };
    Some(format!("kri_{}_{mesh}_{}_{}_{name}_", kind.short, label(labels::ZONE), label(labels::NAMESPACE)))
}

/// Parses an identifier; what follows the seventh part is ignored like the section itself.
pub fn parse(text: &str) -> Result<Kri, KriError> {
    let parts: Vec<&str> = text.split('_').collect();
    let [kri, short, mesh, zone, namespace, name, section, ..] = parts.as_slice() else {
        return Err(KriError::TooFewParts(text.to_owned()));
    };
    if *kri != "kri" {
        return Err(KriError::NotAKri(text.to_owned()));
    }
    let kind = Kind::by_short(short).ok_or_else(|| KriError::UnknownKind((*short).to_owned()))?;
    Ok(Kri {
        kind,
        mesh: (*mesh).to_owned(),
        zone: (*zone).to_owned(),
        namespace: (*namespace).to_owned(),
        name: (*name).to_owned(),
        section: (*section).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn zone_namespace_and_display_name_come_from_labels() {
        let timeout = Kind::by_short("mt").expect("kind");
        let check = |labels: &[(&str, &str)], expected: &str| {
            assert_eq!(of(timeout, "default", &labels_of(labels), "l1").as_deref(), Some(expected));
        };
        check(&[], "kri_mt_default___l1_");
        check(&[("kuma.io/zone", "east")], "kri_mt_default_east__l1_");
        check(&[("k8s.kuma.io/namespace", "ns1")], "kri_mt_default__ns1_l1_");
        check(&[("kuma.io/display-name", "other")], "kri_mt_default___other_");
        assert_eq!(of(Kind::MESH, "", &Labels::new(), "demo").as_deref(), Some("kri_m____demo_"));
    }

    #[test]
    fn kinds_without_a_short_name_have_none() {
        assert_eq!(of(Kind::SECRET, "default", &Labels::new(), "s"), None);
    }

    #[test]
    fn an_identifier_is_parsed_back() {
        let kri = parse("kri_m____default_abc").expect("kri");
        assert_eq!((kri.kind, kri.name.as_str(), kri.section.as_str()), (Kind::MESH, "default", "abc"));
        let refused = |text: &str, expected: &str| {
            assert_eq!(parse(text).map_err(|error| error.to_string()), Err(expected.to_owned()));
        };
        refused("kri_zz____x_", "bad request: unknown short name of resource type: \"zz\"");
        refused("kri_m_x", "bad request: invalid identifier string: \"kri_m_x\"");
        refused("abc_m____default_", "bad request: identifier must start with 'kri': \"abc_m____default_\"");
    }
}
