//! `kumactl revoke token`: takes tokens back. Checked by the control plane, which knows the keys and the ledger.

use serde_json::{Map, Value};

use crate::{
    cli::verbs::{Revoke, RevokeToken},
    client::{Ask, Method},
    commands::get::revocations::ROUTE,
    failure::Failure,
    output::visible,
    session::Session,
    views::cells::text,
};

/// Revokes.
pub(super) fn run(session: &Session<'_>, what: &Revoke) -> Result<(), Failure> {
    let Revoke::Token(flags) = what;
    let body = Value::Object(request(flags)?).to_string();
    let tried = "failed to revoke tokens";
    let answer = session.ask(Ask::resource(Method::Post, ROUTE).with_body(&body));
    let answer = answer.map_err(|trouble| trouble.within(tried))?;
    let answer = answer.accept(&[200]).and_then(|answer| answer.json()).map_err(|error| error.within(tried))?;
    session.printer().line(&visible::text(&line(&answer)))?;
    for note in answer.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        session.printer().note(&format!("Note: {note}"));
    }
    Ok(())
}

fn request(flags: &RevokeToken) -> Result<Map<String, Value>, Failure> {
    let mut request = Map::new();
    let mut put = |name: &str, value: Value| drop(request.insert(name.to_owned(), value));
    put("family", flags.family.as_str().into());
    let selectors = [
        ("id", flags.id.clone().map(Value::from)),
        ("zone", flags.zone.clone().map(Value::from)),
        ("key", flags.key.map(Value::from)),
        ("issuedBefore", flags.issued_before.clone().map(Value::from)),
    ];
    let given: Vec<_> = selectors.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let Ok([(name, value)]) = <[_; 1]>::try_from(given) else {
        return Err(Failure::refused("say which tokens with exactly one of --id, --zone, --key and --issued-before"));
    };
    if flags.key.is_some_and(i64::is_negative) {
        return Err(Failure::refused("--key must be the serial number of a signing key"));
    }
    put(name, value);
    for (name, text) in [("mesh", &flags.mesh), ("reason", &flags.reason)] {
        if !text.is_empty() {
            put(name, text.as_str().into());
        }
    }
    Ok(request)
}

/// What was revoked, in one line.
fn line(answer: &Value) -> String {
    let hit = match answer.get("affected").and_then(Value::as_u64) {
        Some(1) => "1 known token that was good".to_owned(),
        Some(count) => format!("{count} known tokens that were good"),
        None => "nobody knows how many tokens".to_owned(),
    };
    format!("revoked {}: {hit} (revocation {})", text(answer, "/what"), text(answer, "/id"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flags() -> RevokeToken {
        RevokeToken {
            family: "zone-token".to_owned(),
            mesh: String::new(),
            id: None,
            zone: None,
            key: None,
            issued_before: None,
            reason: String::new(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "cases read better without references")]
    fn check(flags: &RevokeToken, expected: Value) {
        assert_eq!(Value::Object(request(flags).unwrap()), expected);
    }

    #[test]
    fn each_selector_is_one_member() {
        let text = || Some("x".to_owned());
        check(&RevokeToken { id: text(), ..flags() }, json!({"family": "zone-token", "id": "x"}));
        check(&RevokeToken { zone: text(), ..flags() }, json!({"family": "zone-token", "zone": "x"}));
        check(&RevokeToken { key: Some(2), ..flags() }, json!({"family": "zone-token", "key": 2}));
        check(&RevokeToken { issued_before: text(), ..flags() }, json!({"family": "zone-token", "issuedBefore": "x"}));
        check(
            &RevokeToken { id: text(), mesh: "m".to_owned(), reason: "why".to_owned(), ..flags() },
            json!({"family": "zone-token", "id": "x", "mesh": "m", "reason": "why"}),
        );
    }

    #[test]
    fn none_and_two_selectors_are_refused() {
        for flags in [
            flags(),
            RevokeToken { id: Some("x".to_owned()), key: Some(1), ..flags() },
            RevokeToken { zone: Some("x".to_owned()), issued_before: Some("y".to_owned()), ..flags() },
        ] {
            let Err(Failure::Refused(text)) = request(&flags) else { panic!("{flags:?}") };
            assert!(text.contains("exactly one of --id, --zone, --key and --issued-before"), "{text}");
        }
        assert!(request(&RevokeToken { key: Some(-1), ..flags() }).is_err());
    }

    #[test]
    fn one_line_says_what_was_revoked_and_how_many_tokens_that_hits() {
        let answer = |affected: u64| json!({"id": "r", "what": "all zone-tokens of zone west", "affected": affected});
        let expected = "revoked all zone-tokens of zone west: 1 known token that was good (revocation r)";
        assert_eq!(line(&answer(1)), expected);
        assert!(line(&answer(0)).contains("0 known tokens that were good"));
    }
}
