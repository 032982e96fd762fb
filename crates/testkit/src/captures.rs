//! The recordings of real peers. They live outside the repository; tests that need them skip loudly without.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
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

/// Returns the names of the folders with a KDS recording, sorted; none where there are no recordings.
pub fn kds_folders() -> Vec<String> {
    let Some(folder) = folder() else { return Vec::new() };
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a folder's entry"))
        .filter(|entry| entry.path().join("kds.jsonl.gz").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Returns the bytes of a recorded message; `None` where the recording left them out for their size.
pub fn message_bytes(line: &Value) -> Option<Vec<u8>> {
    let text = line["base64"].as_str()?;
    Some(STANDARD.decode(text).expect("base64"))
}
