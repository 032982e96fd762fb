//! What no recording shows: pages, tokens of our own, TLS files, closed readers.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::server::{Request, Server};

pub(crate) fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kumactl"));
    command.args(args).env_clear().env("HOME", home).current_dir(home);
    command
}

pub(crate) fn run(home: &Path, args: &[&str], input: &str) -> Output {
    let mut child = command(home, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start kumactl");
    drop(child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()));
    child.wait_with_output().expect("wait for kumactl")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns a home whose active control plane is this server.
pub(crate) fn home_of(server: &Server) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let address = format!("http://{}", server.address());
    let added = run(
        home.path(),
        &["config", "control-planes", "add", "--name", "g", "--address", &address, "--skip-check"],
        "",
    );
    assert!(added.status.success(), "{}", text(&added.stderr));
    home
}

pub(crate) fn arctos(request: &Request) -> Option<(u16, String)> {
    (request.path == "/").then(|| (200, json!({"product": "Arctos", "version": "1"}).to_string()))
}

#[test]
fn what_has_no_effect_in_a_file_is_warned_of() {
    let server = Server::start(|request| arctos(request).unwrap_or_else(|| (404, "{}".to_owned())));
    let file = "type: MeshTLS\nname: a\nspec:\n  from:\n  - targetRef: {kind: Mesh}\n";
    let ran = run(home_of(&server).path(), &["apply", "--dry-run", "-f", "-"], file);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("Warning: resource[0]: 'from' field"), "{}", text(&ran.stderr));
    let ran = run(home_of(&server).path(), &["apply", "--dry-run", "-f", "-"], "type: Zone\nname: a\nname: b\n");
    assert!(!ran.status.success() && text(&ran.stderr).contains("duplicate"), "{}", text(&ran.stderr));
}

#[test]
fn all_pages_of_zones_are_shown() {
    let server = Server::start(|request| {
        let zone = |name: &str| json!({"name": name, "zone": {}});
        arctos(request).unwrap_or_else(|| match request.path.as_str() {
            // Others know this server under another name.
            "/zones/_overview" => (
                200,
                json!({"total": 2, "items": [zone("a")], "next": "http://else:1/zones/_overview?offset=1"}).to_string(),
            ),
            "/zones/_overview?offset=1" => (200, json!({"total": 2, "items": [zone("b")], "next": null}).to_string()),
            _ => (500, "boom".to_owned()),
        })
    });
    let home = home_of(&server);
    let shown = run(home.path(), &["inspect", "zones", "-o", "json"], "");
    let list: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let names: Vec<_> = list["items"].as_array().expect("items").iter().map(|item| item["name"].clone()).collect();
    assert_eq!((names, &list["next"]), (vec![json!("a"), json!("b")], &Value::Null));
}

#[test]
fn pages_that_lead_nowhere_end() {
    let server = Server::start(|request| {
        let page = json!({"total": 1, "items": [], "next": "http://x/zones/_overview?offset=5"});
        arctos(request).unwrap_or_else(|| (200, page.to_string()))
    });
    let shown = run(home_of(&server).path(), &["inspect", "zones"], "");
    assert_eq!(shown.status.code(), Some(1), "{}", text(&shown.stdout));
    assert!(text(&shown.stderr).contains("leads nowhere"), "{}", text(&shown.stderr));
}

#[test]
fn control_plane_token_is_asked_for_and_printed_bare() {
    let server = Server::start(|request| arctos(request).unwrap_or_else(|| (200, "tok".to_owned())));
    let home = home_of(&server);
    let check = |args: &[&str], body: &str| {
        server.take();
        let shown = run(home.path(), args, "");
        assert_eq!((text(&shown.stdout).as_str(), text(&shown.stderr).as_str()), ("tok", ""));
        let asked = server.take();
        let request = asked.last().expect("a request");
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), request.body.as_str()),
            ("POST", "/tokens/control-plane", body)
        );
    };
    check(&["generate", "control-plane-token", "--zone", "west"], r#"{"zone":"west"}"#);
    check(
        &["generate", "control-plane-token", "--zone=west", "--valid-for=720h"],
        r#"{"zone":"west","validFor":"720h0m0s"}"#,
    );
}

#[test]
fn a_control_plane_without_signing_keys_gets_a_hint() {
    let problem = json!({"status": 404, "title": "Signing Key not found", "detail": "none"});
    let server = Server::start(move |request| arctos(request).unwrap_or_else(|| (404, problem.to_string())));
    let shown = run(home_of(&server).path(), &["generate", "control-plane-token", "--zone=west"], "");
    assert_eq!((shown.status.code(), text(&shown.stdout).as_str()), (Some(1), ""));
    let said = text(&shown.stderr);
    assert!(said.starts_with("Hint: tokens for zones are made by the global control plane"), "{said}");
    assert!(said.contains("Signing Key not found (none)"), "{said}");
}

