//! What is no token is refused, with the words that peers know.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokens::{Accept, Rejection};

use crate::fixture::*;

/// The example of the documentation of control plane tokens, and one of a peer's tests: signed with keys nobody has.
const DOCUMENTED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJab25lIjoid2VzdCIsIlRva2VuU2VyaWFsTnVtYmVyIjoxfQ";

fn check(raw: &str, reason: &str, text: &str) {
    let rejection = verify(raw, &ring(&usual())).unwrap_err();
    assert_eq!(rejection.reason(), reason, "{raw}: {rejection}");
    assert_eq!(rejection.to_string(), format!("invalid zone token: {text}"), "{raw}");
}

/// Checks a header over a good payload, signed with the right key.
fn check_header(header: &str, reason: &str, text: &str) {
    check(&forge(header, &payload(""), &By::Rs256(pem(1))), reason, text);
}

const NO_JSON: &str = "could not parse token: token is malformed: payload is not a JSON object with unique members";
const NO_HEADER: &str = "could not parse token: token is malformed: header is not a JSON object with unique members";
const NO_BASE64: &str = "could not parse token: token is malformed: illegal base64url data";
const NO_ALG: &str = "could not parse token: token is unverifiable: signing method (alg) is unspecified";

#[test]
fn a_token_has_three_segments() {
    let text = "could not parse token: token is malformed: token contains an invalid number of segments";
    for bad in ["x", "a.b", "a.b.c.d", DOCUMENTED, "Bearer"] {
        check(bad, "malformed", text);
    }
    assert_eq!(verify("", &ring(&usual())).unwrap_err(), Rejection::Missing);
}

#[test]
fn only_base64url_without_padding_is_read() {
    let good = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    assert!(verify(&good, &ring(&usual())).is_ok());
    for bad in [
        format!("{good}="),
        format!("{good}=="),
        format!("{good}\n"),
        format!("{good}\r\n"),
        format!(" {good}"),
        format!("Bearer {good}"),
        good.replacen('.', "=.", 1),
        good.replacen('.', "\n.", 1),
        good.replace('-', "+").replace('_', "/"),
        "..".to_owned(),
    ] {
        let rejection = verify(&bad, &ring(&usual())).unwrap_err();
        assert_eq!(rejection.reason(), "malformed", "{bad}");
    }
    check(&format!("{good}\n"), "malformed", NO_BASE64);
}

