//! Keeps the table "KDS, rule by rule" of `docs/compatibility.md` honest: each named test is there, and no section of the
//! contract is without a row.

use std::collections::{BTreeMap, BTreeSet};

use testkit::named_tests::{is_there, repository};

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

#[test]
fn every_named_test_is_there() {
    let mut missing = BTreeSet::new();
    for row in rows() {
        missing.extend(row.tests.into_iter().filter(|test| !is_there(test)));
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
