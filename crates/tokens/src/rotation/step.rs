//! Making one step.

use super::{
    command::Command,
    evidence::Evidence,
    order::{Order, Refused},
    state::{Done, Outcome, Position, Rotation, Stage, State, Waiting},
    way::Blocker,
};
use crate::{Family, algorithm::Algorithm};

/// What is to be done together with writing the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a key.
    CreateKey {
        /// Its serial.
        serial: u64,
        /// What it signs with.
        algorithm: Algorithm,
    },
    /// Delete a key, both halves of it.
    DeleteKey {
        /// Its serial.
        serial: u64,
    },
}

/// A step that may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The record after it. The same as before if it was made already.
    pub state: State,
    /// What is to be done with it.
    pub actions: Vec<Action>,
    /// Who is cut off by it, or may be: somebody insisted.
    pub cut_off: Vec<Blocker>,
}

/// Returns what comes of an order, or why it is not done.
///
/// What was done already is not done again, and is no mistake: the record comes back as it is.
pub fn step(state: &State, evidence: &Evidence, order: &Order) -> Result<Step, Refused> {
    if let Some(done) = state.steps().find(|done| order.id.is_some() && done.id == order.id) {
        let (step, at) = (done.command.word(), done.at);
        return if done.command == order.command {
            Ok(Step::none(state))
        } else {
            Err(Refused::OtherStep { step, at })
        };
    }
    let seen = state.seen(evidence);
    let rotation = seen.under_way(evidence);
    let was = rotation.as_ref().map_or(Position::Idle, Rotation::position);
    if let Some(expected) = order.expected()
        && expected != was
    {
        return elsewhere(state, order, expected, rotation.as_ref());
    }
    let attempt = Attempt { evidence, order, was };
    match (&order.command, rotation) {
        (Command::Start { automatic, algorithm }, None) => attempt.start(seen, *automatic, *algorithm),
        (Command::Start { .. }, Some(rotation)) => Err(under_way(&rotation)),
        (Command::Advance | Command::Rollback, None) => Err(Refused::Idle),
        (Command::Advance, Some(rotation)) => attempt.advance(seen, rotation),
        // Ordered twice it must not go forward again.
        (Command::Rollback, Some(rotation)) if rotation.rolling_back() => Err(goes_back(&rotation)),
        (Command::Rollback, Some(rotation)) => attempt.roll_back(seen, rotation),
    }
}

impl Step {
    /// Nothing.
    fn none(state: &State) -> Self {
        Self { state: state.clone(), actions: Vec::new(), cut_off: Vec::new() }
    }
}

impl Order {
    /// Where the rotation must stand: who begins one expects none, said or not.
    fn expected(&self) -> Option<Position> {
        match self.command {
            Command::Start { .. } => Some(self.expect.unwrap_or_default()),
            Command::Advance | Command::Rollback => self.expect,
        }
    }
}

/// The rotation is not where it was expected: this very step was made already, or another one.
fn elsewhere(state: &State, order: &Order, expected: Position, now: Option<&Rotation>) -> Result<Step, Refused> {
    let same = |done: &&Done| {
        let nameless = done.id.is_none() && order.id.is_none();
        nameless && done.was == expected && done.by == order.by && done.command == order.command
    };
    if let (Command::Start { .. }, Some(rotation)) = (&order.command, now) {
        // That others were begun before, and ended, is no news.
        let is_this = rotation.steps.iter().any(|done| same(&done));
        return if is_this { Ok(Step::none(state)) } else { Err(under_way(rotation)) };
    }
    match state.steps().rfind(|done| done.was == expected) {
        Some(done) if same(&done) => Ok(Step::none(state)),
        Some(done) => Err(Refused::Overtaken { by: done.by.clone(), step: done.command.word(), at: done.at }),
        // Moved by hand, or before what is remembered.
        None => Err(Refused::Elsewhere { now: now.map_or(Position::Idle, Rotation::position) }),
    }
}

fn under_way(rotation: &Rotation) -> Refused {
    Refused::UnderWay { now: rotation.position(), since: rotation.started, by: rotation.by.clone() }
}

fn goes_back(rotation: &Rotation) -> Refused {
    let ordered = rotation.steps.iter().rfind(|done| matches!(done.command, Command::Rollback));
    Refused::GoesBack { since: rotation.since, by: ordered.map(|done| done.by.clone()) }
}

/// One try at a step.
pub(super) struct Attempt<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) order: &'a Order,
    /// Where the rotation stands.
    pub(super) was: Position,
}

