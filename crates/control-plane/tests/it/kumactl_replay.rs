//! The recorded runs of kumactl 3.0 against a real global and a real zone of ours.
//!
//! The runs are played in the recorded order, because each leaves something for the next: settings of kumactl, and
//! resources of the global. What is not on the short list is played for what it leaves. Runs against servers of a few
//! fixed answers are played by the tests of kumactl itself.

use std::net::TcpStream;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tempfile::TempDir;
use testkit::{
    client,
    kumactl_replay::{Differences, Line, Player, lines},
    ports::ClosedPort,
    program::{ControlPlane, eventually},
};

use crate::stage::world::{KUMA_CP, World, wait_for};

const REMOTE: &str = "global, called from another address";
const ONLINE: &str = "global; zone-1 online with proxies dp-1 (connected) and dp-2; zone east never connected";
const STOPPED: &str = "global; zone-1 stopped 12 s ago; zone east never connected";
const FEDERATED: &str = "federated zone zone-1";

/// What a zone acknowledged is written down soon.
const FLUSH: (&str, &str) = ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "200ms");

/// Commands of which no run may be open.
const FINISHED: [&str; 6] = ["config", "get", "apply", "delete", "generate", "version"];

#[test]
fn recorded_runs_come_out_the_same_against_a_real_global() {
    let Some(lines) = lines("3.0-preview") else { return };
    let listed = Differences::read();
    let mut stage = Stage::new();
    let (mut problems, mut played, mut same, mut skipped) = (Vec::new(), 0, 0, 0);
    for line in lines.iter().filter(|line| !line.has_canned_server()) {
        stage.set(&line.state);
        stage.before(line);
        if !line.is_core {
            stage.leave(line);
            continue;
        }
        if wants_free_port(line) && TcpStream::connect("localhost:5681").is_ok() {
            eprintln!("SKIPPED: run {} wants nobody to listen on localhost:5681", line.number);
            skipped += 1;
            continue;
        }
        let differences = stage.player.play(line);
        played += 1;
        same += usize::from(differences.is_empty());
        problems.extend(listed.stale(line.number, &differences));
        let unknown = differences.iter().filter(|one| !listed.knows(line.number, &one.what));
        problems.extend(unknown.map(|one| format!("{:?}: {one:#?}", line.args)));
    }
    let elsewhere = lines.iter().filter(|line| line.is_core && line.has_canned_server()).count();
    let core = lines.iter().filter(|line| line.is_core).count();
    eprintln!("{core} runs on the short list: {played} played, {same} as recorded; {elsewhere} need no control plane");
    assert!(problems.is_empty(), "{} problems in {played} runs:\n{}", problems.len(), problems.join("\n"));
    assert_eq!(played + skipped + elsewhere, core, "a run of the short list is played nowhere");
}

#[test]
fn no_run_of_a_finished_command_is_open() {
    let Some(lines) = lines("3.0-preview") else { return };
    for run in Differences::read().open.keys() {
        let words: Vec<&str> = lines[run - 1].args.iter().map(String::as_str).collect();
        let is_finished = words.iter().any(|word| FINISHED.contains(word)) || words.starts_with(&["inspect", "zones"]);
        assert!(!is_finished, "run {run} may not be open: {words:?}");
    }
}

#[test]
fn every_listed_run_is_played() {
    let Some(lines) = lines("3.0-preview") else { return };
    let listed = Differences::read();
    for run in listed.deliberate.keys().map(|(run, _)| run).chain(listed.open.keys()) {
        let line = &lines[run - 1];
        assert!(line.is_core || line.has_canned_server(), "run {run} is listed and played nowhere");
    }
}

/// The built-in address is the only one that cannot be exchanged.
fn wants_free_port(line: &Line) -> bool {
    line.args.iter().any(|word| word == "--no-config")
}

