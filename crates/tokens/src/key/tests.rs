//! What is a key, and for which algorithm.

use super::*;
use crate::{generate_key, generate_signing_key, pem, public_half};

fn check(name: &str, data: &[u8], expected: Result<(), KeyProblem>) {
    let mesh = if name.starts_with("dataplane") { "default" } else { "" };
    assert_eq!((name, check_key(mesh, name, data)), (name, expected));
}

#[test]
fn a_made_key_fits_every_family() {
    let key = generate_signing_key();
    let der = pem::decode(key.reveal().as_bytes()).unwrap().der;
    for name in [
        "control-plane-signing-key-0001",
        "zone-token-signing-key-1",
        "user-token-signing-key-1",
        "dataplane-token-signing-key-default-1",
    ] {
        check(name, key.reveal().as_bytes(), Ok(()));
        check(name, &der, Ok(()));
    }
    check("zone-token-signing-public-key-1", public_half(&der).unwrap().as_bytes(), Ok(()));
    check("anything-else", b"", Ok(()));
}

#[test]
fn control_plane_keys_need_32_secret_bytes() {
    let name = "control-plane-signing-key-0001";
    check(name, b"", Err(KeyProblem::Empty));
    check(name, &[7; 31], Err(KeyProblem::TooShort { found: 31 }));
    check(name, b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=", Ok(()));
    check(name, &[7; 32], Err(KeyProblem::NotSecret { found: "bytes that repeat" }));
    let public = public_half(generate_signing_key().reveal().as_bytes()).unwrap();
    check(name, public.as_bytes(), Err(KeyProblem::NotSecret { found: "a public key" }));
}

#[test]
fn other_families_need_a_private_key() {
    let name = "zone-token-signing-key-1";
    let key = generate_signing_key();
    let der = pem::decode(key.reveal().as_bytes()).unwrap().der;
    check(name, b"", Err(KeyProblem::Empty));
    check(name, b"no key", Err(KeyProblem::NotPrivate));
    check(name, public_half(&der).unwrap().as_bytes(), Err(KeyProblem::NotPrivate));
    check(name, key.reveal().replace("RSA PRIVATE", "PRIVATE").as_bytes(), Err(KeyProblem::NotPrivate));
    let mut longer = der.to_vec();
    longer.push(0);
    check(name, &longer, Err(KeyProblem::NotPrivate));
    let mut broken = der.to_vec();
    broken[40] ^= 1;
    check(name, &broken, Err(KeyProblem::NotPrivate));
}

#[test]
fn pkcs1_is_what_its_label_says() {
    let key = generate_signing_key();
    assert!(PrivateKey::rsa_from_pem(key.reveal().as_bytes()).is_ok());
    let relabelled = key.reveal().replace("RSA PRIVATE", "PRIVATE");
    assert!(matches!(PrivateKey::rsa_from_pem(relabelled.as_bytes()), Err(KeyProblem::NotPrivate)));
}

/// Keys that OpenSSL wrote, each with the public half that it wrote.
const P256: (&str, &str) = (
    "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYqmOGdwf/qZ7vSnR
hmPLHZks/WW4+xm/Ci31GZXTbgChRANCAATsTqRHqJRicA4cytMV5oU+bFOeZap+
1H+Bwr9JXbwc0iw+wFqrrgO+l4cpPUlHQLvsHeG7tWEEQDwlao0ZUGRZ
-----END PRIVATE KEY-----
",
    "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7E6kR6iUYnAOHMrTFeaFPmxTnmWq
ftR/gcK/SV28HNIsPsBaq64DvpeHKT1JR0C77B3hu7VhBEA8JWqNGVBkWQ==
-----END PUBLIC KEY-----
",
);
const ED25519: (&str, &str) = (
    "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIID3p4eb6pe0+ezC9X4eEkIGO8MRvtlZAVExhBi7dMXL
-----END PRIVATE KEY-----
",
    "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA/BiE6MmAxjMSE7iHs0eOURkhx+lGBYDaCO688JJJFO8=
-----END PUBLIC KEY-----
",
);

fn verifies(data: &str) -> Algorithm {
    let name = KeyName::parse("", "zone-token-signing-key-1").unwrap();
    Key::parse(&name, data.as_bytes()).unwrap().public().unwrap().algorithm()
}

#[test]
fn the_key_says_its_algorithm() {
    assert_eq!(verifies(generate_signing_key().reveal()), Algorithm::Rs256);
    for ((private, public), algorithm) in [(P256, Algorithm::Es256), (ED25519, Algorithm::EdDsa)] {
        assert_eq!(verifies(private), algorithm);
        assert_eq!(public_half(private.as_bytes()).as_deref(), Ok(public));
        let name = "zone-token-signing-public-key-1";
        check(name, public.as_bytes(), Ok(()));
        let parsed = PublicKey::parse(public.as_bytes()).unwrap();
        assert_eq!((parsed.algorithm(), parsed.to_pem().as_str()), (algorithm, public));
        for family in ["zone-token-signing-key-1", "user-token-signing-key-1", "dataplane-token-signing-key-default-1"]
        {
            check(family, private.as_bytes(), Ok(()));
        }
        // As the bytes of a control plane key they would sign HS256, which nobody who has such a key means.
        let found = "PEM of something else";
        check("control-plane-signing-key-0001", private.as_bytes(), Err(KeyProblem::NotSecret { found }));
        // Without PEM nobody can tell the form.
        let der = pem::decode(private.as_bytes()).unwrap().der;
        check("zone-token-signing-key-1", &der, Err(KeyProblem::NotPrivate));
    }
}

#[test]
fn what_real_zones_verify_with_must_be_rsa() {
    let check = |mesh: &str, name: &str, data: &str, expected: bool| {
        assert_eq!((name, only_ours_read(mesh, name, data.as_bytes())), (name, expected));
    };
    let rsa = generate_signing_key();
    for (private, public) in [P256, ED25519] {
        check("", "zone-token-signing-key-2", private, true);
        check("", "zone-token-signing-public-key-2", public, true);
        check("default", "dataplane-token-signing-key-default-2", private, true);
        // Nobody in a zone verifies with these.
        check("", "user-token-signing-key-2", private, false);
        check("", "my-own-secret", private, false);
    }
    for (mesh, name) in [("", "zone-token-signing-key-1"), ("default", "dataplane-token-signing-key-default-1")] {
        check(mesh, name, rsa.reveal(), false);
        check(mesh, name, "no key", false);
    }
    check("", "control-plane-signing-key-0001", rsa.reveal(), false);
}

#[test]
fn keys_in_other_forms_are_named() {
    let check = |text: &str, expected: &str| {
        let problem = check_key("", "zone-token-signing-key-1", text.as_bytes()).unwrap_err().to_string();
        assert!(problem.starts_with(expected), "{problem}");
    };
    let with = |label: &str, der: &[u8]| pem::encode(label, der).to_string();
    check(&with("EC PRIVATE KEY", &[0x30, 0]), "an elliptic curve key as SEC 1 (`EC PRIVATE KEY`) is not read here");
    check(&with("ENCRYPTED PRIVATE KEY", &[0x30, 0]), "a key that is encrypted with a passphrase is not read here");
    // SEQUENCE { INTEGER 0, SEQUENCE { algorithm } }
    let pkcs8 = |algorithm: &[u8]| {
        let inner = [&[2, 1, 0, 0x30, u8::try_from(algorithm.len()).unwrap()], algorithm].concat();
        with("PRIVATE KEY", &[&[0x30, u8::try_from(inner.len()).unwrap()], &*inner].concat())
    };
    let rsa = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    check(&pkcs8(&rsa), "an RSA key as PKCS#8 (`PRIVATE KEY`) is not read here: RSA keys must be PKCS#1");
    let p384 = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    check(&pkcs8(&p384), "a key on another elliptic curve is not read here: P-256 and Ed25519 are");
    check(&pkcs8(&[0x06, 0x03, 0x2b, 0x65, 0x71]), "a key for another algorithm is not read here");
    // The right algorithm and no key in it.
    check(&pkcs8(&[0x06, 0x03, 0x2b, 0x65, 0x70]), "not a private key: RSA (PKCS#1");
    let p256 = [
        0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
        0x07,
    ];
    check(&pkcs8(&p256), "not a private key: RSA (PKCS#1");
    check(&with("PRIVATE KEY", &[0x30, 0, 0]), "not a private key: RSA (PKCS#1");
}

#[test]
fn halves_that_do_not_belong_together_are_no_key() {
    let other = generate_key(Algorithm::Es256);
    let (own, other) = (pem::decode(P256.0.as_bytes()).unwrap().der, pem::decode(other.reveal()).unwrap().der);
    // The last 64 bytes are the point.
    let mixed = [&own[..own.len() - 64], &other[other.len() - 64..]].concat();
    let mixed = pem::encode("PRIVATE KEY", &mixed);
    check("zone-token-signing-key-1", mixed.as_bytes(), Err(KeyProblem::NotPrivate));
    // The newer form of Ed25519 keys has the public half behind the seed (RFC 5958): version 1, and [1].
    let own = pem::decode(ED25519.0.as_bytes()).unwrap().der;
    let newer = |public: &[u8]| {
        let inner = [&[2, 1, 1], &own[5..], &[0x81, 0x21, 0], public].concat();
        pem::encode("PRIVATE KEY", &[&[0x30, u8::try_from(inner.len()).unwrap()], &*inner].concat())
    };
    let public = pem::decode(ED25519.1.as_bytes()).unwrap().der;
    check("zone-token-signing-key-1", newer(&public[12..]).as_bytes(), Ok(()));
    check("zone-token-signing-key-1", newer(&[7; 32]).as_bytes(), Err(KeyProblem::NotPrivate));
}

#[test]
fn public_halves_are_read_whole() {
    for (_, public) in [P256, ED25519] {
        let der = pem::decode(public.as_bytes()).unwrap().der;
        let mut longer = der.to_vec();
        longer.push(0);
        let mut shorter = der.to_vec();
        shorter.pop();
        for bad in [&longer, &shorter] {
            let bad = pem::encode("PUBLIC KEY", bad);
            check("zone-token-signing-public-key-1", bad.as_bytes(), Err(KeyProblem::NotPublic));
        }
        let wrong_label = pem::encode("RSA PUBLIC KEY", &der);
        check("zone-token-signing-public-key-1", wrong_label.as_bytes(), Err(KeyProblem::NotPublic));
        let private = pem::encode("PRIVATE KEY", &der);
        check("zone-token-signing-public-key-1", private.as_bytes(), Err(KeyProblem::NotPublic));
    }
    // Not a point of the curve.
    let mut off = pem::decode(P256.1.as_bytes()).unwrap().der.to_vec();
    *off.last_mut().unwrap() ^= 1;
    let off = pem::encode("PUBLIC KEY", &off);
    check("zone-token-signing-public-key-1", off.as_bytes(), Err(KeyProblem::NotPublic));
}

#[test]
fn small_rsa_keys_are_refused_by_size() {
    // SEQUENCE { INTEGER 0, INTEGER of 1024 bits }
    let mut small = vec![0x30, 0x81, 135, 2, 1, 0, 2, 0x81, 129, 0];
    small.extend([0xff; 128]);
    check("zone-token-signing-key-1", &small, Err(KeyProblem::Size { bits: 1024 }));
    // Its form says that it is to be an RSA key, and as one it is not taken.
    check("control-plane-signing-key-1", &small, Err(KeyProblem::NotSecret { found: "DER of something else" }));
}

#[test]
fn names_without_serial_are_refused() {
    let example = "zone-token-signing-key-2".to_owned();
    check("zone-token-signing-key-foo", b"", Err(KeyProblem::NoSerial { example }));
}

#[test]
fn lists_must_be_text() {
    check("zone-token-revocations", b"a, b\n", Ok(()));
    check("dataplane-token-revocations-default", b"\xff", Err(KeyProblem::UnreadableList));
}
