//! Changes over REST while the network misbehaves, and the memory of what was acknowledged.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testkit::{client, program::eventually, seed::Chance};

/// How far a load is, and whether it shall go on.
#[derive(Default)]
pub(super) struct Progress {
    written: AtomicU64,
    quiet: AtomicBool,
}

impl Progress {
    /// Waits until so many more changes were written.
    pub(super) fn wait_for(&self, more: u64) {
        let enough = self.written.load(Ordering::SeqCst) + more;
        eventually("changes are written", || self.written.load(Ordering::SeqCst), |written| *written >= enough);
    }

    /// Ends the load when dropped, also by a test that fails.
    pub(super) fn quiet_after(&self) -> QuietAfter<'_> {
        QuietAfter(self)
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }
}

pub(super) struct QuietAfter<'a>(&'a Progress);

impl Drop for QuietAfter<'_> {
    fn drop(&mut self) {
        self.0.quiet.store(true, Ordering::SeqCst);
    }
}

/// Changes things at one control plane, and knows what must be there.
pub(super) struct Writer {
    address: SocketAddr,
    /// The name of the zone that it writes to; none for global.
    zone: Option<&'static str>,
    chance: Chance,
    number: u64,
    /// Path to what was acknowledged last: a document, or nothing after a deletion.
    acknowledged: BTreeMap<String, Option<Value>>,
}

impl Writer {
    pub(super) fn of_global(address: SocketAddr, seed: u64) -> Self {
        let chance = Chance::of(seed, "changes of global");
        Self { address, zone: None, chance, number: 0, acknowledged: BTreeMap::new() }
    }

    pub(super) fn of_zone(zone: &'static str, address: SocketAddr, seed: u64) -> Self {
        let chance = Chance::of(seed, &format!("changes of {zone}"));
        Self { address, zone: Some(zone), chance, number: 0, acknowledged: BTreeMap::new() }
    }

    /// Creates, updates or deletes something; returns its path when that was acknowledged.
    pub(super) fn change(&mut self) -> String {
        let (path, document) = self.next();
        let is_there = matches!(self.acknowledged.get(&path), Some(Some(_)));
        if is_there && self.chance.happens(300) {
            self.delete(&path);
        } else {
            self.put(&path, document);
        }
        path
    }

    pub(super) fn put(&mut self, path: &str, document: Value) {
        self.until_answered("PUT", path, Some(&document), |status| matches!(status, 200 | 201));
        self.acknowledged.insert(path.to_owned(), Some(document));
    }

    fn delete(&mut self, path: &str) {
        // A deletion whose answer was lost has happened or not: the second answer may be that there is nothing.
        self.until_answered("DELETE", path, None, |status| matches!(status, 200 | 404));
        self.acknowledged.insert(path.to_owned(), None);
    }

