//! What may be ordered, and why it is not done.

use jiff::Timestamp;
use thiserror::Error;

use super::{command::Command, state::Position, way::Blocker};
use crate::algorithm::Algorithm;

/// One step that is ordered.
///
/// It may be sent twice, because an answer may be lost: a step that was done is told by its id, or, if it has none, by who
/// ordered the same where the rotation stood then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub command: Command,
    /// Who orders it.
    pub by: String,
    /// Its own name, the same each time it is sent.
    pub id: Option<String>,
    /// Where the rotation must stand for it to be done.
    pub expect: Option<Position>,
    /// Do it without the evidence.
    pub force: bool,
}

/// Why a step was not made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Somebody would be cut off, or is not known not to be.
    #[error("{}", blocked(.blockers))]
    Blocked {
        /// Who, and why.
        blockers: Vec<Blocker>,
    },
    /// Somebody else was quicker.
    #[error("{by} was quicker: `{step}` at {at}; look at the status, and order what is still wanted")]
    Overtaken {
        /// Who.
        by: String,
        /// What they ordered.
        step: &'static str,
        /// When.
        at: Timestamp,
    },
    /// The name of the step was given to another one.
    #[error(
        "a step of this id was made already, and it was another one: `{step}` at {at}; give each step an id of its own"
    )]
    OtherStep {
        /// What it was.
        step: &'static str,
        /// When.
        at: Timestamp,
    },
    /// The rotation stands elsewhere, and nobody is known who moved it.
    #[error("the rotation stands elsewhere than was expected, it is {}; look at the status, and order what is still wanted", .now.words())]
    Elsewhere {
        /// Where it stands.
        now: Position,
    },
    /// No rotation is under way.
    #[error("no rotation is under way: begin one with `kumactl rotate start`")]
    Idle,
    /// One is under way already.
    #[error("a rotation is under way since {since}{}, it is {}: end it with `kumactl rotate advance` or `rollback`", begun(.by), .now.words())]
    UnderWay {
        /// Where it stands.
        now: Position,
        /// When it began.
        since: Timestamp,
        /// Who began it; nobody known if it was begun by hand.
        by: Option<String>,
    },
    /// It goes back already.
    #[error("the rotation goes back since {since} already{}: end it with `kumactl rotate advance`", .by.as_ref().map(|by| format!(", ordered by {by}")).unwrap_or_default())]
    GoesBack {
        /// Since when.
        since: Timestamp,
        /// Who ordered that, if it is remembered.
        by: Option<String>,
    },
    /// There is nothing to rotate.
    #[error("there is no signing key to rotate: make the first one with `kumactl generate signing-key`")]
    NoKey,
    /// All serials were given.
    #[error("the highest serial there can be was given already, so there is none for another key")]
    NoSerial,
    /// Keys of the family do not sign so.
    #[error("keys of this family do not sign with {algorithm}, but with {}", .usable.join(", "))]
    Algorithm {
        /// What was wanted.
        algorithm: Algorithm,
        /// What there is.
        usable: Vec<&'static str>,
    },
}

impl Position {
    /// Where it is, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Idle => "idle".to_owned(),
            Self::Staged { from, to } => format!("staged (from key {from} to key {to})"),
            Self::Signing { from, to } => format!("signing (from key {from} to key {to})"),
            Self::Draining { from, to } => format!("draining (from key {from} to key {to})"),
        }
    }
}

fn blocked(blockers: &[Blocker]) -> String {
    let count = blockers.len();
    let (first, rest) = match blockers {
        [first, ..] => (format!(": {}", first.who()), count - 1),
        [] => (String::new(), 0),
    };
    let more = if rest == 0 { String::new() } else { format!("; and {rest} more, see the status") };
    format!("{count} in the way{first}{more}")
}

fn begun(by: &Option<String>) -> String {
    by.as_ref().map_or_else(|| " by hand".to_owned(), |by| format!(" by {by}"))
}
