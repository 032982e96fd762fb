//! `kumactl inspect meshes`.

use crate::{
    failure::Failure,
    output::{self, Form, table::Table},
    session::Session,
    views::{
        self,
        cells::{count, text},
        pages,
    },
};

/// Shows all meshes with their proxies, those that are online first.
pub(super) fn run(session: &Session<'_>, form: &str) -> Result<(), Failure> {
    let form = Form::of(form)?;
    let meshes = pages::all(session, "/mesh-insights", views::ask).map_err(|trouble| trouble.alone())?;
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
