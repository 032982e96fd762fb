//! The walls of the house, read from what cargo knows: who may depend on whom, and that there is one TLS provider. And the
//! one among the tests here: no test module uses another, all use the stage, which holds no tests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::named_tests::repository;

/// The names of all packages that a package depends on for this machine, at any depth; without tests' dependencies.
fn dependencies(package: &str) -> BTreeSet<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked", "--offline"])
        .args(["--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != package).map(str::to_owned).collect()
}

fn apart(package: &str, forbidden: &[&str]) {
    let dependencies = dependencies(package);
    assert!(dependencies.len() > 1, "{package} depends on something: the tree was read");
    for name in forbidden {
        assert!(!dependencies.contains(*name), "{package} must not depend on {name}");
    }
}

#[test]
fn the_pure_crates_know_no_runtime_network_or_database() {
    let io = ["tokio", "hyper", "tonic", "axum", "rustls", "rusqlite", "ureq", "notify", "tracing-subscriber"];
    for package in ["wire", "model", "tokens", "sync"] {
        apart(package, &io);
    }
}

#[test]
fn dependencies_point_down_and_never_sideways() {
    apart("model", &["tokens", "sync", "store", "trust", "control-plane", "kumactl"]);
    for (package, others) in [
        ("tokens", ["sync", "store", "control-plane", "kumactl"]),
        ("sync", ["tokens", "store", "control-plane", "kumactl"]),
        ("store", ["tokens", "sync", "control-plane", "kumactl"]),
    ] {
        apart(package, &others);
    }
    apart("wire", &["model", "tokens", "sync", "store", "trust", "control-plane", "kumactl"]);
    // What says whose certificate is believed knows nothing else of ours, and reaches nobody.
    apart("trust", &["model", "tokens", "sync", "store", "wire", "control-plane", "kumactl"]);
    apart("trust", &["tokio", "tokio-rustls", "hyper", "tonic", "axum", "ureq", "rusqlite", "tracing-subscriber"]);
    apart("kumactl", &["control-plane", "store", "sync", "tokio", "axum", "rusqlite"]);
    apart("control-plane", &["kumactl", "testkit"]);
}

#[test]
fn there_is_one_tls_provider() {
    for package in ["control-plane", "kumactl", "trust"] {
        let dependencies = dependencies(package);
        assert!(dependencies.contains("aws-lc-rs"));
        for other in ["ring", "openssl", "native-tls"] {
            assert!(!dependencies.contains(other), "{package} pulls in {other} beside aws-lc-rs");
        }
    }
}

/// Every source file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn tests_stand_on_the_stage_and_not_on_each_other() {
    let folder = repository().join("crates/control-plane/tests/it");
    let (stage, tests): (Vec<_>, Vec<_>) =
        sources(&folder).into_iter().partition(|path| path.starts_with(folder.join("stage")));
    assert!(stage.len() > 5 && tests.len() > 50, "the sources were found");
    for path in stage {
        let text = fs::read_to_string(&path).unwrap();
        let is_test = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        assert!(!text.lines().map(str::trim).any(is_test), "{}: the stage holds no tests", path.display());
    }
    for path in tests {
        let text = fs::read_to_string(&path).unwrap();
        let mut uses = text.lines().filter(|line| line.starts_with("use crate::"));
        let other = uses.find(|line| !line.starts_with("use crate::stage::"));
        assert!(other.is_none(), "{}: {other:?}: what two test modules need is on the stage", path.display());
    }
}
