//! `kumactl rotate` against a server that is played: what is sent, what is shown, and the exit code.

use serde_json::{Value, json};

use crate::{
    programs::{arctos, home_of, run, text},
    server::{Request, Server},
};

const FAMILY: &str = "zone-token-signing-key";

fn draining() -> Value {
    json!({
        "family": FAMILY, "phase": "draining", "from": 1, "to": 2, "since": null, "automatic": true, "rollingBack": false,
        "byHand": false, "stopped": {"at": "2026-01-01T00:00:00Z", "reason": "nothing more got out of the way"},
        "blockers": [{"kind": "zone", "name": "west", "key": 1, "lastSeen": null, "reason": "is connected"}],
        "zonesByKey": {"1": 1, "2": 4}, "history": []
    })
}

/// A control plane that refuses steps without `force`.
fn played(request: &Request) -> (u16, String) {
    if let Some(answer) = arctos(request) {
        return answer;
    }
    let mut answer = draining();
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/rotations") => (200, json!({"items": [draining()]}).to_string()),
        ("GET", _) => (200, answer.to_string()),
        _ if request.path.contains("/start") => {
            let detail = "bob was quicker: `start` at 2026-01-01T00:00:00Z";
            (409, json!({"status": 409, "title": "t", "detail": detail}).to_string())
        }
        _ => {
            let asked: Value = serde_json::from_str(&request.body).expect("a step");
            let blockers = answer.get("blockers").cloned().unwrap_or_default();
            if asked.get("force") != Some(&json!(true)) && request.path.contains("/advance") {
                return (409, json!({"title": "t", "detail": "d", "blockers": blockers}).to_string());
            }
            answer.as_object_mut().expect("a status").insert("cutOff".to_owned(), blockers);
            (200, answer.to_string())
        }
    }
}

fn check(args: &[&str], code: i32, out: &str, err: &str) -> Vec<Request> {
    let server = Server::start(played);
    let home = home_of(&server);
    let done = run(home.path(), args, "");
    assert_eq!(done.status.code(), Some(code), "{args:?}: {}", text(&done.stderr));
    assert_eq!((text(&done.stdout).as_str(), text(&done.stderr).as_str()), (out, err), "{args:?}");
    server.take().into_iter().filter(|request| request.path != "/").collect()
}

#[test]
fn a_step_says_where_it_found_the_rotation_and_has_a_name() {
    let out = "zone-token-signing-key is draining (automatic, stopped) from key 1 to key 2\ncut off: zone west: is connected\n";
    let seen = check(&["rotate", "advance", FAMILY, "--force"], 0, out, "");
    let [status, step] = &*seen else { panic!("{seen:?}") };
    assert_eq!((status.method.as_str(), status.path.as_str()), ("GET", "/rotations/zone-token-signing-key"));
    assert_eq!((step.method.as_str(), step.path.as_str()), ("POST", "/rotations/zone-token-signing-key/advance"));
    let body: Value = serde_json::from_str(&step.body).expect("a step");
    assert_eq!(body["expect"], json!({"phase": "draining", "from": 1, "to": 2}));
    assert!(body["id"].as_str().is_some_and(|id| id.len() == 36), "{body}");
}

#[test]
fn who_is_in_the_way_is_named_and_nothing_is_done() {
    let err = "Error: the step is not made, 1 in the way (--force makes it all the same and cuts them off):\n  zone west: is connected\n";
    check(&["rotate", "advance", FAMILY], 1, "", err);
    check(&["rotate", "advance", FAMILY, "--dry-run"], 1, "", err);
    let out = "the step would be made\nwould be cut off: zone west: is connected\n";
    check(&["rotate", "advance", FAMILY, "--dry-run", "--force"], 0, out, "");
}

#[test]
fn who_comes_second_is_told_who_was_first() {
    let err = "Error: bob was quicker: `start` at 2026-01-01T00:00:00Z\n";
    let seen =
        check(&["rotate", "start", "dataplane-token-signing-key", "--mesh", "a b", "--algorithm", "ES256"], 1, "", err);
    assert_eq!(seen[0].path, "/rotations/dataplane-token-signing-key/start?mesh=a%20b");
    let body: Value = serde_json::from_str(&seen[0].body).expect("a step");
    assert_eq!((&body["expect"]["phase"], &body["algorithm"]), (&json!("idle"), &json!("ES256")));
}

