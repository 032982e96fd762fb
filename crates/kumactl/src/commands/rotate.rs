//! `kumactl rotate`: the rotation of signing keys, step by step.
//!
//! A step says where it found the rotation, and has a name of its own: when an answer is lost it is sent again, and is made
//! once.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    cli::verbs::rotate::{OfFamily, Rotate, Status},
    client::{Ask, Method, segment},
    failure::Failure,
    output::{self, Form, age, table::Table, visible},
    session::{Session, Trouble},
    views::cells::text,
};

const ROUTE: &str = "/rotations";
/// So many of those who are in the way are shown; programs get all.
const SHOWN: usize = 20;
/// How often a step is sent whose answer is lost.
const ATTEMPTS: usize = 2;
const HEAD: [&str; 8] = ["FAMILY", "MESH", "PHASE", "FROM", "TO", "SINCE", "ZONES BY KEY", "IN THE WAY"];
const BLOCKERS: [&str; 5] = ["KIND", "NAME", "KEY", "LAST SEEN AGO", "REASON"];

pub(super) fn run(session: &Session<'_>, what: &Rotate) -> Result<(), Failure> {
    session.check_version();
    match what {
        Rotate::Status(flags) => status(session, flags),
        Rotate::Start(flags) => {
            let mut request = Map::new();
            request.insert("expect".to_owned(), json!({"phase": "idle", "from": null, "to": null}));
            request.insert("automatic".to_owned(), flags.automatic.into());
            request.insert("force".to_owned(), flags.force.into());
            if !flags.algorithm.is_empty() {
                request.insert("algorithm".to_owned(), flags.algorithm.as_str().into());
            }
            step(session, &flags.of, "start", request)
        }
        Rotate::Advance(flags) => {
            let mut request = expecting(session, &flags.of, false)?;
            request.insert("force".to_owned(), flags.force.into());
            request.insert("dryRun".to_owned(), flags.dry_run.into());
            step(session, &flags.of, "advance", request)
        }
        Rotate::Rollback(flags) => {
            let mut request = expecting(session, &flags.of, flags.force)?;
            request.insert("force".to_owned(), flags.force.into());
            step(session, &flags.of, "rollback", request)
        }
    }
}

fn route(family: &str, mesh: &str, step: &str) -> String {
    let mesh = if mesh.is_empty() { String::new() } else { format!("?mesh={}", segment(mesh)) };
    format!("{ROUTE}/{}{step}{mesh}", segment(family))
}

fn status(session: &Session<'_>, flags: &Status) -> Result<(), Failure> {
    let form = Form::of(&flags.form.output)?;
    let family = flags.family.name();
    let route = if family.is_empty() { ROUTE.to_owned() } else { route(family, &flags.mesh, "") };
    let found = session.read(Ask::resource(Method::Get, &route)).map_err(|trouble| trouble.alone())?;
    match form {
        Form::Yaml => session.printer().data(&model::yaml::to_string(&found)),
        Form::Json => session.printer().data(&output::json(&found)),
        Form::Table if family.is_empty() => {
            let none = Vec::new();
            let all = found.get("items").and_then(Value::as_array).unwrap_or(&none);
            session.printer().data(&table(session, all))
        }
        Form::Table => session.printer().data(&in_full(session, &found)),
    }
}

fn table(session: &Session<'_>, all: &[Value]) -> String {
    let mut table = Table::new(&HEAD);
    for one in all {
        let zones = one.get("zonesByKey").and_then(Value::as_object);
        let zones = zones.into_iter().flatten().map(|(key, zones)| format!("{key}: {zones}"));
        let way = if number(one, "to").is_empty() { String::new() } else { blockers(one).count().to_string() };
        table.add([
            text(one, "/family"),
            text(one, "/mesh"),
            phase(one),
            number(one, "from"),
            number(one, "to"),
            age::since(session.now(), age::time(one.get("since"))),
            zones.collect::<Vec<_>>().join(", "),
            way,
        ]);
    }
    table.text()
}

/// The phase, and what is special about the rotation.
fn phase(one: &Value) -> String {
    let is = |member: &str| one.get(member).and_then(Value::as_bool) == Some(true);
    let stopped = one.get("stopped").is_some_and(|stopped| !stopped.is_null());
    let words = [(is("byHand"), "by hand"), (is("rollingBack"), "rolling back"), (is("automatic"), "automatic")];
    let mut words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    words.extend(stopped.then_some("stopped"));
    let phase = text(one, "/phase");
    if words.is_empty() { phase } else { format!("{phase} ({})", words.join(", ")) }
}

