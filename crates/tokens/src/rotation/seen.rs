//! What the keys that exist say of a record: keys are also made and deleted by hand, and the record is not asked then.

use super::{
    evidence::Evidence,
    state::{Outcome, Rotation, Stage, State, Waiting},
};

impl State {
    /// The record as it is in the light of the keys that exist: a rotation one of whose keys was deleted by hand is over,
    /// and the serials of all keys are given.
    pub(super) fn seen(&self, evidence: &Evidence) -> Self {
        let mut state = self.clone();
        let highest = evidence.taken.iter().chain(evidence.keys.keys()).copied().max();
        state.highest = state.highest.max(highest.unwrap_or_default());
        let is_there = |serial| evidence.keys.contains_key(serial);
        if state.rotation.as_ref().is_some_and(|rotation| !is_there(&rotation.from) || !is_there(&rotation.to)) {
            state.finish(Outcome::ByHand, evidence.now, None);
        }
        state
    }

    /// The rotation that is under way, also one that was begun by hand: two keys are there, and the record says nothing. The
    /// one with the higher serial signs then, as the newest key does. The lowest goes first.
    pub(super) fn under_way(&self, evidence: &Evidence) -> Option<Rotation> {
        if let Some(rotation) = &self.rotation {
            return Some(rotation.clone());
        }
        let (from, _) = evidence.keys.first_key_value()?;
        let (to, made) = evidence.keys.last_key_value()?;
        (from != to).then(|| Rotation {
            stage: Stage::Signing,
            from: *from,
            to: *to,
            since: *made,
            started: *made,
            by: None,
            algorithm: None,
            automatic: false,
            waiting: Waiting::new(*made),
            steps: Vec::new(),
        })
    }
}
