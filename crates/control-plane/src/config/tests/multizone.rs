//! Where a zone finds its global, and by which names a global is found.

use super::{bad, good};

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
