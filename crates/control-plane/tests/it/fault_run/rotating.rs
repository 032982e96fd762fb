//! Rotations of the keys that sign tokens of zones, one after the other, each by itself.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{client, seed::Chance};

use super::installation::Addresses;

const ROTATION: &str = "/rotations/control-plane-signing-key";

/// Begins another rotation whenever none is under way.
pub(super) fn until(over: &AtomicBool, globals: &[Addresses], mut chance: Chance) {
    while !over.load(Ordering::Relaxed) {
        let global = globals[usize::try_from(chance.below(globals.len() as u64)).unwrap()];
        let phase = client::try_ask(global.rest, "GET", ROTATION, None)
            .ok()
            .and_then(|(_, text)| serde_json::from_str::<Value>(&text).ok())
            .and_then(|found| Some(found.get("phase")?.as_str()?.to_owned()));
        if phase.as_deref() == Some("idle") {
            let expect = json!({"phase": "idle", "from": null, "to": null});
            let id = uuid::Uuid::new_v4().to_string();
            let step = json!({"expect": expect, "automatic": true, "force": false, "id": id});
            // It may be that it was not made, or that the answer is lost: then it is seen in the next round.
            let _answer = client::try_ask(global.rest, "POST", &format!("{ROTATION}/start"), Some(&step));
        }
        thread::sleep(Duration::from_millis(500));
    }
}
