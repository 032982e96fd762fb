//! What the files of a store are called in a work folder: each control plane has its own, and several may share a folder.

use std::{fs, path::Path};

use crate::config::{Config, Mode};

/// What a file that remembers the cluster of a database is called, in place of the ending of a store's file.
pub(super) const MARKER: &str = "postgres";
const GLOBAL: &str = "global.db";
const GATEWAY: &str = "gateway.db";

/// What the store of this configuration is called in the work folder.
pub(super) fn store_file(config: &Config) -> String {
    match config.mode {
        Mode::Global => GLOBAL.to_owned(),
        Mode::Zone => format!("zone-{}.db", config.zone_name),
        Mode::Gateway => GATEWAY.to_owned(),
        // It keeps nothing.
        Mode::Connector => "connector.db".to_owned(),
    }
}

/// The stores of other control planes in a folder.
pub(super) fn other_stores(folder: &Path, path: &Path) -> Vec<String> {
    let mut others: Vec<String> = names_in(folder).filter(|name| is_store(name) && !path.ends_with(name)).collect();
    others.sort();
    others.iter().map(|name| format!("`{name}`")).collect()
}

pub(super) fn names_in(folder: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

pub(super) fn is_zone(name: &str) -> bool {
    name.starts_with("zone-") && name.ends_with(".db")
}

pub(super) fn is_store(name: &str) -> bool {
    is_zone(name) || name == GLOBAL || name == GATEWAY
}
