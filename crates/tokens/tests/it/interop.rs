//! What others sign and verify: PyJWT, and jsonwebtoken of Node. Where one of them is not installed its test says so and passes;
//! `scripts/interop` installs both for itself and runs these tests.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokens::{Algorithm, Family, KeyRing, Scope, SecretEntry, SigningKey, generate_key, jwk_set};

use crate::fixture::*;

/// A program that can be asked for tokens.
struct Peer {
    name: &'static str,
    command: &'static [&'static str],
    script: &'static str,
    /// What succeeds where the library is installed.
    has_library: &'static [&'static str],
}

const PYJWT: Peer = Peer {
    name: "PyJWT with cryptography",
    command: &["python3", "-c"],
    script: include_str!("interop/pyjwt.py"),
    has_library: &["python3", "-c", "import jwt, cryptography"],
};
const JSONWEBTOKEN: Peer = Peer {
    name: "jsonwebtoken of Node",
    command: &["node", "-e"],
    script: include_str!("interop/jsonwebtoken.js"),
    has_library: &["node", "-e", "require('jsonwebtoken')"],
};

impl Peer {
    /// Says whether it is here, loudly if it is not.
    fn is_here(&self) -> bool {
        let ran = Command::new(self.has_library[0]).args(&self.has_library[1..]).stderr(Stdio::null()).status();
        let here = ran.is_ok_and(|status| status.success());
        if !here {
            eprintln!("SKIPPED: {} is not installed here; scripts/interop installs it and runs this test", self.name);
        }
        here
    }

    fn ask(&self, question: &Value) -> Value {
        let mut asked = Command::new(self.command[0])
            .args(&self.command[1..])
            .arg(self.script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        asked.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
        let answer = asked.wait_with_output().unwrap();
        assert!(answer.status.success(), "{} refused, see above", self.name);
        serde_json::from_slice(&answer.stdout).unwrap()
    }
}

/// A key, the secret that holds it, and its ring.
struct Held {
    key: SigningKey,
    ring: KeyRing,
}

fn held(algorithm: Algorithm) -> Held {
    let key = generate_key(algorithm);
    let name = match algorithm {
        Algorithm::Hs256 => "control-plane-signing-key-0001",
        Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => "zone-token-signing-key-1",
    };
    let (ring, problems) = KeyRing::build(1, &[SecretEntry { mesh: "", name, data: Some(key.reveal()) }]);
    assert_eq!(problems, []);
    Held { key, ring }
}

impl Held {
    fn algorithm(&self) -> &'static str {
        self.key.algorithm().as_str()
    }

    /// What we issue, and with what it is verified.
    fn to_verify(&self) -> Vec<Value> {
        let alg = self.algorithm();
        if self.key.algorithm() == Algorithm::Hs256 {
            let key = json!({"bytes": STANDARD.encode(self.key.reveal())});
            let issue = |valid_for| tokens::issue_control_plane(&self.ring, &west(), valid_for, now(), jti()).unwrap();
            let question = |token: tokens::Token| json!({"alg": alg, "token": token.reveal(), "key": key});
            return vec![question(issue(None)), question(issue(Some(HOUR)))];
        }
        let token = tokens::issue_zone(&self.ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
        let pem = tokens::public_half(self.key.reveal()).unwrap();
        let jwk = jwk_set(&self.ring, |family| *family == Family::Zone)["keys"][0].clone();
        vec![
            json!({"alg": alg, "token": token.reveal(), "key": {"pem": pem}}),
            json!({"alg": alg, "token": token.reveal(), "jwk": jwk}),
        ]
    }

    /// What others shall sign.
    fn to_sign(&self) -> Value {
        match self.key.pem() {
            None => json!({
                "alg": self.algorithm(),
                "key": {"bytes": STANDARD.encode(self.key.reveal())},
                "claims": {"Zone": "west", "TokenSerialNumber": 1},
            }),
            Some(pem) => json!({
                "alg": self.algorithm(),
                "kid": "1",
                "key": {"pem": pem},
                "claims": {"Zone": "west", "Scope": ["cp"], "exp": NOW + 3600},
            }),
        }
    }
}

fn check(peer: &Peer) {
    if !peer.is_here() {
        return;
    }
    let keys = Algorithm::ALL.map(held);
    let to_verify: Vec<Value> = keys.iter().flat_map(Held::to_verify).collect();
    let to_sign: Vec<Value> = keys.iter().map(Held::to_sign).collect();
    let answer = peer.ask(&json!({"verify": to_verify, "sign": to_sign}));

    let verified = answer["verified"].as_array().unwrap();
    assert_eq!(verified.len(), to_verify.len());
    for (claims, asked) in verified.iter().zip(&to_verify) {
        let expected: Value = serde_json::from_str(&decoded(asked["token"].as_str().unwrap()).1).unwrap();
        assert_eq!(claims, &expected, "{}", asked["alg"]);
        assert_eq!(claims["Zone"], "west");
    }
    let signed = answer["signed"].as_array().unwrap();
    assert_eq!(signed.len(), keys.len());
    for (token, held) in signed.iter().zip(&keys) {
        let verified = verify(token.as_str().unwrap(), &held.ring).unwrap();
        assert_eq!((verified.algorithm(), verified.zone()), (held.key.algorithm(), &west()));
    }
}

#[test]
fn pyjwt_takes_what_we_issue_and_signs_what_we_take() {
    check(&PYJWT);
}

#[test]
fn jsonwebtoken_takes_what_we_issue_and_signs_what_we_take() {
    check(&JSONWEBTOKEN);
}
