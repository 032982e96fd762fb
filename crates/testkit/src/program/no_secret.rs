//! Looks for secrets in what programs log.

/// Panics if a log holds what only secrets begin with: a token, a PEM key, or either of them in base64. Every log of
/// every program that a test starts is checked.
pub(super) fn no_secret_in(log: &str) {
    for mark in ["eyJ", "ZXlK", "-----BEGIN", "LS0tLS1CRUdJ", "MIIEo", "MIIEp"] {
        let found = log.match_indices(mark).any(|(at, _)| mark.starts_with('-') || log.get(at..).is_some_and(is_long));
        assert!(!found, "a log line holds a secret ({mark}…):\n{log}");
    }
}

/// The name of a temporary folder may begin like a token, and is over soon.
fn is_long(text: &str) -> bool {
    let of_base64 = |letter: &char| letter.is_ascii_alphanumeric() || "+-_".contains(*letter);
    text.chars().take_while(of_base64).count() >= 16
}

#[cfg(test)]
mod tests {
    use super::no_secret_in;

    #[test]
    fn names_and_numbers_of_keys_are_no_secrets() {
        no_secret_in(
            r#"INFO kds.auth {"tokenSerialNumber": 1, "zone": "west", "key": "control-plane-signing-key-0001"}"#,
        );
    }

    #[test]
    fn a_folder_whose_name_begins_like_a_token_is_no_secret() {
        no_secret_in(r#"INFO tls.leaf {"root": "/tmp/.tmpbeyJkt/second/kuma-cp.crt"}"#);
    }

    #[test]
    #[should_panic(expected = "a log line holds a secret")]
    fn a_token_in_a_log_is_found() {
        no_secret_in(r#"WARN kds.auth {"authorization": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}"#);
    }

    #[test]
    #[should_panic(expected = "a log line holds a secret")]
    fn a_key_in_a_log_is_found() {
        no_secret_in("DEBUG store -----BEGIN RSA PRIVATE KEY-----");
    }
}
