//! Keeps the table "KDS, rule by rule" of `docs/compatibility.md` honest: each named test is there, and no section of the
//! contract is without a row.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// One row of the table.
struct Row {
    /// Section and short name of the rule.
    rule: String,
    what_we_do: String,
    tests: Vec<String>,
}

impl Row {
    fn section(&self) -> &str {
        self.rule.split(' ').next().unwrap_or_default()
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(repository().join("docs/compatibility.md")).unwrap();
    let table = text.split("\n## ").find(|section| section.starts_with("KDS, rule by rule\n")).unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
    let [rule, what_we_do, tests] = cells.as_slice() else { panic!("three cells: {line}") };
    let test = |text: &str| {
        let name = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        name.unwrap_or_else(|| panic!("tests stand in backticks, with a comma between: {line}")).to_owned()
    };
    Row { rule: (*rule).to_owned(), what_we_do: (*what_we_do).to_owned(), tests: tests.split(", ").map(test).collect() }
}

/// The file that a test is in: `sync sender::tests::x` is a unit test, `control-plane it old_peers::x` is not.
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
fn has_test(text: &str, name: &str) -> bool {
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

#[test]
fn every_named_test_is_there() {
    let mut missing = BTreeSet::new();
    for row in rows() {
        for test in row.tests {
            let (path, name) = file(&test);
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if !has_test(&text, &name) {
                missing.insert(test);
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn every_section_has_a_rule_and_every_rule_one_row() {
    let rows = rows();
    let mut seen = BTreeMap::new();
    for row in &rows {
        assert!(seen.insert(row.rule.as_str(), ()).is_none(), "two rows for {}", row.rule);
        assert!(row.rule.len() > row.section().len() + 1, "a rule has a name: {}", row.rule);
        assert!(!row.what_we_do.is_empty(), "{}", row.rule);
    }
    let sections: BTreeSet<&str> = rows.iter().map(Row::section).collect();
    let wanted = [(4, 8), (6, 6), (7, 4), (8, 5), (11, 5), (13, 21)];
    for (chapter, last) in wanted {
        for number in 1..=last {
            let section = format!("{chapter}.{number}");
            assert!(sections.contains(section.as_str()), "no rule of section {section}");
        }
    }
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\n/// Why.\nfn one() {}\n\nfn helper() {}\n    #[tokio::test(start_paused = true)]\n    async fn two() {\n";
    assert!(has_test(text, "one") && has_test(text, "two"));
    assert!(!has_test(text, "helper") && !has_test(text, "on") && !has_test(text, "three"));
}
