//! `kumactl inspect token`: what a token says, and whether the control plane would accept it.
//!
//! Exit code 0 is for accepted (with `--offline`: decoded), 1 for refused, 2 for what is no token. The token is a secret: it
//! is sent where nobody else can read it or not at all, and nothing that is shown holds its signature.

use std::{
    fs::File,
    io::{self, Read},
};

use serde_json::{Value, json};
use tokens::Decoded;

use crate::{
    cli::verbs::Token,
    client::{Ask, Method},
    failure::Failure,
    files,
    output::{self, Form, age, table::Table},
    session::Session,
    views::cells::text,
};

/// More than any token has.
const LONGEST: u64 = 64 * 1024;

/// Looks at a token.
pub(super) fn run(session: &Session<'_>, form: &str, flags: &Token) -> Result<(), Failure> {
    let form = Form::of(form)?;
    let raw = read(&flags.file)?;
    // As it is kept in a file, or as it stands in a header.
    let raw = tokens::bearer(&[raw.trim()])
        .map_err(|_missing| Failure::Unreadable("no token: the input is empty".to_owned()))?;
    let decoded = tokens::decode(raw)
        .map_err(|problem| Failure::Unreadable(format!("no token: {}", problem.validator_text())))?;
    if flags.offline {
        return show(session, form, &offline(&decoded));
    }
    if let Some(address) = session.plain_address()? {
        return Err(Failure::Refused(format!(
            "the token is not sent to {address} in the clear: everybody on the way could read it. Use the https address of \
             the control plane (port 5682), or decode the token here with --offline"
        )));
    }
    session.check_version();
    let tried = "failed to inspect the token";
    let found = session.read(Ask::other(Method::Post, "/tokens/inspect").with_body(raw));
    let found = found.map_err(|trouble| trouble.within(tried))?;
    show(session, form, &found)?;
    if found.get("accepted").and_then(Value::as_bool) == Some(true) {
        return Ok(());
    }
    Err(Failure::Refused(format!("this control plane would refuse the token: {}", text(&found, "/why"))))
}

fn read(file: &str) -> Result<String, Failure> {
    let mut raw = Vec::new();
    let failed = |error: io::Error| {
        let from = if file.is_empty() { "standard input".to_owned() } else { format!("{file:?}") };
        Failure::Unreadable(format!("cannot read the token from {from}: {}", files::reason(&error)))
    };
    if file.is_empty() {
        io::stdin().take(LONGEST).read_to_end(&mut raw).map_err(failed)?;
    } else {
        File::open(file).and_then(|file| file.take(LONGEST).read_to_end(&mut raw)).map_err(failed)?;
    }
    Ok(String::from_utf8_lossy(&raw).into_owned())
}

/// What the token says of itself, in the form of the API.
fn offline(decoded: &Decoded) -> Value {
    json!({
        "id": decoded.id,
        "header": decoded.header,
        "claims": decoded.claims,
        "issuedAt": decoded.issued_at.map(|time| time.to_string()),
        "expiresAt": decoded.expires_at.map(|time| time.to_string()),
    })
}

fn show(session: &Session<'_>, form: Form, found: &Value) -> Result<(), Failure> {
    session.printer().data(&match form {
        Form::Table => table(found).text(),
        Form::Yaml => model::yaml::to_string(found),
        Form::Json => output::json(found),
    })
}

fn table(found: &Value) -> Table {
    let yes = |name: &str| found.get(name).and_then(Value::as_bool).map(|yes| if yes { "yes" } else { "no" });
    let accepted = match yes("accepted") {
        None => "not asked".to_owned(),
        Some("yes") => format!("yes, as {}", text(found, "/as")),
        Some(_) => format!("no, {}", text(found, "/why")),
    };
    let part = |name: &str| found.get(name).map(Value::to_string).unwrap_or_default();
    let time = |name: &str| age::time(found.get(name));
    let expires = time("expiresAt").map_or_else(|| "never".to_owned(), |end| age::date(Some(end)));
    let mut table = Table::new(&["ACCEPTED", &accepted]);
    let rows = [
        ("ID", text(found, "/id")),
        ("HEADER", part("header")),
        ("CLAIMS", part("claims")),
        ("ISSUED", age::date(time("issuedAt"))),
        ("EXPIRES", expires),
    ];
    rows.into_iter().for_each(|(name, cell)| table.add([name.to_owned(), cell]));
    for (name, head) in [("revoked", "REVOKED"), ("inLedger", "IN LEDGER")] {
        if let Some(yes) = yes(name) {
            table.add([head.to_owned(), yes.to_owned()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_first_whether_it_is_accepted() {
        let refused = json!({
            "accepted": false, "as": null, "why": "token is revoked", "id": "7", "header": {"alg": "RS256"},
            "claims": {"Zone": "west"}, "issuedAt": "2026-11-23T11:57:00Z", "expiresAt": null, "revoked": true,
            "inLedger": false
        });
        let expected = "ACCEPTED    no, token is revoked\nID          7\nHEADER      {\"alg\":\"RS256\"}\n\
                        CLAIMS      {\"Zone\":\"west\"}\nISSUED      2026-11-23 11:57:00\nEXPIRES     never\n\
                        REVOKED     yes\nIN LEDGER   no\n";
        assert_eq!(table(&refused).text(), expected);
        let accepted = json!({"accepted": true, "as": "user john"});
        assert!(table(&accepted).text().starts_with("ACCEPTED   yes, as user john\n"));
        assert!(table(&json!({"id": "7"})).text().starts_with("ACCEPTED   not asked\n"));
    }
}