/// The recorder's folder and the servers that stand behind the recorded addresses.
struct Stage {
    player: Player,
    state: String,
    world: World,
    zone: Option<ControlPlane>,
    /// Where no server is.
    nobody: ClosedPort,
    _folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let world = World::of_programs(&[FLUSH]);
        let folder = tempfile::tempdir().unwrap();
        let exe = std::path::Path::new(KUMA_CP).with_file_name("kumactl");
        let player = Player::new(exe, folder.path());
        Self { player, state: String::new(), world, zone: None, nobody: ClosedPort::new(), _folder: folder }
    }

    /// Makes the world as the recorder had it for this state.
    fn set(&mut self, state: &str) {
        if self.state == state {
            return;
        }
        state.clone_into(&mut self.state);
        match state {
            "no server" => self.player.address(":5681", format!(":{}", self.nobody.port())),
            "global, fresh" => self.point_at_global(),
            REMOTE => self.call_from_elsewhere(),
            ONLINE => self.connect_zone_1(),
            STOPPED => {
                self.zone.take().expect("zone-1 runs").terminate();
                self.world.wait_offline("zone-1");
            }
            FEDERATED => self.federate(),
            _ => panic!("a new state: {state}"),
        }
    }

    /// Does what the recorder did between the runs.
    fn before(&mut self, line: &Line) {
        if line.number == 293 {
            // The runs that are played elsewhere left a control plane.
            let add = "config control-planes add --name x --address http://127.0.0.1:5690 --skip-check";
            self.player.play(&Line { args: add.split(' ').map(str::to_owned).collect(), ..Line::default() });
        }
    }

    /// Plays a run that is not on the short list for what it leaves.
    fn leave(&mut self, line: &Line) {
        let leaves = line.args.first().is_some_and(|word| ["apply", "config", "delete"].contains(&word.as_str()));
        // The recorder had a web server there.
        let is_elsewhere = line.args.iter().any(|word| word.starts_with("http://127.0.0.1:8000"));
        if leaves && !is_elsewhere {
            self.player.play(line);
        }
    }

    fn point_at_global(&mut self) {
        let port = |what: &str| format!(":{}", self.world.global.address(what).port());
        let (http, https) = (port("http"), port("https"));
        self.player.address(":5681", http);
        self.player.address(":5682", https);
        let admin = client::get(self.world.http(), "/global-secrets/admin-user-token");
        let token = STANDARD.decode(admin["data"].as_str().unwrap()).unwrap();
        self.player.save("admin", String::from_utf8(token).unwrap());
    }

    /// From now on loopback is no administrator, as another machine is none. The other address is one of loopback,
    /// too: every machine has it.
    fn call_from_elsewhere(&mut self) {
        self.restart(&[
            ("KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "false"),
            ("KUMA_API_SERVER_HTTP_INTERFACE", "0.0.0.0"),
        ]);
        let port = self.world.http().port();
        // The longer address is to be found first.
        self.player.address("10.9.9.1:5681", format!("127.0.0.2:{port}"));
        self.player.address(":5681", format!(":{port}"));
    }

    fn restart(&mut self, settings: &[(&str, &str)]) {
        for (key, value) in settings {
            self.world.global.set(key, value);
        }
        self.world.global.restart();
        self.world.http();
    }

    fn connect_zone_1(&mut self) {
        self.restart(&[
            ("KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "true"),
            ("KUMA_API_SERVER_HTTP_INTERFACE", "127.0.0.1"),
        ]);
        self.world.apply("type: Zone\nname: east\n");
        let zone = start_zone_1(&self.world);
        for name in ["dp-1", "dp-2"] {
            let networking = json!({"address": "127.0.0.1", "inbound": [{"port": 8080}]});
            let proxy = json!({"type": "Dataplane", "mesh": "default", "name": name, "networking": networking});
            wait_for(zone.address("http"), "/meshes/default");
            let path = format!("/meshes/default/dataplanes/{name}");
            let (status, answer) = client::ask(zone.address("http"), "PUT", &path, Some(&proxy));
            assert!(status == 201, "PUT {path}: {status} {answer}");
        }
        let proxies = || client::get(self.world.http(), "/meshes/default/dataplanes")["total"].clone();
        eventually("both proxies are at the global", proxies, |total| *total == json!(2));
        self.zone = Some(zone);
    }

    /// A zone of a global that has nothing else.
    fn federate(&mut self) {
        self.world = World::of_programs(&[FLUSH]);
        self.point_at_global();
        let zone = start_zone_1(&self.world);
        wait_for(zone.address("http"), "/meshes/default");
        wait_for(zone.address("http"), "/zones/zone-1");
        // It says of itself that it is connected a moment later.
        wait_for(zone.address("http"), "/zone-insights/zone-1");
        self.player.address("127.0.0.1:6681", zone.address("http").to_string());
        self.zone = Some(zone);
    }
}

fn start_zone_1(world: &World) -> ControlPlane {
    let token = world.token_file("zone-1");
    let settings = [("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()), ("KUMA_STORE_TYPE", "memory")];
    let zone = world.zone("zone-1", &settings);
    world.wait_online("zone-1");
    let total = || {
        client::get(world.http(), "/zones/zone-1/_overview")["zoneInsight"]["subscriptions"][0]["status"]["total"]
            .clone()
    };
    eventually("the updates of zone-1 are counted", total, |total| total.get("responsesAcknowledged").is_some());
    zone
}
