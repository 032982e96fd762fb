//! Rotations that go on by themselves.

use super::*;

const HOUR: i64 = 3600;

fn automatic() -> State {
    let start = order(Command::Start { automatic: true, algorithm: None });
    step(&idle(), &evidence(&[1], 1), &start).unwrap().state
}

/// An automatic rotation that drains, and what is known at an hour.
fn draining(hour: i64, zones: &[&str]) -> (State, Evidence) {
    let mut state = automatic();
    state.rotation.as_mut().unwrap().stage = Stage::Draining;
    let zones = zones.iter().map(|name| zone(name, StandsOn::Key(1))).collect();
    (state, Evidence { now: at(1000 + hour * HOUR), zones, ..evidence(&[1, 2], 2) })
}

fn stopped(state: &State) -> Option<&str> {
    state.rotation.as_ref()?.waiting.stopped.as_ref().map(|stopped| &*stopped.reason)
}

#[test]
fn it_goes_on_as_evidence_comes_in() {
    let mut state = automatic();
    let mut lacking = evidence(&[1, 2], 1);
    lacking.instances[0].verifies = [1].into();
    state = tick(&state, &lacking).unwrap().state;
    assert_eq!(position(&state), Position::Staged { from: 1, to: 2 }, "it waits");
    for expected in [Position::Signing { from: 1, to: 2 }, Position::Draining { from: 1, to: 2 }, Position::Idle] {
        let done = tick(&state, &evidence(&[1, 2], 2)).unwrap();
        assert_eq!(position(&done.state), expected);
        state = done.state;
        let deleted = if expected == Position::Idle { vec![Action::DeleteKey { serial: 1 }] } else { vec![] };
        assert_eq!(done.actions, deleted);
    }
    assert_eq!(state.history[0].ended_by.as_deref(), Some(AUTOMATIC));
    assert_eq!(tick(&state, &evidence(&[2], 2)), None);
}

#[test]
fn a_guided_one_waits_for_its_operator() {
    for stage in [Stage::Staged, Stage::Signing, Stage::Draining] {
        assert_eq!(tick(&at_stage(stage), &evidence(&[1, 2], 2)), None);
    }
}

#[test]
fn it_stops_when_nothing_more_gets_out_of_its_way() {
    let (state, evidence) = draining(0, &["west", "east"]);
    let state = tick(&state, &evidence).unwrap().state;
    let (_, evidence) = draining(23, &["west", "east"]);
    assert_eq!(tick(&state, &evidence), None, "still patient, and nothing to write");
    // One fewer: patience begins anew.
    let (_, evidence) = draining(23, &["west"]);
    let state = tick(&state, &evidence).unwrap().state;
    let (_, evidence) = draining(46, &["west"]);
    assert_eq!(tick(&state, &evidence), None);
    let (_, evidence) = draining(47, &["west"]);
    let state = tick(&state, &evidence).unwrap().state;
    assert_eq!(
        stopped(&state),
        Some(
            "nothing more got out of the way since 1970-01-01T23:16:40Z: zone `west` is connected with a token of key 1, \
             which it has still to renew; see to them and go on with `kumactl rotate advance`"
        )
    );
    assert_eq!(Status::of(&state, &evidence).stopped.unwrap().at, evidence.now);
    let (_, clear) = draining(48, &[]);
    assert_eq!(tick(&state, &clear), None, "stopped is stopped");
    assert!(step(&state, &clear, &advance()).is_ok(), "until somebody goes on");
}

#[test]
fn of_many_in_its_way_it_names_a_few() {
    let names = ["a", "b", "c", "d", "e", "f"];
    for count in [5, 6] {
        let (state, evidence) = draining(0, &names[..count]);
        let state = tick(&state, &evidence).unwrap().state;
        let state = tick(&state, &draining(24, &names[..count]).1).unwrap().state;
        let reason = stopped(&state).unwrap();
        assert!(reason.contains("zone `e` ") && !reason.contains("zone `f` "), "{reason}");
        assert_eq!(reason.contains(" and more; see to them"), count == 6, "{reason}");
    }
}

#[test]
fn more_in_the_way_is_no_news() {
    let (state, evidence) = draining(0, &["west"]);
    let state = tick(&state, &evidence).unwrap().state;
    let (_, evidence) = draining(12, &["west", "east"]);
    assert_eq!(tick(&state, &evidence), None);
    let (_, evidence) = draining(24, &["west", "east"]);
    assert!(stopped(&tick(&state, &evidence).unwrap().state).is_some());
}

#[test]
fn after_a_step_of_an_operator_it_goes_on_by_itself() {
    let mut state = automatic();
    let waiting = &mut state.rotation.as_mut().unwrap().waiting;
    waiting.stopped = Some(Stopped { at: at(1), reason: String::new() });
    let both = evidence(&[1, 2], 2);
    assert_eq!(tick(&state, &both), None);
    let state = step(&state, &both, &advance()).unwrap().state;
    assert_eq!(position(&tick(&state, &both).unwrap().state), Position::Draining { from: 1, to: 2 });
}

#[test]
fn a_rollback_of_an_automatic_one_ends_by_itself_too() {
    let (state, evidence) = draining(0, &[]);
    let back = step(&state, &evidence, &rollback()).unwrap().state;
    assert_eq!(tick(&back, &super::evidence(&[1, 2], 1)).unwrap().actions, [Action::DeleteKey { serial: 2 }]);
}
