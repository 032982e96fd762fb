//! Names, meshes and labels.

use super::Violation;
use crate::{Kind, NameError, Scope, ZoneName};

const NAME_CHARACTERS: &str = "invalid characters. A lowercase RFC 1123 subdomain must consist of lower case \
     alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const MESH_CHARACTERS: &str =
    "invalid characters. Valid characters are numbers, lowercase latin letters and '-', '_', '.' symbols.";
const KEY_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Checks the name and, for kinds of mesh scope, the mesh: what kumactl checks before it sends anything.
pub fn meta(kind: Kind, name: &str, mesh: &str) -> Vec<Violation> {
    let mut found = self::name(name);
    if kind.scope == Scope::Mesh {
        found.extend(self::mesh(mesh));
    }
    found
}

/// Checks a name: an RFC 1123 subdomain of at most 253 characters.
pub fn name(name: &str) -> Vec<Violation> {
    if name.is_empty() {
        return vec![Violation::new("name", "cannot be empty")];
    }
    let mut found = Vec::new();
    if name.len() > 253 {
        found.push(Violation::new("name", "value length must less or equal 253"));
    }
    if !is_subdomain(name) {
        found.push(Violation::new("name", NAME_CHARACTERS));
    }
    found
}

/// Checks the name of a mesh where it is a reference; wider than [`name`].
pub fn mesh(mesh: &str) -> Vec<Violation> {
    if mesh.is_empty() {
        return vec![Violation::new("mesh", "cannot be empty")];
    }
    let mut found = Vec::new();
    if mesh.len() > 253 {
        found.push(Violation::new("mesh", "value length must less or equal 253"));
    }
    if !mesh.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.')) {
        found.push(Violation::new("mesh", MESH_CHARACTERS));
    }
    found
}

/// Checks the display name of a new Mesh, Zone or service: an RFC 1035 label of at most 63 characters.
pub fn display_name(kind: Kind, name: &str) -> Option<Violation> {
    let limited = matches!(kind.name, "Mesh" | "Zone" | "MeshService" | "MeshExternalService" | "MeshMultiZoneService");
    let error = ZoneName::parse(name).err().filter(|_| limited)?;
    let reason = match error {
        // Characters are not looked at in a name that is too long, and an empty one fails `name` before.
        NameError::TooLong => "must be no more than 63 characters".to_owned(),
        error @ (NameError::Empty | NameError::NotALabel) => error.to_string(),
    };
    Some(Violation::new("name", reason))
}

/// Checks a label key: a Kubernetes qualified name. Returns the reasons against it.
pub fn label_key(key: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                reasons.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > 253 {
                    reasons.push("prefix part must be no more than 253 bytes".to_owned());
                }
                if !is_subdomain(prefix) {
                    reasons.push(format!("prefix part {SUBDOMAIN}"));
                }
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {KEY_PART} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        reasons.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        reasons.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_label_text(name) {
        reasons.push(format!("name part {KEY_PART}"));
    }
    reasons
}

/// Checks a label value. Returns the reasons against it.
pub fn label_value(value: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    if value.len() > 63 {
        reasons.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_label_text(value) {
        reasons.push(LABEL_VALUE.to_owned());
    }
    reasons
}

/// Checks the value of a label that a control plane wrote: of the characters of a label, and as long as a name.
pub(super) fn long_label_value(value: &str) -> Vec<String> {
    let odd = |c: u8| !(c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    if value.len() > 253 {
        vec!["must be no more than 253 bytes".to_owned()]
    } else if value.bytes().any(odd) {
        vec![LABEL_VALUE.to_owned()]
    } else {
        Vec::new()
    }
}

fn is_subdomain(text: &str) -> bool {
    let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split('.').all(|part| {
        part.bytes().all(|c| lower(c) || c == b'-')
            && part.bytes().next().is_some_and(lower)
            && part.bytes().next_back().is_some_and(lower)
    })
}

fn is_label_text(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(found: &[Violation], expected: &[&str]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.reason.starts_with(expected), "{found:?}");
        }
    }

    #[test]
    fn names_are_subdomains_of_253_characters() {
        for good in ["a", "1a", "a.b", "a-b.c", &"a".repeat(253)] {
            starts(&name(good), &[]);
        }
        starts(&name(""), &["cannot be empty"]);
        starts(&name(&"a".repeat(254)), &["value length"]);
        for bad in ["Bad", "a_b", "-a", "a-", "a..b", ".a", "a.", "ä"] {
            starts(&name(bad), &["invalid characters. A lowercase RFC 1123"]);
        }
    }

    #[test]
    fn a_reference_to_a_mesh_may_have_underscores() {
        starts(&mesh("a_b-c.d0"), &[]);
        starts(&mesh(""), &["cannot be empty"]);
        starts(&mesh("A"), &["invalid characters. Valid characters are numbers,"]);
        starts(&mesh(&"a".repeat(254)), &["value length"]);
    }

    #[test]
    fn meshes_zones_and_services_are_labels() {
        let check = |kind: &str, name: &str, expected: Option<&str>| {
            let found = display_name(Kind::by_name(kind).expect("kind"), name);
            assert_eq!(found.is_some(), expected.is_some(), "{kind} {name}");
            starts(found.as_slice(), expected.as_slice());
        };
        for kind in ["Mesh", "Zone", "MeshService", "MeshExternalService", "MeshMultiZoneService"] {
            check(kind, "demo", None);
            check(kind, "1a", Some("a DNS-1035 label must"));
            check(kind, "a.b", Some("a DNS-1035 label must"));
            check(kind, &"a".repeat(64), Some("must be no more than 63 characters"));
        }
        check("MeshTimeout", "1a.b", None);
    }

    #[test]
    fn label_keys_are_qualified_names() {
        let check = |key: &str, expected: &[&str]| {
            let reasons = label_key(key);
            assert_eq!(reasons.len(), expected.len(), "{key} {reasons:?}");
            assert!(reasons.iter().zip(expected).all(|(reason, start)| reason.starts_with(start)), "{key} {reasons:?}");
        };
        check("team", &[]);
        check("example.com/owner", &[]);
        check("-bad", &["name part must consist of"]);
        check("a/b/c", &["a valid label key must consist"]);
        check("/a", &["prefix part must be non-empty"]);
        check("Upper.Case/a", &["prefix part a lowercase"]);
        check("", &["name part must be non-empty", "name part must consist"]);
        check(&"a".repeat(64), &["name part must be no more than 63 bytes"]);
    }

    #[test]
    fn label_values_have_63_bytes_and_no_blanks() {
        assert_eq!(label_value(""), Vec::<String>::new());
        assert_eq!(label_value(&"a".repeat(63)), Vec::<String>::new());
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(label_value("a b"), [LABEL_VALUE]);
    }
}
