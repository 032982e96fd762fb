//! The documents of `-f`: all files in their order, each document as it was written.

mod source;

use model::{Kind, document};
use serde_json::{Map, Value};

use crate::{failure::Failure, session::Session};

/// A document and where it stands.
#[derive(Debug)]
pub(crate) struct Given {
    /// `resource[0]`, behind the file's name if there are several files.
    pub(crate) place: String,
    pub(crate) text: String,
}

/// Reads all files. An empty one is told: it is hardly what was meant.
pub(crate) fn read(session: &Session<'_>, files: &[String], verb: &str) -> Result<Vec<Given>, Failure> {
    let mut given = Vec::new();
    for file in files {
        let text = source::read(file, session.proxies())?;
        if text.is_empty() {
            let which = if files.len() > 1 { format!(" in {file}") } else { String::new() };
            return Err(Failure::Refused(format!("no resource(s) passed to {verb}{which}")));
        }
        let front = if files.len() > 1 { format!("{file}: ") } else { String::new() };
        let documents = document::split_yaml(&text).into_iter().enumerate();
        given.extend(documents.map(|(index, text)| Given { place: format!("{front}resource[{index}]"), text }));
    }
    Ok(given)
}

/// Returns the members of a document as they were written, or what is wrong with all of it. Nothing, if it is no YAML
/// at all: others word that.
pub(crate) fn members(text: &str) -> Result<Option<Map<String, Value>>, String> {
    let strict = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    let lenient = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Value>(text, strict) {
        Ok(Value::Object(members)) => kubernetes(&members).map_or(Ok(Some(members)), Err),
        Ok(_) => Ok(None),
        Err(error) => match serde_saphyr::from_str_with_options::<Value>(text, lenient) {
            // Whoever reads only one of the two sees another resource than the one that is written.
            Ok(_) => Err(format!("a key stands twice: {}", error.to_string().replace('\n', " "))),
            Err(_) => Ok(None),
        },
    }
}

fn kubernetes(members: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let (None, Some(version), Some(kind)) = (text("type"), text("apiVersion"), text("kind")) else { return None };
    let what_else = if Kind::by_name(kind).is_some() {
        format!("or write `type: {kind}`, `name` and `mesh` at the top in the place of apiVersion, kind and metadata")
    } else {
        "it is no resource of a mesh".to_owned()
    };
    Some(format!("this is a manifest for Kubernetes (kind {kind:?} of {version:?}): use kubectl, {what_else}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_stands_twice_is_refused_at_any_depth() {
        for text in ["type: Mesh\nname: a\nname: b\n", "type: T\nspec:\n  to: []\n  to: []\n", "{\"a\": 1, \"a\": 2}"] {
            let refused = members(text).unwrap_err();
            assert!(refused.starts_with("a key stands twice: "), "{refused}");
        }
        assert_eq!(members("a: 1\nb: {a: 1}\n").unwrap().unwrap().len(), 2);
        assert_eq!(members("a: [\n").unwrap(), None);
    }

    #[test]
    fn manifests_for_kubernetes_are_told_what_to_do() {
        let check = |text: &str, expected: &str| {
            let refused = members(text).unwrap_err();
            assert!(refused.contains("kubectl") && refused.contains(expected), "{refused}");
        };
        check("apiVersion: kuma.io/v1alpha1\nkind: MeshTimeout\nmetadata: {name: t}\n", "`type: MeshTimeout`");
        check("apiVersion: v1\nkind: Pod\n", "no resource of a mesh");
        assert!(members("type: Mesh\nkind: x\napiVersion: y\n").unwrap().is_some());
    }
}
