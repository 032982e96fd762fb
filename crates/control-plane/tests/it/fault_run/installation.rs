//! What runs: globals and some zones are programs, which can be killed and paused, the other zones are in the test; a relay
//! is between everybody and the database, and between zones and each global.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    client,
    network::Relay,
    postgres::{Place, Server},
    program::{ControlPlane, Kumactl, LIMIT, eventually},
};

use super::{audit::Audit, writing::Written};
use crate::stage::{
    inside,
    postgres_global::borrowed,
    world::{KUMA_CP, text},
};

pub(super) const GLOBALS: usize = 3;
const ZONES: usize = 30;
/// So many of the zones are programs.
pub(super) const PROGRAMS: usize = 6;
/// How long keys are good enough to let somebody in when the database is away.
pub(super) const STALENESS: Duration = Duration::from_secs(10);

pub(super) struct Global {
    pub(super) program: ControlPlane,
    pub(super) to_database: Relay,
    /// What zones dial.
    pub(super) front: Relay,
}

/// All that runs, in the order in which it ends.
pub(super) struct Installation {
    pub(super) zones: Vec<ControlPlane>,
    pub(super) globals: Vec<Global>,
    pub(super) server: Server,
    pub(super) audit: Audit,
    folder: TempDir,
}

impl Installation {
    /// Starts it; nothing where there is no PostgreSQL, which is said.
    pub(super) fn start(seed: u64) -> Option<Self> {
        let server = Server::start()?;
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = certificate(&folder);
        let mut globals = Vec::new();
        let mut audit = None;
        for number in 0..GLOBALS {
            // The database tells them apart by it.
            let place = Audit::role(&server.place(), number);
            let to_database = Relay::to((place.host.parse::<std::net::IpAddr>().unwrap(), place.port).into(), seed);
            let work = text(&folder.path().join(format!("global-{number}")));
            let staleness = format!("{}s", STALENESS.as_secs());
            let settings = [
                ("KUMA_MODE", "global"),
                ("KUMA_GENERAL_WORK_DIR", &work),
                ("KUMA_GENERAL_DRAIN_TIME", "5s"),
                ("KUMA_INTER_CP_SERVER_PORT", "0"),
                ("KUMA_INTER_CP_CATALOG_HEARTBEAT_INTERVAL", "1s"),
                ("KUMA_GENERAL_TLS_CERT_FILE", &cert),
                ("KUMA_GENERAL_TLS_KEY_FILE", &key),
                ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MAX_STALENESS", &staleness),
            ];
            let behind_relay = Place { port: to_database.address().port(), ..place };
            let of_store = behind_relay.settings();
            let settings = [&borrowed(&of_store)[..], &settings].concat();
            let mut program = ControlPlane::start(KUMA_CP, &settings, &[]);
            program.line(&["started"]);
            program.keep_ports();
            let front = Relay::to(loopback(program.address("kds")), seed);
            globals.push(Global { program, to_database, front });
            // The first one made the tables.
            audit.get_or_insert_with(|| Audit::begin(server.place(), number));
        }
        let audit = audit.unwrap();
        let mut installation = Self { zones: Vec::new(), globals, server, audit, folder };
        installation.zones = (0..ZONES).map(|number| installation.zone(number)).collect();
        installation.all_are_online();
        Some(installation)
    }

    fn zone(&self, number: usize) -> ControlPlane {
        let folder = self.folder.path();
        let name = name(number);
        let rest = self.addresses()[0].rest;
        let wanted = serde_json::json!({"zone": name, "validFor": "1h"});
        let (status, token) = client::ask(rest, "POST", "/tokens/control-plane", Some(&wanted));
        assert_eq!(status, 200, "{token}");
        let file = folder.join(format!("{name}.token"));
        std::fs::write(&file, token).unwrap();
        let (file, work, ca) = (text(&file), text(&folder.join(&name)), text(&self.ca()));
        // Each prefers another one.
        let mut ports: Vec<_> = self.globals.iter().map(|global| global.front.address().port()).collect();
        ports.rotate_left(number % GLOBALS);
        let addresses: Vec<_> = ports.iter().map(|port| format!("grpcs://localhost:{port}")).collect();
        let addresses = addresses.join(",");
        let settings = [
            ("KUMA_MODE", "zone"),
            ("KUMA_GENERAL_WORK_DIR", work.as_str()),
            ("KUMA_MULTIZONE_ZONE_NAME", &name),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &addresses),
            ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", &ca),
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", &file),
            ("KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "100ms"),
            ("KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "1s"),
        ];
        if number < PROGRAMS {
            let mut program = ControlPlane::start(KUMA_CP, &settings, &[]);
            program.line(&["listening", "\"http\""]);
            program.keep_ports();
            program
        } else {
            ControlPlane::inside(inside::begin, &settings)
        }
    }

    /// The certificate of all globals.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("global.crt")
    }

