//! Every hashed name that a real peer sent is the one that we would give.

use model::{Kind, labels};
use serde_json::Value;
use sync::hashed_name;

use crate::captures::{streams, text};

#[test]
fn every_recorded_name_is_ours() {
    let mut hashed = 0;
    for stream in streams().iter().filter(|stream| stream.real_provider) {
        let up = stream.name.ends_with("ZoneToGlobalSync");
        for message in stream.messages.iter().filter(|message| message.from_provider) {
            // A probe asks for a kind that does not exist.
            let Some(kind) = Kind::by_name(&text(&message.body["typeUrl"])) else { continue };
            for resource in message.body["resources"].as_array().into_iter().flatten() {
                hashed += usize::from((up || kind.hashed) && check(resource));
            }
        }
    }
    eprintln!("{hashed} recorded names");
    assert!(hashed == 0 || hashed > 400, "{hashed}");
}

/// Returns whether the name has a hash: a probe without the feature gets names without it.
fn check(resource: &Value) -> bool {
    let meta = &resource["meta"];
    let label = |key: &str| meta["labels"].get(key).and_then(Value::as_str);
    let (name, display) = (text(&meta["name"]), label(labels::DISPLAY_NAME).unwrap_or_default());
    let ours = hashed_name(&text(&meta["mesh"]), display, label(labels::ZONE), label(labels::NAMESPACE));
    // 2.x and 3.0 blank the name of kinds with status for a peer that lacks the feature.
    if name == ours {
        return true;
    }
    assert!(
        name.is_empty() || name == display || display.is_empty() || !name.contains(display),
        "{name} is not {ours}"
    );
    false
}
