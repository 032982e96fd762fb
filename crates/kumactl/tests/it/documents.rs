//! Documents in and out: several files, exports, long lists, and what servers say in them.

use std::fs;

use serde_json::{Value, json};

use crate::{
    programs::{arctos, home_of, run, text},
    server::{Answer, Request, Server},
};

/// Writes files with a mesh each and returns the words that name them.
fn meshes(folder: &std::path::Path, names: &[&str]) -> Vec<String> {
    let write = |name: &&str| {
        fs::write(folder.join(name), format!("type: Mesh\nname: {name}\n")).expect("write a file");
        ["-f".to_owned(), (*name).to_owned()]
    };
    names.iter().flat_map(write).collect()
}

fn with<'a>(words: &[&'a str], files: &'a [String]) -> Vec<&'a str> {
    words.iter().copied().chain(files.iter().map(String::as_str)).collect()
}

/// A server that has nothing and refuses writes to a mesh of the name `bad`.
fn picky() -> Server {
    Server::start(|request: &Request| {
        arctos(request).unwrap_or_else(|| match (request.method.as_str(), request.path.as_str()) {
            ("GET", _) => (404, "{}".to_owned()),
            (_, "/meshes/bad") => (403, json!({"title": "Access Denied", "detail": "no"}).to_string()),
            (_, "/meshes/gone") => (404, json!({"title": "T", "detail": "Not found"}).to_string()),
            _ => (200, "{}".to_owned()),
        })
    })
}

