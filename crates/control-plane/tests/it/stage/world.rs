//! A global and its zones on loopback, inside the test or as programs, with kumactl beside them.

mod databases;
mod first_start;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    client,
    program::{ControlPlane, Kumactl, eventually},
};

use self::databases::Databases;
use super::{inside, postgres_global::borrowed};

pub(crate) const KUMA_CP: &str = env!("CARGO_BIN_EXE_kuma-cp");

/// A store with a million resources, tried by hand, takes longer to read than anything else that a test waits for.
const READ_WITHIN: Duration = Duration::from_secs(300);

/// A folder for everything, a running global, and kumactl pointed at it.
///
/// Control planes run inside the test ([`World::new`]), but where what is tried is a property of a process: memory, open
/// files, crash, signal, exit, lines of the store's own thread. Those tests take [`World::of_programs`].
pub(crate) struct World {
    programs: bool,
    pub(crate) folder: TempDir,
    pub(crate) global: ControlPlane,
    pub(crate) kumactl: Kumactl,
    /// Where control planes keep what they have, if that is no file. Dropped after the global.
    databases: Option<Databases>,
}

impl World {
    /// Starts a global inside the test with these settings beside the usual ones. It finds what a first start made.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        first_start::copy_to(&folder.path().join("global"));
        Self::started(folder, settings, None)
    }

    /// Starts whatever these settings say inside the test, in an empty folder.
    pub(crate) fn empty(settings: &[(&str, &str)]) -> Self {
        Self::started(tempfile::tempdir().unwrap(), settings, None)
    }

    /// Starts a global as a program in an empty folder; its zones are programs, too.
    pub(crate) fn of_programs(settings: &[(&str, &str)]) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), settings)
    }

    /// Starts a global as a program in an empty folder; its zones run inside the test.
    pub(crate) fn of_a_program(settings: &[(&str, &str)]) -> Self {
        Self { programs: false, ..Self::of_programs(settings) }
    }

    /// Starts the program in a folder that may hold a store already, in `global/global.db`.
    pub(crate) fn in_folder(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        Self::started(folder, settings, Some((KUMA_CP, &[])))
    }

    /// Starts a program that may have so many files open, and no more.
    pub(crate) fn with_files(files: u32, settings: &[(&str, &str)]) -> Self {
        let limited = format!("ulimit -n {files}; exec '{KUMA_CP}' run");
        Self::started(tempfile::tempdir().unwrap(), settings, Some(("/bin/sh", &["-c", &limited])))
    }

    /// Starts a global inside the test that keeps its resources in PostgreSQL, as its zones do; none where there is none.
    pub(crate) fn on_postgres(settings: &[(&str, &str)]) -> Option<Self> {
        let databases = Databases::start()?;
        Some(Self::started_on(Some(databases), tempfile::tempdir().unwrap(), settings, None))
    }

    /// The same, of programs.
    pub(crate) fn of_programs_on_postgres(settings: &[(&str, &str)]) -> Option<Self> {
        let program: (&str, &[&str]) = (KUMA_CP, &[]);
        Some(Self::started_on(Some(Databases::start()?), tempfile::tempdir().unwrap(), settings, Some(program)))
    }

    /// The same as a program; its zones run inside the test.
    pub(crate) fn of_a_program_on_postgres(settings: &[(&str, &str)]) -> Option<Self> {
        Some(Self { programs: false, ..Self::of_programs_on_postgres(settings)? })
    }

    fn started(folder: TempDir, settings: &[(&str, &str)], program: Option<(&str, &[&str])>) -> Self {
        Self::started_on(None, folder, settings, program)
    }

    fn started_on(
        databases: Option<Databases>,
        folder: TempDir,
        settings: &[(&str, &str)],
        program: Option<(&str, &[&str])>,
    ) -> Self {
        let work = folder.path().join("global");
        let of_store = store_of(databases.as_ref(), "global");
        let settings = [&borrowed(&of_store)[..], settings].concat();
        let mut all = vec![("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap())];
        all.extend_from_slice(&settings);
        let global = match program {
            Some((exe, arguments)) => ControlPlane::start(exe, &all, arguments),
            None => ControlPlane::inside(inside::begin, &all),
        };
        global.line_within(READ_WITHIN, 0, &["listening", "\"http\""]);
        let kumactl = Kumactl::beside(KUMA_CP, folder.path());
        let world = Self { programs: program.is_some(), folder, global, kumactl, databases };
        let address = format!("http://{}", world.http());
        world
            .kumactl
            .ok(&["config", "control-planes", "add", "--name", "test", "--address", &address, "--overwrite"], "");
        world
    }

    pub(crate) fn http(&self) -> SocketAddr {
        let mut address = self.global.address("http");
        // Every address is none that can be called.
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        address
    }

    /// The certificate that global made for itself.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("global/kuma-cp.crt")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        // As a whole: whoever follows it may read it at any moment.
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, &path).unwrap();
        text(&path)
    }

    /// A new certificate for `localhost`, made by kumactl: its file and the file of its key.
    pub(crate) fn certificate(&self, name: &str) -> (String, String) {
        let (cert, key) = (text(&self.path(&format!("{name}.crt"))), text(&self.path(&format!("{name}.key"))));
        let files = ["--cert-file", &cert, "--key-file", &key];
        self.kumactl
            .ok(&[&["generate", "tls-certificate", "--type=server", "--hostname=localhost"], &files[..]].concat(), "");
        (cert, key)
    }

    /// Issues a control plane token with kumactl.
    pub(crate) fn token(&self, zone: &str) -> String {
        self.kumactl.ok(&["generate", "control-plane-token", &format!("--zone={zone}")], "")
    }

    /// Issues a token into a file; returns the path.
    pub(crate) fn token_file(&self, zone: &str) -> String {
        self.file(&format!("{zone}.token"), &self.token(zone))
    }

    /// The settings of another control plane on the same database; none where there is none.
    pub(crate) fn settings_of_the_database(&self) -> Vec<(&'static str, String)> {
        store_of(self.databases.as_ref(), "global")
    }

    /// Starts a zone without a token; `settings` may add one.
    pub(crate) fn zone(&self, name: &str, settings: &[(&str, &str)]) -> ControlPlane {
        let work = text(&self.path(name));
        let address = format!("grpcs://localhost:{}", self.global.address("kds").port());
        let ca = text(&self.ca());
        let mut all = vec![
            ("KUMA_MODE", "zone"),
            ("KUMA_GENERAL_WORK_DIR", work.as_str()),
            ("KUMA_MULTIZONE_ZONE_NAME", name),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
            ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", ca.as_str()),
            // Tests wait for reconnects: make them prompt.
            ("KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "100ms"),
            ("KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "500ms"),
        ];
        let of_store = store_of(self.databases.as_ref(), name);
        all.extend(borrowed(&of_store));
        all.extend_from_slice(settings);
        self.beside(&all)
    }

    /// Starts another control plane as the zones of this world run: as a program, or inside the test.
    pub(crate) fn beside(&self, settings: &[(&str, &str)]) -> ControlPlane {
        if self.programs {
            ControlPlane::start(KUMA_CP, settings, &[])
        } else {
            ControlPlane::inside(inside::begin, settings)
        }
    }

    /// Starts a zone with a fresh token in a file and waits until it is Online.
    pub(crate) fn connected_zone(&self, name: &str) -> ControlPlane {
        let token = self.token_file(name);
        let zone = self.zone(name, &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", &token)]);
        self.wait_online(name);
        zone
    }

    /// Whether global shows the zone as Online.
    pub(crate) fn online(&self, zone: &str) -> bool {
        let (status, body) = client::ask(self.http(), "GET", &format!("/zones/{zone}/_overview"), None);
        if status != 200 {
            return false;
        }
        let overview: Value = serde_json::from_str(&body).unwrap();
        overview["zoneInsight"]["subscriptions"].as_array().is_some_and(|subscriptions| {
            subscriptions.iter().any(|one| one.get("connectTime").is_some() && one.get("disconnectTime").is_none())
        })
    }

    pub(crate) fn wait_online(&self, zone: &str) {
        eventually(&format!("zone {zone} is Online"), || self.online(zone), |online| *online);
    }

    pub(crate) fn wait_offline(&self, zone: &str) {
        eventually(&format!("zone {zone} is Offline"), || self.online(zone), |online| !*online);
    }

    /// Applies a document with kumactl.
    pub(crate) fn apply(&self, document: &str) {
        self.kumactl.ok(&["apply", "-f", "-"], document);
    }
}

/// The settings of a control plane's store, if that is no file.
fn store_of(databases: Option<&Databases>, name: &str) -> Vec<(&'static str, String)> {
    databases.map(|databases| databases.settings(name)).unwrap_or_default()
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits until a control plane has a resource at `path`; returns it.
pub(crate) fn wait_for(address: SocketAddr, path: &str) -> Value {
    let (_, body) =
        eventually(&format!("GET {path}"), || client::ask(address, "GET", path, None), |(status, _)| *status == 200);
    serde_json::from_str(&body).unwrap()
}

/// Waits until a control plane no longer has a resource at `path`.
pub(crate) fn wait_gone(address: SocketAddr, path: &str) {
    eventually(&format!("no {path}"), || client::ask(address, "GET", path, None).0, |status| *status == 404);
}

/// The decoded parts of a token: header and payload as they are written.
pub(crate) fn decode(token: &str) -> (String, String) {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "a token has three parts: {token}");
    let read = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (read(parts[0]), read(parts[1]))
}
