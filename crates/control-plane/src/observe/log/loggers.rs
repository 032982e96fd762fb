//! What the parts of the program are called in the log. Who logs says nothing of it: the module decides.

use std::borrow::Cow;

/// Modules and the loggers that operators know them by; the longest that fits counts. A module of ours without a row is
/// called by its path.
const LOGGERS: &[(&str, &str)] = &[
    ("control_plane::access", "api-server"),
    ("control_plane::app", "kuma-cp.run"),
    ("control_plane::app::open_store", "store"),
    ("control_plane::app::serve", "api-server"),
    ("control_plane::issuing", "api-server"),
    ("control_plane::kds", "kds"),
    ("control_plane::kds::apply", "kds-delta-client"),
    ("control_plane::kds::dial", "kds.zone"),
    ("control_plane::kds::global", "kds.global"),
    ("control_plane::kds::global::listener", "kds"),
    ("control_plane::kds::global::router", "kds.auth"),
    ("control_plane::kds::zone", "kds.zone"),
    ("control_plane::limits", "kuma-cp.run"),
    ("control_plane::limits::http1", "api-server"),
    ("control_plane::observe::diagnostics", "diagnostics"),
    ("control_plane::rest", "api-server"),
    ("control_plane::writes::authority", "resources.authority"),
    ("control_plane::writes::delete", "api-server"),
    ("control_plane::writes::put", "api-server"),
    ("control_plane::zones", "zones"),
    ("control_plane::zones::sweeper", "kds.auth"),
    ("store", "store"),
];
/// What the modules of this program begin with.
const OURS: &str = concat!(env!("CARGO_CRATE_NAME"), "::");
/// Crates that log under their bare name.
const FOREIGN: &[&str] = &["h2", "hyper", "hyper_util", "rustls", "tower", "tonic", "notify", "mio"];

/// Returns the name of the logger for the target of an event: that of its module, or the name that it gives itself.
/// Nothing for other crates, which do not tell what this program does.
pub(super) fn logger(target: &str) -> Option<Cow<'_, str>> {
    let known = LOGGERS.iter().filter(|(module, _)| is_inside(target, module)).max_by_key(|(module, _)| module.len());
    if let Some((_, name)) = known {
        return Some(Cow::Borrowed(name));
    }
    match target.strip_prefix(OURS) {
        Some(module) => Some(Cow::Owned(module.replace("::", "."))),
        None if target.contains("::") || FOREIGN.contains(&target) => None,
        None => Some(Cow::Borrowed(target)),
    }
}

fn is_inside(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_the_names_that_operators_know() {
        let check = |target: &str, expected: Option<&str>| assert_eq!(logger(target).as_deref(), expected, "{target}");
        check("control_plane::kds::zone::session", Some("kds.zone"));
        check("control_plane::kds::dial::tunnel", Some("kds.zone"));
        check("control_plane::kds::zones", Some("kds"));
        check("control_plane::kds::apply", Some("kds-delta-client"));
        check("control_plane::kds::global::down", Some("kds.global"));
        check("control_plane::rest::handlers::tokens", Some("api-server"));
        check("control_plane::keys", Some("keys"));
        check("control_plane::zones::insight::writing", Some("zones"));
        check("control_plane::zones::sweeper", Some("kds.auth"));
        check("control_plane::writes::authority", Some("resources.authority"));
        check("store::sqlite::writer", Some("store"));
        check("kds-delta-client", Some("kds-delta-client"));
        check("hyper_util::client", None);
        check("h2", None);
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(LOGGERS.is_sorted());
    }
}
