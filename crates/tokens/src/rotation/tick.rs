//! What happens without an order: keys that were made or deleted by hand are taken note of, and an automatic rotation
//! makes its next step once nobody is in its way.

use super::{
    command::Command,
    evidence::Evidence,
    order::Order,
    state::{State, Stopped, Waiting},
    step::{Attempt, Step},
    way::Blocker,
};

/// Who makes the steps of an automatic rotation.
pub const AUTOMATIC: &str = "automatic";

/// Returns what changes by itself now, if something does.
///
/// A rotation that was stopped stays so until an operator makes a step: what was wrong for so long is looked at.
pub fn tick(state: &State, evidence: &Evidence) -> Option<Step> {
    let mut seen = state.seen(evidence);
    // The first key of a family needs no record: nothing can be given twice yet.
    if seen.rotation.is_none() && state.highest == 0 && seen.highest <= 1 {
        return None;
    }
    if let Some(rotation) = &mut seen.rotation
        && rotation.automatic
        && rotation.waiting.stopped.is_none()
    {
        let blockers = evidence.in_the_way(rotation);
        if blockers.is_empty() {
            let was = rotation.position();
            let order =
                Order { command: Command::Advance, by: AUTOMATIC.to_owned(), id: None, expect: None, force: false };
            let rotation = rotation.clone();
            return Attempt { evidence, order: &order, was }.advance(seen, rotation).ok();
        }
        rotation.waiting.see(&blockers, evidence);
    }
    (seen != *state).then(|| Step { state: seen, actions: Vec::new(), cut_off: Vec::new() })
}

impl Waiting {
    /// Takes note of who is in the way now.
    fn see(&mut self, blockers: &[Blocker], evidence: &Evidence) {
        let (now, count) = (evidence.now, u64::try_from(blockers.len()).unwrap_or(u64::MAX));
        if self.fewest.is_none_or(|fewest| count < fewest) {
            self.fewest = Some(count);
            self.since = now;
        } else if now.duration_since(self.since) >= evidence.times.patience {
            let names: Vec<String> = blockers.iter().take(5).map(Blocker::who).collect();
            let more = if blockers.len() > names.len() { " and more" } else { "" };
            let reason = format!(
                "nothing more got out of the way since {}: {}{more}; see to them and go on with `kumactl rotate advance`",
                self.since,
                names.join(", ")
            );
            self.stopped = Some(Stopped { at: now, reason });
        }
    }
}
