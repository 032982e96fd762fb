//! What a zone may call what it reports. Its own REST API checked the same; a zone that is not what it should be has none.

use super::{Violation, label_key, label_value, mesh, names};
use crate::{Kind, Labels, Scope, labels};

/// All labels of a resource together, in bytes.
const LABELS: usize = 64 * 1024;

/// Checks name, mesh and labels of a resource that a zone reports. Empty means good.
///
/// A name may have underscores, as 2.x allows. Labels that control planes write hold names, which are longer than what
/// people may write into a label.
pub fn reported(kind: Kind, name: &str, mesh_name: &str, all: &Labels) -> Vec<Violation> {
    let as_name = |field: &str, text: &str| {
        let found = mesh(text).into_iter().map(|found| Violation::new(field, found.reason));
        let dots = text.split('.').any(str::is_empty).then(|| Violation::new(field, "must not have empty parts"));
        found.chain(dots.filter(|_| !text.is_empty())).collect::<Vec<_>>()
    };
    let mut found = as_name("name", name);
    if kind.scope == Scope::Mesh {
        found.extend(as_name("mesh", mesh_name));
    }
    if all.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > LABELS {
        found.push(Violation::new("labels", format!("have more than {LABELS} bytes together")));
        return found;
    }
    for (key, value) in all {
        let broken_key = label_key(key);
        let reasons = if broken_key.is_empty() && is_ours(key) {
            if key == labels::DISPLAY_NAME {
                as_name(key, value).into_iter().map(|one| one.reason).collect()
            } else {
                names::long_label_value(value)
            }
        } else {
            label_value(value)
        };
        let shown: String = key.chars().take(64).flat_map(char::escape_debug).collect();
        let field = format!("labels[\"{shown}\"]");
        found.extend(broken_key.into_iter().chain(reasons).map(|reason| Violation::new(field.clone(), reason)));
    }
    found
}

/// Whether control planes write the label.
fn is_ours(key: &str) -> bool {
    key.split_once('/').is_some_and(|(prefix, _)| prefix == "kuma.io" || prefix.ends_with(".kuma.io"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(kind: &str, name: &str, mesh: &str, labels: &[(&str, &str)]) -> Vec<String> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let found = reported(Kind::by_name(kind).expect("kind"), name, mesh, &labels);
        found.into_iter().map(|found| found.field).collect()
    }

    #[test]
    fn names_and_meshes_are_names() {
        for good in ["a", "a.b-c", "backend.ns-d8466458x7574b7b", "under_score"] {
            assert_eq!(fields("Dataplane", good, "default", &[]), [""; 0], "{good}");
        }
        let long = "a".repeat(100_000);
        for bad in ["", "../../etc/passwd", "..", ".", "a..b", "a\u{1b}[2J", "a\u{202e}b", "Upper", "a/b", "a\n", &long]
        {
            assert!(fields("Dataplane", bad, "default", &[]).contains(&"name".to_owned()), "{bad:?}");
            assert!(fields("Dataplane", "a", bad, &[]).contains(&"mesh".to_owned()), "{bad:?}");
        }
        assert_eq!(fields("HostnameGenerator", "a", "", &[]), [""; 0], "it is in no mesh");
    }

    #[test]
    fn labels_are_labels() {
        let name = "a".repeat(253);
        let good =
            [("team", "a"), ("kuma.io/display-name", name.as_str()), ("k8s.kuma.io/service-name", name.as_str())];
        assert_eq!(fields("Dataplane", "a", "default", &good), [""; 0]);
        let large = "a".repeat(1 << 20);
        for bad in [
            ("team", "\u{202e}"),
            ("kuma.io/display-name", "a\u{202e}"),
            ("kuma.io/x", "\u{1b}"),
            ("team", name.as_str()),
            ("a\nb", ""),
            ("x", large.as_str()),
        ] {
            assert_eq!(fields("Dataplane", "a", "default", &[bad]).len().min(1), 1, "{:?}", bad.0);
        }
    }
}
