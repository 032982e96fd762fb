//! `kumactl inspect dataplane NAME` and `kumactl inspect <policy> NAME`.

use model::{Kind, ProxyView};
use serde_json::Value;

use crate::{
    cli::verbs::{Dataplane, Policy},
    csv::List,
    failure::Failure,
    output::{self, Form, table::Table, visible},
    routes,
    session::Session,
    views::{self, cells::text, pages},
};

/// Shows what is known of one proxy.
pub(super) fn dataplane(session: &Session<'_>, form: &str, flags: &Dataplane) -> Result<(), Failure> {
    let route = routes::item(Kind::DATAPLANE, &flags.mesh, flags.proxy.name());
    let rest = match flags.what.as_str() {
        "policies" => return matched(session, &format!("{route}/_policies"), form),
        "config-dump" => format!("{}?include_eds={}", ProxyView::ConfigDump.path(), flags.include_eds),
        "stats" => ProxyView::Stats.path().to_owned(),
        "clusters" => ProxyView::Clusters.path().to_owned(),
        "config" => {
            let include = List::joined(&flags.include);
            if let Some(other) = include.iter().find(|part| *part != "diff") {
                return Err(Failure::Refused(format!("invalid --include value {other:?} (supported: diff)")));
            }
            format!("_config?shadow={}&include={}", flags.shadow, include.join(","))
        }
        _ => return Err(Failure::refused("invalid inspection type")),
    };
    let answer = session
        .ask(views::ask(&format!("{route}/{rest}")))
        .and_then(|answer| Ok(answer.accept(&[200])?))
        .map_err(|trouble| trouble.alone())?;
    session.printer().data(&visible::text(&answer.body))
}

fn matched(session: &Session<'_>, route: &str, form: &str) -> Result<(), Failure> {
    let form = Form::of(form)?;
    let answer = session.read(views::ask(route)).map_err(|trouble| trouble.alone())?;
    session.printer().data(&match form {
        Form::Yaml => model::yaml::to_string(&answer),
        Form::Json => output::json(&answer),
        Form::Table => {
            let mut table = Table::new(&["Kind", "Origins"]);
            for policy in answer.get("policies").and_then(Value::as_array).into_iter().flatten() {
                let origins = policy.get("origins").and_then(Value::as_array).into_iter().flatten();
                let origins: Vec<String> = origins.map(|origin| text(origin, "/kri")).collect();
                table.add(vec![text(policy, "/kind"), origins.join(",")]);
            }
            table.text()
        }
    })
}

/// Shows the proxies that a policy selects.
pub(super) fn affected(session: &Session<'_>, form: &str, policy: &Policy) -> Result<(), Failure> {
    let form = Form::of(form)?;
    let Policy { kind, flags } = policy;
    let route = format!("{}/dataplanes", routes::item(*kind, &flags.mesh, flags.resource.name()));
    let proxies = pages::all(session, &route, views::ask).map_err(|trouble| trouble.alone())?;
    session.printer().data(&match form {
        Form::Yaml => model::yaml::to_string(&proxies.value()),
        Form::Json => output::json(&proxies.value()),
        Form::Table => {
            let names =
                proxies.items.iter().map(|item| format!("  {}\n", visible::line(&text(item, "/dataplane/name"))));
            format!("Affected data plane proxies:\n\n{}", names.collect::<String>())
        }
    })
}
