//! Zones whose tokens live for a short time, over a long one: they renew them, keep their connections and miss nothing.
//!
//! Unlike the zones of the other measurements these are our own control planes, in this process; the global is a program of
//! its own, and takes no token a moment longer than it says.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use control_plane::{
    app::{self, Running},
    clock::Clock,
    config::Config,
    observe::log::{Log, Verbosity},
};
use tempfile::TempDir;
use testkit::client;

use crate::global::Global;

/// How often something changes.
const PERIOD: Duration = Duration::from_secs(5);
/// A zone that has no change by then missed it.
const MISSED: Duration = Duration::from_secs(30);
const POLICIES: &str = "/meshes/default/meshtimeouts";

/// What to do.
pub(crate) struct Soak {
    pub(crate) zones: usize,
    /// How long.
    pub(crate) lasts: Duration,
    /// How long a token is good.
    pub(crate) life: Duration,
}

/// Runs the zones; an error if one of them lost its connection or missed a change.
pub(crate) async fn run(exe: &Path, soak: &Soak) -> anyhow::Result<()> {
    let global = Global::start(exe, &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "0s")])?;
    global.add_policies(1)?;
    let (log, lines) = Log::of_threads(Warnings, Verbosity::Info);
    tracing::dispatcher::set_global_default(lines).context("the only log of this process")?;
    let folder = tempfile::tempdir()?;
    let mut zones = Vec::with_capacity(soak.zones);
    for index in 0..soak.zones {
        zones.push(zone(&global, &folder, &format!("zone-{index}"), soak.life, log.clone()).await?);
    }
    let (start, mut round, mut latest) = (Instant::now(), 0, Duration::ZERO);
    while start.elapsed() < soak.lasts {
        let changed = Instant::now();
        // Below a minute: from there on it is shown as `1m0s`.
        global.change_policy(round % 50)?;
        let value = format!("\"connectionTimeout\":\"{}s\"", 6 + round % 50);
        for (index, zone) in zones.iter().enumerate() {
            let http = loopback(zone.addresses().http)?;
            while !client::ask(http, "GET", POLICIES, None).1.replace(' ', "").contains(&value) {
                ensure!(changed.elapsed() < MISSED, "zone-{index} has not got change {round}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        latest = latest.max(changed.elapsed());
        round += 1;
        tokio::time::sleep(PERIOD).await;
    }
    let started = |method: &str| global.rpcs_started(method);
    let (renewals, shown) = (started("Renew")?, started("Present")?);
    let opened = started("GlobalToZoneSync")?;
    println!(
        "renewal: {} zones, tokens of {} s, {} s: {renewals} renewals, {shown} shown, {opened} streams opened, {round} changes, \
         the slowest was everywhere after {:.0} ms",
        soak.zones,
        soak.life.as_secs(),
        soak.lasts.as_secs(),
        latest.as_secs_f64() * 1000.0,
    );
    let lives = soak.lasts.as_secs() / soak.life.as_secs().max(1);
    ensure!(renewals >= lives * u64::try_from(soak.zones)?, "not every token was renewed in its life");
    ensure!(opened == u64::try_from(soak.zones)?, "a zone lost its connection");
    for zone in zones {
        zone.stop(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Starts a zone with a token in a file.
async fn zone(global: &Global, folder: &TempDir, name: &str, life: Duration, log: Log) -> anyhow::Result<Running> {
    let work = folder.path().join(name);
    std::fs::create_dir(&work)?;
    let token = work.join("token");
    std::fs::write(&token, global.token(name, Some(life))?)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a temporary folder");
    let settings = [
        ("KUMA_MODE", "zone".to_owned()),
        ("KUMA_STORE_TYPE", "memory".to_owned()),
        ("KUMA_GENERAL_WORK_DIR", text(&work)?),
        ("KUMA_API_SERVER_HTTP_PORT", "0".to_owned()),
        ("KUMA_API_SERVER_HTTPS_ENABLED", "false".to_owned()),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0".to_owned()),
        ("KUMA_MULTIZONE_ZONE_NAME", name.to_owned()),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", format!("grpcs://localhost:{}", global.kds.port())),
        ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", text(&global.certificate())?),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", text(&token)?),
    ];
    let settings: Vec<_> = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").context("the settings of a zone")?;
    app::start(config, Clock::system(), log).await
}

/// Shows what zones warn of: why one lost its connection.
struct Warnings;

impl Write for Warnings {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if line.windows(6).any(|part| part == b"\tWARN\t") {
            std::io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

fn loopback(address: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], address.context("a port that is served")?.port())))
}
