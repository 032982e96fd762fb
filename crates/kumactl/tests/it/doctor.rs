//! `kumactl doctor`: forms and exit codes.

use serde_json::{Value, json};

use crate::{
    programs::{arctos, home_of, run, text},
    server::{Request, Server},
};

fn finding(name: &str, status: &str) -> Value {
    json!({"name": name, "status": status, "what": format!("what of {name}"), "do": format!("do of {name}")})
}

fn server(findings: Value) -> Server {
    Server::start(move |request: &Request| {
        arctos(request).unwrap_or_else(|| match request.path.as_str() {
            "/doctor" => (200, findings.to_string()),
            _ => (404, "{}".to_owned()),
        })
    })
}

#[test]
fn the_worst_is_shown_first_and_only_a_failure_fails() {
    let server = server(json!([finding("a", "ok"), finding("b", "warn"), finding("c", "fail"), finding("d", "fail")]));
    let home = home_of(&server);
    let shown = run(home.path(), &["doctor"], "");
    assert_eq!((shown.status.code(), text(&shown.stderr)), (Some(1), "Error: 2 checks failed\n".to_owned()));
    let expected = [
        "STATUS   CHECK   WHAT",
        "fail     c       what of c",
        "                 do: do of c",
        "fail     d       what of d",
        "                 do: do of d",
        "warn     b       what of b",
        "                 do: do of b",
        "ok       a       what of a",
        "                 do: do of a",
    ];
    assert_eq!(text(&shown.stdout).lines().collect::<Vec<_>>(), expected);
    let shown = run(home.path(), &["doctor", "-o", "json"], "");
    let found: Value = serde_json::from_str(&text(&shown.stdout)).unwrap();
    assert_eq!((shown.status.code(), found[2]["do"].as_str()), (Some(1), Some("do of c")));
}

#[test]
fn what_is_long_is_told_on_several_lines_and_commands_on_one() {
    let long = json!({
        "name": "keys",
        "status": "warn",
        "what": "control-plane-signing-key 1 verifies and signs nothing; retired now it would cut off east, west and 7 others",
        "do": "see who stands on it: `kumactl rotate status --family control-plane-token -o yaml`, then retire it"
    });
    let server = server(json!([long, {"name": "store", "status": "ok", "what": "fine", "do": ""}]));
    let shown = run(home_of(&server).path(), &["doctor"], "");
    let expected = [
        "STATUS   CHECK   WHAT",
        "warn     keys    control-plane-signing-key 1 verifies and signs nothing; retired",
        "                 now it would cut off east, west and 7 others",
        "                 do: see who stands on it:",
        "                 `kumactl rotate status --family control-plane-token -o yaml`,",
        "                 then retire it",
        "ok       store   fine",
    ];
    assert_eq!(text(&shown.stdout).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn warnings_are_no_failure() {
    let server = server(json!([finding("a", "warn")]));
    let shown = run(home_of(&server).path(), &["doctor", "-o", "yaml"], "");
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("status: warn"), "{}", text(&shown.stdout));
}

#[test]
fn silence_is_no_health() {
    let server = server(json!([]));
    let shown = run(home_of(&server).path(), &["doctor"], "");
    assert_eq!(shown.status.code(), Some(1));
}
