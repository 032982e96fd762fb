//! The hash suffix that keeps names of several control planes apart (contract: kds 7.1).

use model::{labels, text};

use crate::{message::Received, wire_name::WireName};

/// The longest display name that fits beside the suffix: 253 less a dash and 16 characters.
const LONGEST: usize = 236;
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Returns the name under which a resource travels. `zone` and `namespace` count only if the labels exist.
pub fn hashed_name(mesh: &str, display_name: &str, zone: Option<&str>, namespace: Option<&str>) -> String {
    let parts = [Some(mesh), Some(display_name), zone, namespace];
    let hash = parts
        .into_iter()
        .flatten()
        .flat_map(str::bytes)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut name = text::first_bytes(display_name, LONGEST).to_owned();
    name.push('-');
    name.extend(format!("{hash:016x}").bytes().map(letter));
    name
}

/// Whether a name that a zone gave carries a hash, and not the one that this zone gives: then it is, or may become, that of
/// a resource of another zone. Real zones hash all names (contract: kds 7.3).
pub fn is_name_of_another(received: &Received, zone: &str) -> bool {
    let WireName { mesh, name } = &received.name;
    let hashed = name
        .rsplit_once('-')
        .is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|letter| ALPHABET.contains(&letter)));
    let label = |key: &str| received.labels.get(key).map(String::as_str);
    let display = label(labels::DISPLAY_NAME).filter(|display| !display.is_empty()).unwrap_or(name);
    hashed && *name != hashed_name(mesh, display, Some(zone), label(labels::NAMESPACE))
}

/// The zones whose names hash as `zone` with this namespace behind it: the hash knows no end of a part, so zone `a-1` with
/// namespace `0` gives the names of zone `a-10`.
pub fn zones_of_the_same_hash<'a>(zone: &'a str, namespace: &'a str) -> impl Iterator<Item = String> + 'a {
    let ends = namespace.char_indices().map(|(at, char)| at + char.len_utf8());
    ends.filter_map(move |end| Some(format!("{zone}{}", namespace.get(..end)?)))
}

/// Maps a hexadecimal digit to a letter that cannot make words.
fn letter(digit: u8) -> char {
    let index = usize::from(digit) % ALPHABET.len();
    char::from(ALPHABET.get(index).copied().unwrap_or(b'b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mesh: &str, name: &str, more: &[&str], expected: &str) {
        assert_eq!(hashed_name(mesh, name, more.first().copied(), more.get(1).copied()), expected);
    }

    #[test]
    fn names_are_the_recorded_ones() {
        check("", "foo", &[], "foo-zxw6c95d42zfz9cc");
        check("", "foo", &["zone-1", "custom-ns"], "foo-696vzv497z4cv4f4");
        check("default", "redis-zone-1", &["zone-1"], "redis-zone-1-2v6wfvvcvbc9f55d");
        check("default", "redis-zone-2", &["zone-2"], "redis-zone-2-ff29vc4685c6f594");
        check("default", "default-timeout-zone-1", &["zone-1"], "default-timeout-zone-1-c58w24w4vw27f454");
        check("default", "default-timeout-global", &[], "default-timeout-global-54dbd4c66zwbcf9c");
        check("", "dpi-1", &["zone"], "dpi-1-bx2dwzbd24fxv29x");
        check("default", "backend", &["zone-1"], "backend-d8466458x7574b7b");
        check("default", "mt-1", &[], "mt-1-xz8287465c2624wz");
        check("default", "prodn", &["zone-1", "ns1"], "prodn-49wz785f4cvbbbx4");
        check("", &"a".repeat(300), &[], &format!("{}-22cc5c2wvcv5c265", "a".repeat(236)));
    }

    #[test]
    fn a_zone_gives_no_name_of_another() {
        let check = |name: &str, labels: &[(&str, &str)], expected: bool| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let name = WireName { mesh: "default".to_owned(), name: name.to_owned() };
            let received = Received { name, labels, spec: bytes::Bytes::new(), status: None };
            assert_eq!(is_name_of_another(&received, "zone-1"), expected, "{:?}", received.name);
        };
        let display = |name| ("kuma.io/display-name", name);
        check("redis-zone-1-2v6wfvvcvbc9f55d", &[display("redis-zone-1")], false);
        check("redis-zone-2-ff29vc4685c6f594", &[display("redis-zone-2")], true);
        check("redis-zone-2-ff29vc4685c6f594", &[display("redis-zone-2"), ("kuma.io/zone", "zone-2")], true);
        check("redis-zone-2-ff29vc4685c6f594", &[], true);
        check("prodn-49wz785f4cvbbbx4", &[display("prodn"), ("k8s.kuma.io/namespace", "ns1")], false);
        check("prodn-49wz785f4cvbbbx4", &[display("prodn"), ("k8s.kuma.io/namespace", "ns2")], true);
        check("plain", &[], false);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = format!("{}ü", "a".repeat(235));
        assert!(hashed_name("", &name, None, None).starts_with(&"a".repeat(235)));
    }

    #[test]
    fn a_namespace_may_stand_for_the_rest_of_another_zone() {
        assert_eq!(
            hashed_name("default", "payments", Some("zone-1"), Some("0")),
            hashed_name("default", "payments", Some("zone-10"), None)
        );
        let zones: Vec<_> = zones_of_the_same_hash("zone-1", "0-a").collect();
        assert_eq!(zones, ["zone-10", "zone-10-", "zone-10-a"]);
    }
}
