//! What `docs/compatibility.md` says of recorded zones, and whether what was found is that.

use std::{collections::BTreeSet, path::Path};

use super::recording::Recording;

const HEADING: &str = "KDS recordings against our zone: deliberate differences";

/// Where ours differs, and how.
type Difference = (String, String);

/// What differs in one recording.
#[derive(Debug, Default)]
pub(crate) struct Found(BTreeSet<Difference>);

impl Found {
    /// Notes a difference; the same one again is the same.
    pub(crate) fn note(&mut self, place: impl Into<String>, ours: impl Into<String>) {
        self.0.insert((place.into(), ours.into()));
    }

    /// Fails unless what was found in this recording is what is listed for it.
    pub(crate) fn check(self, recording: &Recording) {
        let listed = listed_for(recording);
        let unlisted: Vec<_> = self.0.difference(&listed).collect();
        let stale: Vec<_> = listed.difference(&self.0).collect();
        assert!(
            unlisted.is_empty() && stale.is_empty(),
            "{} of {}: differs and is not listed: {unlisted:#?}\nlisted and does not differ: {stale:#?}",
            recording.zone,
            recording.folder,
        );
    }
}

/// The differences of a recording: its own, those of its version of a zone, and those of every zone.
fn listed_for(recording: &Recording) -> BTreeSet<Difference> {
    let version = if recording.version.starts_with("2.") { "2.14.3 zones" } else { "3.0-preview zones" };
    let own = format!("{}, {}", recording.folder, recording.zone);
    rows()
        .into_iter()
        .filter(|row| ["every zone", version, &recording.folder, &own].contains(&row.recording.as_str()))
        .map(|row| (row.place, row.ours))
        .collect()
}

/// One row of the table.
#[derive(Debug)]
struct Row {
    recording: String,
    place: String,
    ours: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let text = std::fs::read_to_string(path).expect("docs/compatibility.md");
    let section = text.split("\n## ").find(|section| section.starts_with(HEADING)).expect("the table's heading");
    let mut rows = Vec::new();
    for line in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| recording")) {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [recording, place, ours, why] = cells.as_slice() else { panic!("not four cells: {line}") };
        assert!(!why.is_empty(), "a deliberate difference has a reason: {line}");
        let [recording, place, ours] = [recording, place, ours].map(|cell| (*cell).to_owned());
        rows.push(Row { recording, place, ours });
    }
    rows
}

/// Returns the recordings that rows name, for a look at whether each of them is played.
pub(crate) fn recordings() -> BTreeSet<String> {
    rows().into_iter().map(|row| row.recording).collect()
}
