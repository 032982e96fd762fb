//! How a control plane ends: told once it drains, told twice it goes at once, and two never share a work directory.

use testkit::{kds::Peer, program::ControlPlane, rpcs::DOWN};
use tokio::net::TcpStream;

use crate::stage::world::{KUMA_CP, World, text};

#[test]
fn a_stopping_global_tells_its_zones_and_ends_with_success() {
    let mut world = World::of_programs(&[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")]);
    let token = world.token("west");
    let address = world.global.address("kds");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut call = runtime.block_on(async {
        let peer = Peer::over(TcpStream::connect(address).await.unwrap()).await;
        let call = peer.open(DOWN, &[("client-id", "west"), ("authorization", &token)]);
        std::mem::forget(peer);
        call
    });
    world.global.line(&["successfully authenticated"]);
    let ended = runtime.spawn(async move { call.ended().await });
    let status = world.global.terminate();
    assert_eq!(status.code(), Some(0), "{}", world.global.text());
    let ended = runtime.block_on(ended).unwrap();
    assert_eq!(ended.code, 14, "{ended:?}");
    assert!(ended.message.contains("the global control plane is stopping"), "{ended:?}");
    assert!(!world.global.text().contains("\tERROR\t"), "{}", world.global.text());
    world.global.line(&["all components have stopped"]);
}

#[test]
fn a_zone_comes_back_by_itself_after_a_restart_of_global() {
    let mut world = World::of_programs(&[]);
    let west = world.connected_zone("west");
    let mark = west.mark();
    world.global.restart();
    west.line_after(mark, &["not connected to the global control plane"]);
    west.line_after(mark, &["\tconnected to the global control plane", "\"zone\": \"west\""]);
    world.wait_online("west");
}

#[test]
fn a_second_process_on_one_work_directory_names_the_first() {
    let world = World::of_programs(&[]);
    let work = text(&world.path("global"));
    let second = ControlPlane::start(KUMA_CP, &[("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", &work)], &[]);
    let (status, log) = second.ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&world.global.id().to_string()), "{log}");
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let world = World::new(&[]);
    let work = text(&world.path("other"));
    let port = world.global.address("kds").port().to_string();
    let settings =
        [("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", &work), ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", &port)];
    let (status, log) = ControlPlane::start(KUMA_CP, &settings, &[]).ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&format!("cannot listen on 0.0.0.0:{port} for KDS (multizone.global.kds.grpcPort)")), "{log}");
}

#[test]
fn a_bad_setting_stops_the_start_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let work = text(folder.path());
    let settings = [
        ("KUMA_MODE", "global"),
        ("KUMA_GENERAL_WORK_DIR", work.as_str()),
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "kpToken"),
    ];
    let (status, log) = ControlPlane::start(KUMA_CP, &settings, &[]).ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE") && log.contains("cpToken"), "{log}");
}
