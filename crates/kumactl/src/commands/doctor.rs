//! `kumactl doctor`: what troubles the control plane, or soon will.

use serde_json::Value;

use crate::{
    cli::verbs::Output,
    failure::Failure,
    output::{self, Form, table::Table},
    session::Session,
    views::{self, cells::text},
};

/// Shows what each check found, the worst first in the table; fails if one of them did.
pub(super) fn run(session: &Session<'_>, flags: &Output) -> Result<(), Failure> {
    let form = Form::of(&flags.output)?;
    let found = session.read(views::ask("/doctor")).map_err(|trouble| trouble.alone())?;
    let findings = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if findings.is_empty() {
        return Err(Failure::refused("the control plane did not say what it found"));
    }
    session.printer().data(&match form {
        Form::Yaml => model::yaml::to_string(&found),
        Form::Json => output::json(&found),
        Form::Table => table(findings),
    })?;
    let failed = findings.iter().filter(|finding| badness(finding) == 0).count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::refused("1 check failed")),
        failed => Err(Failure::Refused(format!("{failed} checks failed"))),
    }
}

fn table(findings: &[Value]) -> String {
    let mut sorted: Vec<&Value> = findings.iter().collect();
    sorted.sort_by_key(|finding| badness(finding));
    let mut table = Table::new(&["STATUS", "CHECK", "WHAT", "DO"]);
    for finding in sorted {
        table.add(["/status", "/name", "/what", "/do"].map(|member| text(finding, member)));
    }
    table.text()
}

/// The worst is 0. A word that is not known is no good one.
fn badness(finding: &Value) -> u8 {
    match text(finding, "/status").as_str() {
        "ok" => 2,
        "warn" => 1,
        _ => 0,
    }
}
