//! What `docs/compatibility.md` says of runs of `kumactl`: where we differ on purpose, and what is open.

use std::{collections::BTreeMap, path::Path};

/// The runs that may differ, by number of the line in `3.0-preview/kumactl.jsonl`.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// Number and what differs (`exit`, `stdout`, `stderr`, a file's path), with the reason.
    pub deliberate: BTreeMap<(usize, String), String>,
    /// Runs that should not differ and do, with what is missing.
    pub open: BTreeMap<usize, String>,
}

impl Differences {
    /// Reads the two tables: `| run | what | command | why |` and `| run | command | what is missing |`.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
        let text = std::fs::read_to_string(path).expect("docs/compatibility.md");
        let found = Self::of(&text);
        assert!(!found.deliberate.is_empty(), "docs/compatibility.md has no table of kumactl runs");
        found
    }

    fn of(text: &str) -> Self {
        let mut found = Self::default();
        let mut section = "";
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                section = title;
            }
            let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
            let Some(run) = cells.first().and_then(|cell| cell.parse::<usize>().ok()) else { continue };
            let is_new = match (section, cells.as_slice()) {
                ("kumactl: deliberate differences", [_, what, _, why]) => {
                    found.deliberate.insert((run, (*what).to_owned()), (*why).to_owned()).is_none()
                }
                ("kumactl: open lines", [_, _, missing]) => found.open.insert(run, (*missing).to_owned()).is_none(),
                _ => panic!("not a row of a table of kumactl runs, under {section:?}: {line}"),
            };
            assert!(is_new, "listed twice: {line}");
        }
        found
    }

    /// Whether this difference is listed.
    pub fn knows(&self, run: usize, what: &str) -> bool {
        self.deliberate.contains_key(&(run, what.to_owned())) || self.open.contains_key(&run)
    }

    /// Returns what is listed for a run and did not come: such a row is to be removed.
    pub fn stale(&self, run: usize, came: &[super::Difference]) -> Vec<String> {
        let mut stale: Vec<String> = self
            .deliberate
            .iter()
            .filter(|((known, what), _)| *known == run && !came.iter().any(|one| one.what == *what))
            .map(|((_, what), why)| format!("run {run} is listed and its {what} does not differ ({why})"))
            .collect();
        if self.open.contains_key(&run) && came.is_empty() {
            stale.push(format!("run {run} is listed as open and does not differ"));
        }
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "## kumactl: deliberate differences\n\n| run | what | command | why |\n|---|---|---|---|\n\
        | 3 | stdout | `version` | our own |\n\n## kumactl: open lines\n\n| 9 | export | all of it |\n";

    #[test]
    fn both_tables_are_read() {
        let found = Differences::of(TABLES);
        assert_eq!(found.deliberate, BTreeMap::from([((3, "stdout".to_owned()), "our own".to_owned())]));
        assert_eq!(found.open, BTreeMap::from([(9, "all of it".to_owned())]));
        assert!(found.knows(3, "stdout") && !found.knows(3, "exit") && found.knows(9, "exit"));
    }

    #[test]
    fn a_listed_run_that_does_not_differ_is_stale() {
        assert_eq!(Differences::of(TABLES).stale(3, &[]).len(), 1);
        assert_eq!(Differences::of(TABLES).stale(9, &[]).len(), 1);
        assert!(Differences::of(TABLES).stale(4, &[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "listed twice")]
    fn a_run_is_listed_once() {
        Differences::of(&format!("{TABLES}| 9 | export | again |\n"));
    }
}
