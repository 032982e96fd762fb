//! Finds tests by the names that documents give them: `sync sender::tests::x` is a unit test of the package `sync`,
//! `control-plane it old_peers::x` one of its integration tests.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether a test of this name exists.
pub fn is_there(test: &str) -> bool {
    let (path, name) = file(test);
    has_test(&std::fs::read_to_string(path).unwrap_or_default(), &name)
}

/// The file that a test is in, and its name there.
fn file(test: &str) -> (PathBuf, String) {
    let words: Vec<&str> = test.split(' ').collect();
    let (folder, path) = match words.as_slice() {
        [package, path] => (format!("crates/{package}/src"), path),
        [package, "it", path] => (format!("crates/{package}/tests/it"), path),
        _ => panic!("`package path` or `package it path`: {test}"),
    };
    let mut modules: Vec<&str> = path.split("::").collect();
    let name = modules.pop().unwrap_or_default().to_owned();
    let folder = repository().join(folder);
    let own_file = folder.join(modules.join("/")).with_extension("rs");
    if own_file.is_file() {
        return (own_file, name);
    }
    assert_eq!(modules.pop(), Some("tests"), "{test}: no file {}", own_file.display());
    (folder.join(modules.join("/")).with_extension("rs"), name)
}

/// Whether a file has this function, and it is a test.
pub fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(index) = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    }) else {
        return false;
    };
    let above = lines[..index].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
    above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}
