//! What a setting does under each of its names, and that a wrong one stops the program with the reason.

use proptest::prelude::*;
use serde_json::Value;

use super::{
    settings::{Effect, FORMER, Form, SETTINGS},
    *,
};

mod documents;
mod peers;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn load(file: &str, pairs: &[(&str, &str)]) -> Result<(Config, Vec<Remark>), ConfigError> {
    Config::from_sources((!file.is_empty()).then_some(("kuma-cp.yaml", file)), &variables(pairs), "/home/user")
}

pub(super) fn good(file: &str, pairs: &[(&str, &str)]) -> (Config, Vec<Remark>) {
    load(file, pairs).unwrap_or_else(|error| panic!("{file} {pairs:?}: {error}"))
}

/// The problem must name the source and what is allowed.
pub(super) fn bad(file: &str, pairs: &[(&str, &str)], parts: &[&str]) {
    let error = load(file, pairs).err().unwrap_or_else(|| panic!("accepted: {file} {pairs:?}")).to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn without_settings_it_is_a_zone_alone_and_says_so() {
    let (config, remarks) = good("", &[]);
    assert_eq!(config.mode, Mode::Zone);
    assert_eq!(config.federated_zone(), None);
    assert_eq!(config.work_dir, PathBuf::from("/home/user/.kuma"));
    assert_eq!(config.global.auth.kind, AuthType::CpToken);
    assert_eq!(remarks.len(), 1);
    assert!(remarks[0].0.contains("KUMA_MODE=global"));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "mode: global\nmultizone:\n  global:\n    kds:\n      grpcPort: 7000\n      maxMsgSize: 2048\n";
    let (config, _) = good(file, &[("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "7001")]);
    assert_eq!((config.global.grpc_port, config.global.max_msg_size), (7001, 2048));
    assert_eq!(config.diagnostics_port, 5680);
}

#[test]
fn a_client_of_the_api_always_has_a_time_limit() {
    let timeouts = |pairs| {
        let (config, remarks) = good("mode: global\n", pairs);
        let all = config.api_server.timeouts;
        (all.read_header.as_secs(), all.read.as_secs(), all.write.as_secs(), all.idle.as_secs(), remarks)
    };
    assert_eq!(timeouts(&[]), (1, 10, 30, 120, Vec::new()));
    let set = &[("KUMA_API_SERVER_READ_TIMEOUT", "3s"), ("KUMA_API_SERVER_WRITE_TIMEOUT", "0s")];
    let (_, read, write, _, remarks) = timeouts(set);
    assert_eq!((read, write), (3, 30));
    assert!(remarks[0].0.contains("KUMA_API_SERVER_WRITE_TIMEOUT") && remarks[0].0.contains("30s"), "{remarks:?}");
}

#[test]
fn every_generation_of_the_names_works_and_is_told() {
    let token = |pairs: &[(&str, &str)]| {
        let (config, remarks) = good("", pairs);
        (config.zone.token_inline.map(|token| token.reveal().to_owned()), config.zone.token_path, remarks.len())
    };
    assert_eq!(token(&[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", "t")]), (Some("t".to_owned()), None, 1));
    for name in ["KMESH_MULTIZONE_REMOTE_KDS_AUTH_CP_TOKEN_INLINE", "KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_INLINE"] {
        assert_eq!(token(&[(name, "t")]), (Some("t".to_owned()), None, 2), "{name}");
    }
    for name in ["KMESH_MULTIZONE_REMOTE_KDS_AUTH_CP_TOKEN_PATH", "KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH"] {
        assert_eq!(token(&[(name, "/t")]).1, Some(PathBuf::from("/t")), "{name}");
    }
    let (config, remarks) = good("", &[("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "zoneToken"), ("KUMA_MODE", "global")]);
    assert_eq!(config.global.auth.kind, AuthType::ZoneToken);
    assert!(remarks[0].0.contains("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE"), "the new name is told: {remarks:?}");
    let (config, _) = good("kmesh:\n  multizone:\n    global:\n      kds:\n        auth:\n          type: none\n", &[]);
    assert_eq!(config.global.auth.kind, AuthType::None);
    let (config, _) = good(
        "",
        &[
            ("KUMA_MODE", "remote"),
            ("KUMA_MULTIZONE_REMOTE_ZONE", "west"),
            ("KUMA_MULTIZONE_REMOTE_GLOBAL_ADDRESS", "grpcs://g:5685"),
        ],
    );
    assert_eq!(config.federated_zone().map(ToString::to_string), Some("west".to_owned()));
    let (config, _) = good("multizone:\n  remote:\n    zone: east\n    globalAddress: grpcs://g\n", &[]);
    assert_eq!(config.zone_name.as_str(), "east");
    assert_eq!(config.global_addresses[0].0, GlobalAddress { secure: true, host: "g".to_owned(), port: 5685 });
    let (config, _) = good("", &[("KMESH_RBAC_STATIC_GENERATE_CP_TOKEN_USERS", "a, b")]);
    assert_eq!(config.access.generate_cp_token.users, ["a", "b"]);
}

#[test]
fn two_names_must_agree() {
    good("", &[("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"), ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none")]);
    bad(
        "",
        &[("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"), ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "cpToken")],
        &["KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "different values"],
    );
    bad("multizone:\n  remote: {zone: a}\n  zone: {name: b}\n", &[], &["multizone.remote.zone", "multizone.zone.name"]);
}

#[test]
fn unknown_keys_of_our_sections_refuse_and_others_are_listed_once() {
    bad(
        "multizone:\n  global:\n    kds:\n      auht: {type: none}\n",
        &[],
        &["kuma-cp.yaml", "multizone.global.kds.auht.type", "did you mean `multizone.global.kds.auth.type`?"],
    );
    bad("apiServer:\n  http:\n    Port: 1\n", &[], &["did you mean `apiServer.http.port`?"]);
    bad(
        "",
        &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYP", "none")],
        &["did you mean `KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE`?"],
    );
    bad("", &[("KMESH_MULTIZONE_ANYTHING", "x")], &["KMESH_MULTIZONE_ANYTHING"]);
    bad("kmesh:\n  multizone:\n    zone:\n      konnect: {cpId: x}\n", &[], &["Konnect"]);
    bad("", &[("KMESH_MULTIZONE_ZONE_KONNECT_CP_ID", "x")], &["Konnect"]);
    let (_, remarks) = good("mode: global\nsomething: {else: 1}\n", &[("KUMA_CONTROL_PLANE_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!(remarks.len(), 1);
    assert!(remarks[0].0.contains("something.else") && remarks[0].0.contains("KUMA_CONTROL_PLANE_SERVICE_HOST"));
}

#[test]
fn settings_of_parts_that_are_not_here_are_listed_in_one_line() {
    let file =
        "mode: global\ndnsServer:\n  domain: other\nxdsServer:\n  nackBackoff: 7s\nexperimental:\n  deltaXds: true\n";
    let (config, remarks) = good(file, &[]);
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    for name in ["dnsServer.domain", "xdsServer.nackBackoff", "experimental.deltaXds"] {
        assert!(remarks[0].0.contains(name), "{name}");
    }
    let shown: Value = serde_json::from_str(config.display_json()).unwrap();
    assert_eq!(shown["xdsServer"]["nackBackoff"], "7s");
}

#[test]
fn settings_without_effect_on_kds_are_listed() {
    let names = [
        "KUMA_MULTIZONE_GLOBAL_KDS_NACK_BACKOFF",
        "KUMA_MULTIZONE_GLOBAL_KDS_RESPONSE_BACKOFF",
        "KUMA_MULTIZONE_ZONE_KDS_NACK_BACKOFF",
        "KUMA_MULTIZONE_ZONE_KDS_RESPONSE_BACKOFF",
    ];
    let mut pairs: Vec<_> = names.iter().map(|name| (*name, "7s")).collect();
    pairs.push(("KUMA_MODE", "global"));
    pairs.push(("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_CLOSE_STALE_CONN", "true"));
    pairs.push(("KUMA_PLUGIN_POLICIES_ENABLED", "meshtimeouts"));
    let (_, remarks) = good("", &pairs);
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    for name in [
        "global.kds.nackBackoff",
        "global.kds.responseBackoff",
        "zone.kds.nackBackoff",
        "zone.kds.responseBackoff",
        "closeStaleConn",
        "pluginPoliciesEnabled",
    ] {
        assert!(remarks[0].0.contains(name), "{name} in {remarks:?}");
    }
}

#[test]
fn every_setting_that_works_has_a_reader_and_no_other_has_one() {
    let read = build::read(values::Values::default());
    for setting in SETTINGS {
        assert_eq!(read.contains(setting.path), setting.effect == Effect::Works, "{}", setting.path);
    }
    for path in read {
        assert!(SETTINGS.iter().any(|setting| setting.path == path), "{path} is read and is no setting");
    }
}

#[test]
fn a_setting_that_would_restrict_nothing_refuses_the_start() {
    let guards = SETTINGS.iter().filter(|setting| matches!(setting.effect, Effect::Refuses(_)));
    for guard in guards {
        let other = if guard.default == "true" { "false" } else { "true" };
        bad("", &[(guard.variable, other)], &[guard.variable, guard.path, "remove it"]);
        good("", &[(guard.variable, guard.default)]);
    }
}

#[test]
fn client_certificates_are_demanded_with_their_authorities_or_not_at_all() {
    let demand = ("KUMA_API_SERVER_HTTPS_REQUIRE_CLIENT_CERT", "true");
    let file = ("KUMA_API_SERVER_HTTPS_TLS_CA_FILE", "/ca.crt");
    bad("", &[demand], &[demand.0, "tlsCaFile"]);
    assert_eq!(good("", &[demand, file]).0.api_server.client_ca_file, Some(PathBuf::from("/ca.crt")));
    assert_eq!(good("", &[file]).0.api_server.client_ca_file, None);
}

#[test]
fn a_list_that_names_nothing_is_no_list() {
    bad("", &[("KUMA_GENERAL_TLS_CIPHER_SUITES", " , ")], &["KUMA_GENERAL_TLS_CIPHER_SUITES", "names nothing"]);
    bad("access: {static: {adminResources: {users: ['', '']}}}", &[], &["adminResources.users", "names nothing"]);
    let (config, _) = good("access: {static: {adminResources: {users: []}}}", &[]);
    assert_eq!(config.access.admin_resources.users, Vec::<String>::new(), "an empty list is nobody");
}

#[test]
fn without_a_home_the_folder_must_be_given() {
    let nowhere = |environment: &[(&str, &str)]| Config::from_sources(None, &variables(environment), "");
    let refused = nowhere(&[]).unwrap_err().to_string();
    assert!(refused.contains("general.workDir") && refused.contains("HOME"), "{refused}");
    assert!(nowhere(&[("KUMA_GENERAL_WORK_DIR", "/srv/arctos")]).is_ok());
    let at = |home: &str, environment: &[(&str, &str)]| Config::from_sources(None, &variables(environment), home);
    for home in [".", "rel", "~"] {
        assert!(at(home, &[]).unwrap_err().to_string().contains("depends on the current folder"), "{home}");
        assert!(at(home, &[("KUMA_GENERAL_WORK_DIR", "/srv/arctos")]).is_ok());
    }
    assert!(at("/root", &[("KUMA_GENERAL_WORK_DIR", "~/x")]).unwrap_err().to_string().contains("whole path"));
}

#[test]
fn a_kubernetes_store_is_refused() {
    for mode in ["global", "zone"] {
        let pairs = [("KUMA_MODE", mode), ("KUMA_STORE_TYPE", "kubernetes")];
        bad("", &pairs, &["KUMA_STORE_TYPE", "does not exist here", "sqlite"]);
        bad("", &[("KUMA_MODE", mode), ("KUMA_ENVIRONMENT", "kubernetes")], &["universal"]);
    }
}

#[test]
fn a_bad_value_names_its_source_and_what_is_allowed() {
    bad("", &[("KUMA_MODE", "globl")], &["KUMA_MODE", "`globl`", "`global`"]);
    bad("mode: 7", &[], &["kuma-cp.yaml", "mode"]);
    bad("", &[("KUMA_STORE_TYPE", "kubernetes")], &["KUMA_STORE_TYPE", "sqlite"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "konnect")], &["konnect", "cpToken"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "")], &["KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "cpToken"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "70000")], &["65535"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "yes")], &["`true` and `false`"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "0s")], &["greater than zero"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "-1s")], &["duration"]);
    bad(
        "",
        &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RENEWAL_MAX_LIFE", "59s")],
        &["RENEWAL_MAX_LIFE", "at least `1m`", "`0s`"],
    );
    bad("", &[("KUMA_MULTIZONE_ZONE_NAME", "Bad_Name")], &["KUMA_MULTIZONE_ZONE_NAME", "DNS-1035"]);
    bad("", &[("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "http://g:5685")], &["grpcs://"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_CERT_FILE", "/c")], &["tlsKeyFile", "together"]);
    bad("", &[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_MIN_VERSION", "TLSv1_0")], &["TLSv1_2"]);
    bad("", &[("KUMA_API_SERVER_HTTP_INTERFACE", "everywhere")], &["IP address"]);
    bad("mode: [global]", &[], &["mode"]);
    bad("just a text", &[], &["kuma-cp.yaml"]);
    bad("mode: {", &[], &["kuma-cp.yaml", "YAML"]);
}

#[test]
fn renewed_tokens_live_for_a_minute_at_least_or_as_long_as_those_before() {
    let with = |text| good("", &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RENEWAL_MAX_LIFE", text)]).0;
    assert_eq!(["0s", "1m"].map(|text| with(text).global.auth.renewal.max_life.as_secs()), [0, 60]);
}

#[test]
fn secrets_are_never_shown() {
    let (config, _) = good(
        "",
        &[
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", "very-secret"),
            ("KUMA_STORE_POSTGRES_PASSWORD", "also-secret"),
        ],
    );
    assert!(!config.display_json().contains("secret\"") && !config.display_json().contains("very-secret"));
    assert!(!format!("{config:?}").contains("very-secret"));
    let shown: Value = serde_json::from_str(config.display_json()).unwrap();
    assert_eq!(shown["store"]["postgres"]["password"], "*****");
}

#[test]
fn the_shown_configuration_has_the_recorded_defaults() {
    let Some(folder) = testkit::captures::folder() else { return };
    let lines = std::fs::read_to_string(folder.join("rest/3.0-preview/global-index.jsonl")).unwrap();
    let recorded: Value = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["path"] == "/config" && line["status"] == 200)
        .map(|line| serde_json::from_str(line["responseBody"].as_str().unwrap()).unwrap())
        .unwrap();
    let (config, _) = good("", &[("KUMA_MODE", "global")]);
    let shown: Value = serde_json::from_str(config.display_json()).unwrap();
    // What the recording set for its run, what autoconfiguration fills in there, and what is deliberately ours.
    let differs = [
        "general.tlsCertFile",
        "general.tlsKeyFile",
        "general.workDir",
        "store.type",
        "apiServer.https.tlsCertFile",
        "apiServer.https.tlsKeyFile",
        "multizone.global.kds.tlsEnabled",
        "multizone.global.kds.tlsCertFile",
        "multizone.global.kds.tlsKeyFile",
        "diagnostics.tlsCertFile",
        "diagnostics.tlsKeyFile",
        "interCp.catalog.instanceAddress",
        "interCp.catalog.instanceVersion",
        "monitoringAssignmentServer.tlsCertFile",
        "monitoringAssignmentServer.tlsKeyFile",
        "dpServer.tlsCertFile",
        "dpServer.tlsKeyFile",
        "dpServer.authn.dpProxy.type",
        "dpServer.authn.zoneProxy.type",
        "bootstrapServer.params.xdsPort",
        "runtime.universal.spire.socketPath",
        "store.postgres.password",
    ];
    for setting in SETTINGS.iter().filter(|setting| !differs.contains(&setting.path)) {
        let at =
            |document: &Value| setting.path.split('.').try_fold(document.clone(), |value, key| value.get(key).cloned());
        let Some(theirs) = at(&recorded) else { continue };
        let ours = at(&shown).unwrap_or(Value::Null);
        let empty = |value: &Value| value.is_null() || *value == serde_json::json!([]) || *value == "";
        assert!(ours == theirs || (empty(&ours) && empty(&theirs)), "{}: {ours} and not {theirs}", setting.path);
    }
}

#[test]
fn no_setting_has_two_names_and_every_former_name_leads_to_one() {
    let mut seen = std::collections::BTreeSet::new();
    for setting in SETTINGS {
        assert!(seen.insert(setting.path), "{}", setting.path);
        assert!(setting.variable.is_empty() || seen.insert(setting.variable), "{}", setting.variable);
    }
    for (old, path) in FORMER {
        assert!(seen.contains(path), "{old} leads to {path}, which is no setting");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_refused_or_accepted_but_never_panics(file in ".{0,200}", key in "[A-Z_]{1,30}", value in ".{0,60}") {
        let result = load(&file, &[(&format!("KUMA_MULTIZONE_X{key}"), &value)]);
        prop_assert!(result.is_err(), "an unknown name of our own section");
    }

    #[test]
    fn a_value_of_the_wrong_form_is_refused_by_its_name(index in any::<usize>(), garbage in "[!-~]{1,20}") {
        let strict: Vec<_> = SETTINGS
            .iter()
            .filter(|setting| !setting.variable.is_empty() && matches!(setting.form, Form::Flag | Form::Number | Form::Duration))
            .collect();
        let setting = strict[index % strict.len()];
        let text = format!("x{garbage}");
        let error = load("", &[(setting.variable, &text)]).err().map(|error| error.to_string());
        prop_assert!(error.is_some_and(|error| error.contains(setting.variable) && error.contains(setting.path)));
    }
}

#[test]
fn product_is_one_whose_kumactl_connects() {
    assert_eq!(good("", &[]).0.api_server.product, "Kuma");
    assert_eq!(good("apiServer:\n  product: Kong Mesh\n", &[]).0.api_server.product, "Kong Mesh");
    bad("", &[("KMESH_API_SERVER_PRODUCT", "Other")], &["apiServer.product", "`Kong Mesh`"]);
}
