//! `kumactl inspect dataplane NAME` and `kumactl inspect <policy> NAME`.

use model::Kind;
use serde_json::Value;

use crate::{
    cli::flags::Flags,
    commands::{get::text, inspect::view, item_route, pages},
    failure::Failure,
    output::{self, Form, table::Table, visible},
    session::Session,
};

/// Shows what is known of one proxy.
pub(super) fn dataplane(session: &Session<'_>, flags: &Flags) -> Result<(), Failure> {
    let route = item_route(Kind::DATAPLANE, flags.text("mesh"), &flags.argument(0));
    let rest = match flags.text("type") {
        "policies" => return matched(session, &format!("{route}/_policies"), flags),
        "config-dump" => format!("xds?include_eds={}", flags.is_on("include-eds")),
        "stats" => "stats".to_owned(),
        "clusters" => "clusters".to_owned(),
        "config" => {
            let include = flags.list("include");
            if let Some(other) = include.iter().find(|part| *part != "diff") {
                return Err(Failure::Refused(format!("invalid --include value {other:?} (supported: diff)")));
            }
            format!("_config?shadow={}&include={}", flags.is_on("shadow"), include.join(","))
        }
        _ => return Err(Failure::refused("invalid inspection type")),
    };
    let answer = session
        .ask(view(&format!("{route}/{rest}")))
        .and_then(|answer| Ok(answer.accept(&[200])?))
        .map_err(|trouble| trouble.alone())?;
    session.printer().data(&visible::text(&answer.body))
}

fn matched(session: &Session<'_>, route: &str, flags: &Flags) -> Result<(), Failure> {
    let form = Form::of(flags)?;
    let answer = session.read(view(route)).map_err(|trouble| trouble.alone())?;
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
pub(super) fn affected(session: &Session<'_>, policy: &str, flags: &Flags) -> Result<(), Failure> {
    let form = Form::of(flags)?;
    let Some(kind) = Kind::all().find(|kind| kind.singular.contains(&policy)) else {
        return Err(Failure::Refused(format!("unknown command {policy:?} for \"kumactl inspect\"")));
    };
    let route = format!("{}/dataplanes", item_route(kind, flags.text("mesh"), &flags.argument(0)));
    let proxies = pages::all(session, &route, view).map_err(|trouble| trouble.alone())?;
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
