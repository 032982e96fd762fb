//! Plays the recorded runs that need no real control plane. All of the short list is played against a
//! real one by the tests of the control plane, with the same player (`testkit::kumactl_replay`).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::{
    kumactl_replay::{Differences, Line, Player, lines},
    ports::ClosedPort,
};

use crate::server::{Request, Server};

fn index(product: &str, version: &str) -> String {
    json!({"product": product, "version": version, "hostname": "cp-host"}).to_string()
}

/// Answers as the servers of these recordings did.
fn canned(state: &str) -> impl Fn(&Request) -> (u16, String) + Send + use<> {
    let state = state.to_owned();
    let list = json!({"total": 0, "items": [], "next": null}).to_string();
    move |request: &Request| {
        let is_get = request.method == "GET";
        let page_not_found = || (404, "404: Page Not Found".to_owned());
        let known = |product: &str, version: &str| match request.path.as_str() {
            "/" => (200, index(product, version)),
            _ => (200, list.clone()),
        };
        match state.as_str() {
            "a server that answers HTML" => (200, "<html></html>".to_owned()),
            state if state.starts_with("a server of another product") => known("Other", "1.0"),
            "GET / gives product Kuma, version 2.0.0" => known("Kuma", "2.0.0"),
            "GET / gives product Other, version 9.9.9-preview.1" => known("Other", "9.9.9-preview.1"),
            "every GET gives 500 and the text boom" if is_get => (500, "boom".to_owned()),
            "every GET gives 400 with title, details and causes only" => (
                400,
                json!({"title": "Nope", "details": "old style", "causes": [{"field": "a", "message": "b"}]})
                    .to_string(),
            ),
            "every GET gives 400 with a full error body, two parameters" => {
                let parameters = json!([{"field": "a", "reason": "b"}, {"field": "", "reason": "c"}]);
                (400, json!({"title": "Nope", "detail": "new style", "invalid_parameters": parameters}).to_string())
            }
            _ if is_get => page_not_found(),
            _ if request.method == "POST" => (200, "tok".to_owned()),
            "as before, but PUT and DELETE give 201" => (201, "{}".to_owned()),
            "as before, but PUT and DELETE give 204" => (204, String::new()),
            "as before, but PUT and DELETE give 405 and {}" => (405, "{}".to_owned()),
            _ => (200, "{}".to_owned()),
        }
    }
}

/// A token that says what the recorded one says; nobody checks its signature here.
fn admin_token() -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims =
        r#"{"Name":"mesh-system:admin","Groups":["mesh-system:admin"],"exp":315360005,"nbf":0,"iat":0,"jti":""}"#;
    format!("{}.{}.x", part(r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#), part(claims))
}

/// Makes a server the active control plane without comparing anything: the recorder did so between the lines.
fn prepare(player: &mut Player, words: &[&str]) {
    let args = ["config", "control-planes", "add", "--skip-check", "--overwrite"].iter().chain(words);
    player.play(&Line { args: args.map(|word| (*word).to_owned()).collect(), ..Line::default() });
}

#[test]
fn recorded_runs_come_out_the_same() {
    let Some(lines) = lines("3.0-preview") else { return };
    let exe = env!("CARGO_BIN_EXE_kumactl");
    let (folder, other_folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (mut player, mut recorder) = (Player::new(exe, folder.path()), Player::new(exe, other_folder.path()));
    player.save("admin", admin_token());
    let start = || {
        Server::start(|request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => (200, index("Arctos", "0.1.0")),
            ("GET", "/who-am-i") if request.header("authorization") == Some("Bearer garbage") => {
                (401, json!({"title": "Invalid authentication data", "detail": "Unauthenticated"}).to_string())
            }
            _ => (404, "404: Page Not Found".to_owned()),
        })
    };
    let (ours, remote, zone) = (start(), start(), start());
    let listed = Differences::read();
    let mut problems = Vec::new();
    let mut played = 0;
    let mut state = String::new();
    let (mut canned_server, nobody) = (start(), ClosedPort::new());
    for line in lines.iter().filter(|line| !line.needs_control_plane()) {
        let is_alone = !line.has_canned_server();
        // The longer list is for states that need nothing but a few fixed answers.
        if is_alone && !line.is_core {
            continue;
        }
        let (_, port) =
            ours.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).expect("a port");
        let port = if line.state == "no server" { nobody.port().to_string() } else { port };
        player.address("10.9.9.1:5681", remote.address());
        player.address("127.0.0.1:6681", zone.address());
        player.address(":5681", format!(":{port}"));
        let records = line.state.starts_with("a server that records") || line.state.starts_with("as before");
        if !is_alone && state != line.state {
            state.clone_from(&line.state);
            canned_server = Server::start(canned(&state));
            if records {
                recorder.address("127.0.0.1:5690", canned_server.address());
                let token = ["--auth-type", "tokens", "--auth-conf", "token=abc", "--headers", "x-a=1"];
                prepare(&mut recorder, &[&["--name=y", "--address=http://127.0.0.1:5690/base/"][..], &token].concat());
            } else {
                player.address("127.0.0.1:5690", canned_server.address());
                prepare(&mut player, &["--name=x", "--address=http://127.0.0.1:5690"]);
            }
        }
        canned_server.take();
        played += 1;
        let differences = if records { recorder.play(line) } else { player.play(line) };
        problems.extend(listed.stale(line.number, &differences));
        let unknown = differences.iter().filter(|one| !listed.knows(line.number, &one.what));
        problems.extend(unknown.map(|one| format!("{:?}: {one:#?}", line.args)));
        if !line.requests.is_empty() {
            problems.extend(compare_requests(line, &canned_server.take()));
        }
    }
    assert!(problems.is_empty(), "{} problems in {played} runs:\n{}", problems.len(), problems.join("\n"));
    assert!(played > 100, "only {played} runs were played");
}

fn compare_requests(line: &Line, seen: &[Request]) -> Vec<String> {
    let shown = |request: &Request| {
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let headers = ["accept", "authorization", "content-type", "x-a", "accept-encoding"].map(header);
        format!("{} {} {headers:?} {body}", request.method, request.path)
    };
    let recorded: Vec<String> = line
        .requests
        .iter()
        .map(|request| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let headers = request["headers"].as_object().into_iter().flatten();
            shown(&Request {
                method: text(&request["method"]),
                path: text(&request["path"]),
                headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
                body: text(&request["body"]),
            })
        })
        .collect();
    let seen: Vec<String> = seen.iter().map(shown).collect();
    if recorded == seen {
        Vec::new()
    } else {
        vec![format!("line {}: recorded {recorded:#?}, seen {seen:#?}", line.number)]
    }
}
