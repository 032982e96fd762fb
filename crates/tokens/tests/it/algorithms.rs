//! The algorithm is that of the key: what a header says is compared with it, and never believed.

use std::sync::OnceLock;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use tokens::{Accept, Algorithm, Claims, IssueError, KeyRing, Rejection, Scope, SecretEntry, SigningKey, generate_key};

use crate::fixture::*;

const ASYMMETRIC: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// One key for each algorithm, made once.
fn key(algorithm: Algorithm) -> &'static [u8] {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| Algorithm::ALL.into_iter().map(generate_key).collect());
    keys.iter().find(|key| key.algorithm() == algorithm).unwrap().reveal()
}

fn public(algorithm: Algorithm) -> String {
    tokens::public_half(key(algorithm)).unwrap()
}

fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    STANDARD.decode(text.lines().filter(|line| !line.starts_with("-----")).collect::<String>()).unwrap()
}

fn sign_es256(form: &'static EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
    let pair = EcdsaKeyPair::from_pkcs8(form, &der(key(Algorithm::Es256))).unwrap();
    pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

/// Signs without the code under test.
fn sign(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Hs256 => hs256(key(algorithm), message),
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::from_der(&der(key(algorithm))).unwrap();
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        }
        Algorithm::Es256 => sign_es256(&ECDSA_P256_SHA256_FIXED_SIGNING, message),
        Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(&der(key(algorithm))).unwrap().sign(message).as_ref().to_vec(),
    }
}

