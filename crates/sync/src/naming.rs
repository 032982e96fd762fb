//! The hash suffix that keeps names of several control planes apart (contract: kds 7.1).

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
    let mut end = display_name.len().min(LONGEST);
    while !display_name.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = display_name.get(..end).unwrap_or_default().to_owned();
    name.push('-');
    name.extend(format!("{hash:016x}").bytes().map(letter));
    name
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
    fn a_long_name_is_cut_between_characters() {
        let name = format!("{}ü", "a".repeat(235));
        assert!(hashed_name("", &name, None, None).starts_with(&"a".repeat(235)));
    }
}
