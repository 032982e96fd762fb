//! Finds and reads the recordings of real peers.

use std::{
    env, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::Value;

/// One recorded stream of one sync method: the messages in the order they were seen.
pub(crate) struct Recorded {
    /// Folder, connection and method, for messages of failed tests.
    pub(crate) name: String,
    /// The provider is a real peer, and not the probing program.
    pub(crate) real_provider: bool,
    /// The consumer is a real peer.
    pub(crate) real_consumer: bool,
    pub(crate) messages: Vec<Message>,
}

/// One message. Responses have a member `resources`.
pub(crate) struct Message {
    pub(crate) from_provider: bool,
    pub(crate) body: Value,
}

/// Reads all streams of all recordings; none, with a loud line, where they are not at hand.
pub(crate) fn streams() -> Vec<Recorded> {
    let folder = env::var_os("ARCTOS_CAPTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no recordings in {} (set ARCTOS_CAPTURES)", folder.display());
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path().join("kds.jsonl.gz")).filter(|file| file.is_file()).collect();
    folders.sort();
    folders.iter().flat_map(read).collect()
}

fn read(file: impl AsRef<Path>) -> Vec<Recorded> {
    let file = file.as_ref();
    let folder = file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let mut text = String::new();
    GzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let mut streams: Vec<Recorded> = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let method = event["method"].as_str().unwrap_or_default();
        let Some(direction) = method.strip_prefix("/kuma.mesh.v1alpha1.KDSSyncService/") else { continue };
        let down = direction == "GlobalToZoneSync";
        let name = format!("{folder} connection {} {direction}", event["conn"]);
        match event["event"].as_str().unwrap() {
            "stream-open" => streams.push(Recorded {
                name,
                real_provider: !folder.starts_with(if down { "hand-driven-global" } else { "hand-driven-zone" }),
                real_consumer: !folder.starts_with(if down { "hand-driven-zone" } else { "hand-driven-global" })
                    && !folder.starts_with("half-closed"),
                messages: Vec::new(),
            }),
            "message" => {
                let from_provider = (event["dir"] == "global->zone") == down;
                let message = Message { from_provider, body: event["message"].clone() };
                streams.iter_mut().rev().find(|stream| stream.name == name).unwrap().messages.push(message);
            }
            _ => {}
        }
    }
    streams
}

/// The strings of a list; an absent one is empty.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A string; an absent one is empty.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
