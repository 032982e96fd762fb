//! The documents a control plane makes by itself, against what real ones sent.

use std::{fs::File, io::Read};

use flate2::read::GzDecoder;
use model::defaults;
use serde_json::Value;

use crate::captures;

#[test]
fn default_specs_are_the_bytes_that_peers_send() {
    let Some(folder) = captures::folder() else { return };
    let path = folder.join("global-3.0-preview+zone-3.0-preview/kds.jsonl.gz");
    let mut text = String::new();
    GzDecoder::new(File::open(path).expect("recording")).read_to_string(&mut text).expect("text");
    let messages: Vec<Vec<u8>> = text
        .lines()
        .filter_map(|line| decode(serde_json::from_str::<Value>(line).expect("line")["base64"].as_str()?))
        .collect();
    let all = [
        defaults::mesh_policies("default", &[]),
        defaults::global_hostname_generators(),
        defaults::zone_hostname_generators(),
    ];
    for (kind, name, _, spec) in all.concat() {
        // The length stands before the bytes, so a longer spec does not match.
        let mut wanted = Vec::new();
        prost::encoding::encode_varint(spec.len() as u64, &mut wanted);
        wanted.extend_from_slice(&spec);
        let sent = messages.iter().any(|message| {
            message.windows(wanted.len()).any(|window| window == wanted) && has(message, name.as_bytes())
        });
        assert!(sent, "{kind} {name}");
    }
}

fn has(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}
