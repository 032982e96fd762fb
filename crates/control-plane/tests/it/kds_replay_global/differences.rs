//! The deliberate differences: what the table in `docs/compatibility.md` says, and what a replay found.

use std::{collections::BTreeSet, path::Path};

const HEADING: &str = "## KDS recordings against our global: deliberate differences";

/// Where and how a global of ours differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    pub(crate) place: String,
    pub(crate) ours: String,
}

/// The rows for one recording.
pub(crate) struct Listed(BTreeSet<Difference>);

impl Listed {
    /// Reads the rows `| recordings | place | ours | why |` that name this recording; `all` names every one.
    pub(crate) fn read(recording: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
        Self::of(&std::fs::read_to_string(path).expect("docs/compatibility.md"), recording)
    }

    fn of(text: &str, recording: &str) -> Self {
        let rows = text.lines().skip_while(|line| *line != HEADING).skip(1).take_while(|line| !line.starts_with("## "));
        let rows = rows.filter(|line| line.starts_with("| ") && !line.starts_with("| recordings "));
        let mut listed = BTreeSet::new();
        for row in rows {
            let cells: Vec<&str> =
                row.trim_start_matches("| ").trim_end_matches(" |").split(" | ").map(str::trim).collect();
            let [recordings, place, ours, why] = cells.as_slice() else { panic!("not four cells: {row}") };
            assert!(!why.is_empty(), "a difference has a reason: {row}");
            if recordings.split(", ").any(|one| one == recording) {
                let difference = Difference { place: (*place).to_owned(), ours: (*ours).to_owned() };
                assert!(listed.insert(difference), "listed twice: {row}");
            }
        }
        Self(listed)
    }

    /// Fails if a difference was found that is not listed, or one is listed and was not found.
    pub(crate) fn check(&self, recording: &str, found: &BTreeSet<(Difference, String)>) {
        let mut faults = Vec::new();
        for (difference, recorded) in found {
            if !self.0.contains(difference) {
                let Difference { place, ours } = difference;
                faults.push(format!("| {recording} | {place} | {ours} | not listed; recorded: {recorded} |"));
            }
        }
        for listed in &self.0 {
            if !found.iter().any(|(difference, _)| difference == listed) {
                faults.push(format!("listed and not found: {} | {}", listed.place, listed.ours));
            }
        }
        assert!(faults.is_empty(), "{recording}:\n{}", faults.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| x | y | z | before the heading |\n## KDS recordings against our global: deliberate differences\n\
        \n| recordings | place | ours | why |\n|---|---|---|---|\n| one, two | p01 | ends | safer |\n## Next\n| one | a | b | c |\n";

    fn found(place: &str, ours: &str) -> BTreeSet<(Difference, String)> {
        [(Difference { place: place.to_owned(), ours: ours.to_owned() }, "goes on".to_owned())].into()
    }

    #[test]
    fn only_the_rows_below_the_heading_count() {
        assert_eq!(Listed::of(TABLE, "two").0.len(), 1);
        assert_eq!(Listed::of(TABLE, "three").0.len(), 0);
        Listed::of(TABLE, "one").check("one", &found("p01", "ends"));
    }

    #[test]
    #[should_panic(expected = "not listed; recorded: goes on")]
    fn an_unlisted_difference_fails() {
        Listed::of(TABLE, "three").check("three", &found("p01", "ends"));
    }

    #[test]
    #[should_panic(expected = "listed and not found")]
    fn a_listed_difference_that_is_none_fails() {
        Listed::of(TABLE, "one").check("one", &BTreeSet::new());
    }
}