#[test]
fn algorithm_is_that_of_the_key() {
    let header = |alg: &str| format!(r#"{{"alg":"{alg}","kid":"1","typ":"JWT"}}"#);
    let text = |alg: &str| format!("unsupported token alg {alg}. Allowed algorithm is RS256");
    let public = tokens::public_half(pem(1).as_bytes()).unwrap();
    for (alg, by) in [
        ("none", By::Nothing),
        ("None", By::Nothing),
        ("HS256", By::Hmac(public.as_bytes())),
        ("HS256", By::Hmac(pem(1).as_bytes())),
        ("HS256", By::Hmac(pem(0).as_bytes())),
        ("PS256", By::Ps256(pem(1))),
        ("RS512", By::Rs512(pem(1))),
        ("rs256", By::Rs256(pem(1))),
        ("ES256", By::Rs256(pem(1))),
    ] {
        check(&forge(&header(alg), &payload(""), &by), "malformed", &text(alg));
    }
    for by in [By::Ps256(pem(1)), By::Rs512(pem(1)), By::Hmac(pem(1).as_bytes()), By::Nothing] {
        let text = "could not parse token: token signature is invalid";
        check(&forge(RS256, &payload(""), &by), "bad-signature", text);
    }
}

#[test]
fn an_algorithm_is_a_word_of_16_letters_at_most() {
    let longest = "A".repeat(16);
    check_header(
        &RS256.replace("RS256", &longest),
        "malformed",
        &format!("unsupported token alg {longest}. Allowed algorithm is RS256"),
    );
    for bad in ["A".repeat(17), "RS256 ".to_owned(), "RS\\u00e9256".to_owned()] {
        check_header(&RS256.replace("RS256", &bad), "malformed", NO_ALG);
    }
}

#[test]
fn tokens_without_kid_are_hs256() {
    let payload = r#"{"Zone":"west","TokenSerialNumber":1}"#;
    let by = By::Hmac(pem(0).as_bytes());
    assert!(verify(&forge(HS256, payload, &by), &ring(&usual())).is_ok());
    let none = forge(r#"{"alg":"none","typ":"JWT"}"#, payload, &By::Nothing);
    check(&none, "malformed", "unsupported token alg none. Allowed algorithm is HS256");
    let rs256 = forge(r#"{"alg":"RS256","typ":"JWT"}"#, payload, &By::Rs256(pem(0)));
    check(&rs256, "malformed", "JWT token must have kid header");
    let text = "could not parse token: token has invalid claims: TokenSerialNumber must be the serial number of a \
                signing key";
    for bad in ["-1", "1.0", "\"1\"", "null", "1e0", "18446744073709551616", "[1]"] {
        check(&forge(HS256, &payload.replace(":1}", &format!(":{bad}}}")), &by), "malformed", text);
    }
    check(&forge(HS256, r#"{"Zone":"west"}"#, &by), "malformed", text);
    let text = "could not parse token: token signature is invalid";
    check(&forge(HS256, payload, &By::Hmac(pem(1).as_bytes())), "bad-signature", text);
    check(&forge(HS256, payload, &By::Nothing), "bad-signature", text);
    // The public half of the key is not the key.
    let public = tokens::public_half(pem(0).as_bytes()).unwrap();
    check(&forge(HS256, payload, &By::Hmac(public.as_bytes())), "bad-signature", text);
    check(&forge(HS256, payload, &By::Hmac(b"")), "bad-signature", text);
}

#[test]
fn kid_is_a_short_string() {
    let header = |kid: &str| format!(r#"{{"alg":"RS256","kid":{kid},"typ":"JWT"}}"#);
    for bad in ["1", "[\"1\"]", "null", "{}", "true"] {
        check_header(&header(bad), "malformed", "JWT token kid header must be a string");
    }
    let text = "JWT token kid header must be at most 64 letters, digits, dots, dashes and underscores";
    for bad in ["../1", "1\\n", "1 ", "%31", "é", &"1".repeat(65), &"1".repeat(4096)] {
        check_header(&header(&format!("\"{bad}\"")), "malformed", text);
    }
    check_header(&header("\"\""), "malformed", "JWT token must have kid header");
    for unknown in ["-1", "1.", "0x1", "1e0", &"9".repeat(64), "zone-token-signing-key-1", ".."] {
        let token = forge(&header(&format!("\"{unknown}\"")), &payload(""), &By::Rs256(pem(1)));
        assert_eq!(verify(&token, &ring(&usual())).unwrap_err().reason(), "unknown-key", "{unknown}");
    }
}

#[test]
fn kid_that_is_not_there_refuses_a_zone_token() {
    let token = forge(r#"{"alg":"RS256","typ":"JWT"}"#, &payload(""), &By::Rs256(pem(1)));
    for accept in [Accept::CpToken, Accept::ZoneToken] {
        let rejection = tokens::verify(&token, &ring(&usual()), now(), &want(accept)).unwrap_err();
        assert_eq!(rejection.to_string(), "invalid zone token: JWT token must have kid header");
    }
}

#[test]
fn headers_that_must_be_understood_are_refused() {
    let text = "could not parse token: token is malformed: crit header is not supported";
    for crit in [r#"["exp"]"#, "[]", "null", r#"["b64"]"#] {
        check_header(&RS256.replace('}', &format!(",\"crit\":{crit}}}")), "malformed", text);
    }
}

#[test]
fn headers_that_need_not_be_understood_are_passed_over() {
    let header = RS256.replace('}', r#","jku":"https://example.com","jwk":{},"x5u":"","x5c":[]}"#);
    assert!(verify(&forge(&header, &payload(""), &By::Rs256(pem(1))), &ring(&usual())).is_ok());
    let header = RS256.replace("JWT", "dpop+jwt");
    assert!(verify(&forge(&header, &payload(""), &By::Rs256(pem(1))), &ring(&usual())).is_ok());
}

#[test]
fn members_stand_once() {
    check_header(&RS256.replace('}', r#","kid":"1"}"#), "malformed", NO_HEADER);
    check_header(&RS256.replace('}', r#","alg":"RS256"}"#), "malformed", NO_HEADER);
    for more in [r#","Zone":"west""#, r#","Zone":"east""#, r#","\u005aone":"west""#, r#","x":{"a":1,"a":1}"#] {
        check(&forge(RS256, &payload(more), &By::Rs256(pem(1))), "malformed", NO_JSON);
    }
}

#[test]
fn header_and_payload_are_objects() {
    for bad in ["", "null", "[]", "1", "\"x\"", "{", "{}{}", "\u{feff}{}"] {
        check_header(bad, "malformed", NO_HEADER);
        check(&forge(RS256, bad, &By::Rs256(pem(1))), "malformed", NO_JSON);
    }
    check_header("{}", "malformed", NO_ALG);
    check_header(r#"{"alg":null,"kid":"1"}"#, "malformed", NO_ALG);
    check_header(r#"{"alg":"","kid":"1"}"#, "malformed", NO_ALG);
    check_header(r#"{"alg":"a\u0000b","kid":"1"}"#, "malformed", NO_ALG);
}

#[test]
fn long_tokens_are_not_looked_at() {
    let token = forge(RS256, &payload(&format!(r#","x":"{}""#, "x".repeat(8000))), &By::Rs256(pem(1)));
    check(&token, "malformed", "could not parse token: token is malformed: token is longer than 8 KiB");
    let of_length = |filler: usize| {
        let token = forge(RS256, &payload(&format!(r#","x":"{}""#, "x".repeat(filler))), &By::Rs256(pem(1)));
        (token.len(), verify(&token, &ring(&usual())).is_ok())
    };
    let around: Vec<(usize, bool)> = (5750..5850).map(of_length).collect();
    assert!(around.iter().all(|(length, is_read)| *is_read == (*length <= 8192)));
    assert!(around.contains(&(8192, true)) && around.contains(&(8193, false)), "both sides were tried");
}

#[test]
fn published_examples_are_refused() {
    let digest = [0x90, 0x8a, 0xd2, 0xe5];
    let signature = URL_SAFE_NO_PAD.encode([&digest[..], &[0; 28]].concat());
    assert_eq!(decoded(&format!("{DOCUMENTED}.{signature}")).1, r#"{"Zone":"west","TokenSerialNumber":1}"#);
    let text = "could not parse token: token signature is invalid";
    check(&format!("{DOCUMENTED}.{signature}"), "bad-signature", text);
    let remote = forge(HS256, r#"{"Zone":"remote-1","TokenSerialNumber":1}"#, &By::Hmac(&[1; 32]));
    check(&remote, "bad-signature", text);
    let no_keys = verify(&remote, &tokens::KeyRing::empty()).unwrap_err();
    assert_eq!(no_keys.reason(), "unknown-key");
}