#[test]
fn zone_token_takes_three_scopes_and_no_other() {
    let server = Server::start(|request| arctos(request).unwrap_or_else(|| (200, "tok".to_owned())));
    let home = home_of(&server);
    let args = ["generate", "zone-token", "--zone", "west", "--valid-for", "1h"];
    let good = run(home.path(), &[&args[..], &["--scope", "cp,ingress", "--scope", "egress"]].concat(), "");
    assert_eq!(text(&good.stderr), "");
    let body = server.take().pop().expect("a request").body;
    assert_eq!(body, r#"{"zone":"west","scope":["cp","ingress","egress"],"validFor":"1h0m0s"}"#);
    let bad = run(home.path(), &[&args[..], &["--scope", "cp,admin"]].concat(), "");
    assert_eq!(text(&bad.stderr), "Error: invalid --scope values: [admin] (supported scopes: [cp ingress egress])\n");
    assert_eq!(bad.status.code(), Some(1));
    let none = run(home.path(), &args, "");
    assert!(text(&none.stderr).starts_with("Hint: without --scope"), "{}", text(&none.stderr));
    assert_eq!(text(&none.stdout), "tok");
}

#[test]
fn dead_tokens_are_not_asked_for() {
    let server = Server::start(|request| arctos(request).unwrap_or_else(|| (200, "tok".to_owned())));
    let home = home_of(&server);
    for kind in [&["control-plane-token", "--zone=w"], &["zone-token", "--zone=w"], &["dataplane-token", "--name=d"]] {
        for validity in ["--valid-for=0s", "--valid-for=-1h", "--valid-for=1ms"] {
            let refused = run(home.path(), &["generate", kind[0], kind[1], validity], "");
            assert_eq!((refused.status.code(), text(&refused.stdout).as_str()), (Some(1), ""), "{kind:?} {validity}");
        }
    }
    assert!(server.take().iter().all(|request| request.method == "GET"));
}

/// Makes a key, shows its public half, signs with it, and verifies with the half as the settings of a control plane would.
#[test]
fn keys_of_every_algorithm_sign_without_a_control_plane() {
    let home = tempfile::tempdir().expect("a folder");
    let ask = |args: &[&str]| {
        let ran = run(home.path(), args, "");
        assert!(ran.status.success(), "{args:?}: {}", text(&ran.stderr));
        text(&ran.stdout)
    };
    for (algorithm, flags) in [
        ("RS256", &["--format=pem"][..]),
        ("RS256", &["--format=pem", "--algorithm=RS256"]),
        ("ES256", &["--format=pem", "--algorithm=ES256"]),
        ("EdDSA", &["--format=pem", "--algorithm=EdDSA"]),
    ] {
        let pem = ask(&[&["generate", "signing-key"], flags].concat());
        fs::write(home.path().join("key.pem"), &pem).expect("write");
        let public = ask(&["generate", "public-key", "--signing-key-path=key.pem"]);
        let here = ["--valid-for=1h", "--signing-key-path=key.pem", "--kid=offline"];
        let token = ask(&[&["generate", "zone-token", "--zone=west", "--scope=cp"], &here[..]].concat());
        let mut keys = tokens::StaticKeys::default();
        keys.add(tokens::Family::Zone, "offline", public.as_bytes()).expect("a public key");
        let ring = tokens::KeyRing::empty().with_static_keys(keys.into());
        let leeway = std::time::Duration::from_secs(60);
        let want = tokens::Want { zone: "west", accept: tokens::Accept::ZoneToken, leeway, legacy_until: None };
        let claims: Value = payload_of(&token);
        let now = jiff::Timestamp::from_second(claims["iat"].as_i64().expect("a time")).expect("a time");
        let verified = tokens::verify(&token, &ring, now, &want).expect("a good token");
        assert_eq!(verified.algorithm().as_str(), algorithm);
    }
}

fn payload_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[test]
fn a_new_key_is_the_data_of_a_secret_that_takes_it() {
    let home = tempfile::tempdir().expect("a folder");
    for (algorithm, secret) in [
        ("RS256", "zone-token-signing-key-2"),
        ("ES256", "zone-token-signing-key-2"),
        ("EdDSA", "user-token-signing-key-2"),
        ("HS256", "control-plane-signing-key-0002"),
    ] {
        let ran = run(home.path(), &["generate", "signing-key", "--algorithm", algorithm], "");
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let data = STANDARD.decode(&ran.stdout).expect("one line of base64");
        assert_eq!(tokens::check_key("", secret, &data), Ok(()), "{algorithm}");
        let hint = text(&ran.stderr).contains("control plane tokens only");
        assert_eq!(hint, algorithm == "HS256", "{}", text(&ran.stderr));
    }
}

#[test]
fn keys_that_cannot_be_are_told() {
    let home = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], expected: &str| {
        let ran = run(home.path(), &[&["generate"], args].concat(), "");
        assert_eq!((ran.status.code(), text(&ran.stdout).as_str()), (Some(1), ""), "{args:?}");
        assert!(text(&ran.stderr).contains(expected), "{args:?}: {}", text(&ran.stderr));
    };
    refused(&["signing-key", "--algorithm=HS256", "--format=pem"], "has no PEM form");
    refused(&["signing-key", "--algorithm=rs256"], r#"invalid algorithm: "rs256" is not one of"#);
    refused(&["signing-key", "--algorithm=PS256"], "RS256");
    refused(&["signing-key", "--format=der"], "invalid format");
    let sec1 = "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n";
    fs::write(home.path().join("sec1.pem"), sec1).expect("write");
    refused(&["public-key", "--signing-key-path=sec1.pem"], "openssl pkcs8 -topk8");
    // The bytes of a control plane key have no public half, and no token with a `kid`.
    let bytes = run(home.path(), &["generate", "signing-key", "--algorithm=HS256"], "").stdout;
    fs::write(home.path().join("bytes"), bytes).expect("write");
    let no_key = "provided file is not a PEM-encoded signing key";
    refused(&["public-key", "--signing-key-path=bytes"], no_key);
    let offline = ["--valid-for=1h", "--signing-key-path=bytes", "--kid=1"];
    refused(&[&["zone-token", "--zone=west", "--scope=cp"], &offline[..]].concat(), no_key);
}

#[test]
fn file_that_is_no_key_is_told() {
    let home = tempfile::tempdir().expect("a folder");
    fs::write(home.path().join("junk.pem"), "junk").expect("write");
    let args = ["generate", "user-token", "--name=j", "--valid-for=1h", "--signing-key-path=junk.pem", "--kid=1"];
    let refused = run(home.path(), &args, "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("provided file is not a PEM-encoded signing key"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn wrong_token_is_noticed_when_a_control_plane_is_added() {
    let server = Server::start(|request| {
        arctos(request).unwrap_or_else(|| match request.header("authorization") {
            Some("Bearer good") => (200, "{}".to_owned()),
            _ => (401, json!({"title": "Invalid authentication data", "detail": "Unauthenticated"}).to_string()),
        })
    });
    let home = tempfile::tempdir().expect("a folder");
    let address = format!("http://{}", server.address());
    let add = |token: &str| {
        let conf = format!("token={token}");
        let args = [
            "config",
            "control-planes",
            "add",
            "--name=g",
            "--overwrite",
            "--auth-type=tokens",
            "--address",
            &address,
            "--auth-conf",
            &conf,
        ];
        run(home.path(), &args, "")
    };
    let refused = add("bad");
    assert_eq!(text(&refused.stderr), "Error: Invalid authentication data (Unauthenticated)\n");
    assert!(add("good").status.success());
    let index = server.take().into_iter().find(|request| request.path == "/").expect("the index was asked for");
    assert_eq!(index.header("authorization"), None, "the first question goes without the token");
}

#[test]
fn unverified_tls_is_warned_of() {
    let home = tempfile::tempdir().expect("a folder");
    let args = ["config", "control-planes", "add", "--name=g", "--address=https://127.0.0.1:1", "--skip-verify"];
    let shown = run(home.path(), &args, "");
    assert!(text(&shown.stderr).starts_with("WARNING: insecure: "), "{}", text(&shown.stderr));
}

#[test]
fn certificate_files_are_private_even_if_they_were_not() {
    let home = tempfile::tempdir().expect("a folder");
    for name in ["key.pem", "cert.pem"] {
        fs::write(home.path().join(name), "old").expect("write");
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o644)).expect("chmod");
    }
    let args =
        ["--no-config", "generate", "tls-certificate", "--type=server", "--hostname=localhost", "--key-type=ecdsa"];
    assert!(run(home.path(), &args, "").status.success());
    let mode = |name: &str| fs::metadata(home.path().join(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode("key.pem"), mode("cert.pem")), (0o400, 0o600));
}

#[test]
fn closed_reader_ends_the_program_quietly() {
    let home = tempfile::tempdir().expect("a folder");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended =
        command(home.path(), &["completion", "bash"]).stdout(writer).stderr(Stdio::piped()).output().expect("run");
    assert_eq!((ended.status.code(), text(&ended.stderr).as_str()), (Some(0), ""));
}
