//! A server that points elsewhere: writes stay undone and say so, reads and headers stay with the server.

use serde_json::json;

use crate::{
    programs::{home_of, run, text},
    server::{Answer, Request, Server},
};

/// A server that points every question but the first one (`GET /`) to this address.
fn pointing_to(address: String, status: u16) -> Server {
    Server::start(move |request: &Request| match request.path.as_str() {
        "/" => Answer::from((200, json!({"product": "Arctos", "version": "1"}).to_string())),
        path => Answer { status, body: String::new(), location: Some(format!("{address}{path}")) },
    })
}

fn willing() -> Server {
    Server::start(|_: &Request| (200, "{}".to_owned()))
}

const MESH: &str = "type: Mesh\nname: demo\n";

#[test]
fn writes_never_follow_a_redirect_and_say_where_it_points() {
    for status in [301, 302, 303, 307, 308] {
        let other = willing();
        let there = format!("http://{}", other.address());
        let server = pointing_to(there.clone(), status);
        let home = home_of(&server);
        let calls: [(&[&str], &str); 3] = [
            (&["delete", "mesh", "demo"], ""),
            (&["apply", "-f", "-"], MESH),
            (&["generate", "control-plane-token", "--zone=west"], ""),
        ];
        for (args, input) in calls {
            let shown = run(home.path(), args, input);
            let said = text(&shown.stderr);
            assert_eq!((shown.status.code(), text(&shown.stdout).as_str()), (Some(1), ""), "{status} {args:?}: {said}");
            assert!(said.contains(&format!("answers {status}")) && said.contains(&there), "{said}");
            assert!(said.contains("config control-planes add --overwrite"), "{said}");
        }
        assert_eq!(other.take(), [], "nobody else was asked anything");
    }
}

#[test]
fn a_redirected_put_is_no_update() {
    let other = willing();
    let there = format!("http://{}", other.address());
    let server = Server::start(move |request: &Request| match request.method.as_str() {
        "GET" => Answer::from((200, json!({"product": "Arctos", "version": "1"}).to_string())),
        _ => Answer { status: 301, body: String::new(), location: Some(format!("{there}{}", request.path)) },
    });
    let shown = run(home_of(&server).path(), &["apply", "-f", "-"], MESH);
    assert_eq!((shown.status.code(), text(&shown.stdout).as_str()), (Some(1), ""));
    assert!(text(&shown.stderr).contains("where a write is not repeated"), "{}", text(&shown.stderr));
    assert_eq!(other.take(), []);
}

#[test]
fn reads_and_headers_stay_with_their_server() {
    let other = willing();
    let server = pointing_to(format!("http://{}", other.address()), 302);
    let home = home_of(&server);
    let address = format!("http://{}", server.address());
    let add = ["config", "control-planes", "add", "--name=h", "--skip-check", "--address", &address];
    let secrets = ["--auth-type=tokens", "--auth-conf=token=eyJsecret", "--headers=x-key=secret"];
    assert!(run(home.path(), &[&add[..], &secrets].concat(), "").status.success());
    let shown = run(home.path(), &["get", "meshes"], "");
    assert_eq!(shown.status.code(), Some(1));
    assert!(text(&shown.stderr).contains("where this question may not be asked"), "{}", text(&shown.stderr));
    assert_eq!(other.take(), [], "the token did not leave its server");
}

#[test]
fn reads_follow_within_their_server() {
    let page = json!({"total": 0, "items": [], "next": null}).to_string();
    let server = Server::start(move |request: &Request| match request.path.as_str() {
        "/meshes" => Answer { status: 308, body: String::new(), location: Some("/moved/meshes".to_owned()) },
        "/moved/meshes" => Answer::from((200, page.clone())),
        "/zones" => Answer { status: 302, body: String::new(), location: Some("/zones".to_owned()) },
        _ => Answer::from((200, json!({"product": "Arctos", "version": "1"}).to_string())),
    });
    let home = home_of(&server);
    assert_eq!(text(&run(home.path(), &["get", "meshes"], "").stdout), "NAME   AGE\n");
    let circle = run(home.path(), &["get", "zones"], "");
    assert!(text(&circle.stderr).contains("too many redirects"), "{}", text(&circle.stderr));
}

#[test]
fn documents_from_the_web_may_have_moved() {
    let web = Server::start(|_: &Request| (200, MESH.to_owned()));
    let there = format!("http://{}/m.yaml", web.address());
    let old =
        Server::start(move |_: &Request| Answer { status: 301, body: String::new(), location: Some(there.clone()) });
    let address = format!("http://{}/m.yaml", old.address());
    let home = tempfile::tempdir().expect("a folder");
    let shown = run(home.path(), &["apply", "--dry-run", "-f", &address], "");
    assert!(text(&shown.stdout).contains("name: demo"), "{}", text(&shown.stderr));
}

#[test]
fn adding_a_plain_address_of_another_machine_with_a_token_warns() {
    let home = tempfile::tempdir().expect("a folder");
    let add = ["config", "control-planes", "add", "--name=g", "--address=http://cp.invalid:5681", "--auth-type=tokens"];
    let token = ["--auth-conf=token=eyJsecret", "--skip-check"];
    let added = run(home.path(), &[&add[..], &token].concat(), "");
    assert!(
        added.status.success() && text(&added.stderr).starts_with("WARNING: insecure: "),
        "{}",
        text(&added.stderr)
    );
    let refused = run(home.path(), &["get", "meshes"], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--allow-plaintext-token"), "{}", text(&refused.stderr));
    let tried = run(home.path(), &["get", "meshes", "--allow-plaintext-token"], "");
    assert!(text(&tried.stderr).contains("cp.invalid: no such host"), "{}", text(&tried.stderr));
    let kept = run(home.path(), &[&add[..], &token, &["--allow-plaintext-token", "--overwrite"]].concat(), "");
    assert!(kept.status.success());
    let tried = run(home.path(), &["get", "meshes"], "");
    assert!(text(&tried.stderr).contains("cp.invalid: no such host"), "{}", text(&tried.stderr));
}
