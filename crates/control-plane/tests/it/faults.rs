//! Keeps `docs/faults.md` honest: each fault that was found has its row, and each test that a row names is there.

use std::collections::BTreeSet;

use testkit::named_tests::{is_there, repository};

/// The families of faults, and how many each has.
const FAMILIES: [(&str, usize); 4] = [("S", 28), ("F", 14), ("P", 7), ("A", 4)];

/// What a row says: which fault, and the tests in its last cell.
struct Row {
    id: String,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(repository().join("docs/faults.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id "));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
    let [id, what_could_happen, kind, where_mended, tests] = cells.as_slice() else { panic!("five cells: {line}") };
    assert!([what_could_happen, kind, where_mended].iter().all(|cell| cell.len() > 10), "an empty cell: {line}");
    let test = |text: &str| {
        let name = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        name.unwrap_or_else(|| panic!("tests stand in backticks, with a comma between: {line}")).to_owned()
    };
    Row { id: (*id).to_owned(), tests: tests.split(", ").map(test).collect() }
}

#[test]
fn every_fault_has_its_row() {
    let found: Vec<String> = rows().into_iter().map(|row| row.id).collect();
    let wanted: Vec<String> = FAMILIES
        .iter()
        .flat_map(|(family, count)| (1..=*count).map(move |number| format!("{family}{number}")))
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn every_test_of_a_row_is_there() {
    // What a script does is shown by the script.
    let exists = |test: &String| match test.strip_prefix("scripts/") {
        Some(script) => repository().join("scripts").join(script).is_file(),
        None => is_there(test),
    };
    let missing: BTreeSet<String> = rows().into_iter().flat_map(|row| row.tests).filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}
