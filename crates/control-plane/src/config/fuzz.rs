//! Any file and any environment: a configuration, or problems that say where they are.

use testkit::fuzz::{Form, Inputs};

use super::{
    settings::{FORMER, SETTINGS},
    *,
};

/// A file, and behind a line of dashes the environment.
const MADE: [&str; 6] = [
    "mode: global\nmultizone:\n  global:\n    kds:\n      grpcPort: 7000\n      auth: {type: zoneToken, leeway: 1m}\n",
    "multizone:\n  zone:\n    name: west\n    globalAddress: grpcs://[::1]:5685\n    kds: {auth: {tokenInline: secret-of-the-zone}}\n",
    "access:\n  static:\n    adminResources: {users: [a, b], groups: []}\ngeneral:\n  resilientComponentBaseBackoff: 1h30m\n",
    "------\nKUMA_MODE=remote\nKUMA_MULTIZONE_REMOTE_ZONE=west\nKUMA_MULTIZONE_REMOTE_GLOBAL_ADDRESS=grpcs://g\n",
    "store: {type: memory, cache: {enabled: false}}\n------\nKUMA_STORE_TYPE=sqlite\nKMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE=none\n",
    "a: &a [1]\nb: *a\nmode: [zone]\n------\nKUMA_API_SERVER_HTTP_PORT=65536\nHOME=/root\n",
];

#[test]
fn any_sources_make_a_configuration_or_problems() {
    let paths = SETTINGS.iter().flat_map(|setting| [setting.path, setting.variable]);
    let words: Vec<&str> =
        paths.chain(FORMER.iter().map(|(former, _)| *former)).chain(["\n------\n", "true"]).collect();
    testkit::fuzz!(Inputs::new(Form::Text).made(MADE).words(words).runs(1_500), |input| {
        let text = String::from_utf8_lossy(input);
        let (file, environment) = text.split_once("------\n").unwrap_or((&text, ""));
        let environment: Vec<(String, String)> = environment
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        match Config::from_sources(Some(("kuma-cp.yaml", file)), &environment, "/home/user") {
            Ok((config, remarks)) => {
                let shown = config.display_json();
                assert!(serde_json::from_str::<serde_json::Value>(shown).is_ok(), "{shown}");
                assert!(remarks.iter().all(|remark| !remark.0.is_empty()));
                if let Some(token) = config.zone.token_inline.as_ref().filter(|token| token.reveal().len() > 12) {
                    assert!(!shown.contains(token.reveal()), "the token is shown");
                    assert!(config.global_addresses.iter().all(|(address, _)| address.secure), "a token in plain text");
                }
                assert!(config.global.max_msg_size >= 1024 && config.zone.max_msg_size >= 1024);
                assert!(!config.global.zone_insight_flush_interval.is_zero());
            }
            Err(ConfigError(problems)) => {
                assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.is_empty()));
            }
        }
    });
}
