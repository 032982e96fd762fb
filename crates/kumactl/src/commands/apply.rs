//! `kumactl apply`: reads documents, checks all of them, then writes one after the other.

mod source;

use model::{
    SpecForm,
    document::{self, Document},
};
use serde_json::Value;

use crate::{
    cli::flags::Flags,
    client::{Ask, Method},
    commands::item_route,
    failure::Failure,
    mustache::{self, Values},
    output,
    session::{Session, Trouble},
};

/// Creates or updates what the file says.
pub(super) fn run(session: &Session<'_>, flags: &Flags) -> Result<(), Failure> {
    session.check_version();
    let text = source::read(flags.text("file"), session.proxies())?;
    if text.is_empty() {
        return Err(Failure::refused("no resource(s) passed to apply"));
    }
    let documents = decode(session, &text, &flags.pairs("var"))?;
    if flags.is_on("dry-run") {
        let texts: Vec<String> = documents
            .iter()
            .map(|document| output::yaml_of_resource(&document.to_rest(), document.kind.spec != SpecForm::Json))
            .collect();
        return session.printer().data(&texts.join("---\n"));
    }
    for document in &documents {
        let who = format!("resource type=\"{}\" mesh={:?} name={:?}", document.kind, document.mesh, document.name);
        match write(session, document) {
            Ok(word) => session.printer().line(&format!("{who} {word}"))?,
            Err(trouble) => return Err(Failure::Refused(format!("{who}: failed server side: {}", trouble.line()))),
        }
    }
    Ok(())
}

/// Renders and reads all documents; all faults are told, and one is enough to stop.
fn decode(session: &Session<'_>, text: &str, variables: &[(String, String)]) -> Result<Vec<Document>, Failure> {
    let values = Values::of(variables);
    let mut documents = Vec::new();
    let mut has_faults = false;
    for (index, text) in document::split_yaml(text).into_iter().enumerate() {
        let text = if variables.is_empty() { text } else { render(session, index, &text, &values)? };
        match document::from_yaml(&text) {
            Ok(document) => documents.push(document),
            Err(error) => {
                session.printer().note(&format!("resource[{index}]: {}: {error}", error.stage()));
                has_faults = true;
            }
        }
    }
    if has_faults { Err(Failure::refused("failed to validate some resources")) } else { Ok(documents) }
}

fn render(session: &Session<'_>, index: usize, text: &str, values: &Values) -> Result<String, Failure> {
    let rendered = mustache::render(text, values)
        .map_err(|error| Failure::Refused(format!("resource[{index}]: failed to render variables: {error}")))?;
    for name in &rendered.missing {
        session
            .printer()
            .note(&format!("WARNING: resource[{index}]: variable {name:?} has no value, nothing is put in its place"));
    }
    Ok(rendered.text)
}

/// Writes one resource and returns the word for it: whether it was there decides, not the answer.
fn write(session: &Session<'_>, document: &Document) -> Result<&'static str, Trouble> {
    let route = item_route(document.kind, &document.mesh, &document.name);
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
