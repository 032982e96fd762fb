//! What real control planes sent to each other: the documents they make by themselves, and specs as they write them.

use std::{fs::File, io::Read};

use flate2::read::GzDecoder;
use model::{Kind, Labels, defaults, document, validate};
use serde_json::Value;

use crate::captures;

#[test]
fn default_specs_are_the_bytes_that_peers_send() {
    let lines = recording("global-3.0-preview+zone-3.0-preview");
    if lines.is_empty() {
        return;
    }
    let messages: Vec<Vec<u8>> = lines.iter().filter_map(|line| decode(line["base64"].as_str()?)).collect();
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

#[test]
fn specs_that_peers_send_are_valid_and_written_in_the_same_way() {
    let mut checked = 0;
    for folder in ["empty-3.0-preview", "global-3.0-preview+zone-3.0-preview", "two-zones-3.0-preview"] {
        for line in recording(folder) {
            for resource in line["message"]["resources"].as_array().into_iter().flatten() {
                let kind = Kind::by_name(line["message"]["typeUrl"].as_str().unwrap()).expect("kind");
                let Some(spec) = resource["spec"].get("json").map(Value::to_string) else { continue };
                let labels: Labels = serde_json::from_value(resource["meta"]["labels"].clone()).unwrap_or_default();
                assert_eq!(validate::received(kind, "x", "default", &labels, spec.as_bytes()), [], "{kind} {spec}");
                let body = format!(r#"{{"type":"{kind}","name":"x","spec":{spec}}}"#);
                let read = document::from_rest(kind, body.as_bytes()).expect("body");
                assert_eq!(String::from_utf8_lossy(&read.spec), spec);
                checked += 1;
            }
        }
    }
    assert!(captures::folder().is_none() || checked > 50, "{checked}");
}

fn recording(folder: &str) -> Vec<Value> {
    let Some(captures) = captures::folder() else { return Vec::new() };
    let file = File::open(captures.join(folder).join("kds.jsonl.gz")).expect("recording");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("line")).collect()
}

fn has(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}
