//! Recorded KDS messages as seeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead as _, BufReader},
    sync::OnceLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::captures;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// A zone.
    FromZone,
    /// Global.
    FromGlobal,
}

/// The messages of one direction of one stream, in their order.
type Stream = Vec<Vec<u8>>;
/// By method (`GlobalToZoneSync`) and direction.
type Streams = BTreeMap<(String, Direction), Vec<Stream>>;

/// Returns every recorded stream of a method, one direction of it; none, with a loud line, without recordings.
pub fn streams(method: &str, direction: Direction) -> &'static [Stream] {
    static ALL: OnceLock<Streams> = OnceLock::new();
    ALL.get_or_init(read).get(&(method.to_owned(), direction)).map_or(&[], Vec::as_slice)
}

/// Returns every recorded message of a method and direction, equal ones once.
pub fn messages(method: &str, direction: Direction) -> Vec<Vec<u8>> {
    let all: BTreeSet<&Vec<u8>> = streams(method, direction).iter().flatten().collect();
    all.into_iter().cloned().collect()
}

fn read() -> Streams {
    let mut streams = Streams::new();
    let Some(folder) = captures::folder() else { return streams };
    let entries = std::fs::read_dir(&folder).expect("the folder of recordings");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path().join("kds.jsonl.gz"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    for file in files {
        let lines = BufReader::new(GzDecoder::new(File::open(&file).expect("a recording"))).lines();
        // The stream that is open on a connection: a connection has one of each method.
        let mut open: BTreeMap<(u64, String, Direction), Stream> = BTreeMap::new();
        for line in lines {
            let line: Value = serde_json::from_str(&line.expect("a readable recording")).expect("a line of JSON");
            let Some(method) = line["method"].as_str().and_then(|method| method.rsplit('/').next()) else { continue };
            let connection = line["conn"].as_u64().unwrap_or_default();
            let key = |direction| (connection, method.to_owned(), direction);
            match line["event"].as_str() {
                Some("message") => {
                    let from_zone = line["dir"] == "zone->global";
                    let direction = if from_zone { Direction::FromZone } else { Direction::FromGlobal };
                    // The bytes of the largest ones were not recorded.
                    let Some(bytes) = line["base64"].as_str() else { continue };
                    open.entry(key(direction)).or_default().push(STANDARD.decode(bytes).expect("base64"));
                }
                Some("stream-open") => {
                    for direction in [Direction::FromZone, Direction::FromGlobal] {
                        let before = open.remove(&key(direction)).unwrap_or_default();
                        streams.entry((method.to_owned(), direction)).or_default().push(before);
                    }
                }
                _ => {}
            }
        }
        for ((_, method, direction), stream) in open {
            streams.entry((method, direction)).or_default().push(stream);
        }
    }
    for streams in streams.values_mut() {
        streams.retain(|stream| !stream.is_empty());
    }
    streams
}
