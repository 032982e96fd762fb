//! Keeps citations honest: each section of `docs/contract` that a comment or a document cites is there.
//!
//! How a citation is written stands in `docs/contract/README.md`. What looks like one and cannot be read fails with its
//! place, and so does a section that is named outside a citation.

mod grammar;
mod pieces;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use testkit::named_tests::repository;

use grammar::{Cited, Loose, Reader, TEXTS, file_of, is_number};
use pieces::{comments, paragraphs};

/// The sections of each text, with what stands in them.
fn texts() -> BTreeMap<&'static str, BTreeMap<String, String>> {
    TEXTS.iter().map(|(_, file)| (*file, sections_of(file))).collect()
}

fn sections_of(file: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(repository().join(format!("docs/contract/{file}.md"))).unwrap();
    let mut sections = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let mut words = section.split_whitespace();
        let name = match words.next().unwrap() {
            "Appendix" => format!("Appendix {}", words.next().unwrap()),
            number => number.to_owned(),
        };
        let named = name.starts_with("Appendix ") || is_number(&name);
        assert!(named, "{file}.md: a heading begins with the section's number: {name}");
        assert!(words.next().is_some(), "{file}.md: {name} has no title");
        assert!(sections.insert(name.clone(), section.to_owned()).is_none(), "{file}.md: two sections {name}");
    }
    sections
}

/// The files below a folder, with the ending; not those of a build.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files(&path, ending, found);
            }
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
}

/// All that programs and documents cite, with file and line.
fn cited() -> Vec<(String, Result<Cited, String>)> {
    let root = repository();
    let mut paths = Vec::new();
    for folder in ["crates", "benches", "docs"] {
        files(&root.join(folder), "rs", &mut paths);
        files(&root.join(folder), "md", &mut paths);
    }
    let top = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(top.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let source = std::fs::read_to_string(&path).unwrap();
        let is_program = path.extension().is_some_and(|ending| ending == "rs");
        let pieces = if is_program { comments(&source) } else { paragraphs(&source) };
        let shown = path.strip_prefix(&root).unwrap().display().to_string();
        let own = shown.strip_prefix("docs/contract/").and_then(|name| name.strip_suffix(".md"));
        let loose = own.map_or(Loose::Nowhere, |own| Loose::In(file_of(own).unwrap_or_default()));
        for piece in pieces {
            for (place, said) in Reader::new(&piece.text).read(loose) {
                all.push((format!("{shown}:{}", piece.line_at(place)), said));
            }
        }
        if shown == "docs/compatibility.md" {
            all.extend(rules(&source).map(|(line, said)| (format!("{shown}:{line}"), said)));
        }
    }
    all
}

/// The sections in front of the rules of the table "KDS, rule by rule".
fn rules(source: &str) -> impl Iterator<Item = (usize, Result<Cited, String>)> {
    let lines = source.lines().enumerate().skip_while(|(_, line)| *line != "## KDS, rule by rule").skip(1);
    let table = lines.take_while(|(_, line)| !line.starts_with("## "));
    table.filter_map(|(index, line)| {
        let section = line.strip_prefix("| ")?.split(' ').next().filter(|word| *word != "rule")?;
        Some((index + 1, Ok(Cited { file: "kds", section: section.to_owned(), words: None })))
    })
}

/// What is wrong with a citation.
fn fault(cited: &Cited, texts: &BTreeMap<&str, BTreeMap<String, String>>) -> Option<String> {
    let Cited { file, section, words } = cited;
    let Some(sections) = texts.get(file) else { return Some(format!("no text {file}.md")) };
    if section.is_empty() {
        return (!sections.is_empty()).then(|| format!("{file}.md has sections: say which"));
    }
    let Some(text) = sections.get(section) else { return Some(format!("{file}.md has no section {section}")) };
    let words = words.as_ref().filter(|words| !text.contains(words.as_str()))?;
    Some(format!("section {section} of {file}.md does not say {words:?}"))
}

#[test]
fn every_cited_section_is_there() {
    let texts = texts();
    let all = cited();
    assert!(all.len() > 300, "comments and documents are read: {}", all.len());
    let faults: Vec<String> = all
        .into_iter()
        .filter_map(|(place, said)| {
            let fault = said.map_or_else(Some, |cited| fault(&cited, &texts))?;
            Some(format!("{place}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "citations of docs/contract: {faults:#?}");
}

#[test]
fn a_citation_of_what_is_not_there_is_a_fault() {
    let texts = texts();
    let check = |file, section: &str, words: Option<&str>, expected: Option<&str>| {
        let cited = Cited { file, section: section.to_owned(), words: words.map(str::to_owned) };
        assert_eq!(fault(&cited, &texts).as_deref(), expected);
    };
    check("kds", "8.1", Some("append rule"), None);
    check("protobuf", "", None, None);
    check("kds", "8.9", None, Some("kds.md has no section 8.9"));
    check("kds", "", None, Some("kds.md has sections: say which"));
    check("kds", "8.2", Some("append rule"), Some("section 8.2 of kds.md does not say \"append rule\""));
}