/// One rotation with everybody who is in its way.
fn in_full(session: &Session<'_>, one: &Value) -> String {
    let mut shown = table(session, std::slice::from_ref(one));
    let problem = text(one, "/problem");
    if !problem.is_empty() {
        shown += &format!("\n{}\n", visible::line(&problem));
    }
    let reason = text(one, "/stopped/reason");
    if !reason.is_empty() {
        shown += &format!("\nstopped: {}\n", visible::line(&reason));
    }
    let beside = beside(one);
    if let Some(beside) = beside.strip_prefix("; ") {
        shown += &format!("\n{beside}\n");
    }
    let mut rows = Table::new(&BLOCKERS);
    for blocker in blockers(one).take(SHOWN) {
        rows.add([
            text(blocker, "/kind"),
            text(blocker, "/name"),
            number(blocker, "key"),
            age::since(session.now(), age::time(blocker.get("lastSeen"))),
            text(blocker, "/reason"),
        ]);
    }
    let count = blockers(one).count();
    if count == 0 {
        shown
    } else {
        shown + "\n" + &rows.text() + &more(count).map(|line| line + "\n").unwrap_or_default()
    }
}

fn blockers(one: &Value) -> impl Iterator<Item = &Value> {
    one.get("blockers").and_then(Value::as_array).into_iter().flatten()
}

/// Says how many more there are than are shown.
fn more(count: usize) -> Option<String> {
    let more = count.checked_sub(SHOWN).filter(|more| *more > 0)?;
    Some(format!("and {more} more (`kumactl rotate status FAMILY -o json` has all)"))
}

fn number(of: &Value, member: &str) -> String {
    of.get(member).and_then(Value::as_u64).map(|number| number.to_string()).unwrap_or_default()
}

/// A request that expects the rotation where it is now; nowhere, where nobody can read that and somebody insists.
fn expecting(session: &Session<'_>, of: &OfFamily, insists: bool) -> Result<Map<String, Value>, Failure> {
    let route = route(of.family.name(), &of.mesh, "");
    let found = session.read(Ask::resource(Method::Get, &route)).map_err(|trouble| trouble.alone())?;
    let problem = text(&found, "/problem");
    if !problem.is_empty() {
        let nowhere = json!({"phase": "idle", "from": null, "to": null});
        let request = Map::from_iter([("expect".to_owned(), nowhere)]);
        return if insists { Ok(request) } else { Err(Failure::refused(visible::line(&problem))) };
    }
    let member = |name: &str| found.get(name).cloned().unwrap_or_default();
    let expect = json!({"phase": member("phase"), "from": member("from"), "to": member("to")});
    Ok(Map::from_iter([("expect".to_owned(), expect)]))
}

fn step(session: &Session<'_>, of: &OfFamily, word: &str, mut request: Map<String, Value>) -> Result<(), Failure> {
    let is_dry = request.get("dryRun").and_then(Value::as_bool) == Some(true);
    request.insert("id".to_owned(), Uuid::new_v4().to_string().into());
    let (route, body) = (route(of.family.name(), &of.mesh, &format!("/{word}")), Value::Object(request).to_string());
    let made = send(session, &route, &body)?;
    let mut lines = Vec::new();
    if is_dry {
        lines.push("the step would be made".to_owned());
    } else {
        lines.push(format!("{} is {}{}", text(&made, "/family"), phase(&made), keys(&made)));
    }
    let cut_off = made.get("cutOff").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let verb = if is_dry { "would be cut off" } else { "cut off" };
    lines.extend(cut_off.iter().take(SHOWN).map(|blocker| format!("{verb}: {}", who(blocker))));
    lines.extend(cut_off.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("{verb}: {more} more")));
    session.printer().data(&(lines.join("\n") + "\n"))
}

fn keys(one: &Value) -> String {
    let (from, to) = (number(one, "from"), number(one, "to"));
    if to.is_empty() { String::new() } else { format!(" from key {from} to key {to}{}", beside(one)) }
}

/// That a third key signs.
fn beside(one: &Value) -> String {
    let (from, to, signs) = (number(one, "from"), number(one, "to"), number(one, "signs"));
    let has_part = signs.is_empty() || to.is_empty() || signs == from || signs == to;
    if has_part { String::new() } else { format!("; key {signs} signs, which was made by hand beside it") }
}

fn who(blocker: &Value) -> String {
    visible::line(&format!("{} {}: {}", text(blocker, "/kind"), text(blocker, "/name"), text(blocker, "/reason")))
}

/// Sends a step, again if the answer is lost, and tells who is in its way.
fn send(session: &Session<'_>, route: &str, body: &str) -> Result<Value, Failure> {
    let ask = Ask::resource(Method::Post, route).with_body(body);
    let mut answer = session.ask(ask);
    for _again in 1..ATTEMPTS {
        if answer.as_ref().is_err_and(Trouble::is_unanswered) {
            answer = session.ask(ask);
        }
    }
    let answer = answer.map_err(|trouble| trouble.alone())?;
    let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let mut in_the_way: Vec<String> = blockers(&said).take(SHOWN).map(who).collect();
    if answer.status == 409 && !in_the_way.is_empty() {
        let count = blockers(&said).count();
        in_the_way.extend(more(count));
        let list = in_the_way.join("\n  ");
        return Err(Failure::refused(format!(
            "the step is not made, {count} in the way (--force makes it all the same and cuts them off):\n  {list}"
        )));
    }
    if answer.status == 409 {
        return Err(Failure::refused(text(&said, "/detail")));
    }
    let made = answer.accept(&[200]).and_then(|answer| answer.json());
    made.map_err(|error| Trouble::from(error).alone())
}
