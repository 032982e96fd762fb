//! Finds and reads the recordings.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// The folder of the recordings; none, with a loud line, where they are not at hand.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = env::var_os("ARCTOS_CAPTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures"), PathBuf::from);
    if folder.is_dir() {
        Some(folder)
    } else {
        eprintln!("SKIPPED: no recordings in {} (set ARCTOS_CAPTURES)", folder.display());
        None
    }
}

/// The lines of a recording of REST or kumactl.
pub(crate) fn lines(version: &str, file: &str) -> Vec<Value> {
    let Some(folder) = folder() else { return Vec::new() };
    let text = fs::read_to_string(folder.join("rest").join(version).join(file)).expect("recording");
    text.lines().map(|line| serde_json::from_str(line).expect("line")).collect()
}
