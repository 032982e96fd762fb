//! `kumactl get revocations` and `kumactl delete revocation` against a server that is played.

use serde_json::json;

use crate::{
    programs::{arctos, home_of, run, text},
    server::{Request, Server},
};

const ID: &str = "5766e443-ef30-4916-afbd-a680d244fc16";

fn played(request: &Request) -> (u16, String) {
    if let Some(answer) = arctos(request) {
        return answer;
    }
    let one = json!({
        "id": ID, "what": "all zone-tokens of zone west", "by": "john", "at": "2026-11-28T12:00:00Z", "until": null,
        "reason": "lost"
    });
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/tokens/revocations") => (200, json!({"total": 1, "items": [one], "next": null}).to_string()),
        ("DELETE", path) if path.ends_with(ID) => (200, json!({"notes": ["not yet in force"]}).to_string()),
        ("DELETE", "/tokens/revocations/a%2Fb") => {
            (404, json!({"status": 404, "title": "t", "detail": "d"}).to_string())
        }
        _ => (500, String::new()),
    }
}

fn check(args: &[&str], code: i32, out: &str, err: &str) -> Vec<Request> {
    let server = Server::start(played);
    let home = home_of(&server);
    let done = run(home.path(), args, "");
    assert_eq!((text(&done.stdout).as_str(), text(&done.stderr).as_str()), (out, err), "{args:?}");
    assert_eq!(done.status.code(), Some(code), "{args:?}");
    server.take().into_iter().filter(|request| request.path != "/").collect()
}

#[test]
fn revocations_are_listed_with_their_ids() {
    let table = "ID                                     WHAT                           AT                    BY     UNTIL   REASON\n\
                 5766e443-ef30-4916-afbd-a680d244fc16   all zone-tokens of zone west   2026-11-28 12:00:00   john   -       lost\n";
    check(&["get", "revocations"], 0, table, "");
}

#[test]
fn a_revocation_is_taken_back() {
    let out = format!(
        "took the revocation \"{ID}\" back: the tokens that it names are good again, as far as nothing else speaks against them\n"
    );
    let seen = check(&["delete", "revocation", ID], 0, &out, "Note: not yet in force\n");
    let asked: Vec<_> = seen.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
    assert_eq!(asked, [("DELETE", format!("/tokens/revocations/{ID}").as_str())]);
    let none = "Error: there is no revocation \"a/b\"; `kumactl get revocations` lists them with their ids\n";
    check(&["delete", "revocation", "a/b"], 1, "", none);
}
