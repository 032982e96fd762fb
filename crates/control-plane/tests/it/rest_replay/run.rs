//! Runs the lines of a file, in order.

use std::{collections::BTreeMap, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use control_plane::writes::Side;
use model::{Key, Kind};
use serde_json::{Map, Value};

use super::{compare::difference, listed::Listed};
use crate::stage::rest_world::{Answer, Ask, World};

/// The lines of a recording.
pub(crate) struct Lines {
    lines: Vec<Value>,
    old: bool,
    zone: bool,
}

impl Lines {
    /// Reads a file, or tells loudly that there is none.
    pub(crate) fn read(version: &str, file: &str) -> Option<Self> {
        let path = testkit::captures::folder()?.join("rest").join(version).join(format!("{file}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        Some(Self { lines, old: version != "3.0-preview", zone: file == "zone" })
    }

    /// The answer that was recorded for a line.
    fn recorded(&self, name: &str) -> Value {
        let line = self.lines.iter().find(|line| line["name"] == name);
        let body = line.and_then(|line| line["responseBody"].as_str()).unwrap_or_default();
        serde_json::from_str(body).unwrap_or_default()
    }
}

/// What came out.
#[derive(Default)]
pub(crate) struct Outcome {
    same: usize,
    differences: Vec<(String, bool, u16, String)>,
}

impl Outcome {
    /// Fails if a line differs that is not listed, or is listed and does not differ.
    pub(crate) fn check(&self, listed: &Listed, version: &str, file: &str) {
        let mut faults = Vec::new();
        let mut expected = 0;
        for (name, core, status, difference) in &self.differences {
            match listed.get(version, file, name) {
                Some(found) if found.status.is_none_or(|listed| listed == *status) => expected += 1,
                Some(_) => faults.push(format!("[{name}] is listed with another status: {difference}")),
                None => faults.push(format!("{}[{name}] {difference}", if *core { "core " } else { "" })),
            }
        }
        for name in listed.names(version, file) {
            if !self.differences.iter().any(|(differs, ..)| differs == name) {
                faults.push(format!("[{name}] is listed and does not differ"));
            }
        }
        eprintln!("{version}/{file}: {} lines as recorded, {expected} listed, {} not", self.same, faults.len());
        assert!(faults.is_empty(), "{version}/{file}:\n{}", faults.join("\n"));
    }
}

/// What answers left for later requests.
#[derive(Default)]
struct Saved {
    ours: BTreeMap<String, String>,
    /// Recorded token ids and ours.
    ids: Vec<(String, String)>,
}

/// The worlds of a file.
struct Worlds {
    by_settings: BTreeMap<String, World>,
}

impl Worlds {
    async fn of(&mut self, server: &str) -> &World {
        if !self.by_settings.contains_key(server) {
            let side = if server == "zone" { Side::FederatedZone("zone-1".to_owned()) } else { Side::Global };
            let global = side == Side::Global;
            let world = World::start(side, server).await;
            if global {
                // The recorded control planes know no tokens of control planes: their lists lack the key.
                world.delete(&Key::global(Kind::GLOBAL_SECRET, "control-plane-signing-key-0001")).await;
            }
            self.by_settings.insert(server.to_owned(), world);
        }
        &self.by_settings[server]
    }

    async fn both(&mut self) -> (&World, &World) {
        self.of("zone").await;
        self.of("global").await;
        (&self.by_settings["global"], &self.by_settings["zone"])
    }
}

/// Replays a file; `wanted` picks the lines that are compared.
pub(crate) async fn replay(file: Lines, wanted: fn(&str) -> bool) -> Outcome {
    let mut worlds = Worlds { by_settings: BTreeMap::new() };
    let (mut saved, mut outcome) = (Saved::default(), Outcome::default());
    for line in &file.lines {
        let name = line["name"].as_str().expect("name");
        if let Some(seconds) = line["afterSeconds"].as_f64() {
            tokio::time::advance(Duration::from_secs_f64(seconds)).await;
        }
        happens(&file, name, &mut worlds).await;
        let Some(method) = line["method"].as_str() else { continue };
        let server = line["server"].as_str().expect("server");
        let path = line["path"].as_str().expect("path");
        let host = host(name, server, line["caller"].as_str().unwrap_or_default());
        let ask = Ask {
            remote: line["caller"].as_str().is_some_and(|caller| caller.starts_with("remote")),
            method,
            path,
            headers: headers(line, &saved, &file),
            body: line["requestBody"].as_str().map(|body| saved.replaced(body)),
        };
        let answer = worlds.of(server).await.ask(host, ask).await;
        saved.keep(line, &answer);
        if !wanted(name) {
            continue;
        }
        match difference(line, &answer, file.old) {
            None => outcome.same += 1,
            Some(text) => outcome.differences.push((name.to_owned(), line["core"] == true, answer.status, text)),
        }
    }
    outcome
}

fn host(name: &str, server: &str, caller: &str) -> &'static str {
    match (name.starts_with("https"), server, caller.starts_with("remote")) {
        (true, ..) => "127.0.0.1:5682",
        (_, "zone", true) => "10.9.9.1:6681",
        (_, "zone", false) => "127.0.0.1:6681",
        (_, _, true) => "10.9.9.1:5681",
        (_, _, false) => "127.0.0.1:5681",
    }
}

/// What happened to the recorded world before a line, where no request made it happen.
async fn happens(file: &Lines, name: &str, worlds: &mut Worlds) {
    let zone = Key::global(Kind::ZONE, "zone-1");
    let insight = Key::global(Kind::ZONE_INSIGHT, "zone-1");
    match name {
        "many zones" => {
            let global = worlds.of("global").await;
            for number in 100..=200 {
                let key = Key::global(Kind::ZONE, format!("z{number}"));
                global.put(key, model::Labels::new(), bytes::Bytes::new(), None).await;
            }
        }
        "zone-1 connects" if file.zone => {
            let (global, zone) = worlds.both().await;
            global.send_down(zone).await;
        }
        "zone-1 connects" => {
            let (global, zone_world) = worlds.both().await;
            let enabled = Map::from_iter([("enabled".to_owned(), Value::Bool(true))]);
            let spec = model::proto::spec_from_json(Kind::ZONE, &enabled).expect("zone");
            global.put(zone.clone(), model::Labels::new(), spec, None).await;
            global.put_insight(insight, &file.recorded("zone insight"), zone).await;
            global.send_down(zone_world).await;
            zone_world.send_up(global, "zone-1").await;
        }
        "proxy dp-1 connects" => {
            let (global, zone_world) = worlds.both().await;
            zone_world.send_up(global, "zone-1").await;
            let key = Key::in_mesh(Kind::DATAPLANE_INSIGHT, "default", "dp-1-dff6z597w47d46xx");
            global.put_insight(key, &file.recorded("dataplane insight"), zone).await;
        }
        "zone-1 stopped: overview after 12 s" => {
            let shown = &file.recorded(name)["zoneInsight"];
            worlds.of("global").await.put_insight(insight, shown, zone).await;
        }
        _ => {}
    }
}

fn headers(line: &Value, saved: &Saved, file: &Lines) -> Vec<(String, String)> {
    let given = line["requestHeaders"].as_object().into_iter().flatten();
    given
        .map(|(name, value)| {
            let value = saved.replaced(value.as_str().unwrap_or_default());
            let value = value.replace("{{swapped}}", &saved.swapped(file));
            (name.clone(), value)
        })
        .collect()
}

impl Saved {
    fn keep(&mut self, line: &Value, answer: &Answer) {
        for (name, what) in line["saves"].as_object().into_iter().flatten() {
            let what = what.as_str().unwrap_or_default();
            let of = |body: &str| {
                if what == "response body" {
                    return body.to_owned();
                }
                let body: Value = serde_json::from_str(body).unwrap_or_default();
                let data = STANDARD.decode(body["data"].as_str().unwrap_or_default()).unwrap_or_default();
                String::from_utf8_lossy(&data).into_owned()
            };
            let (theirs, ours) = (of(line["responseBody"].as_str().unwrap_or_default()), of(&answer.body));
            self.ids.push((token_id(&theirs), token_id(&ours)));
            self.ours.insert(name.clone(), ours);
        }
    }

    /// Puts what was saved where a text names it, and our token ids where it has recorded ones.
    fn replaced(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.ours {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        let Ok(mut body) = serde_json::from_str::<Value>(&text) else { return text };
        let data = body["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
        let Some(mut data) = data.and_then(|data| String::from_utf8(data).ok()) else { return text };
        let found = self.ids.iter().find(|(theirs, _)| !theirs.is_empty() && data.contains(theirs));
        let Some((theirs, ours)) = found else { return text };
        data = data.replace(theirs, ours);
        body["data"] = Value::from(STANDARD.encode(data));
        body.to_string()
    }

    /// The payload of a forged token between the header and the signature of a good one.
    fn swapped(&self, file: &Lines) -> String {
        let forged = file.lines.iter().find(|line| line["name"] == "forged token: bad signature");
        let forged = forged.and_then(|line| line["requestHeaders"]["authorization"].as_str()).unwrap_or_default();
        let john: Vec<&str> = self.ours.get("john").map_or("", String::as_str).split('.').collect();
        let payload = forged.split('.').nth(1).unwrap_or_default();
        format!("{}.{payload}.{}", john.first().unwrap_or(&""), john.last().unwrap_or(&""))
    }
}

fn token_id(token: &str) -> String {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let claims: Value = payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default();
    claims["jti"].as_str().unwrap_or_default().to_owned()
}
