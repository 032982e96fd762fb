//! What goes on by itself, on the instance that leads: steps of automatic rotations, and what is noted of keys that were made
//! or deleted by hand.

use std::time::Duration;

use tokens::{
    Family,
    rotation::{AUTOMATIC, Rotation, Stopped, tick},
};
use tokio::time::sleep;
use tracing::warn;

use super::{NotMade, Rotations, evidence, tell};
use crate::tasks::Tasks;

/// How often evidence is looked at when nothing is heard: the clock goes on, and what other instances see is not told here.
const LOOK: Duration = Duration::from_secs(10);
/// How long it waits before a look: a storm of streams is looked at as a whole, and when a key is gone the streams that
/// stood on it have to end first.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks whenever keys or zones change, until the program stops.
pub(super) async fn run(rotations: Rotations, tasks: Tasks) -> anyhow::Result<()> {
    let mut ring = rotations.0.keys.subscribe();
    let mut streams = rotations.0.registry.changes();
    let mut leading = rotations.0.cluster.leading();
    // Patience that is shorter is an operator's who tries it out.
    let wait = Duration::try_from(rotations.0.times.patience).unwrap_or_default().clamp(PAUSE, LOOK);
    loop {
        ring.borrow_and_update();
        streams.borrow_and_update();
        leading.borrow_and_update();
        if let Err(problem) = look_at_all(&rotations).await {
            warn!(error = %problem, "rotations cannot be looked at, they are looked at again in a while");
        }
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            // Their owners end first when the program stops.
            changed = ring.changed() => if changed.is_err() { return Ok(()) },
            changed = streams.changed() => if changed.is_err() { return Ok(()) },
            changed = leading.changed() => if changed.is_err() { return Ok(()) },
            () = sleep(wait) => {}
        }
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = sleep(PAUSE) => {}
        }
    }
}

async fn look_at_all(rotations: &Rotations) -> Result<(), NotMade> {
    let mut looked = Ok(());
    for family in rotations.families().await? {
        // One that cannot be looked at keeps no other from going on.
        if let Err(problem) = look_at(rotations, &family).await {
            looked = Err(problem);
        }
    }
    looked
}

async fn look_at(rotations: &Rotations, family: &Family) -> Result<(), NotMade> {
    if rotations.0.keys.ring().signs_outside(family).is_some() {
        // What the store's keys are for then is the past: they change by hand alone.
        rotations.0.metrics.forget(family);
        return Ok(());
    }
    let mut seen = evidence::look_at_keys(&rotations.0, family).await?;
    if seen.state.rotation.is_some() {
        // Nobody is in the way of no rotation, and zones that connect wake this all the time.
        rotations.see_all().await;
        seen = evidence::look(&rotations.0, family).await?;
    }
    let mut now = seen.state.rotation.clone();
    // All look, so that each tells who is in the way; one writes.
    if let Some(epoch) = rotations.0.cluster.leads()
        && let Some(step) = tick(&seen.state, &seen.evidence)
        // Whoever wrote meanwhile woke this task again.
        && rotations.write(family, &seen, &step, Some(epoch)).await?
    {
        let moved = |rotation: &Option<Rotation>| rotation.as_ref().map(Rotation::position);
        if moved(&step.state.rotation) != moved(&seen.state.rotation) {
            let by = if seen.state.rotation.as_ref().is_some_and(|one| one.automatic) { AUTOMATIC } else { "by hand" };
            tell(family, "advance", by, &step);
        }
        tell_stop(family, stopped(&seen.state.rotation), stopped(&step.state.rotation));
        now = step.state.rotation;
    }
    match &now {
        Some(rotation) => {
            let blockers = seen.evidence.in_the_way(rotation).len();
            rotations.0.metrics.show(family, rotation.waiting.stopped.is_some(), blockers);
        }
        None => rotations.0.metrics.forget(family),
    }
    Ok(())
}

fn stopped(rotation: &Option<Rotation>) -> Option<&Stopped> {
    rotation.as_ref()?.waiting.stopped.as_ref()
}

fn tell_stop(family: &Family, before: Option<&Stopped>, now: Option<&Stopped>) {
    if let (None, Some(stopped)) = (before, now) {
        let mesh = family.mesh().unwrap_or_default();
        warn!(
            family = family.key_word(),
            mesh,
            reason = stopped.reason,
            "an automatic rotation goes no further by itself"
        );
    }
}
