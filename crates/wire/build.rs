//! Generates the messages from `proto/` with protox: no `protoc` is needed.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let files = [
        "arctos/kds/v1/token_service.proto",
        "kuma/mesh/v1alpha1/kds.proto",
        "kuma/system/v1alpha1/zone_insight.proto",
        "kuma/system/v1alpha1/zone.proto",
        "kuma/system/v1alpha1/secret.proto",
        "kuma/mesh/v1alpha1/dataplane.proto",
        "kuma/mesh/v1alpha1/dataplane_insight.proto",
        "kuma/mesh/v1alpha1/mesh.proto",
        "kuma/mesh/v1alpha1/insights.proto",
        "kuma/mesh/v1alpha1/zone_proxies.proto",
    ];
    let descriptors = protox::compile(files, [&proto])?;
    // Messages alone: services are told apart by path, on both ends, where connections are.
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        // It holds a token, which is never printed.
        .skip_debug([".arctos.kds.v1.RenewResponse"])
        .compile_fds(descriptors)?;
    Ok(())
}
