//! A global whose tokens are signed with keys that are not in its store.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use control_plane::{
    app::{self, Running},
    clock::Clock,
    config::Config,
    observe::log::Log,
};
use serde_json::{Value, json};
use store::memory::MemoryStore;
use testkit::{client, kds::Peer, rpcs::DOWN, runtime::run_in_threads};
use tokens::{Algorithm, generate_key, public_half};
use tokio::net::TcpStream;

use crate::stage::{
    plain_port::{first, open},
    world::decode,
};

/// Starts a global that has this signer of zone tokens.
async fn start(work: &Path, signer: &Value) -> anyhow::Result<Running> {
    let environment = [
        ("KUMA_MODE", "global"),
        ("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap()),
        ("KUMA_API_SERVER_HTTP_PORT", "0"),
        ("KUMA_API_SERVER_HTTPS_ENABLED", "false"),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
        ("KUMA_INTER_CP_SERVER_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let file = json!({"multizone": {"global": {"kds": {"auth": {"zoneToken": {"signers": [signer]}}}}}}).to_string();
    let (config, _remarks) = Config::from_sources(Some(("kuma-cp.yaml", &file)), &environment, "/nowhere").unwrap();
    app::start_global_on(Arc::new(MemoryStore::new()), None, config, Clock::system(), Log::quiet()).await
}

fn loopback(address: Option<SocketAddr>) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.expect("a port that is served").port()))
}

/// Asks as the administrator on this machine.
fn ask(global: &Running, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    client::ask(loopback(global.addresses().http), method, path, body)
}

fn wanted() -> Value {
    json!({"zone": "west", "scope": ["cp"], "validFor": "1h"})
}

#[test]
fn a_key_in_a_file_lets_zones_in_and_no_key_of_its_family_is_in_the_store() {
    run_in_threads(async {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = (folder.path().join("zone.pem"), generate_key(Algorithm::EdDsa));
        fs::write(&file, key.reveal()).unwrap();
        let global = start(folder.path(), &json!({"keyFile": file})).await.unwrap();
        let (status, token) = ask(&global, "POST", "/tokens/zone", Some(&wanted()));
        assert_eq!(status, 200, "{token}");
        let header: Value = serde_json::from_str(&decode(&token).0).unwrap();
        assert_eq!(header["alg"], "EdDSA");
        let published = ask(&global, "GET", "/.well-known/jwks.json", None).1;
        assert!(published.contains(header["kid"].as_str().unwrap()), "{published}");
        let peer = Peer::over(TcpStream::connect(loopback(global.addresses().kds)).await.unwrap()).await;
        let mut stream = open(&peer, DOWN, "west", &token);
        stream.send(&first("west", "Mesh"));
        assert!(stream.next().await.is_some(), "the zone is let in");

        let secrets = ask(&global, "GET", "/global-secrets?size=100", None).1;
        assert!(secrets.contains("user-token-signing-key-1") && !secrets.contains("zone-token-signing"), "{secrets}");
        let (status, said) = ask(&global, "POST", "/rotations/zone-token-signing-key/start", Some(&json!({})));
        assert!(status == 409 && said.contains("of the settings (signers)"), "{status} {said}");
        let (status, said) = ask(&global, "POST", "/rotations/user-token-signing-key/start", Some(&json!({})));
        assert_eq!(status, 200, "another family has another key: {said}");
        let doctor = ask(&global, "GET", "/doctor", None).1;
        assert!(doctor.contains("of the settings signs (file)"), "{doctor}");
    });
}

#[test]
fn what_a_command_does_not_sign_is_not_issued_and_the_answer_says_why() {
    run_in_threads(async {
        let folder = tempfile::tempdir().unwrap();
        let public = public_half(generate_key(Algorithm::Es256).reveal()).unwrap();
        let signer = json!({"command": ["sh", "-c", "exit 3"], "publicKey": public});
        let global = start(folder.path(), &signer).await.unwrap();
        let (status, said) = ask(&global, "POST", "/tokens/zone", Some(&wanted()));
        assert!(status == 503 && said.contains("it failed (exit status: 3)"), "{status} {said}");
        let issued = ask(&global, "GET", "/tokens?family=zone-token", None).1;
        assert!(issued.contains("\"total\":0") || issued.contains("\"total\": 0"), "{issued}");
        let doctor = ask(&global, "GET", "/doctor", None).1;
        assert!(doctor.contains("signed nothing when it was asked last"), "{doctor}");
    });
}

#[test]
fn a_command_with_another_key_stops_the_start_with_one_line() {
    run_in_threads(async {
        let folder = tempfile::tempdir().unwrap();
        let public = public_half(generate_key(Algorithm::EdDsa).reveal()).unwrap();
        let refused = start(folder.path(), &json!({"command": ["cat"], "publicKey": public})).await.err().unwrap();
        let said = format!("{refused:#}");
        assert!(said.contains("zone-tokens are to be signed by a command"), "{said}");
        assert!(said.contains("no EdDSA signature of the public key") && !said.contains('\n'), "{said}");
    });
}
