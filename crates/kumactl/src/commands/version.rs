//! `kumactl version`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    about,
    cli::verbs::Version,
    failure::Failure,
    output::visible,
    session::{Session, Trouble, product_of},
};

/// Prints the version of this program and of the server. A server that is not there is no failure.
pub(super) fn run(session: &Session<'_>, flags: &Version) -> Result<(), Failure> {
    let printer = session.printer();
    if flags.detailed {
        printer.data(&format!(
            "Product:       {}\nVersion:       {}\nGit Tag:       v{}\nGit Commit:    {}\nBuild Date:    {}\n",
            about::PRODUCT,
            about::VERSION,
            about::VERSION,
            about::COMMIT,
            about::BUILD_DATE
        ))?;
    } else {
        printer.line(&format!("Client: {} {}", about::PRODUCT, about::VERSION))?;
    }
    match session.index() {
        Ok(index) if flags.detailed => printer.line(&format!("Server: {}", visible::json(&indented(&index)))),
        Ok(index) => {
            let (product, version) = product_of(&index);
            printer.line(&visible::line(&format!("Server: {product} {version}")))
        }
        Err(trouble) => {
            let text = match &trouble {
                Trouble::Settings(text) => text.clone(),
                Trouble::Call(error) => format!("Unable to retrieve server version: {}", error.line()),
            };
            printer.note(&format!("Unable to connect to control plane: {text}"));
            Ok(())
        }
    }
}

/// Writes an object with sorted members, three blanks a level.
fn indented(index: &Value) -> String {
    let sorted: BTreeMap<&String, &Value> = index.as_object().into_iter().flatten().collect();
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Writing parsed JSON to memory cannot fail.
    drop(serde::Serialize::serialize(&sorted, &mut serializer));
    String::from_utf8_lossy(&text).into_owned()
}
