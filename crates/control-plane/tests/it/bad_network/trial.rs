//! One zone behind a bad network: what it writes, what it must get, and what must never be deleted there.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use testkit::{
    client,
    network::Relay,
    program::{ControlPlane, eventually, eventually_within},
};

use super::load::{Progress, Writer, dataplane};
use crate::stage::{
    sides::{self, Side},
    world::{World, wait_for},
};

/// Keepalive finds a dead connection in at most 35 s (the zone pings every 20 s and waits 15 s for the answer; global 15
/// and 15), and a connection dialled into a partition is given up after 10 s. So these events have a longer limit.
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(60);

/// What is never touched after the trials began, and so must never be created a second time at the other end.
const CANARY: &str = "canary";

pub(super) struct Trial<'a> {
    name: &'static str,
    world: &'a World,
    /// The load on global.
    pub(super) load: &'a Progress,
    pub(super) relay: Relay,
    pub(super) zone: ControlPlane,
    pub(super) writer: Writer,
    probes: u64,
    /// Every canary of both ends, and when the other end created it.
    canaries: BTreeMap<String, String>,
}

/// Creates what must live through everything, on global.
pub(super) fn plant_canaries(writer: &mut Writer) {
    let timeout = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "17s"}}]});
    for (path, document) in [
        ("/meshes/canary", json!({"type": "Mesh", "name": CANARY})),
        ("/global-secrets/canary", json!({"type": "GlobalSecret", "name": CANARY, "data": "Y2FuYXJ5"})),
        (
            "/meshes/default/secrets/canary",
            json!({"type": "Secret", "mesh": "default", "name": CANARY, "data": "Y2FuYXJ5"}),
        ),
        (
            "/meshes/default/meshtimeouts/canary",
            json!({"type": "MeshTimeout", "mesh": "default", "name": CANARY, "spec": timeout}),
        ),
    ] {
        writer.put(path, document);
    }
}

impl<'a> Trial<'a> {
    /// Starts a zone behind a relay, and waits until it is Online and the canaries of both ends are at the other.
    pub(super) fn start(world: &'a World, load: &'a Progress, name: &'static str, seed: u64, relay: Relay) -> Self {
        let token = world.token_file(name);
        let address = format!("grpcs://localhost:{}", relay.address().port());
        let settings = [
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &address),
        ];
        let zone = world.zone(name, &settings);
        let mut writer = Writer::of_zone(name, zone.address("http"), seed);
        world.wait_online(name);
        wait_for(zone.address("http"), "/meshes/default");
        let (path, document) = dataplane(CANARY, 1);
        writer.put(&path, document);
        let mut trial = Self { name, world, load, relay, zone, writer, probes: 0, canaries: BTreeMap::new() };
        // Those of global, with the policies and the key that the mesh brought along, and the one of the zone.
        let all = canaries(sides::given_by_global(world.http())).count() + 1;
        trial.canaries = eventually("the canaries are there", || trial.living(), |living| living.len() == all);
        trial
    }

    /// Writes to the zone.
    pub(super) fn write(&mut self, count: usize) {
        for _ in 0..count {
            self.writer.change();
        }
    }

    /// Waits until the zone is connected again, for as long as finding a dead connection takes.
    pub(super) fn reconnected_after(&self, mark: usize) {
        let again = || self.zone.logged_after(mark, &["\tconnected to the global control plane", "\"global\": "]);
        eventually_within(KEEPALIVE_LIMIT, &format!("{} connects again", self.name), again, |again| *again);
    }

    /// Waits until global shows so many connections of the zone.
    pub(super) fn wait_for_connections(&self, count: usize) {
        let metrics = self.world.global.address("diagnostics");
        let line = format!("zone_name=\"{}\"}} {count}", self.name);
        let shown = || {
            let text = client::ask(metrics, "GET", "/metrics", None).1;
            text.lines().any(|shown| shown.starts_with("kds_zone_active_connections{") && shown.ends_with(&line))
        };
        eventually_within(KEEPALIVE_LIMIT, &format!("{} has {count} connections", self.name), shown, |shown| *shown);
    }

    /// Something new at each end comes to the other.
    pub(super) fn probe(&mut self) {
        self.probes += 1;
        let name = format!("probe-{}-{}", self.name, self.probes);
        let spec = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "9s"}}]});
        let document = json!({"type": "MeshTimeout", "mesh": "default", "name": name, "spec": spec});
        let path = format!("/meshes/default/meshtimeouts/{name}");
        assert_eq!(client::ask(self.world.http(), "PUT", &path, Some(&document)).0, 201);
        let hashed = sync::hashed_name("default", &name, None, None);
        wait_for(self.zone.address("http"), &format!("/meshes/default/meshtimeouts/{hashed}"));
        let (path, document) = dataplane(&name, 1);
        self.writer.put(&path, document);
        eventually("global has the probe", || self.global_has(&name), |there| *there);
    }

    /// Whether a proxy of the zone is on global.
    pub(super) fn global_has(&self, dataplane: &str) -> bool {
        let name = sync::hashed_name("default", dataplane, Some(self.name), None);
        client::ask(self.world.http(), "GET", &format!("/meshes/default/dataplanes/{name}"), None).0 == 200
    }

    /// Puts a proxy into the zone under a name of its own.
    pub(super) fn put_dataplane(&mut self, name: &str) {
        let (path, document) = dataplane(name, 1);
        self.writer.put(&path, document);
    }

    /// It is quiet now: both ends are equal, nothing acknowledged is lost, nothing was deleted that should live.
    pub(super) fn check(&self) {
        sides::wait_until_equal(self.world.http(), self.zone.address("http"), self.name);
        self.writer.check();
        assert!(self.world.online(self.name), "{} is Online", self.name);
        assert_eq!(self.living(), self.canaries, "{}: what was not touched was never deleted", self.name);
    }

    fn living(&self) -> BTreeMap<String, String> {
        let zone = self.zone.address("http");
        let of_zone = sides::taken_by_global(self.world.http(), self.name);
        canaries(sides::taken_by_zone(zone)).chain(canaries(of_zone)).collect()
    }
}

/// What is in the mesh of the canaries, or has their name; and when this side created it.
fn canaries(side: Side) -> impl Iterator<Item = (String, String)> {
    let canaries = side.into_iter().filter(|((_, mesh, name), _)| name == CANARY || mesh == CANARY);
    canaries.map(|(key, shown)| (format!("{key:?}"), shown.created))
}