    /// Where the globals are.
    pub(super) fn addresses(&self) -> Vec<Addresses> {
        let of = |global: &Global| Addresses {
            rest: loopback(global.program.address("http")),
            kds: loopback(global.program.address("kds")),
        };
        self.globals.iter().map(of).collect()
    }

    /// Waits until everybody is there again.
    pub(super) fn heals(&self) {
        self.all_are_online();
        for global in &self.globals {
            let address = loopback(global.program.address("diagnostics"));
            eventually(
                "the global is ready",
                || client::ask(address, "GET", "/ready", None),
                |(status, text)| *status == 200 && text.is_empty(),
            );
        }
    }

    fn all_are_online(&self) {
        for addresses in self.addresses() {
            let offline = || {
                let all = items(addresses.rest, "/zones/_overview?size=1000");
                let online = |zone: &Value| {
                    let subscriptions = zone["zoneInsight"]["subscriptions"].as_array().cloned().unwrap_or_default();
                    subscriptions
                        .iter()
                        .any(|one| one.get("connectTime").is_some() && one.get("disconnectTime").is_none())
                };
                let is_online = |name: &str| all.iter().any(|zone| zone["name"] == name && online(zone));
                (0..ZONES).map(name).filter(|name| !is_online(name)).collect::<Vec<_>>()
            };
            eventually("all zones are Online", offline, Vec::is_empty);
        }
    }

    /// Waits until every global has what was acknowledged, and every zone what the globals have.
    pub(super) fn has_all(&self, written: &Written) {
        let rest: Vec<_> = self.addresses().iter().map(|addresses| addresses.rest).collect();
        eventually("each global has what was acknowledged", || written.missing_in(&policies(rest[0])), Vec::is_empty);
        let truth = policies(rest[0]);
        let zones = self.zones.iter().map(|zone| loopback(zone.address("http")));
        for address in rest.iter().copied().skip(1).chain(zones) {
            let differs = || differences(&truth, &policies(address));
            eventually(&format!("{address} has what the first global has"), differs, Vec::is_empty);
        }
        assert_eq!(written.missing_in(&policies(rest[0])), Vec::<String>::new());
    }

    /// All globals say the same of the rotation, and nothing is wrong with it.
    pub(super) fn agrees_on_rotations(&self) {
        let stands = |global: &Global| {
            let rest = loopback(global.program.address("http"));
            let found = client::get(rest, "/rotations/control-plane-signing-key");
            ["phase", "from", "to", "problem"].map(|member| found[member].clone())
        };
        let all = || self.globals.iter().map(stands).collect::<Vec<_>>();
        eventually("the globals agree on the rotation", all, |all| {
            all.iter().all(|one| one == &all[0] && one[3].as_str().unwrap_or_default().is_empty())
        });
    }
}

/// Makes a certificate for `localhost`: its file and the one of its key.
fn certificate(folder: &TempDir) -> (String, String) {
    let [cert, key] = ["global.crt", "global.key"].map(|name| text(&folder.path().join(name)));
    let kumactl = Kumactl::beside(KUMA_CP, folder.path());
    let files = ["--cert-file", &cert, "--key-file", &key];
    kumactl.ok(&[&["generate", "tls-certificate", "--type=server", "--hostname=localhost"], &files[..]].concat(), "");
    (cert, key)
}

/// Where a global is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) rest: SocketAddr,
    pub(super) kds: SocketAddr,
}

fn name(number: usize) -> String {
    format!("zone-{number}")
}

fn loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    address
}

fn items(address: SocketAddr, path: &str) -> Vec<Value> {
    // A global that has just come back may still be reading.
    let (status, body) = eventually(path, || client::ask(address, "GET", path, None), |(status, _)| *status == 200);
    assert_eq!(status, 200);
    serde_json::from_str::<Value>(&body).unwrap()["items"].as_array().cloned().unwrap_or_default()
}

/// The policies of the default mesh: what each is called on global, and what it says.
fn policies(address: SocketAddr) -> BTreeMap<String, Value> {
    let name = |policy: &Value| {
        let display = policy.pointer("/labels/kuma.io~1display-name").unwrap_or_else(|| &policy["name"]);
        display.as_str().unwrap_or_default().to_owned()
    };
    let all = items(address, "/meshes/default/meshtimeouts?size=1000");
    all.iter().map(|policy| (name(policy), policy["spec"].clone())).collect()
}

fn differences(truth: &BTreeMap<String, Value>, found: &BTreeMap<String, Value>) -> Vec<String> {
    let names = truth.keys().chain(found.keys());
    let differs = |name: &&String| truth.get(*name) != found.get(*name);
    names
        .filter(differs)
        .map(|name| format!("{name}: {:?} in place of {:?}", found.get(name), truth.get(name)))
        .collect()
}

/// Whatever waits for a global that is paused waits no longer.
pub(super) const PATIENCE: Duration = LIMIT;
