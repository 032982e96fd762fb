//! The global under measurement: a process of its own, so that its memory and CPU are its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::{
    clock::Clock,
    tls::{Alpn, ClientTrust},
};
use model::ZoneName;
use serde_json::json;
use tempfile::TempDir;
use testkit::{client, program::ControlPlane};
use tokens::{KeyRing, SecretEntry};
use tokio_rustls::TlsConnector;

/// The key that signs all tokens.
const KEY: &str = "/global-secrets/control-plane-signing-key-0001";

pub(crate) struct Global {
    program: ControlPlane,
    http: SocketAddr,
    /// Where its policies are: here, or at the global behind a gateway.
    policies: SocketAddr,
    /// That global, and its folder.
    behind: Option<(ControlPlane, TempDir)>,
    pub(crate) kds: SocketAddr,
    pub(crate) connector: TlsConnector,
    ring: KeyRing,
    /// Connections that zones lost before they were synced.
    lost: AtomicU64,
    folder: TempDir,
    _trust: Arc<ClientTrust>,
}

impl Global {
    pub(crate) fn start(exe: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let work = folder.path().join("global");
        let exe = exe.to_str().context("the path of kuma-cp")?;
        let work_text = work.to_str().context("a temporary folder")?;
        let usual = [("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", work_text)];
        let program = ControlPlane::start(exe, &[&usual, settings].concat(), &[]);
        let (http, kds) = (program.address("http"), program.address("kds"));
        let kds = SocketAddr::new([127, 0, 0, 1].into(), kds.port());
        let trust = ClientTrust::from_file(work.join("kuma-cp.crt"), Clock::system())?;
        let connector = TlsConnector::from(trust.client_config(Alpn::H2)?);
        let secret = client::get(http, KEY);
        let data =
            STANDARD.decode(secret.get("data").and_then(serde_json::Value::as_str).context("the signing key")?)?;
        let entry = SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(&data) };
        let ring = KeyRing::build(1, &[entry]).0;
        Ok(Self {
            program,
            http,
            policies: http,
            behind: None,
            kds,
            connector,
            ring,
            lost: AtomicU64::new(0),
            folder,
            _trust: trust,
        })
    }

    /// Starts a gateway, which is what is measured, and a global behind it, in plain text and without authentication.
    pub(crate) fn start_gateway(exe: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let text = folder.path().to_str().context("a temporary folder")?;
        let open = [
            ("KUMA_MODE", "global"),
            ("KUMA_GENERAL_WORK_DIR", text),
            ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ];
        let behind = ControlPlane::start(exe.to_str().context("the path of kuma-cp")?, &open, &[]);
        let upstream = format!("grpc://127.0.0.1:{}", behind.address("kds").port());
        let mut gateway =
            Self::start(exe, &[("KUMA_MODE", "gateway"), ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", upstream.as_str())])?;
        gateway.policies = behind.address("http");
        gateway.behind = Some((behind, folder));
        Ok(gateway)
    }

    /// A token for a zone, without end if none is asked for.
    pub(crate) fn token(&self, zone: &str, valid_for: Option<Duration>) -> anyhow::Result<String> {
        let (zone, now) = (ZoneName::parse(zone)?, Clock::system().now());
        let token = tokens::issue_control_plane(&self.ring, &zone, valid_for, now, uuid::Uuid::new_v4())?;
        Ok(token.reveal().to_owned())
    }

    /// The certificate that it made for itself.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("global/kuma-cp.crt")
    }

    /// How often zones called a method.
    pub(crate) fn rpcs_started(&self, method: &str) -> anyhow::Result<u64> {
        let mut diagnostics = self.program.address("diagnostics");
        diagnostics.set_ip([127, 0, 0, 1].into());
        let (_, metrics) = client::ask(diagnostics, "GET", "/metrics", None);
        let label = format!("grpc_method=\"{method}\"");
        let is_it = |line: &&str| line.starts_with("grpc_server_started_total") && line.contains(&label);
        let line = metrics.lines().find(is_it).with_context(|| format!("no {method} was counted"))?;
        Ok(line.rsplit(' ').next().context("a number")?.parse()?)
    }

    pub(crate) fn add_policies(&self, count: usize) -> anyhow::Result<()> {
        for index in 0..count {
            self.put_policy(&format!("policy-{index}"), "5s")?;
        }
        Ok(())
    }

    /// Gives one policy another content in each round.
    pub(crate) fn change_policy(&self, round: u32) -> anyhow::Result<()> {
        self.put_policy("policy-0", &format!("{}s", 6 + round))
    }

    /// Deletes the key that all tokens are signed with.
    pub(crate) fn delete_key(&self) -> anyhow::Result<()> {
        let (status, body) = client::ask(self.http, "DELETE", KEY, None);
        ensure!(status == 200, "DELETE {KEY}: {status} {body}");
        Ok(())
    }

    /// How many streams the global says it closed, and within how many milliseconds 99 of 100 of them: the bound of a bucket.
    pub(crate) fn enforced(&self) -> (u64, f64) {
        let (_, text) = client::ask(self.program.address("diagnostics"), "GET", "/metrics", None);
        let buckets = text.lines().filter_map(|line| {
            let line = line.strip_prefix("auth_enforcement_seconds_bucket{")?;
            let (labels, count) = line.rsplit_once("} ")?;
            let (_, bound) = labels.split_once("le=\"")?;
            Some((bound.trim_end_matches('"').parse::<f64>().unwrap_or(f64::INFINITY), count.parse::<u64>().ok()?))
        });
        let buckets: Vec<(f64, u64)> = buckets.collect();
        let all = buckets.last().map_or(0, |(_, count)| *count);
        let bound = buckets.iter().find(|(_, count)| *count * 100 >= all * 99).map_or(f64::NAN, |(bound, _)| *bound);
        (all, bound * 1000.0)
    }

    /// Stops the program as an operator does and starts it again on the ports it had.
    pub(crate) fn restart(&mut self) {
        self.program.restart();
        self.program.address("kds");
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.program.keep_ports();
        self.program.kill();
    }

    /// Starts it again after [`Global::kill`], on the ports it had.
    pub(crate) fn again(&mut self) {
        self.program.again();
        self.program.address("kds");
    }

    fn put_policy(&self, name: &str, timeout: &str) -> anyhow::Result<()> {
        let policy = json!({
            "type": "MeshTimeout", "mesh": "default", "name": name,
            "spec": {"targetRef": {"kind": "Mesh"}, "to": [{"targetRef": {"kind": "Mesh"}, "default": {
                "connectionTimeout": timeout, "idleTimeout": "1h", "http": {"requestTimeout": "15s", "streamIdleTimeout": "30m"}
            }}]},
        });
        let path = format!("/meshes/default/meshtimeouts/{name}");
        let (status, body) = client::ask(self.policies, "PUT", &path, Some(&policy));
        ensure!(status == 200 || status == 201, "PUT {path}: {status} {body}");
        Ok(())
    }

    /// A zone lost its connection before it was synced, and tries again.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is measured.
    pub(crate) fn what(&self) -> &'static str {
        if self.behind.is_some() { "the gateway" } else { "global" }
    }

    /// Prints how many connections were lost, if any were.
    pub(crate) fn print_lost(&self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            println!("connections that were lost before their zone was synced: {lost}");
        }
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.program.id()
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> anyhow::Result<u64> {
        memory_kib(self.process())
    }

    /// CPU time so far.
    pub(crate) fn cpu_ms(&self) -> anyhow::Result<u64> {
        cpu_ms(self.process())
    }
}

/// Resident memory of a process.
pub(crate) fn memory_kib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}

/// CPU time of a process so far. A tick of the kernel is 10 ms.
pub(crate) fn cpu_ms(process: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).context("a counter");
    Ok((ticks(11)? + ticks(12)?) * 10)
}