#[test]
fn a_status_shows_who_is_in_the_way() {
    let table = "FAMILY                   MESH   PHASE                           FROM   TO   SINCE   ZONES BY KEY   IN THE WAY\n\
                 zone-token-signing-key          draining (automatic, stopped)   1      2    never   1: 1, 2: 4     1\n";
    check(&["rotate", "status"], 0, table, "");
    let full = format!(
        "{table}\nstopped: nothing more got out of the way\n\n\
         KIND   NAME   KEY   LAST SEEN AGO   REASON\nzone   west   1     never           is connected\n"
    );
    check(&["rotate", "status", FAMILY], 0, &full, "");
    let server = Server::start(played);
    let home = home_of(&server);
    let shown = run(home.path(), &["rotate", "status", FAMILY, "-o", "json"], "");
    assert_eq!(serde_json::from_slice::<Value>(&shown.stdout).expect("JSON"), draining());
    let words = run(home.path(), &["rotate", "status", FAMILY, "x"], "");
    assert!(text(&words.stderr).contains("accepts between 0 and 1 arg(s), received 2"), "{}", text(&words.stderr));
}

#[test]
fn of_thousands_in_the_way_some_are_shown_and_the_rest_is_counted() {
    let token = |number: usize| json!({"kind": "token", "name": number.to_string(), "key": 1, "reason": "not seen"});
    let crowded = move |request: &Request| {
        let (status, body) = arctos(request).unwrap_or_else(|| played(request));
        let mut said: Value = serde_json::from_str(&body).unwrap_or_default();
        for member in ["blockers", "cutOff"] {
            if said.get(member).is_some() {
                said[member] = (0..5000).map(token).collect();
            }
        }
        (status, said.to_string())
    };
    let server = Server::start(crowded);
    let home = home_of(&server);
    for (args, last) in [
        (["rotate", "status", FAMILY].as_slice(), "and 4980 more (`kumactl rotate status FAMILY -o json` has all)"),
        (&["rotate", "advance", FAMILY], "  and 4980 more (`kumactl rotate status FAMILY -o json` has all)"),
        (&["rotate", "advance", FAMILY, "--force"], "cut off: 4980 more"),
    ] {
        let done = run(home.path(), args, "");
        let shown = text(&done.stdout) + &text(&done.stderr);
        assert!(shown.lines().count() < 40, "{args:?}: {} lines", shown.lines().count());
        assert_eq!(shown.lines().last(), Some(last), "{args:?}");
    }
    let whole = run(home.path(), &["rotate", "status", FAMILY, "-o", "json"], "");
    let whole: Value = serde_json::from_slice(&whole.stdout).expect("JSON");
    assert_eq!(whole["blockers"].as_array().map(Vec::len), Some(5000));
}

#[test]
fn a_record_that_cannot_be_read_is_told_with_the_way_out_and_dropped_by_who_insists() {
    fn damaged(request: &Request) -> (u16, String) {
        let mut status = draining();
        if request.method == "GET" {
            status = json!({"family": FAMILY, "phase": "unreadable", "from": null, "to": null, "problem": "drop it"});
        }
        arctos(request).unwrap_or_else(|| (200, status.to_string()))
    }
    let server = Server::start(damaged);
    let home = home_of(&server);
    let shown = run(home.path(), &["rotate", "status", FAMILY], "");
    assert!(text(&shown.stdout).contains("unreadable") && text(&shown.stdout).ends_with("\ndrop it\n"), "{shown:?}");
    for step in ["advance", "rollback"] {
        let refused = run(home.path(), &["rotate", step, FAMILY], "");
        assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(1), "Error: drop it\n".to_owned()));
    }
    let forced = run(home.path(), &["rotate", "rollback", FAMILY, "--force"], "");
    assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    let step = server.take().into_iter().rfind(|request| request.method == "POST").expect("a step");
    let body: Value = serde_json::from_str(&step.body).expect("a step");
    assert_eq!((&body["force"], &body["expect"]["phase"]), (&json!(true), &json!("idle")));
}

#[test]
fn a_key_that_signs_beside_a_rotation_is_told() {
    fn beside(request: &Request) -> (u16, String) {
        let mut status = draining();
        status["signs"] = 9.into();
        arctos(request).unwrap_or_else(|| (200, status.to_string()))
    }
    let server = Server::start(beside);
    let home = home_of(&server);
    for arguments in [&["rotate", "status", FAMILY][..], &["rotate", "rollback", FAMILY]] {
        let shown = run(home.path(), arguments, "");
        assert!(text(&shown.stdout).contains("key 9 signs, which was made by hand beside it"), "{shown:?}");
    }
}
