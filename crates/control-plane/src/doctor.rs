//! What an operator should look at before it breaks: findings with what is wrong and what to do.
//!
//! ```text
//! store, keys, ledger, rotations, certificates ─► gather ─► Facts ─► checks (pure) ─► Finding, one for each check at least
//! ```
//!
//! Each check says something, also when all is well: a check that is silent may not have run.

mod checks;
mod facts;
mod gather;

use serde::Serialize;

use self::facts::Facts;
pub use self::gather::Doctor;
pub(crate) use self::gather::{NotExamined, Sources};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nothing to do.
    Ok,
    /// It will trouble somebody.
    Warn,
    /// It troubles somebody now.
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The check.
    name: &'static str,
    status: Status,
    /// What there is.
    what: String,
    /// What to do about it; empty if nothing.
    #[serde(rename = "do")]
    remedy: String,
}

impl Finding {
    fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, what: what.into(), remedy: String::new() }
    }

    fn warn(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, what: what.into(), remedy: remedy.into() }
    }

    fn fail(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, what: what.into(), remedy: remedy.into() }
    }
}

/// Runs all checks.
fn examine(facts: &Facts) -> Vec<Finding> {
    checks::ALL.iter().flat_map(|check| check(facts)).collect()
}
