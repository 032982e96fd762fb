//! `kumactl get`: one resource or a page of them.

pub(super) mod revocations;
mod tokens;

use jiff::Timestamp;
use model::{Kind, Scope, SpecForm};
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    cli::verbs::{Get, Many, One, Wanted},
    client::{Ask, Method},
    failure::Failure,
    output::{self, Form, age, table::Table},
    routes,
    session::Session,
    views::{
        cells::{tags, text},
        pages,
    },
};

/// Shows resources.
pub(super) fn run(session: &Session<'_>, flags: &Get) -> Result<(), Failure> {
    let form = Form::of(&flags.form.output)?;
    session.check_version();
    match &flags.wanted {
        Wanted::One(kind, flags) => one(session, *kind, form, flags),
        Wanted::Many(kind, flags) => many(session, *kind, form, flags),
        Wanted::Tokens(flags) => tokens::run(session, form, flags),
        Wanted::Revocations => revocations::run(session, form),
    }
}

fn one(session: &Session<'_>, kind: Kind, form: Form, flags: &One) -> Result<(), Failure> {
    let (name, mesh) = (flags.resource.name(), &flags.mesh);
    let route = routes::item(kind, mesh, name);
    let resource = session.read(Ask::resource(Method::Get, &route)).map_err(|trouble| match kind.scope {
        _ if !trouble.is_not_found() => trouble.within(&format!("failed to get {name}")),
        Scope::Mesh => Failure::Refused(format!("No resources found in {mesh} mesh")),
        Scope::Global => Failure::refused("No resources found"),
    })?;
    session.printer().data(&match form {
        Form::Table => table(kind, session.now(), std::slice::from_ref(&resource)).text(),
        Form::Yaml => output::yaml_of_resource(&resource, kind.spec != SpecForm::Json),
        Form::Json => output::json(&resource),
    })
}

fn many(session: &Session<'_>, kind: Kind, form: Form, flags: &Many) -> Result<(), Failure> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if !flags.offset.is_empty() {
        query.append_pair("offset", &flags.offset);
    }
    // Zero, like nothing, leaves the size to the server.
    if let Some(size) = flags.size.filter(|size| *size != 0) {
        query.append_pair("size", &size.to_string());
    }
    let query = query.finish();
    let joint = if query.is_empty() { "" } else { "?" };
    let route = format!("{}{joint}{query}", routes::list(kind, &flags.mesh));
    // Whoever asks for a part gets this part, everybody else the whole list.
    let page = if query.is_empty() {
        pages::all(session, &route, |route| Ask::resource(Method::Get, route))
    } else {
        pages::one(session, &route)
    };
    let page = page.map_err(|trouble| trouble.within(&format!("failed to list {kind}")))?;
    session.printer().data(&match form {
        Form::Table => {
            let footer = page.next_offset().map_or_else(String::new, |offset| {
                format!("\nRerun command with --offset={offset} argument to retrieve more resources\n")
            });
            table(kind, session.now(), &page.items).text() + &footer
        }
        Form::Yaml => model::yaml::to_string(&page.value()),
        Form::Json => output::json(&page.value()),
    })
}

fn table(kind: Kind, now: Timestamp, resources: &[Value]) -> Table {
    let mut head = match kind.scope {
        Scope::Mesh => vec!["MESH", "NAME"],
        Scope::Global => vec!["NAME"],
    };
    if kind == Kind::DATAPLANE {
        head.extend(["TAGS", "ADDRESS"]);
    }
    head.push("AGE");
    let mut table = Table::new(&head);
    for resource in resources {
        let mut row: Vec<String> = match kind.scope {
            Scope::Mesh => vec![text(resource, "/mesh"), text(resource, "/name")],
            Scope::Global => vec![text(resource, "/name")],
        };
        if kind == Kind::DATAPLANE {
            row.extend([tags(resource, resource), text(resource, "/networking/address")]);
        }
        row.push(age::since(now, age::time(resource.get("modificationTime"))));
        table.add(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: Kind, resource: Value, expected: &str) {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(table(kind, now, &[resource]).text(), expected);
    }

    #[test]
    fn columns_follow_the_kind() {
        let time = "2026-11-23T11:59:50Z";
        check(Kind::ZONE, json!({"name": "east", "modificationTime": time}), "NAME   AGE\neast   10s\n");
        check(
            Kind::SECRET,
            json!({"mesh": "default", "name": "s", "modificationTime": time}),
            "MESH      NAME   AGE\ndefault   s      10s\n",
        );
        check(
            Kind::DATAPLANE,
            json!({"mesh": "m", "name": "d", "labels": {"b": "2", "a": "1"}, "networking": {"address": "1.2.3.4"}}),
            "MESH   NAME   TAGS      ADDRESS   AGE\nm      d      a=1 b=2   1.2.3.4   never\n",
        );
    }
}
