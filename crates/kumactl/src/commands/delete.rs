//! `kumactl delete TYPE NAME`, and `kumactl delete -f FILE`.

use model::{Kind, Scope, Writable};
use serde_json::{Map, Value};

use crate::{
    cli::verbs::Delete,
    client::{Ask, Method, segment},
    commands::get::revocations,
    documents,
    failure::Failure,
    routes,
    session::{Session, Trouble},
};

/// What is no resource and can be deleted: with it, what it took from tokens is given back.
const REVOCATION: &str = "revocation";

/// Deletes one resource, or those that files name.
pub(super) fn run(session: &Session<'_>, flags: &Delete) -> Result<(), Failure> {
    session.check_version();
    if flags.names_files() {
        return files(session, &flags.file);
    }
    let (type_name, name) = (flags.target.type_name(), flags.target.name());
    if type_name == REVOCATION {
        return take_back(session, name);
    }
    let Some(kind) = Kind::all().find(|kind| kind.singular.contains(&type_name)) else {
        let mut allowed: Vec<&str> = Kind::all().flat_map(|kind| kind.singular).copied().collect();
        allowed.sort_unstable();
        return Err(Failure::Refused(format!("unknown TYPE: {type_name}. Allowed values: {}", allowed.join(", "))));
    };
    if kind.writable == Writable::Never {
        return Err(Failure::Refused(format!("TYPE: {type_name} is readOnly, can't use it for write action")));
    }
    let target = Target { kind, mesh: flags.mesh.clone(), name: name.to_owned() };
    target.delete(session).map_err(|trouble| target.failure(&trouble))?;
    target.tell(session)
}

/// Takes a revocation back.
fn take_back(session: &Session<'_>, id: &str) -> Result<(), Failure> {
    let route = format!("{}/{}", revocations::ROUTE, segment(id));
    let answer = session.ask(Ask::resource(Method::Delete, &route));
    let answer = answer.and_then(|answer| Ok(answer.accept(&[200])?)).map_err(|trouble| {
        if trouble.is_not_found() {
            let text = format!("there is no revocation {id:?}; `kumactl get revocations` lists them with their ids");
            Failure::Refused(text)
        } else {
            trouble.within(&format!("failed to take the revocation {id:?} back"))
        }
    })?;
    session.printer().line(&format!(
        "took the revocation {id:?} back: the tokens that it names are good again, as far as nothing else speaks against them"
    ))?;
    let said = answer.json().unwrap_or_default();
    for note in said.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        session.printer().note(&format!("Note: {note}"));
    }
    Ok(())
}

/// Deletes what the documents name, the last one first: what was applied later may need what was applied before. What
/// is not there is told, and no reason to stop: a call that stopped half-way can be repeated.
fn files(session: &Session<'_>, files: &[String]) -> Result<(), Failure> {
    let given = documents::read(session, files, "delete")?;
    let mut targets = Vec::new();
    for given in &given {
        let members = documents::members(&given.text)
            .and_then(|members| members.ok_or_else(|| "it is no document".to_owned()))
            .and_then(|members| Target::of(&members))
            .map_err(|problem| Failure::Refused(format!("{}: {problem}; nothing was deleted", given.place)))?;
        targets.push(members);
    }
    let mut missing = 0;
    for (done, target) in targets.iter().rev().enumerate() {
        match target.delete(session) {
            Ok(()) => target.tell(session)?,
            Err(trouble) if trouble.is_not_found() => {
                session.printer().note(&target.failure(&trouble).to_string());
                missing += 1;
            }
            Err(trouble) => {
                let (done, total) = (done - missing, targets.len());
                session.printer().note(&format!("{done} of {total} resources were deleted, those named above"));
                return Err(target.failure(&trouble));
            }
        }
    }
    if missing > 0 {
        return Err(Failure::Refused(format!("{missing} of {} resources were not there", targets.len())));
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Target {
    kind: Kind,
    mesh: String,
    name: String,
}

impl Target {
    /// Reads what a document is about; the rest of it does not matter.
    fn of(members: &Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => text.clone(),
            // YAML takes some names for numbers.
            Some(Value::Number(number)) => number.to_string(),
            Some(_) | None => String::new(),
        };
        let (type_name, name) = (text("type"), text("name"));
        let kind = Kind::by_name(&type_name)
            .filter(|kind| kind.in_rest)
            .ok_or_else(|| format!("invalid resource type {type_name:?}"))?;
        if kind.writable == Writable::Never {
            return Err(format!("{kind} is computed by control planes and cannot be deleted"));
        }
        if name.is_empty() {
            return Err("name: cannot be empty".to_owned());
        }
        let mesh = match (kind.scope, text("mesh")) {
            (Scope::Global, _) => String::new(),
            (Scope::Mesh, mesh) if mesh.is_empty() => "default".to_owned(),
            (Scope::Mesh, mesh) => mesh,
        };
        Ok(Self { kind, mesh, name })
    }

    /// Deletes it: only the success of this very request is one.
    fn delete(&self, session: &Session<'_>) -> Result<(), Trouble> {
        let route = routes::item(self.kind, &self.mesh, &self.name);
        session.ask(Ask::resource(Method::Delete, &route))?.accept(&[200])?;
        Ok(())
    }

    fn tell(&self, session: &Session<'_>) -> Result<(), Failure> {
        session.printer().line(&format!("deleted {} {:?}", self.kind, self.name))
    }

    fn failure(&self, trouble: &Trouble) -> Failure {
        let Self { kind, name, .. } = self;
        if trouble.is_not_found() {
            Failure::Refused(format!("there is no {kind} with name {name:?}"))
        } else {
            trouble.within(&format!("failed to delete {kind} with the name {name:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_name_what_goes() {
        let of = |text: &str| Target::of(&documents::members(text).unwrap().unwrap());
        let target = |kind, mesh: &str, name: &str| Target { kind, mesh: mesh.to_owned(), name: name.to_owned() };
        assert_eq!(of("type: Zone\nname: east\nmesh: x\n"), Ok(target(Kind::ZONE, "", "east")));
        assert_eq!(of("type: Secret\nname: 7\nspec: broken\n"), Ok(target(Kind::SECRET, "default", "7")));
        assert_eq!(of("type: Secret\nname: s\nmesh: m\n"), Ok(target(Kind::SECRET, "m", "s")));
        for text in ["type: Nope\nname: x\n", "type: Zone\n", "type: MeshInsight\nname: m\n"] {
            of(text).unwrap_err();
        }
    }
}
