//! The recorded REST exchanges of real peers, line by line against our API.
//!
//! A file is one world: its lines run in order, and each answer is compared as the recordings' README says. A line that
//! differs must stand in `docs/compatibility.md`, with the reason; a line that stands there must differ.

mod compare;
mod listed;
mod run;

use listed::Listed;
use run::Lines;

/// Replays a file and compares the lines that `wanted` picks.
async fn replay(version: &str, file: &str, wanted: fn(&str) -> bool) {
    let Some(lines) = Lines::read(version, file) else { return };
    let outcome = run::replay(lines, wanted).await;
    outcome.check(&Listed::read(), version, file);
}

macro_rules! files {
    ($($test:ident: $version:literal $file:literal $wanted:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            replay($version, $file, $wanted).await;
        }
    )*};
}

files! {
    index_answers_as_recorded: "3.0-preview" "global-index" |_| true;
    secrets_answer_as_recorded: "3.0-preview" "global-secrets" |_| true;
    access_answers_as_recorded: "3.0-preview" "global-access" |_| true;
    resources_answer_as_recorded: "3.0-preview" "global-resources" |_| true;
    kinds_answer_as_recorded: "3.0-preview" "global-kinds" |_| true;
    zones_answer_as_recorded: "3.0-preview" "global-zones" |_| true;
    a_zone_answers_as_recorded: "3.0-preview" "zone" |_| true;
    variants_answer_as_recorded: "3.0-preview" "global-variants" |_| true;
    kinds_of_2_14_answer_as_recorded: "2.14.3" "global-kinds" |name| name.contains("(2.x)");
    kinds_of_2_14_on_a_zone_answer_as_recorded: "2.14.3" "zone" |name| name.contains("(2.x)");
}
