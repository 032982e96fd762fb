//! How the ends of KDS find and prove each other: addresses, names and tokens.

use std::path::PathBuf;

use super::{bad, good};

#[test]
fn a_token_and_plain_text_do_not_go_together() {
    for name in ["KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH"] {
        bad("", &[(name, "/t"), ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpc://g:5685")], &["Use grpcs scheme"]);
    }
    good("", &[("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpc://g:5685")]);
}

#[test]
fn the_token_file_wins_over_the_token_with_one_line() {
    let (config, remarks) = good(
        "",
        &[
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", "inline"),
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", "/path"),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpcs://g:1"),
        ],
    );
    assert!(config.zone.token_inline.is_none());
    assert_eq!(config.zone.token_path, Some(PathBuf::from("/path")));
    assert_eq!(remarks.len(), 1);
}

#[test]
fn a_global_may_be_at_an_address_of_either_family() {
    for (text, host, port) in [
        ("grpcs://[::1]:5685", "::1", 5685),
        ("grpcs://[::1]:443", "::1", 443),
        ("grpcs://[2001:db8::7]", "2001:db8::7", 5685),
        ("grpcs://127.0.0.1:80", "127.0.0.1", 80),
    ] {
        let (config, _) = good("", &[("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", text)]);
        let (found, _) = config.global_addresses.first().unwrap();
        assert_eq!((found.host.as_str(), found.port), (host, port), "{text}");
    }
}

#[test]
fn a_certificate_has_names_and_addresses_and_nothing_else() {
    const NAMES: &str = "KUMA_MULTIZONE_GLOBAL_KDS_TLS_NAMES";
    let (config, _) = good("", &[(NAMES, "global.example.com, 192.0.2.7,2001:db8::7")]);
    assert_eq!(config.global.tls_names, ["global.example.com", "192.0.2.7", "2001:db8::7"]);
    for odd in ["https://global", "global:5685", "a b", "[::1]"] {
        bad("", &[(NAMES, &format!("good.example.com,{odd}"))], &[odd, "tlsNames", "no host name"]);
    }
}

#[test]
fn a_global_may_be_at_several_addresses() {
    const ADDRESS: &str = "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS";
    let environment = [
        (ADDRESS, "grpcs://a:5685, grpcs://b,grpcs://10.0.0.3:443"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("NO_PROXY", "b"),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", "/etc/token"),
    ];
    let (config, _) = good("", &environment);
    let found: Vec<_> = config
        .global_addresses
        .iter()
        .map(|(address, proxy)| (address.host.as_str(), address.port, proxy.as_ref().map(ToString::to_string)))
        .collect();
    let proxy = || Some("http://proxy:3128".to_owned());
    assert_eq!(found, [("a", 5685, proxy()), ("b", 5685, None), ("10.0.0.3", 443, proxy())]);
    for mode in ["zone", "connector"] {
        bad("", &[("KUMA_MODE", mode), (ADDRESS, "grpcs://a,grpc://b")], &["all of them or none", "globalAddress"]);
        bad("", &[("KUMA_MODE", mode), (ADDRESS, "grpcs://a,b")], &["must begin with"]);
        bad("", &[("KUMA_MODE", mode), (ADDRESS, " , ")], &["names nothing"]);
    }
    let token = ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", "/etc/token");
    bad("", &[(ADDRESS, "grpc://a,grpc://b"), token], &["plain text"]);
}

#[test]
fn a_root_file_that_cannot_be_used_is_refused_with_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, wrong: &str| {
        let path = folder.path().join(name);
        let file = ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", path.to_str().unwrap());
        bad("", &[("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpcs://g:5685"), file], &[wrong]);
    };
    refused("gone", "the file cannot be read: No such file or directory");
    std::fs::write(folder.path().join("key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    refused("key", "the file holds no certificate in PEM");
}
