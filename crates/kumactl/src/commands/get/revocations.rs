//! `kumactl get revocations`: which tokens were revoked, by whom and why. The documented lists of ids are secrets, and not here.

use serde_json::Value;

use crate::{
    client::{Ask, Method},
    failure::Failure,
    output::{self, Form, age, table::Table},
    session::Session,
    views::{cells::text, pages},
};

pub(in crate::commands) const ROUTE: &str = "/tokens/revocations";
const HEAD: [&str; 6] = ["ID", "WHAT", "AT", "BY", "UNTIL", "REASON"];

/// Shows the revocations.
pub(super) fn run(session: &Session<'_>, form: Form) -> Result<(), Failure> {
    let page = pages::all(session, ROUTE, |route| Ask::resource(Method::Get, route))
        .map_err(|trouble| trouble.within("failed to list revocations"))?;
    session.printer().data(&match form {
        Form::Table => {
            let mut table = Table::new(&HEAD);
            page.items.iter().for_each(|revocation| table.add(row(revocation)));
            table.text()
        }
        Form::Yaml => model::yaml::to_string(&page.value()),
        Form::Json => output::json(&page.value()),
    })
}

/// `UNTIL` is when all that a revocation names has ended, where that is known.
fn row(revocation: &Value) -> [String; 6] {
    let date = |name: &str| age::date(age::time(revocation.get(name)));
    let [id, what, by, reason] = ["/id", "/what", "/by", "/reason"].map(|member| text(revocation, member));
    [id, what, date("at"), by, date("until"), reason]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_row_says_what_when_by_whom_and_why() {
        let revocation = json!({
            "id": "7", "what": "all zone-tokens of zone west", "at": "2026-11-23T11:57:00.5Z", "by": "john",
            "until": null, "reason": "lost"
        });
        let expected = ["7", "all zone-tokens of zone west", "2026-11-23 11:57:00", "john", "-", "lost"];
        assert_eq!(row(&revocation), expected);
        let damaged = row(&json!({"id": "8", "what": "what the record says cannot be read", "unreadable": true}));
        assert_eq!(damaged, ["8", "what the record says cannot be read", "-", "", "-", ""]);
    }
}
