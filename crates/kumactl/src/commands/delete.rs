//! `kumactl delete TYPE NAME`.

use model::{Kind, Writable};

use crate::{
    cli::flags::Flags,
    client::{Ask, Method},
    commands::item_route,
    failure::Failure,
    session::Session,
};

/// Deletes one resource.
pub(super) fn run(session: &Session<'_>, flags: &Flags) -> Result<(), Failure> {
    session.check_version();
    let (type_name, name) = (flags.argument(0), flags.argument(1));
    let Some(kind) = Kind::all().find(|kind| kind.singular.contains(&type_name.as_str())) else {
        let mut allowed: Vec<&str> = Kind::all().flat_map(|kind| kind.singular).copied().collect();
        allowed.sort_unstable();
        return Err(Failure::Refused(format!("unknown TYPE: {type_name}. Allowed values: {}", allowed.join(", "))));
    };
    if kind.writable == Writable::Never {
        return Err(Failure::Refused(format!("TYPE: {type_name} is readOnly, can't use it for write action")));
    }
    let route = item_route(kind, flags.text("mesh"), &name);
    let answer = session.ask(Ask::resource(Method::Delete, &route)).and_then(|answer| Ok(answer.accept(&[200])?));
    match answer {
        Ok(_) => session.printer().line(&format!("deleted {kind} {name:?}")),
        Err(trouble) if trouble.is_not_found() => {
            Err(Failure::Refused(format!("there is no {kind} with name {name:?}")))
        }
        Err(trouble) => Err(trouble.within(&format!("failed to delete {kind} with the name {name:?}"))),
    }
}
