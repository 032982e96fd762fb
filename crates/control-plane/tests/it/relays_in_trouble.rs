//! Relays between a zone and its global when things break: sides that are dead without a word, and each of the four
//! processes gone in turn. What is acknowledged arrives, and nobody holds on to what is gone.

use std::time::Duration;

use testkit::{
    client,
    network::{End, Relay},
    program::{ControlPlane, eventually_within},
    seed::seed,
};

use crate::stage::{
    inside,
    relays::{Guarded, connector, connector_to, zone_behind},
    sides::wait_until_equal,
    world::World,
};

const SEED: u64 = 20_261_128;
/// Keepalive finds a dead connection in at most 35 s, a connection that is dialled into a partition is given up after 10 s,
/// and with two hops one may come after the other.
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(120);

fn network(to: &World) -> Relay {
    Relay::to(to.global.address("kds"), seed(SEED))
}

fn through(network: &Relay) -> String {
    format!("grpcs://localhost:{}", network.address().port())
}

fn put_mesh(global: &World, name: &str) {
    global.apply(&format!("type: Mesh\nname: {name}\nskipCreatingInitialPolicies: ['*']\n"));
}

/// Lets an end of the connections through a network be gone without a word to the other one, and waits until the zone has all
/// that was written meanwhile, and the global has forgotten the connection that is dead.
fn recovers(global: &World, zone: &ControlPlane, network: &Relay, gone: End) {
    global.wait_online("west");
    wait_until_equal(global.http(), zone.address("http"), "west");
    let (dialled, mark) = (network.dialled(), global.global.mark());
    network.abandon(gone);
    put_mesh(global, "meanwhile");
    eventually_within(KEEPALIVE_LIMIT, "it is dialled again", || network.dialled(), |now| *now > dialled);
    let there = || client::ask(zone.address("http"), "GET", "/meshes/meanwhile", None).0;
    eventually_within(KEEPALIVE_LIMIT, "the zone has what was written", there, |status| *status == 200);
    let counted = |what: [&str; 2]| {
        let mut address = global.global.address("diagnostics");
        address.set_ip([127, 0, 0, 1].into());
        let text = client::ask(address, "GET", "/metrics", None).1;
        let lines = text.lines().filter(|line| what.iter().all(|part| line.contains(part)) && !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    // What is counted is counted again a moment after a change: the dead one has to have ended before one is left.
    global.global.line_within(KEEPALIVE_LIMIT, mark, &["GlobalToZoneSync ended"]);
    let streams = || counted(["kds_zone_active_connections{", "\"west\""]);
    eventually_within(KEEPALIVE_LIMIT, "one stream is left", streams, |count| *count == 1);
    // No relay keeps one open that nobody uses.
    let connections = || counted(["connections_open{", "port=\"kds\""]);
    eventually_within(KEEPALIVE_LIMIT, "one connection is left", connections, |count| *count == 1);
    wait_until_equal(global.http(), zone.address("http"), "west");
}

fn behind_a_gateway(gone: End) {
    let guarded = Guarded::new(&[]);
    let network = network(&guarded.gate);
    let (token, address) = (guarded.gate.token_file("west"), through(&network));
    let settings = [
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()),
    ];
    let zone = guarded.gate.zone("west", &settings);
    recovers(&guarded.behind, &zone, &network, gone);
}

#[test]
fn a_zone_that_is_gone_without_a_word_is_forgotten_by_gateway_and_global() {
    behind_a_gateway(End::Zone);
}

#[test]
fn a_gateway_that_is_gone_without_a_word_is_noticed_by_the_zone() {
    behind_a_gateway(End::Global);
}

fn before_the_global(gone: End) {
    let behind = Guarded::open_global();
    let network = network(&behind);
    let gate = Guarded::before(&behind, &through(&network), &[]);
    let zone = gate.connected_zone("west");
    recovers(&behind, &zone, &network, gone);
}

#[test]
fn a_gateway_that_is_gone_without_a_word_is_forgotten_by_the_global() {
    before_the_global(End::Zone);
}

#[test]
fn a_global_that_is_gone_without_a_word_is_noticed_by_the_gateway() {
    before_the_global(End::Global);
}

#[test]
fn a_global_that_is_gone_without_a_word_is_noticed_by_the_connector() {
    let world = World::new(&[]);
    let network = network(&world);
    let connector = connector_to(&world, network.address().port(), "west", &world.token_file("west"), &[]);
    let zone = zone_behind(&world, &connector, "west");
    recovers(&world, &zone, &network, End::Global);
}

#[test]
fn a_network_that_is_slow_and_loses_on_both_sides_of_a_gateway_holds_nothing_back_for_ever() {
    let behind = Guarded::open_global();
    let far = network(&behind);
    let gate = Guarded::before(&behind, &through(&far), &[]);
    let near = network(&gate);
    for one in [&far, &near] {
        one.slow(Duration::from_millis(100), 20);
    }
    let (token, address) = (gate.token_file("west"), through(&near));
    let settings = [
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()),
    ];
    let zone = gate.zone("west", &settings);
    behind.wait_online("west");
    for name in ["one", "two", "three"] {
        put_mesh(&behind, name);
        wait_until_equal(behind.http(), zone.address("http"), "west");
    }
    assert_eq!((near.dialled(), far.dialled()), (1, 1), "{}", zone.text());
}

