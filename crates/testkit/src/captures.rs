//! The recordings of real peers. They live outside the repository; tests that need them skip loudly without.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::Value;

/// Returns the folder of recordings, or `None` with a loud line.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("ARCTOS_CAPTURES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let folder = named.unwrap_or(beside);
    if folder.join("README.md").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no recordings of real peers here; set ARCTOS_CAPTURES to their folder");
    None
}

/// Returns the lines of a KDS recording.
pub fn kds(name: &str) -> Option<Vec<Value>> {
    let path = folder()?.join(name).join("kds.jsonl.gz");
    let file = File::open(&path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    Some(
        lines.map(|line| serde_json::from_str(&line.expect("a readable recording")).expect("a line of JSON")).collect(),
    )
}
