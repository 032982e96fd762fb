//! What the documents and manifests of the repository say of settings is true of the program.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

/// Names that stand for many: a prefix of settings, and the two prefixes themselves.
const PREFIXES: &[&str] = &["KUMA_", "KMESH_", "KUMA_DP_SERVER_HDS_CHECK_"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// All files in a folder of the repository and the ones below it, with their names in it.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&name));
        } else {
            found.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found
}

#[test]
fn every_variable_that_a_document_names_is_a_setting() {
    let readme = ("README.md".to_owned(), fs::read_to_string(root().join("README.md")).unwrap());
    let all = ["docs", "deploy", "scripts"].into_iter().flat_map(files).chain([readme]);
    let mut seen = BTreeSet::new();
    for (file, text) in all {
        let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        for name in words.filter(|word| word.starts_with("KUMA_") || word.starts_with("KMESH_")) {
            seen.insert(name.to_owned());
            assert!(PREFIXES.contains(&name) || is_known(name), "{file} names {name}, and there is no such setting");
        }
    }
    assert!(seen.contains("KUMA_MULTIZONE_CONNECTOR_LISTEN") && seen.len() > 20, "{seen:?}");
}

/// Whether the program knows what is meant; the value may be none for it.
fn is_known(variable: &str) -> bool {
    match load("mode: global\n", &[(variable, "x")]) {
        Ok((_, remarks)) => remarks.iter().all(|remark| !remark.0.contains("unknown settings")),
        Err(error) => !error.to_string().contains("there is no such setting"),
    }
}

#[test]
fn a_variable_that_does_not_exist_is_not_known() {
    assert!(is_known("KUMA_MODE") && is_known("KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH"));
    assert!(!is_known("KUMA_MULTIZONE_CONNECTOR_LISTENS") && !is_known("KUMA_MODES"));
}

/// One container of a manifest, with the specification of its pod.
struct Container {
    manifest: String,
    pod: Value,
    own: Value,
}

/// The containers of our image; a patch names others, too.
fn containers(list: &str) -> Vec<Container> {
    let mut found = Vec::new();
    for (manifest, text) in files("deploy/kubernetes") {
        for document in text.split("\n---\n") {
            let document: Value =
                serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{manifest}: {error}"));
            let pod = &document["spec"]["template"]["spec"];
            let ours = pod[list].as_array().into_iter().flatten().filter(|own| own.get("image").is_some());
            found.extend(ours.map(|own| Container { manifest: manifest.clone(), pod: pod.clone(), own: own.clone() }));
        }
    }
    found
}

impl Container {
    /// The settings that its environment makes; Kubernetes takes texts as values, and nothing else.
    fn config(&self) -> Config {
        let variables: Vec<(&str, &str)> = self.own["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap()))
            // It is read at once, and is not here.
            .filter(|(name, _)| *name != "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE")
            .collect();
        let (config, remarks) = good("", &variables);
        assert!(remarks.is_empty(), "{}: {remarks:?}", self.manifest);
        config
    }

    /// A port by its number or its name.
    fn port(&self, port: &Value) -> u64 {
        port.as_u64().unwrap_or_else(|| {
            let named = self.own["ports"].as_array().unwrap().iter().find(|one| one["name"] == *port);
            named.unwrap_or_else(|| panic!("{}: no port {port}", self.manifest))["containerPort"].as_u64().unwrap()
        })
    }
}

#[test]
fn every_manifest_is_a_program_that_starts_and_its_probes_hit_open_ports() {
    let all = containers("containers");
    assert_eq!(all.len(), 3, "two ways to a connector, and a gateway");
    for container in all {
        let config = container.config();
        assert_eq!(container.own["command"], serde_json::json!(["kuma-cp", "run"]), "{}", container.manifest);
        let mut open = BTreeSet::from([config.diagnostics_port]);
        match config.mode {
            Mode::Connector => match config.connector.listen {
                Listen::Tcp(address) => drop(open.insert(address.port())),
                Listen::Unix(_) => {}
            },
            _ => open.extend([config.global.grpc_port, config.api_server.http.port, config.api_server.https.port]),
        }
        for port in container.own["ports"].as_array().into_iter().flatten() {
            let number = u16::try_from(port["containerPort"].as_u64().unwrap()).unwrap();
            assert!(open.contains(&number), "{}: nobody listens on {number}", container.manifest);
        }
        let probe = &container.own["readinessProbe"]["httpGet"];
        assert_eq!(container.port(&probe["port"]), u64::from(config.diagnostics_port), "{}", container.manifest);
        assert_eq!(probe["path"], "/ready", "{}", container.manifest);
    }
}

#[test]
fn every_file_and_folder_of_a_manifest_is_on_a_volume() {
    for container in containers("containers") {
        let config = container.config();
        let mounts = container.own["volumeMounts"].as_array().unwrap();
        let mounted = |path: &Path| mounts.iter().find(|mount| path.starts_with(mount["mountPath"].as_str().unwrap()));
        let state = mounted(&config.work_dir).unwrap_or_else(|| panic!("{}: the work folder", container.manifest));
        assert_ne!(state["readOnly"], true, "{}", container.manifest);
        for variable in container.own["env"].as_array().unwrap() {
            let value = Path::new(variable["value"].as_str().unwrap());
            if value.is_absolute() {
                let mount = mounted(value).unwrap_or_else(|| panic!("{}: {variable}", container.manifest));
                let is_token = variable["name"] == "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH";
                assert!(!is_token || mount["readOnly"] != true, "{}: it is renewed in its file", container.manifest);
            }
        }
        let volumes: BTreeSet<&str> = container.pod["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|volume| volume["name"].as_str().unwrap())
            .collect();
        for mount in mounts {
            let name = mount["name"].as_str().unwrap();
            // That of a gateway is made from a template of its StatefulSet.
            assert!(volumes.contains(name) || name == "data", "{}: no volume {name}", container.manifest);
        }
    }
}

#[test]
fn no_container_of_a_manifest_can_do_more_than_it_has_to() {
    for container in containers("containers").into_iter().chain(containers("initContainers")) {
        let of = |name: &str| {
            let own = &container.own["securityContext"][name];
            if own.is_null() { container.pod["securityContext"][name].clone() } else { own.clone() }
        };
        let at = &container.manifest;
        assert_eq!((of("runAsNonRoot"), of("readOnlyRootFilesystem")), (true.into(), true.into()), "{at}");
        assert_eq!(of("allowPrivilegeEscalation"), false, "{at}");
        assert_eq!(of("capabilities"), serde_json::json!({"drop": ["ALL"]}), "{at}");
        assert_eq!(of("seccompProfile"), serde_json::json!({"type": "RuntimeDefault"}), "{at}");
        assert!(of("runAsUser").as_u64().is_some_and(|user| user > 0), "{at}");
        assert!(container.own["resources"]["limits"]["memory"].is_string(), "{at}");
    }
}
