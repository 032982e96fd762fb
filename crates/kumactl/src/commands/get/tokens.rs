//! `kumactl get tokens`: the tokens that the control plane issued, all pages of them.

use serde_json::Value;
use url::form_urlencoded;

use crate::{
    cli::verbs::Tokens,
    client::{Ask, Method},
    failure::Failure,
    output::{self, Form, age, table::Table},
    session::Session,
    views::{cells::text, pages},
};

const HEAD: [&str; 8] = ["ID", "FAMILY", "ZONE/NAME", "KEY", "ISSUED", "EXPIRES", "BY", "HOW"];

/// Shows the tokens.
pub(super) fn run(session: &Session<'_>, form: Form, flags: &Tokens) -> Result<(), Failure> {
    let page = pages::all(session, &route(flags), |route| Ask::resource(Method::Get, route))
        .map_err(|trouble| trouble.within("failed to list tokens"))?;
    if let Some(names) = page.unreadable.as_array().filter(|names| !names.is_empty()) {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        session.printer().note(&format!(
            "WARNING: the control plane cannot read these entries, so tokens may be missing: {}",
            names.join(", ")
        ));
    }
    session.printer().data(&match form {
        Form::Table => {
            let mut table = Table::new(&HEAD);
            page.items.iter().for_each(|token| table.add(row(token)));
            table.text()
        }
        Form::Yaml => model::yaml::to_string(&page.value()),
        Form::Json => output::json(&page.value()),
    })
}

fn route(flags: &Tokens) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("family", &flags.family), ("mesh", &flags.mesh), ("zone", &flags.zone), ("key", &flags.key)]
    {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    if flags.without_end {
        query.append_pair("withoutEnd", "true");
    }
    let query = query.finish();
    if query.is_empty() { "/tokens".to_owned() } else { format!("/tokens?{query}") }
}

fn row(token: &Value) -> [String; 8] {
    let family = match text(token, "/mesh") {
        mesh if mesh.is_empty() => text(token, "/family"),
        mesh => format!("{} of {mesh}", text(token, "/family")),
    };
    let owner = Some(text(token, "/zone")).filter(|zone| !zone.is_empty()).unwrap_or_else(|| text(token, "/name"));
    let key = token.get("key").and_then(Value::as_u64).map(|key| key.to_string()).unwrap_or_default();
    let issued = age::date(age::time(token.get("issuedAt")));
    let expires = age::time(token.get("expiresAt")).map_or_else(|| "never".to_owned(), |end| age::date(Some(end)));
    let revoked = token.get("revoked").and_then(Value::as_bool) == Some(true);
    let expires = if revoked { format!("{expires} (revoked)") } else { expires };
    [text(token, "/id"), family, owner, key, issued, expires, text(token, "/by"), text(token, "/how")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_row_says_whose_until_when_and_by_whom() {
        let check = |token: Value, expected: [&str; 8]| assert_eq!(row(&token), expected);
        check(
            json!({
                "id": "sha256:0123456789abcdef", "family": "control-plane-token", "zone": "west", "key": 2,
                "issuedAt": "2026-11-23T11:57:00.5Z", "expiresAt": null, "by": "john", "how": "command"
            }),
            [
                "sha256:0123456789abcdef",
                "control-plane-token",
                "west",
                "2",
                "2026-11-23 11:57:00",
                "never",
                "john",
                "command",
            ],
        );
        check(
            json!({
                "id": "7", "family": "dataplane-token", "mesh": "m", "name": "dp", "key": 1, "revoked": true,
                "issuedAt": "2026-11-23T11:57:00Z", "expiresAt": "2026-12-01T00:00:00Z", "by": "j", "how": "renewal"
            }),
            [
                "7",
                "dataplane-token of m",
                "dp",
                "1",
                "2026-11-23 11:57:00",
                "2026-12-01 00:00:00 (revoked)",
                "j",
                "renewal",
            ],
        );
    }

    #[test]
    fn what_is_asked_for_is_in_the_query() {
        let flags = |zone: &str, without_end| Tokens {
            family: String::new(),
            mesh: String::new(),
            zone: zone.to_owned(),
            key: String::new(),
            without_end,
        };
        assert_eq!(route(&flags("", false)), "/tokens");
        assert_eq!(route(&flags("a&b", true)), "/tokens?zone=a%26b&withoutEnd=true");
    }
}