impl Attempt<'_> {
    fn start(&self, mut state: State, automatic: bool, algorithm: Option<Algorithm>) -> Result<Step, Refused> {
        let now = self.evidence.now;
        let (from, _) = self.evidence.keys.last_key_value().ok_or(Refused::NoKey)?;
        let to = state.highest.checked_add(1).ok_or(Refused::NoSerial)?;
        let algorithm = usable(&self.evidence.family, algorithm)?;
        let cut_off = self.judge(self.evidence.cannot_read(algorithm))?;
        let mut rotation = Rotation {
            stage: Stage::Staged,
            from: *from,
            to,
            since: now,
            started: now,
            by: Some(self.order.by.clone()),
            algorithm: Some(algorithm),
            automatic,
            waiting: Waiting::new(now),
            steps: Vec::new(),
        };
        rotation.remember(self.done(&cut_off));
        state.highest = to;
        state.rotation = Some(rotation);
        Ok(Step { state, actions: vec![Action::CreateKey { serial: to, algorithm }], cut_off })
    }

    pub(super) fn advance(&self, mut state: State, mut rotation: Rotation) -> Result<Step, Refused> {
        let cut_off = self.judge(self.evidence.in_the_way(&rotation))?;
        let now = self.evidence.now;
        rotation.remember(self.done(&cut_off));
        let next = match rotation.stage {
            Stage::Staged => Stage::Signing,
            Stage::Signing => Stage::Draining,
            Stage::Draining => {
                let outcome = if rotation.rolling_back() { Outcome::RolledBack } else { Outcome::Retired };
                return Ok(self.end(state, rotation, outcome, cut_off));
            }
        };
        rotation.enter(next, now);
        state.rotation = Some(rotation);
        Ok(Step { state, actions: Vec::new(), cut_off })
    }

    /// The key that was there before signs again, at once and without evidence: all know it, it was never gone.
    fn roll_back(&self, mut state: State, mut rotation: Rotation) -> Result<Step, Refused> {
        match rotation.stage {
            Stage::Staged => {
                // It has signed nothing here; with the key in a file somebody may have.
                let cut_off = self.judge(self.evidence.on(rotation.to).filter(Blocker::is_certain).collect())?;
                rotation.remember(self.done(&cut_off));
                (rotation.from, rotation.to) = (rotation.to, rotation.from);
                Ok(self.end(state, rotation, Outcome::RolledBack, cut_off))
            }
            Stage::Signing | Stage::Draining => {
                rotation.remember(self.done(&[]));
                (rotation.from, rotation.to) = (rotation.to, rotation.from);
                rotation.enter(Stage::Draining, self.evidence.now);
                state.rotation = Some(rotation);
                Ok(Step { state, actions: Vec::new(), cut_off: Vec::new() })
            }
        }
    }

    fn end(&self, mut state: State, rotation: Rotation, outcome: Outcome, cut_off: Vec<Blocker>) -> Step {
        let gone = rotation.from;
        state.rotation = Some(rotation);
        state.finish(outcome, self.evidence.now, Some(&self.order.by));
        Step { state, actions: vec![Action::DeleteKey { serial: gone }], cut_off }
    }

    /// Who is in the way stops the step, or is cut off by it.
    fn judge(&self, blockers: Vec<Blocker>) -> Result<Vec<Blocker>, Refused> {
        if blockers.is_empty() || self.order.force { Ok(blockers) } else { Err(Refused::Blocked { blockers }) }
    }

    fn done(&self, cut_off: &[Blocker]) -> Done {
        let Order { command, by, id, .. } = self.order.clone();
        Done { id, command, was: self.was, by, at: self.evidence.now, forced: !cut_off.is_empty() }
    }
}

/// What a key of a family signs with.
fn usable(family: &Family, wanted: Option<Algorithm>) -> Result<Algorithm, Refused> {
    let usable: &[Algorithm] = match family {
        Family::ControlPlane => &[Algorithm::Hs256],
        Family::Zone | Family::User | Family::Dataplane { .. } => {
            &[Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
        }
    };
    let usual = usable.first().copied().unwrap_or(Algorithm::Rs256);
    match wanted {
        None => Ok(usual),
        Some(algorithm) if usable.contains(&algorithm) => Ok(algorithm),
        Some(algorithm) => {
            Err(Refused::Algorithm { algorithm, usable: usable.iter().map(|usable| usable.as_str()).collect() })
        }
    }
}
