//! `kumactl apply`: reads documents, checks all of them, then writes one after the other.

use model::{
    Kind, SpecForm, Writable,
    document::{self, Document, ZERO_TIME},
};
use serde_json::{Map, Value};

use crate::{
    cli::verbs::Apply,
    client::{Ask, Method},
    csv::Pairs,
    documents::{self, Given},
    failure::Failure,
    mustache::{self, Values},
    output, routes,
    session::{Session, Trouble},
};

/// Creates or updates what the files say.
pub(super) fn run(session: &Session<'_>, flags: &Apply) -> Result<(), Failure> {
    session.check_version();
    let given = documents::read(session, &flags.file, "apply")?;
    let documents = decode(session, given, &Pairs::joined(&flags.var))?;
    if flags.dry_run {
        let texts: Vec<String> = documents
            .iter()
            .map(|document| output::yaml_of_resource(&document.to_rest(), document.kind.spec != SpecForm::Json))
            .collect();
        return session.printer().data(&texts.join("---\n"));
    }
    for (index, document) in documents.iter().enumerate() {
        let who = format!("resource type=\"{}\" mesh={:?} name={:?}", document.kind, document.mesh, document.name);
        match write(session, document) {
            Ok(word) => session.printer().line(&format!("{who} {word}"))?,
            Err(trouble) => {
                if index > 0 {
                    let total = documents.len();
                    session.printer().note(&format!("{index} of {total} resources were applied, those named above"));
                }
                return Err(Failure::Refused(format!("{who}: failed server side: {}", trouble.line())));
            }
        }
    }
    Ok(())
}

/// Renders and reads all documents; all faults are told, and one is enough to stop.
fn decode(session: &Session<'_>, given: Vec<Given>, variables: &[(String, String)]) -> Result<Vec<Document>, Failure> {
    let values = Values::of(variables);
    let mut documents = Vec::new();
    let mut has_faults = false;
    for Given { place, text } in given {
        let text = if variables.is_empty() { text } else { render(session, &place, &text, &values)? };
        let members = match documents::members(&text) {
            Ok(members) => members.unwrap_or_default(),
            Err(problem) => {
                session.printer().note(&format!("{place}: failed to parse resource: {problem}"));
                has_faults = true;
                continue;
            }
        };
        if let Some(who) = computed(&members) {
            session.printer().note(&format!("{place}: {who} is left out: control planes compute it"));
            continue;
        }
        match document::from_yaml(&text) {
            Ok(document) => {
                // What has no effect is not sent, so that the server cannot warn of it.
                for warning in &document.warnings {
                    session.printer().note(&format!("Warning: {place}: {warning}"));
                }
                documents.push(document);
            }
            Err(error) => {
                session.printer().note(&format!("{place}: {}: {error}", error.stage()));
                has_faults = true;
            }
        }
    }
    if has_faults { Err(Failure::refused("failed to validate some resources")) } else { Ok(documents) }
}

/// Returns what this document of an export is, if nobody may write it. One that was written by hand goes to the server,
/// which says what is wrong with it.
fn computed(members: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = Kind::by_name(text("type")?).filter(|kind| kind.writable == Writable::Never)?;
    text("creationTime").filter(|time| *time != ZERO_TIME)?;
    Some(format!("{kind} {:?}", text("name").unwrap_or_default()))
}

fn render(session: &Session<'_>, place: &str, text: &str, values: &Values) -> Result<String, Failure> {
    let rendered = mustache::render(text, values)
        .map_err(|error| Failure::Refused(format!("{place}: failed to render variables: {error}")))?;
    for name in &rendered.missing {
        session
            .printer()
            .note(&format!("WARNING: {place}: variable {name:?} has no value, nothing is put in its place"));
    }
    Ok(rendered.text)
}

/// Writes one resource and returns the word for it: whether it was there decides, not the answer.
fn write(session: &Session<'_>, document: &Document) -> Result<&'static str, Trouble> {
    let route = routes::item(document.kind, &document.mesh, &document.name);
    let word = match session.read(Ask::resource(Method::Get, &route)) {
        Ok(_) => "Updated",
        Err(trouble) if trouble.is_not_found() => "Created",
        Err(trouble) => return Err(trouble),
    };
    let body = document::escape_html(&document.to_rest().to_string());
    let answer = session.ask(Ask::resource(Method::Put, &route).with_body(&body))?.accept(&[200, 201])?;
    let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        session.printer().note(&format!("Warning: {}", warning.as_str().unwrap_or_default()));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_export_holds_and_nobody_writes_is_left_out() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(computed(&documents::members(text).unwrap().unwrap()).as_deref(), expected, "{text}");
        };
        let time = "creationTime: \"2026-01-01T00:00:00Z\"\n";
        check(&format!("type: MeshInsight\nname: m\n{time}"), Some("MeshInsight \"m\""));
        check("type: MeshInsight\nname: m\n", None);
        check(&format!("type: Mesh\nname: m\n{time}"), None);
    }
}
