//! Connectors beside zones, and a gateway before a global.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use control_plane::{
    app::{self, Running},
    clock::Clock,
    config::Config,
    observe::log::Log,
};
use serde_json::json;
use testkit::{client, program::ControlPlane};

use super::world::{World, text};

/// Prompt, as tests wait for it.
const SOON: [(&str, &str); 2] = [
    ("KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "100ms"),
    ("KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "500ms"),
];

/// Starts a connector of a zone, before whatever listens on this port with the certificate of the world's global. It is a
/// program where zones of this world are.
pub(crate) fn connector_to(world: &World, port: u16, zone: &str, token: &str, more: &[(&str, &str)]) -> ControlPlane {
    let (address, ca) = (format!("grpcs://localhost:{port}"), text(&world.ca()));
    let mut all = vec![
        ("KUMA_MODE", "connector"),
        ("KUMA_MULTIZONE_CONNECTOR_LISTEN", "127.0.0.1:0"),
        ("KUMA_MULTIZONE_ZONE_NAME", zone),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", ca.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token),
        ("KUMA_GENERAL_WORK_DIR", "/nowhere"),
    ];
    all.extend_from_slice(&SOON);
    all.extend_from_slice(more);
    world.beside(&all)
}

/// Starts a connector of a zone of this world.
pub(crate) fn connector(world: &World, zone: &str, token: &str) -> ControlPlane {
    connector_to(world, world.global.address("kds").port(), zone, token, &[])
}

/// Starts a zone that has no token and dials a connector.
pub(crate) fn zone_behind(world: &World, connector: &ControlPlane, name: &str) -> ControlPlane {
    let address = format!("grpc://{}", connector.address("connector"));
    world.zone(name, &[("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &address)])
}

/// Shows what is known of zones soon.
const SHOWN_SOON: (&str, &str) = ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "100ms");

/// A global that takes every zone for what it says it is.
const OPEN: [(&str, &str); 2] = [("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"), SHOWN_SOON];

fn upstream(behind: &World) -> String {
    format!("grpcs://localhost:{}", behind.global.address("kds").port())
}

fn gateway<'a>(upstream: &'a str, ca: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("KUMA_MODE", "gateway"),
        ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", upstream),
        ("KUMA_MULTIZONE_GATEWAY_UPSTREAM_ROOT_CA_FILE", ca),
        SHOWN_SOON,
    ]
}

/// A world whose global is a gateway, before a global of its own that takes every zone for what it says it is.
pub(crate) struct Guarded {
    /// The gateway, with the token of its administrator.
    pub(crate) gate: World,
    pub(crate) behind: World,
}

impl Guarded {
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let behind = Self::open_global();
        Self { gate: Self::before(&behind, &upstream(&behind), settings), behind }
    }

    /// The same as programs.
    pub(crate) fn of_programs() -> Self {
        let behind = World::of_programs(&OPEN);
        Self { gate: Self::program_before(&behind, &[]), behind }
    }

    /// Starts a gateway as a program before the global of this world.
    pub(crate) fn program_before(behind: &World, settings: &[(&str, &str)]) -> World {
        let (upstream, ca) = (upstream(behind), text(&behind.ca()));
        World::of_programs(&[&gateway(&upstream, &ca), settings].concat())
    }

    /// A global that takes every zone for what it says it is.
    pub(crate) fn open_global() -> World {
        World::new(&OPEN)
    }

    /// Starts a gateway that keeps what it has in PostgreSQL; none where there is none.
    pub(crate) fn on_postgres(behind: &World, upstream: &str) -> Option<World> {
        World::on_postgres(&gateway(upstream, &text(&behind.ca())))
    }

    /// The settings of a gateway.
    pub(crate) fn settings<'a>(upstream: &'a str, ca: &'a str) -> [(&'a str, &'a str); 4] {
        gateway(upstream, ca)
    }

    /// Starts a gateway with the certificate of this world's global for the one behind it.
    pub(crate) fn before(behind: &World, upstream: &str, settings: &[(&str, &str)]) -> World {
        let ca = text(&behind.ca());
        World::empty(&[&gateway(upstream, &ca), settings].concat())
    }
}

/// A connector on the runtime of the test.
pub(crate) async fn connector_here(zone: &str, token: &str, global: SocketAddr, ca: &Path) -> Running {
    let address = format!("grpcs://localhost:{}", global.port());
    start(&[
        ("KUMA_MODE", "connector"),
        ("KUMA_GENERAL_WORK_DIR", "/nowhere"),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
        ("KUMA_MULTIZONE_CONNECTOR_LISTEN", "127.0.0.1:0"),
        ("KUMA_MULTIZONE_ZONE_NAME", zone),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &address),
        ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", &text(ca)),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", token),
    ])
    .await
}

async fn start(settings: &[(&str, &str)]) -> Running {
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").unwrap();
    app::start(config, Clock::system(), Log::quiet()).await.unwrap()
}

/// A gateway on the runtime of the test, before this address, that believes every zone: what was recorded goes through.
pub(crate) async fn believing(folder: &Path, global: SocketAddr) -> Running {
    gateway_here(
        folder,
        global,
        &[
            ("KUMA_API_SERVER_HTTP_ENABLED", "false"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ],
    )
    .await
}

/// A gateway on the runtime of the test, before this address, that wants a token over TLS.
pub(crate) struct Guard {
    pub(crate) running: Running,
    /// Whom to believe to be it.
    pub(crate) ca: PathBuf,
}

impl Guard {
    pub(crate) async fn start(folder: &Path, global: SocketAddr) -> Self {
        let http = [("KUMA_API_SERVER_HTTP_PORT", "0"), ("KUMA_API_SERVER_HTTP_INTERFACE", "127.0.0.1")];
        let running = gateway_here(folder, global, &http).await;
        Self { running, ca: folder.join("gateway").join("kuma-cp.crt") }
    }

    /// Where zones connect.
    pub(crate) fn kds(&self) -> SocketAddr {
        here(self.running.addresses().kds)
    }

    /// A token for a zone.
    pub(crate) fn token(&self, zone: &str) -> String {
        let wanted = json!({"zone": zone, "validFor": "1h"});
        let http = here(self.running.addresses().http);
        let (status, token) = client::ask(http, "POST", "/tokens/control-plane", Some(&wanted));
        assert_eq!(status, 200, "{token}");
        token
    }
}

/// Where this port of all interfaces is on this machine.
pub(crate) fn here(address: Option<SocketAddr>) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.expect("a port that is served").port()))
}

async fn gateway_here(folder: &Path, global: SocketAddr, more: &[(&str, &str)]) -> Running {
    let (work, upstream) = (folder.join("gateway"), format!("grpc://{global}"));
    std::fs::create_dir_all(&work).unwrap();
    let settings = [
        ("KUMA_MODE", "gateway"),
        ("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap()),
        ("KUMA_STORE_TYPE", "memory"),
        ("KUMA_API_SERVER_HTTPS_ENABLED", "false"),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
        ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", &upstream),
    ];
    start(&[&settings, more].concat()).await
}
