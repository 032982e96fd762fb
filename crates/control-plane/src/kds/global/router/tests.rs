//! What the headers of an RPC say (contract: kds 3.1 and 3.2).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

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
    let map = |headers: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    };
    assert_eq!(features(&map(&headers)), Features::NONE);
    let twice = [("features", "zone-ping-health"), ("features", "hash-suffix")];
    assert_eq!(features(&map(&twice)), Features::PING_HEALTH | Features::HASH_SUFFIX);
}
