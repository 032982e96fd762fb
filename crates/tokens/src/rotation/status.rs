//! What an operator is told of the rotation of one family.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    evidence::Evidence,
    state::{Finished, Position, Rotation, State, Stopped},
    text,
    way::Blocker,
};
use crate::{Family, algorithm::Algorithm};

/// The word for a phase that nobody knows.
const UNREADABLE: &str = "unreadable";

/// Where the rotation of a family stands, and who is in the way of its next step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The family.
    pub family: String,
    /// The mesh, of dataplane tokens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mesh: Option<String>,
    /// `idle`, `staged`, `signing` or `draining`; `unreadable` where the record is.
    pub phase: String,
    /// Why nothing is known, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// The key that goes.
    pub from: Option<u64>,
    /// The key that stays.
    pub to: Option<u64>,
    /// Since when it is in this phase.
    #[serde(with = "text::option")]
    pub since: Option<Timestamp>,
    /// Who began it.
    pub by: Option<String>,
    /// It was begun by making a key by hand, and this control plane has not taken it over.
    pub by_hand: bool,
    /// It goes back to the key that there was before.
    pub rolling_back: bool,
    /// Its steps are made as the evidence for them comes in.
    pub automatic: bool,
    /// It goes no further by itself.
    pub stopped: Option<Stopped>,
    /// What the new key signs with.
    #[serde(with = "text::option")]
    pub algorithm: Option<Algorithm>,
    /// The keys that exist.
    pub keys: Vec<u64>,
    /// The one that signs; beside a rotation it may be a third one, which was made by hand.
    pub signs: Option<u64>,
    /// Who is in the way of the next step.
    pub blockers: Vec<Blocker>,
    /// How many zones are on which key.
    pub zones_by_key: BTreeMap<String, u64>,
    /// The last rotations that ended, the oldest first.
    pub history: Vec<Finished>,
}

impl Status {
    /// What is to be told of a family whose record cannot be read.
    pub fn unreadable(family: &Family, problem: String) -> Self {
        Self {
            family: family.key_word().to_owned(),
            mesh: family.mesh().map(str::to_owned),
            phase: UNREADABLE.to_owned(),
            problem: Some(problem),
            from: None,
            to: None,
            since: None,
            by: None,
            by_hand: false,
            rolling_back: false,
            automatic: false,
            stopped: None,
            algorithm: None,
            keys: Vec::new(),
            signs: None,
            blockers: Vec::new(),
            zones_by_key: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// What is to be told, given what is known.
    pub fn of(state: &State, evidence: &Evidence) -> Self {
        let seen = state.seen(evidence);
        let rotation = seen.under_way(evidence);
        let mesh = evidence.family.mesh().map(str::to_owned);
        let phase = rotation.as_ref().map_or(Position::Idle, Rotation::position).word();
        Self {
            family: evidence.family.key_word().to_owned(),
            mesh,
            phase: phase.to_owned(),
            problem: None,
            from: rotation.as_ref().map(|rotation| rotation.from),
            to: rotation.as_ref().map(|rotation| rotation.to),
            since: rotation.as_ref().map(|rotation| rotation.since),
            by: rotation.as_ref().and_then(|rotation| rotation.by.clone()),
            by_hand: rotation.is_some() && seen.rotation.is_none(),
            rolling_back: rotation.as_ref().is_some_and(Rotation::rolling_back),
            automatic: rotation.as_ref().is_some_and(|rotation| rotation.automatic),
            stopped: rotation.as_ref().and_then(|rotation| rotation.waiting.stopped.clone()),
            algorithm: rotation.as_ref().and_then(|rotation| rotation.algorithm),
            keys: evidence.keys.keys().copied().collect(),
            signs: evidence.instances.iter().find_map(|instance| instance.signs),
            blockers: rotation.as_ref().map(|rotation| evidence.in_the_way(rotation)).unwrap_or_default(),
            zones_by_key: evidence.zones_by_key().into_iter().map(|(key, zones)| (key.to_string(), zones)).collect(),
            history: seen.history,
        }
    }
}

impl Position {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Staged { .. } => "staged",
            Self::Signing { .. } => "signing",
            Self::Draining { .. } => "draining",
        }
    }
}
