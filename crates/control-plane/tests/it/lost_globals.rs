//! Global control planes on one PostgreSQL, as programs: one is killed and never comes back, one is stopped for longer than
//! its lease. What only processes have is seen here; the rules are tested where they are.

use std::{net::SocketAddr, path::Path};

use tempfile::TempDir;
use testkit::{
    client,
    postgres::{Database, database},
    program::{ControlPlane, eventually},
};

use crate::stage::{inside, postgres_global::settings, world::KUMA_CP};

/// Two globals on a database, each with a work folder. The first one leads.
struct Two {
    first: ControlPlane,
    second: ControlPlane,
    database: Database,
    _folders: [TempDir; 2],
}

impl Two {
    fn start() -> Option<Self> {
        let database = database()?;
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let first = global(&database, folders[0].path());
        assert!(leads(&first), "nobody else is there");
        let second = global(&database, folders[1].path());
        assert!(!leads(&second));
        Some(Self { first, second, database, _folders: folders })
    }
}

fn global(database: &Database, work: &Path) -> ControlPlane {
    let mut settings = settings(database.place(), work);
    settings.push(("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none".to_owned()));
    settings.push(("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false".to_owned()));
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let global = ControlPlane::start(KUMA_CP, &settings, &[]);
    global.line(&["started", "instance"]);
    global
}

/// Whether it says that it leads, to whoever asks for metrics.
fn leads(global: &ControlPlane) -> bool {
    let (status, metrics) = client::ask(global.address("diagnostics"), "GET", "/metrics", None);
    assert_eq!(status, 200);
    let leader = metrics.lines().find(|line| line.starts_with("leader{")).expect("the metric");
    leader.ends_with(" 1")
}

/// A zone that dials one global, and no other when that is gone.
fn zone(global: SocketAddr, work: &Path) -> ControlPlane {
    let address = format!("grpc://127.0.0.1:{}", global.port());
    let settings = [
        ("KUMA_MODE", "zone"),
        ("KUMA_MULTIZONE_ZONE_NAME", "west"),
        ("KUMA_STORE_TYPE", "memory"),
        ("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap()),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &address),
    ];
    ControlPlane::inside(inside::begin, &settings)
}

/// Whether a global says that the zone is connected to some global.
fn online(global: &ControlPlane) -> bool {
    let (status, overview) = client::ask(global.address("http"), "GET", "/zones/west/_overview", None);
    if status != 200 {
        return false;
    }
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
    let subscriptions = overview["zoneInsight"]["subscriptions"].as_array().cloned().unwrap_or_default();
    subscriptions.iter().any(|one| one["disconnectTime"].is_null())
}

#[test]
fn zones_of_a_killed_global_are_offline_on_the_other_which_leads() {
    let Some(Two { mut first, second, database, _folders }) = Two::start() else { return };
    let work = tempfile::tempdir().unwrap();
    let _west = zone(first.address("kds"), work.path());
    eventually("the zone is known on the other", || online(&second), |online| *online);
    first.kill();
    eventually("the other leads", || leads(&second), |leads| *leads);
    eventually("the zone is offline", || online(&second), |online| !*online);
    assert_eq!(database.ask("SELECT count(*) FROM instances"), "1");
}

#[test]
fn a_leader_that_was_stopped_for_longer_than_its_lease_does_not_lead() {
    let Some(Two { first, second, database, _folders }) = Two::start() else { return };
    let epoch = || database.ask("SELECT epoch FROM store_revision");
    assert_eq!(epoch(), "1");
    first.pause();
    eventually("the other leads", || leads(&second), |leads| *leads);
    assert_eq!(epoch(), "2");
    let mark = first.mark();
    first.resume();
    first.line_after(mark, &["this instance leads no more"]);
    eventually("it is there again", || database.ask("SELECT count(*) FROM instances"), |count| count == "2");
    assert!(!leads(&first) && leads(&second));
    assert_eq!(epoch(), "2");
}