fn writes(server: &Server) -> Vec<String> {
    let asked = server.take().into_iter().filter(|request| request.method != "GET");
    asked.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[test]
fn all_files_are_applied_in_their_order() {
    let server = picky();
    let home = home_of(&server);
    let files = meshes(home.path(), &["b", "a", "c"]);
    let shown = run(home.path(), &with(&["apply"], &files), "");
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert_eq!(writes(&server), ["PUT /meshes/b", "PUT /meshes/a", "PUT /meshes/c"]);
}

#[test]
fn first_failure_stops_and_what_was_applied_is_named() {
    let server = picky();
    let home = home_of(&server);
    let files = meshes(home.path(), &["a", "bad", "c"]);
    let shown = run(home.path(), &with(&["apply"], &files), "");
    assert_eq!(
        (shown.status.code(), writes(&server)),
        (Some(1), vec!["PUT /meshes/a".into(), "PUT /meshes/bad".into()])
    );
    assert_eq!(text(&shown.stdout), "resource type=\"Mesh\" mesh=\"\" name=\"a\" Created\n");
    let said = text(&shown.stderr);
    assert!(said.contains("1 of 3 resources were applied") && said.contains("name=\"bad\": failed"), "{said}");
}

#[test]
fn a_fault_in_any_file_is_told_with_its_file_and_nothing_is_applied() {
    let server = picky();
    let home = home_of(&server);
    let mut files = meshes(home.path(), &["a"]);
    fs::write(home.path().join("twice"), "type: Mesh\nname: x\nname: y\n").expect("write");
    fs::write(home.path().join("k8s"), "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: x}\n")
        .expect("write");
    files.extend(["-f", "twice", "-f", "k8s"].map(str::to_owned));
    let shown = run(home.path(), &with(&["apply"], &files), "");
    assert_eq!((shown.status.code(), writes(&server)), (Some(1), vec![]));
    let said = text(&shown.stderr);
    assert!(said.contains("twice: resource[0]: failed to parse resource: a key stands twice"), "{said}");
    assert!(said.contains("k8s: resource[0]: failed to parse resource: this is a manifest for Kubernetes"), "{said}");
}

#[test]
fn unknown_members_and_warnings_of_the_server_are_told() {
    let server = Server::start(|request: &Request| {
        arctos(request).unwrap_or_else(|| match request.method.as_str() {
            "GET" => (404, "{}".to_owned()),
            _ => (201, json!({"warnings": ["old\u{1b}[2J"]}).to_string()),
        })
    });
    let shown = run(home_of(&server).path(), &["apply", "-f", "-"], "type: Mesh\nname: demo\nmtsl: {a: b}\n");
    let said = text(&shown.stderr);
    assert_eq!(said, "Warning: resource[0]: Mesh has no field 'mtsl': was left out\nWarning: old\\u{1b}[2J\n");
}

#[test]
fn files_say_what_is_deleted_and_the_last_one_goes_first() {
    let server = picky();
    let home = home_of(&server);
    let files = meshes(home.path(), &["a", "gone", "c"]);
    let shown = run(home.path(), &with(&["delete"], &files), "");
    assert_eq!(writes(&server), ["DELETE /meshes/c", "DELETE /meshes/gone", "DELETE /meshes/a"]);
    assert_eq!(text(&shown.stdout), "deleted Mesh \"c\"\ndeleted Mesh \"a\"\n");
    let said = text(&shown.stderr);
    assert_eq!(
        (shown.status.code(), said.as_str()),
        (Some(1), "there is no Mesh with name \"gone\"\nError: 1 of 3 resources were not there\n")
    );
    let files = meshes(home.path(), &["a", "bad", "c"]);
    let shown = run(home.path(), &with(&["delete"], &files), "");
    assert_eq!(writes(&server), ["DELETE /meshes/c", "DELETE /meshes/bad"]);
    assert!(text(&shown.stderr).starts_with("1 of 3 resources were deleted"), "{}", text(&shown.stderr));
}

#[test]
fn a_whole_list_is_shown_unless_a_part_was_asked_for() {
    let page = |name: &str, next: Value| json!({"total": 2, "items": [{"name": name}], "next": next}).to_string();
    let server = Server::start(move |request: &Request| {
        arctos(request).unwrap_or_else(|| match request.path.as_str() {
            "/zones" | "/zones?size=1" => (200, page("a", json!("http://h/zones?offset=1"))),
            "/zones?offset=1" => (200, page("b", Value::Null)),
            _ => (500, "boom".to_owned()),
        })
    });
    let home = home_of(&server);
    for form in ["table", "yaml", "json"] {
        let shown = text(&run(home.path(), &["get", "zones", "-o", form], "").stdout);
        assert!(shown.contains('a') && shown.contains('b') && !shown.contains("Rerun"), "{shown}");
    }
    let part = text(&run(home.path(), &["get", "zones", "--size=1"], "").stdout);
    assert!(part.contains("Rerun command with --offset=1") && !part.contains("b  "), "{part}");
}

/// A control plane of this mode with a policy of its own, one of a zone, and an insight.
fn exported(mode: &'static str) -> (String, String) {
    let server = Server::start(move |request: &Request| {
        let policy = |name: &str, origin: &str| {
            let labels = json!({"kuma.io/origin": origin, "kuma.io/zone": "west", "kuma.io/env": "universal"});
            let time = "2026-11-24T12:00:00Z";
            json!({"type": "MeshTimeout", "mesh": "m", "name": name, "labels": labels, "spec": {}, "creationTime": time})
        };
        let list = |items: Value| (200, json!({"total": 1, "items": items, "next": null}).to_string());
        let row = |name: &str, path: &str, scope: &str| json!({"name": name, "path": path, "scope": scope, "includeInFederation": true});
        match request.path.as_str() {
            "/" => (200, json!({"product": "Kuma", "version": "3.0.0", "hostname": "h\nname: evil\u{1b}"}).to_string()),
            "/config" => (200, json!({"mode": mode}).to_string()),
            "/_resources" => {
                let rows = [row("Mesh", "meshes", "Global"), row("MeshTimeout", "meshtimeouts", "Mesh")];
                let insight = row("MeshInsight", "mesh-insights", "Global");
                (200, json!({"resources": [rows[0], rows[1], insight]}).to_string())
            }
            "/meshes" => list(json!([{"type": "Mesh", "name": "m"}])),
            "/meshes/m/meshtimeouts" => list(json!([policy("ours", "global"), policy("theirs", "zone")])),
            _ => (500, "boom".to_owned()),
        }
    });
    let shown = run(home_of(&server).path(), &["export", "--profile=federation-with-policies"], "");
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let said = text(&shown.stderr);
    (text(&shown.stdout), said.lines().filter(|line| !line.contains("kumactl version")).collect())
}

#[test]
fn export_of_a_global_leaves_out_what_zones_made() {
    let (shown, said) = exported("global");
    assert!(shown.contains("name: ours") && !shown.contains("name: theirs"), "{shown}");
    assert!(said.starts_with("1 resources that zones made are left out"), "{said}");
    let (shown, said) = exported("zone");
    assert!(shown.contains("name: ours") && shown.contains("name: theirs"), "{shown}");
    assert_eq!(said, "");
    assert!(!shown.contains("kuma.io/"), "labels that the other side sets: {shown}");
}

#[test]
fn an_export_says_how_many_secrets_are_without_data_and_what_to_do() {
    let export = |hidden: bool| {
        let server = Server::start(move |request: &Request| {
            arctos(request).unwrap_or_else(|| match request.path.as_str() {
                "/_resources" => {
                    let row = json!({"name": "GlobalSecret", "path": "global-secrets", "scope": "Global", "includeInFederation": true});
                    (200, json!({"resources": [row]}).to_string())
                }
                "/global-secrets" => {
                    let (member, value) = if hidden { ("dataHidden", "why") } else { ("data", "eA==") };
                    let key = json!({"type": "GlobalSecret", "name": "zone-token-signing-key-1", (member): value});
                    let other = json!({"type": "GlobalSecret", "name": "a", "data": "eA=="});
                    (200, json!({"total": 2, "items": [key, other], "next": null}).to_string())
                }
                _ => (500, "boom".to_owned()),
            })
        });
        let shown = run(home_of(&server).path(), &["export", "--profile=federation"], "");
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        (text(&shown.stdout), text(&shown.stderr))
    };
    let (shown, said) = export(true);
    assert!(shown.contains("dataHidden: why") && shown.contains("data: eA=="), "{shown}");
    assert!(
        said.contains("1 secrets are exported without data") && said.contains("access.static.viewSigningKeys"),
        "{said}"
    );
    let (_, said) = export(false);
    assert!(!said.contains("without data"), "{said}");
}

#[test]
fn comment_of_an_export_holds_no_line_of_the_server() {
    let (shown, _) = exported("global");
    assert!(shown.lines().next().unwrap_or_default().contains("Hostname: h\\u{a}name: evil\\u{1b},"), "{shown}");
}

#[test]
fn what_an_export_holds_beside_resources_is_no_reason_to_stop() {
    let server = picky();
    let home = home_of(&server);
    let insight = "type: MeshInsight\nname: m\ncreationTime: \"2026-11-24T12:00:00Z\"\nmTLS: {}\n";
    let shown = run(home.path(), &["apply", "-f", "-"], &format!("{insight}---\ntype: Mesh\nname: a\n"));
    assert_eq!((shown.status.code(), writes(&server)), (Some(0), vec!["PUT /meshes/a".to_owned()]));
    assert_eq!(text(&shown.stderr), "resource[0]: MeshInsight \"m\" is left out: control planes compute it\n");
}

#[test]
fn texts_of_servers_cannot_control_the_terminal() {
    let evil = "x\u{1b}]0;pwned\u{7}\u{202e}y\u{9b}2J";
    let server = Server::start(move |request: &Request| match request.path.as_str() {
        "/" => Answer::from((200, json!({"product": evil, "version": evil}).to_string())),
        "/zones" => Answer::from((200, json!({"items": [{"name": evil}]}).to_string())),
        "/meshes" => Answer::from((400, json!({"title": evil, "detail": evil}).to_string())),
        "/mesh-insights" => Answer::from((500, evil.to_owned())),
        _ => Answer { status: 302, body: evil.to_owned(), location: None },
    });
    let home = home_of(&server);
    let calls: [&[&str]; 9] = [
        &["get", "zones"],
        &["get", "zones", "-o", "yaml"],
        &["get", "zones", "-o", "json"],
        &["get", "meshes"],
        &["get", "mesh", "x"],
        &["inspect", "meshes"],
        &["version"],
        &["version", "-a"],
        &["export"],
    ];
    for args in calls {
        let shown = run(home.path(), args, "");
        let all = text(&shown.stdout) + &text(&shown.stderr);
        let hidden: Vec<char> =
            all.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}' || *c == '\u{fffd}').collect();
        assert!(hidden.is_empty() && all.contains("pwned"), "{args:?} {hidden:?} {all:?}");
    }
}

