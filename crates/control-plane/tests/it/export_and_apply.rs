//! What is exported can be applied, and updated where it was applied.

use testkit::program::{ControlPlane, eventually};

use crate::stage::world::{KUMA_CP, World, wait_for};

const POLICY: &str = "type: MeshTimeout\nmesh: default\nname: own\nspec:\n  targetRef:\n    kind: Mesh\n  to:\n  - targetRef:\n      kind: Mesh\n    default:\n      connectionTimeout: 2s\n";

/// A zone without a global that has a policy, with the words that make kumactl talk to it.
fn lone_zone(world: &World) -> (ControlPlane, [String; 2]) {
    let work = world.path("solo").to_str().unwrap().to_owned();
    let settings =
        [("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_NAME", "solo"), ("KUMA_GENERAL_WORK_DIR", work.as_str())];
    let zone = ControlPlane::start(KUMA_CP, &settings, &[]);
    wait_for(zone.address("http"), "/meshes/default");
    let config = ["--config-file".to_owned(), world.path("solo.config").to_str().unwrap().to_owned()];
    let address = format!("http://{}", zone.address("http"));
    let [flag, file] = &config;
    world.kumactl.ok(&[flag, file, "config", "control-planes", "add", "--name=solo", "--address", &address], "");
    (zone, config)
}

#[test]
fn a_zone_s_export_for_a_federation_can_be_applied_and_updated_on_a_global() {
    let world = World::new(&[]);
    let (_zone, [flag, file]) = lone_zone(&world);
    let with_origin = POLICY.replace("spec:", "labels:\n  kuma.io/origin: zone\nspec:");
    world.kumactl.ok(&[&flag, &file, "apply", "-f", "-"], &with_origin);
    let exported = world.kumactl.ok(&[&flag, &file, "export", "--profile=federation-with-policies"], "");
    assert!(exported.contains("name: own"), "{exported}");
    assert!(!exported.contains("kuma.io/zone:") && !exported.contains("kuma.io/env:"), "{exported}");
    let applied = world.kumactl.ok(&["apply", "-f", "-"], &exported);
    assert!(applied.contains("name=\"own\" Created"), "{applied}");
    let changed = exported.replace("connectionTimeout: 2s", "connectionTimeout: 3s");
    assert_ne!(changed, exported);
    let updated = world.kumactl.ok(&["apply", "-f", "-"], &changed);
    assert!(updated.contains("name=\"own\" Updated"), "{updated}");
    let shown = world.kumactl.ok(&["get", "meshtimeout", "own", "-o", "yaml"], "");
    assert!(shown.contains("connectionTimeout: 3s") && shown.contains("kuma.io/origin: global"), "{shown}");
}

#[test]
fn all_that_a_global_exports_can_be_applied_to_it_again() {
    let world = World::new(&[]);
    world.kumactl.ok(&["apply", "-f", "-"], POLICY);
    let insight = || world.kumactl.run(&["inspect", "meshes"], "").status.success();
    eventually("the mesh is counted", insight, |there| *there);
    for profile in ["all", "federation-with-policies"] {
        let exported = world.kumactl.ok(&["export", "--profile", profile, "--include-admin"], "");
        assert!(exported.contains("name: own") && !exported.contains("type: MeshInsight"), "{exported}");
        let applied = world.kumactl.ok(&["apply", "-f", "-"], &exported);
        assert!(applied.contains("name=\"own\" Updated"), "{applied}");
    }
}