fn hs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn token(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn header(algorithm: &str) -> String {
    format!(r#"{{"alg":"{algorithm}","kid":"1","typ":"JWT"}}"#)
}

fn ring_of(name: &str, data: &[u8]) -> KeyRing {
    let mesh = if name.starts_with("dataplane") { "default" } else { "" };
    let (ring, problems) = KeyRing::build(1, &[SecretEntry { mesh, name, data: Some(data) }]);
    assert_eq!(problems, []);
    ring
}

#[test]
fn what_is_issued_is_verified_in_every_algorithm() {
    for algorithm in ASYMMETRIC {
        let ring = ring_of("zone-token-signing-key-1", key(algorithm));
        let token = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
        assert_eq!(token.algorithm(), algorithm);
        assert_eq!(decoded(token.reveal()).0, header(algorithm.as_str()));
        let verified = verify(token.reveal(), &ring).unwrap();
        assert_eq!((verified.algorithm(), verified.key().serial), (algorithm, 1));
        // The public half alone verifies the same.
        let public_ring = ring_of("zone-token-signing-public-key-1", public(algorithm).as_bytes());
        assert_eq!(verify(token.reveal(), &public_ring).unwrap().algorithm(), algorithm);
        assert!(verified.still_good(&public_ring, now(), LEEWAY).is_ok());

        let ring = ring_of("user-token-signing-key-1", key(algorithm));
        let token = tokens::issue_user(&ring, "john", None, HOUR, now(), jti()).unwrap();
        let verified = tokens::verify_user(token.reveal(), &ring, now(), LEEWAY).unwrap();
        assert_eq!((verified.name(), verified.algorithm()), ("john", algorithm));

        let ring = ring_of("dataplane-token-signing-key-default-1", key(algorithm));
        let tags = std::collections::BTreeMap::new();
        let claims = Claims::Dataplane { name: "dp-1", mesh: "default", tags: &tags, proxy_type: "", workload: "" };
        assert_eq!(tokens::issue(&ring, &claims, HOUR, now(), jti()).unwrap().algorithm(), algorithm);
    }
}

#[test]
fn what_is_signed_offline_is_verified_in_every_algorithm() {
    let (zone, scope) = (west(), [Scope::Cp]);
    let claims = Claims::Zone { zone: &zone, scope: Some(&scope) };
    let sign = |key: &[u8]| tokens::sign_offline(key, "1", &claims, HOUR, now(), jti());
    for algorithm in ASYMMETRIC {
        let ring = ring_of("zone-token-signing-key-1", key(algorithm));
        assert_eq!(verify(&sign(key(algorithm)).unwrap(), &ring).unwrap().algorithm(), algorithm);
    }
    // Bytes sign control plane tokens only, which have no `kid`.
    assert!(matches!(sign(key(Algorithm::Hs256)), Err(IssueError::BadKeyFile { .. })));
}

#[test]
fn what_others_sign_is_verified() {
    for algorithm in ASYMMETRIC {
        let ring = ring_of("zone-token-signing-key-1", key(algorithm));
        let raw = token(&header(algorithm.as_str()), &payload(""), |message| sign(algorithm, message));
        assert!(verify(&raw, &ring).is_ok(), "{algorithm}");
        let other = token(&header(algorithm.as_str()), &payload(r#","x":1"#), |_| sign(algorithm, b"other"));
        assert_eq!(verify(&other, &ring).unwrap_err().reason(), "bad-signature", "{algorithm}");
    }
}

/// Every algorithm in the header, every way to sign, on every key.
#[test]
fn no_header_changes_how_a_signature_is_checked() {
    for of_key in ASYMMETRIC {
        let ring = ring_of("zone-token-signing-key-1", key(of_key));
        for said in Algorithm::ALL {
            for by in Algorithm::ALL {
                let raw = token(&header(said.as_str()), &payload(""), |message| sign(by, message));
                let verdict = verify(&raw, &ring).map(|_| ()).map_err(|rejection| rejection.to_string());
                let expected = if said != of_key {
                    Err(format!("invalid zone token: unsupported token alg {said}. Allowed algorithm is {of_key}"))
                } else if by != of_key {
                    Err("invalid zone token: could not parse token: token signature is invalid".to_owned())
                } else {
                    Ok(())
                };
                assert_eq!(verdict, expected, "key {of_key}, header {said}, signed {by}");
            }
        }
    }
}

/// Everybody has the public half, in more than one form: none of them is the key of an HMAC.
#[test]
fn a_public_key_is_never_the_key_of_an_hmac() {
    for of_key in ASYMMETRIC {
        let ring = ring_of("zone-token-signing-key-1", key(of_key));
        let pem = public(of_key);
        let der = der(pem.as_bytes());
        for bytes in [pem.as_bytes(), pem.trim_end().as_bytes(), &der, &der[der.len() - 32..], &[]] {
            for said in ["HS256", of_key.as_str()] {
                let raw = token(&header(said), &payload(""), |message| hs256(bytes, message));
                assert!(verify(&raw, &ring).is_err(), "{of_key} {said}");
            }
            let no_kid = r#"{"alg":"HS256","typ":"JWT"}"#;
            let serial = payload(r#","TokenSerialNumber":1"#);
            let raw = token(no_kid, &serial, |message| hs256(bytes, message));
            assert_eq!(verify(&raw, &ring).unwrap_err().reason(), "unknown-key", "{of_key}");
        }
    }
}

/// A control plane key that is an RSA key in PEM has two algorithms, and which one counts is not the header's to say either.
#[test]
fn a_control_plane_key_verifies_hs256_without_kid_and_rs256_with_one() {
    let key = key(Algorithm::Rs256);
    let ring = ring_of("control-plane-signing-key-0001", key);
    let claims = format!(r#"{{"Zone":"west","TokenSerialNumber":1,"exp":{}}}"#, NOW + 3600);
    let hmac = |message: &[u8]| hs256(key, message);
    let rsa = |message: &[u8]| sign(Algorithm::Rs256, message);
    let check = |raw: &str, expected: Result<Algorithm, &str>| {
        let verdict = verify(raw, &ring).map(|zone| zone.algorithm()).map_err(|rejection| rejection.reason());
        assert_eq!(verdict, expected, "{raw}");
    };
    check(&token(r#"{"alg":"HS256"}"#, &claims, hmac), Ok(Algorithm::Hs256));
    check(&token(&header("RS256"), &claims, rsa), Ok(Algorithm::Rs256));
    check(&token(&header("HS256"), &claims, hmac), Err("malformed"));
    check(&token(&header("RS256"), &claims, hmac), Err("bad-signature"));
    for said in ["RS256", "ES256", "EdDSA"] {
        check(&token(&format!(r#"{{"alg":"{said}"}}"#), &claims, rsa), Err("malformed"));
    }
    check(&token(r#"{"alg":"HS256"}"#, &claims, rsa), Err("bad-signature"));
}

/// One without a scope may be of either family: what is said is of the key that knows most.
#[test]
fn the_key_that_knows_most_says_why() {
    let zone_key = ("zone-token-signing-key-1", key(Algorithm::Es256));
    let control_plane_key = ("control-plane-signing-key-0001", key(Algorithm::Rs256));
    let check = |keys: &[(&str, &[u8])], said: &str, expected: &str| {
        let entries: Vec<SecretEntry<'_>> =
            keys.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) }).collect();
        let raw = token(&header(said), r#"{"Zone":"west"}"#, |_| vec![1; 64]);
        let rejection = verify(&raw, &KeyRing::build(1, &entries).0).unwrap_err();
        assert_eq!(rejection.to_string(), format!("invalid zone token: {expected}"), "{said}");
    };
    let bad_signature = "could not parse token: token signature is invalid";
    check(&[zone_key, control_plane_key], "ES256", bad_signature);
    check(&[zone_key, control_plane_key], "RS256", bad_signature);
    let other_algorithm = "unsupported token alg EdDSA. Allowed algorithm is";
    check(&[zone_key, control_plane_key], "EdDSA", &format!("{other_algorithm} ES256"));
    check(&[control_plane_key], "EdDSA", &format!("{other_algorithm} RS256"));
    let secret = r#"GlobalSecret of name "zone-token-signing-key-1""#;
    let unknown = format!(
        "there is no signing key with KID 1. {secret} is not found. If signing key was rotated, regenerate the token"
    );
    check(&[], "ES256", &unknown);
}

/// RFC 7518, 3.4: r and s with 32 bytes each, one after the other, and no other form of them.
#[test]
fn es256_signatures_have_64_bytes() {
    let ring = ring_of("zone-token-signing-key-1", key(Algorithm::Es256));
    let issued = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(issued.reveal().rsplit('.').next().unwrap()).unwrap();
    assert_eq!(signature.len(), 64);
    let check = |sign: &dyn Fn(&[u8]) -> Vec<u8>, what: &str| {
        let raw = token(&header("ES256"), &payload(""), sign);
        assert_eq!(verify(&raw, &ring).unwrap_err().reason(), "bad-signature", "{what}");
    };
    let fixed = |message: &[u8]| sign(Algorithm::Es256, message);
    check(&|message| sign_es256(&ECDSA_P256_SHA256_ASN1_SIGNING, message), "DER");
    check(&|message| fixed(message)[..63].to_vec(), "a byte less");
    check(&|message| [&fixed(message)[..], &[0]].concat(), "a byte more");
    check(&|message| [&[0][..], &fixed(message)[..32], &[0], &fixed(message)[32..]].concat(), "33 bytes each");
    check(&|_| vec![0; 64], "zeros (CVE-2022-21449)");
    check(&|_| Vec::new(), "nothing");
}

#[test]
fn a_key_that_became_another_one_ends_what_stood_on_it() {
    for (first, then) in [(Algorithm::Rs256, Algorithm::Es256), (Algorithm::Es256, Algorithm::EdDsa)] {
        let name = "zone-token-signing-key-1";
        let (before, after) = (ring_of(name, key(first)), ring_of(name, key(then)));
        let issued = tokens::issue_zone(&before, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
        let verified = verify(issued.reveal(), &before).unwrap();
        assert!(verified.still_good(&before, now(), LEEWAY).is_ok());
        // The key is there, and checks nothing that was signed in the other way.
        let refused = verified.still_good(&after, now(), LEEWAY).unwrap_err();
        assert_eq!(refused, verify(issued.reveal(), &after).unwrap_err());
        assert_eq!(refused, Rejection::UnsupportedAlgorithm { found: first.to_string(), allowed: then.as_str() });
    }
}

#[test]
fn tokens_of_every_algorithm_need_an_end() {
    for algorithm in ASYMMETRIC {
        let ring = ring_of("zone-token-signing-key-1", key(algorithm));
        let claims = r#"{"Zone":"west","Scope":["cp"]}"#;
        let raw = token(&header(algorithm.as_str()), claims, |message| sign(algorithm, message));
        let rejection = tokens::verify(&raw, &ring, now(), &want(Accept::ZoneToken)).unwrap_err();
        assert!(rejection.to_string().ends_with("exp claim is required"), "{algorithm}: {rejection}");
    }
}