#[test]
fn each_of_four_processes_may_crash() {
    let Guarded { mut gate, mut behind } = Guarded::of_programs();
    let mut connector = connector(&gate, "west", &gate.token_file("west"));
    let address = connector.address("connector").to_string();
    connector.set("KUMA_MULTIZONE_CONNECTOR_LISTEN", &address);
    let mut zone = zone_behind(&gate, &connector, "west");
    let settled = |behind: &World, zone: &ControlPlane, step: &str| {
        // Who was started again has to serve first.
        let _serves = behind.http();
        put_mesh(behind, step);
        behind.wait_online("west");
        wait_until_equal(behind.http(), zone.address("http"), "west");
    };
    settled(&behind, &zone, "began");
    gate.global.crash_and_restart();
    settled(&behind, &zone, "gateway");
    behind.global.crash_and_restart();
    settled(&behind, &zone, "global");
    zone.crash_and_restart();
    settled(&behind, &zone, "zone");
    connector.crash_and_restart();
    settled(&behind, &zone, "connector");
    // And while it is away the zone is gone for everybody.
    connector.kill();
    zone.line(&["not connected to the global control plane"]);
    gate.wait_offline("west");
    behind.wait_offline("west");
    connector.again();
    settled(&behind, &zone, "connector-again");
    gate.wait_online("west");
}

#[test]
fn two_gateways_on_one_database_are_one_door() {
    let behind = Guarded::open_global();
    let upstream = format!("grpcs://localhost:{}", behind.global.address("kds").port());
    let Some(first) = Guarded::on_postgres(&behind, &upstream) else { return };
    let work = first.path("second");
    let mut settings = first.settings_of_the_database();
    settings.push(("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap().to_owned()));
    let ca = behind.ca().to_str().unwrap().to_owned();
    let mut all: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    all.extend(Guarded::settings(&upstream, &ca));
    let second = ControlPlane::inside(inside::begin, &all);
    let token = first.token_file("west");
    let address = format!("grpcs://localhost:{}", second.address("kds").port());
    let settings = [
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()),
    ];
    // One comes through each.
    let west = first.zone("west", &settings);
    let _east = first.connected_zone("east");
    behind.wait_online("west");
    behind.wait_online("east");
    first.wait_online("west");
    let key = first.kumactl.ok(&["generate", "signing-key"], "");
    first.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0002\ndata: {{ key }}\n",
    );
    first.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
    second.line(&["closed live streams", r#""zone": "west""#, "unknown-key"]);
    west.line(&["refused this zone"]);
    behind.wait_offline("west");
    first.token_file("west");
    behind.wait_online("west");
}
