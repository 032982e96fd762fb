//! A file of more than 400 lines says in its first paragraph why it is not two.

use std::{
    fs,
    path::{Path, PathBuf},
};

use testkit::named_tests::repository;

const LINES: usize = 400;
/// How the reason begins.
const REASON: &str = "Longer than usual because";

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Whether the first paragraph of a file says why it is long.
fn says_why(text: &str) -> bool {
    let doc = text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = doc.map(str::trim).take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ").contains(REASON)
}

#[test]
fn a_long_file_says_why_it_is_not_two() {
    let root = repository();
    let mut files = Vec::new();
    for folder in ["crates", "benches"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 300, "the sources were found: {}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        assert!(
            lines <= LINES || says_why(&text),
            "{name} has {lines} lines: make two of it, or write into its first paragraph `{REASON} …`"
        );
    }
}

#[test]
fn only_the_first_paragraph_counts() {
    let reason = format!("//! Rules. {}\n//! because there are many.\n//!\n//! More.\n", "Longer than usual");
    assert!(says_why(&reason));
    assert!(!says_why(&format!("//! Rules.\n//!\n//! {REASON} of that.\n")));
    assert!(!says_why(&format!("// {REASON} of that.\n")));
}