#[test]
fn a_zone_that_cannot_make_tokens_is_told_where_they_come_from() {
    for (status, title) in [(404, "Signing Key not found"), (405, "Not here"), (404, "")] {
        let answer = json!({"title": title, "detail": "d"}).to_string();
        let server =
            Server::start(move |request: &Request| arctos(request).unwrap_or_else(|| (status, answer.clone())));
        let home = home_of(&server);
        let zone = ["generate", "zone-token", "--zone=w", "--valid-for=1h", "--scope=cp"];
        for args in [&zone[..], &["generate", "control-plane-token", "--zone=w"]] {
            let said = text(&run(home.path(), args, "").stderr);
            assert!(said.contains("Hint: tokens for zones are made by the global control plane"), "{said}");
            assert!(said.contains("config control-planes switch"), "{said}");
        }
    }
}

#[test]
fn a_control_plane_that_has_nothing_of_the_kind_is_not_taken_for_one_without_it() {
    let answer = json!({"status": 404, "title": "Not here", "detail": "ask the API of the global"}).to_string();
    let server = Server::start(move |request: &Request| arctos(request).unwrap_or_else(|| (404, answer.clone())));
    let home = home_of(&server);
    for args in
        [&["get", "mesh", "default"][..], &["get", "meshtimeout", "x"], &["get", "meshes"], &["delete", "mesh", "x"]]
    {
        let shown = run(home.path(), args, "");
        let said = text(&shown.stderr);
        assert!(!shown.status.success() && said.contains("Not here (ask the API of the global)"), "{args:?} {said}");
        assert!(!said.contains("No resources found"), "{args:?} {said}");
    }
}

#[test]
fn base64_in_lines_is_taken_as_a_variable() {
    let home = tempfile::tempdir().expect("a folder");
    let secret = "type: GlobalSecret\nname: s\ndata: {{ key }}\n";
    let args = ["--no-config", "apply", "--dry-run", "-f", "-", "--var"];
    let shown = run(home.path(), &[&args[..], &["key=YWJj\nZGVm"]].concat(), secret);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("data: YWJjZGVm"), "{}", text(&shown.stdout));
    let evil = run(home.path(), &[&args[..], &["key=YWJj\n---\ntype: Mesh\nname: evil"]].concat(), secret);
    assert!(!text(&evil.stdout).contains("evil"), "{}", text(&evil.stdout));
}
