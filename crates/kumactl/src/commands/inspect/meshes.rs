//! `kumactl inspect meshes`.

use super::zones::count;
use crate::{
    commands::{get::text, inspect::view, pages},
    failure::Failure,
    output::{self, Form, table::Table},
    session::Session,
};

/// Shows all meshes with their proxies, those that are online first.
pub(super) fn run(session: &Session<'_>, form: &str) -> Result<(), Failure> {
    let form = Form::of(form)?;
    let meshes = pages::all(session, "/mesh-insights", view).map_err(|trouble| trouble.alone())?;
    session.printer().data(&match form {
        Form::Yaml => model::yaml::to_string(&meshes.value()),
        Form::Json => output::json(&meshes.value()),
        Form::Table => {
            let mut table = Table::new(&["MESH", "DATAPLANES"]);
            for mesh in &meshes.items {
                let number = |pointer: &str| mesh.pointer(pointer).and_then(count).unwrap_or_default();
                let dataplanes = format!("{}/{}", number("/dataplanes/online"), number("/dataplanes/total"));
                table.add(vec![text(mesh, "/name"), dataplanes]);
            }
            table.text()
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn counters_may_be_numbers_or_texts() {
        assert_eq!([count(&json!(3)), count(&json!("4")), count(&Value::Null)], [Some(3), Some(4), None]);
    }
}
