//! Compiles `proto/` into the descriptor set that `proto` reads specs with: no `protoc` is needed.

use std::{env, fs, path::Path};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let mut files = Vec::new();
    for folder in ["kuma/mesh/v1alpha1", "kuma/system/v1alpha1"] {
        for entry in fs::read_dir(proto.join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // kds.proto is the service; it pulls in Envoy's messages and holds no spec.
            if name.ends_with(".proto") && name != "kds.proto" {
                files.push(format!("{folder}/{name}"));
            }
        }
    }
    files.sort();
    let descriptors = protox::compile(files, [&proto])?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(Path::new(&out).join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
