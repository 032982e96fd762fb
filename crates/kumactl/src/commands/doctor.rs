//! `kumactl doctor`: what troubles the control plane, or soon will.

use serde_json::Value;

use crate::{
    cli::verbs::Output,
    failure::Failure,
    output::{self, Form, table::Table},
    session::Session,
    views::{self, cells::text},
};

/// So wide is what a check found, in letters: with the columns before it, it fits into a terminal of 100.
const WIDTH: usize = 64;

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
    let mut table = Table::new(&["STATUS", "CHECK", "WHAT"]);
    for finding in sorted {
        let [mut status, mut name, what, to_do] =
            ["/status", "/name", "/what", "/do"].map(|member| text(finding, member));
        let to_do = if to_do.is_empty() { Vec::new() } else { wrapped(&format!("do: {to_do}")) };
        for line in wrapped(&what).into_iter().chain(to_do) {
            table.add([std::mem::take(&mut status), std::mem::take(&mut name), line]);
        }
    }
    table.text()
}

/// The lines of a text. What stands between backticks is there to be copied, and stays on one.
fn wrapped(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match pieces.last_mut().filter(|piece| piece.matches('`').count() % 2 == 1) {
            Some(open) => *open += &format!(" {word}"),
            None => pieces.push(word.to_owned()),
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + piece.chars().count() <= WIDTH) {
            Some(line) => *line += &format!(" {piece}"),
            None => lines.push(piece),
        }
    }
    lines
}

/// The worst is 0. A word that is not known is no good one.
fn badness(finding: &Value) -> u8 {
    match text(finding, "/status").as_str() {
        "ok" => 2,
        "warn" => 1,
        _ => 0,
    }
}
