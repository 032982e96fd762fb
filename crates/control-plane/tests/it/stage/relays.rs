//! Connectors beside zones, and a gateway before a global.

use testkit::program::ControlPlane;

use super::{
    inside,
    world::{World, text},
};

/// Prompt, as tests wait for it.
const SOON: [(&str, &str); 2] = [
    ("KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "100ms"),
    ("KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "500ms"),
];

/// Starts a connector of a zone, before whatever listens on this port with the certificate of the world's global.
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
    ControlPlane::inside(inside::begin, &all)
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
        let behind = World::new(&OPEN);
        Self { gate: Self::before(&behind, &upstream(&behind), settings), behind }
    }

    /// The same as programs.
    pub(crate) fn of_programs() -> Self {
        let behind = World::of_programs(&OPEN);
        let (upstream, ca) = (upstream(&behind), text(&behind.ca()));
        Self { gate: World::of_programs(&gateway(&upstream, &ca)), behind }
    }

    /// Starts a gateway with the certificate of this world's global for the one behind it.
    pub(crate) fn before(behind: &World, upstream: &str, settings: &[(&str, &str)]) -> World {
        let ca = text(&behind.ca());
        World::empty(&[&gateway(upstream, &ca), settings].concat())
    }
}
