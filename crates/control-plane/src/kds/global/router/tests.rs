//! What the headers of an RPC say (contract: kds 3.1 and 3.2).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn features(headers: &[(&'static str, &str)]) -> HeaderFeatures {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    HeaderFeatures::of(&map)
}

#[test]
fn header_features_come_one_by_one_or_joined() {
    let both = HeaderFeatures { hash_suffix: true, ping_health: true, ..HeaderFeatures::default() };
    for headers in [
        &[("features", "zone-ping-health"), ("features", "hash-suffix")][..],
        &[("features", "zone-ping-health,hash-suffix")],
        &[("features", "hash-suffix , zone-ping-health"), ("features", "zone-token")],
    ] {
        assert_eq!(features(headers), both, "{headers:?}");
    }
    assert_eq!(features(&[("features", "hash-suffix")]), HeaderFeatures { ping_health: false, ..both });
    assert_eq!(features(&[]), HeaderFeatures::default());
    let ours = features(&[("features", "initial-resource-versions,hash-suffix,responses-in-parts")]);
    assert!(ours.initial_versions && ours.parts);
    let prefixed = features(&[("features", "initial-resource-versions,responses-in-parts")]);
    assert!(
        !prefixed.initial_versions && !prefixed.parts,
        "names with the zone in front are not the names that the zone knows"
    );
}

#[test]
fn no_other_header_is_a_feature() {
    let headers = [
        ("kds-version", "hash-suffix"),
        ("zone-version", "v3"),
        ("version", "2.9.0"),
        ("user-agent", "hash-suffix"),
        ("feature", "hash-suffix"),
        ("features", "hash"),
        ("features", "HASH-SUFFIX"),
        ("features", "hash-suffix;zone-ping-health"),
    ];
    assert_eq!(features(&headers), HeaderFeatures::default());
}