    /// Changes something after each change that `follower` has, until it shall be quiet.
    pub(super) fn keep_changing(&mut self, follower: SocketAddr, progress: &Progress) {
        while !progress.is_quiet() {
            let path = self.change();
            eventually(&format!("a healthy zone has {path}"), || self.arrived(&path, follower), |arrived| *arrived);
            progress.written.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Changes something with each change of another load, until it shall be quiet.
    pub(super) fn keep_pace(&mut self, with: &Progress, progress: &Progress) {
        while !progress.is_quiet() {
            self.change();
            let before = with.written.load(Ordering::SeqCst);
            let moved = || progress.is_quiet() || with.written.load(Ordering::SeqCst) > before;
            eventually("the other load goes on", moved, |moved| *moved);
            progress.written.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Checks that everything that was acknowledged is there, and that nothing is that was deleted.
    pub(super) fn check(&self) {
        for (path, expected) in &self.acknowledged {
            let (status, body) = client::ask(self.address, "GET", path, None);
            assert!(
                is(expected.as_ref(), status, &body),
                "{:?}: {path} is {status} {body}, not {expected:?}",
                self.zone
            );
        }
    }

    /// Whether a zone has what was acknowledged last at a path of global.
    pub(super) fn arrived(&self, path: &str, zone: SocketAddr) -> bool {
        let (status, body) = client::ask(zone, "GET", &path_in_zone(path), None);
        is(self.acknowledged.get(path).and_then(Option::as_ref), status, &body)
    }

    fn until_answered(&self, method: &str, path: &str, body: Option<&Value>, good: impl Fn(u16) -> bool) {
        // Asking again is what a client has to do when a control plane restarts: no answer says nothing.
        let ask = || client::try_ask(self.address, method, path, body).ok();
        let answered = |answer: &Option<(u16, String)>| answer.as_ref().is_some_and(|(status, _)| good(*status));
        eventually(&format!("{method} {path} is answered"), ask, answered);
    }

    fn next(&mut self) -> (String, Value) {
        self.number += 1;
        let number = self.number;
        let mut one_of = |count| self.chance.below(count);
        let policy = |list: &str, kind: &str, name: String, default: Value| {
            let origin = if self.zone.is_some() { "zone" } else { "global" };
            let to = json!([{"targetRef": {"kind": "Mesh"}, "default": default}]);
            let labels = json!({"kuma.io/origin": origin});
            let document = json!({"type": kind, "mesh": "default", "name": name, "labels": labels, "spec": {"to": to}});
            (format!("/meshes/default/{list}/{name}"), document)
        };
        // Durations are shown as Go writes them: from a minute on another text than the one that was sent.
        let timeout = format!("{}s", number % 59 + 1);
        let data = STANDARD.encode(format!("secret {number}"));
        let what = one_of(10);
        match (what, self.zone) {
            (0..7, Some(_)) => dataplane(&format!("dp-{}", one_of(12)), number),
            (_, Some(zone)) => {
                let name = format!("of-{zone}-{}", one_of(6));
                policy("meshtimeouts", "MeshTimeout", name, json!({"connectionTimeout": timeout}))
            }
            (0, None) => {
                let name = format!("m-{}", one_of(4));
                let document = json!({"type": "Mesh", "name": name, "skipCreatingInitialPolicies": ["*"]});
                (format!("/meshes/{name}"), document)
            }
            (1, None) => {
                let name = format!("gs-{}", one_of(4));
                (format!("/global-secrets/{name}"), json!({"type": "GlobalSecret", "name": name, "data": data}))
            }
            (2..4, None) => {
                let name = format!("s-{}", one_of(6));
                let document = json!({"type": "Secret", "mesh": "default", "name": name, "data": data});
                (format!("/meshes/default/secrets/{name}"), document)
            }
            (4..7, None) => {
                let default = json!({"connectionTimeout": timeout});
                policy("meshtimeouts", "MeshTimeout", format!("mt-{}", one_of(12)), default)
            }
            (_, None) => {
                let default = json!({"tcp": {"maxConnectAttempt": number}});
                policy("meshretries", "MeshRetry", format!("mr-{}", one_of(12)), default)
            }
        }
    }
}

/// Path and document of a proxy in a zone.
pub(super) fn dataplane(name: &str, port: u64) -> (String, Value) {
    let networking = json!({"address": "10.0.0.1", "inbound": [{"port": 1024 + port, "name": "http"}]});
    let document = json!({"type": "Dataplane", "mesh": "default", "name": name, "networking": networking});
    (format!("/meshes/default/dataplanes/{name}"), document)
}

/// Where a zone shows what global has at a path: policies of global carry a hash there.
fn path_in_zone(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((list @ ("/meshes/default/meshtimeouts" | "/meshes/default/meshretries"), name)) => {
            format!("{list}/{}", sync::hashed_name("default", name, None, None))
        }
        _ => path.to_owned(),
    }
}

/// Whether an answer shows the content that is expected.
fn is(expected: Option<&Value>, status: u16, body: &str) -> bool {
    let Some(expected) = expected.and_then(Value::as_object) else { return status == 404 };
    let Ok(found) = serde_json::from_str::<Value>(body) else { return false };
    let content = expected.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "labels"));
    status == 200 && content.into_iter().all(|(key, value)| found.get(key) == Some(value))
}
