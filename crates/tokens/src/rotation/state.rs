//! What is kept of the rotations of one family: the record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{command::Command, text};
use crate::algorithm::Algorithm;

/// How many rotations the history has, and how many steps each of them keeps.
const KEPT: usize = 20;

/// The record of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The highest serial that a key ever had: none up to it is given again.
    pub highest: u64,
    /// The rotation that is under way.
    pub rotation: Option<Rotation>,
    /// The last ones that ended, the oldest first.
    pub history: Vec<Finished>,
}

/// A rotation that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// How far it is.
    pub stage: Stage,
    /// The key that goes.
    pub from: u64,
    /// The key that stays.
    pub to: u64,
    /// Since when it is so far.
    #[serde(with = "text")]
    pub since: Timestamp,
    /// When it began.
    #[serde(with = "text")]
    pub started: Timestamp,
    /// Who began it; nobody known if it was begun by hand.
    pub by: Option<String>,
    /// What the key that was made for it signs with; not known of one that was made by hand.
    #[serde(with = "text::option")]
    pub algorithm: Option<Algorithm>,
    /// Its steps are made as the evidence for them comes in.
    pub automatic: bool,
    /// What it waits for.
    pub waiting: Waiting,
    /// The last steps, the oldest first.
    pub steps: Vec<Done>,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The next key verifies and signs nothing.
    Staged,
    /// It signs, and the old one verifies.
    Signing,
    /// Whoever is on the old one is to leave it.
    Draining,
}

/// What an automatic rotation waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Since when nothing more got out of its way.
    #[serde(with = "text")]
    pub since: Timestamp,
    /// The fewest that were in its way so far.
    pub fewest: Option<u64>,
    /// It waits no more: somebody has to look.
    pub stopped: Option<Stopped>,
}

/// An automatic rotation goes no further by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// Since when.
    #[serde(with = "text")]
    pub at: Timestamp,
    /// Why, for an operator.
    pub reason: String,
}

/// A step that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The name that its sender gave it.
    pub id: Option<String>,
    /// What it was.
    pub command: Command,
    /// Where the rotation stood before.
    pub was: Position,
    /// Who ordered it.
    pub by: String,
    /// When.
    #[serde(with = "text")]
    pub at: Timestamp,
    /// Evidence was missing.
    pub forced: bool,
}

/// A rotation that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// The key that went.
    pub from: u64,
    /// The key that stayed.
    pub to: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    #[serde(with = "text")]
    pub started: Timestamp,
    /// Who began it.
    pub by: Option<String>,
    /// When it ended.
    #[serde(with = "text")]
    pub ended: Timestamp,
    /// Who ended it; nobody known if a key was deleted by hand.
    pub ended_by: Option<String>,
    /// Some step was forced.
    pub forced: bool,
    /// Its last steps, the oldest first.
    pub steps: Vec<Done>,
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The old key is gone.
    Retired,
    /// The new key is gone.
    RolledBack,
    /// One of the two keys was deleted by hand.
    ByHand,
}

/// Where the rotation of a family stands: what a step expects and what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum Position {
    /// No rotation is under way.
    #[default]
    Idle,
    /// See [`Stage::Staged`].
    Staged {
        /// The key that goes.
        from: u64,
        /// The key that stays.
        to: u64,
    },
    /// See [`Stage::Signing`].
    Signing {
        /// The key that goes.
        from: u64,
        /// The key that stays.
        to: u64,
    },
    /// See [`Stage::Draining`].
    Draining {
        /// The key that goes.
        from: u64,
        /// The key that stays.
        to: u64,
    },
}

impl State {
    /// All steps that are remembered, the oldest first.
    pub(super) fn steps(&self) -> impl DoubleEndedIterator<Item = &Done> {
        let past = self.history.iter().flat_map(|finished| &finished.steps);
        past.chain(self.rotation.iter().flat_map(|rotation| &rotation.steps))
    }

    /// Moves the rotation that is under way to the history.
    pub(super) fn finish(&mut self, outcome: Outcome, now: Timestamp, by: Option<&str>) {
        let Some(rotation) = self.rotation.take() else { return };
        let forced = rotation.steps.iter().any(|done| done.forced);
        let Rotation { from, to, started, by: begun_by, steps, .. } = rotation;
        let ended_by = by.map(str::to_owned);
        let finished = Finished { from, to, outcome, started, by: begun_by, ended: now, ended_by, forced, steps };
        push(&mut self.history, finished);
    }
}

impl Rotation {
    /// Where it stands.
    pub fn position(&self) -> Position {
        let Self { from, to, .. } = *self;
        match self.stage {
            Stage::Staged => Position::Staged { from, to },
            Stage::Signing => Position::Signing { from, to },
            Stage::Draining => Position::Draining { from, to },
        }
    }

    /// It goes back to the key that there was before: serials grow, so that is the lower one.
    pub fn rolling_back(&self) -> bool {
        self.to < self.from
    }

    /// Goes to another stage.
    pub(super) fn enter(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage;
        self.since = now;
        self.waiting = Waiting::new(now);
    }

    /// Remembers a step.
    pub(super) fn remember(&mut self, done: Done) {
        push(&mut self.steps, done);
    }
}

impl Waiting {
    /// Nothing was waited for yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, fewest: None, stopped: None }
    }
}

fn push<T>(last: &mut Vec<T>, one: T) {
    last.push(one);
    last.drain(..last.len().saturating_sub(KEPT));
}
