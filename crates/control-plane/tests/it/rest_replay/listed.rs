//! What `docs/compatibility.md` says differs.

use std::{collections::BTreeMap, path::Path};

/// One listed line.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// Our status; absent for lines that are open.
    pub(crate) status: Option<u16>,
}

/// The lines that may differ, by version/file and name.
pub(crate) struct Listed(BTreeMap<(String, String), Difference>);

impl Listed {
    /// Reads the tables: `| file | line | our status | why |` for deliberate differences, `| file | line | what is
    /// missing |` for open lines.
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
        let text = std::fs::read_to_string(path).expect("docs/compatibility.md");
        let mut listed = BTreeMap::new();
        let mut open = false;
        for line in text.lines() {
            if line.starts_with('#') {
                open = line.contains("Open lines");
            }
            let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
            let (Some(file), Some(name)) = (cells.first(), cells.get(1)) else { continue };
            let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
            let status = cells.get(2).and_then(|cell| cell.parse().ok());
            assert_eq!(open, status.is_none(), "a deliberate difference has a status, an open line has none: {line}");
            let forbidden = ["global-index", "global-secrets", "global-access", "global-zones"];
            assert!(!open || !forbidden.contains(file), "this file may have no open lines: {line}");
            let key = ((*file).to_owned(), name.to_owned());
            assert!(listed.insert(key, Difference { status }).is_none(), "listed twice: {line}");
        }
        Self(listed)
    }

    /// Whether a line is listed.
    pub(crate) fn get(&self, version: &str, file: &str, name: &str) -> Option<&Difference> {
        self.0.get(&(label(version, file), name.to_owned()))
    }

    /// The names listed for a file.
    pub(crate) fn names(&self, version: &str, file: &str) -> impl Iterator<Item = &str> {
        let label = label(version, file);
        self.0.keys().filter(move |(file, _)| *file == label).map(|(_, name)| name.as_str())
    }
}

/// A file of 3.0 goes by its name alone.
fn label(version: &str, file: &str) -> String {
    if version == "3.0-preview" { file.to_owned() } else { format!("{version}/{file}") }
}
