//! What each step does when nobody is in its way.

use super::*;

#[test]
fn a_start_stages_the_next_key() {
    let done = step(&idle(), &evidence(&[1], 1), &start()).unwrap();
    assert_eq!(done.actions, [Action::CreateKey { serial: 2, algorithm: Algorithm::Hs256 }]);
    assert_eq!(position(&done.state), Position::Staged { from: 1, to: 2 });
    let rotation = done.state.rotation.unwrap();
    assert_eq!((rotation.by.as_deref(), rotation.since), (Some("ada"), at(1000)));
}

#[test]
fn a_rotation_goes_through_its_stages_and_into_the_history() {
    let both = evidence(&[1, 2], 2);
    let mut state = at_stage(Stage::Staged);
    for expected in [Position::Signing { from: 1, to: 2 }, Position::Draining { from: 1, to: 2 }] {
        let done = step(&state, &both, &advance()).unwrap();
        assert_eq!((position(&done.state), done.actions), (expected, vec![]));
        state = done.state;
    }
    let done = step(&state, &both, &advance()).unwrap();
    assert_eq!(done.actions, [Action::DeleteKey { serial: 1 }]);
    assert_eq!(done.state.rotation, None);
    let [finished] = &*done.state.history else { panic!("{:?}", done.state.history) };
    assert_eq!((finished.from, finished.to, finished.outcome, finished.forced), (1, 2, Outcome::Retired, false));
    let words: Vec<_> = finished.steps.iter().map(|step| (step.command.word(), &*step.by, step.at)).collect();
    let step = |word| (word, "ada", at(1000));
    assert_eq!(words, [step("start"), step("advance"), step("advance"), step("advance")]);
}

#[test]
fn a_staged_key_is_taken_back_and_its_serial_is_not_given_again() {
    let done = step(&at_stage(Stage::Staged), &evidence(&[1, 2], 1), &rollback()).unwrap();
    assert_eq!(done.actions, [Action::DeleteKey { serial: 2 }]);
    assert_eq!(position(&done.state), Position::Idle);
    let Finished { from, to, outcome, .. } = done.state.history[0];
    assert_eq!((from, to, outcome), (2, 1, Outcome::RolledBack), "the key that went is the new one");
    let again = step(&done.state, &evidence(&[1], 1), &start()).unwrap();
    assert_eq!(position(&again.state), Position::Staged { from: 1, to: 3 });
}

#[test]
fn a_rollback_swaps_the_keys_and_ends_with_the_new_one_gone() {
    for stage in [Stage::Signing, Stage::Draining] {
        let done = step(&at_stage(stage), &evidence(&[1, 2], 2), &rollback()).unwrap();
        assert_eq!((position(&done.state), done.actions), (Position::Draining { from: 2, to: 1 }, vec![]));
        assert!(done.state.rotation.as_ref().unwrap().rolling_back());
        let ended = step(&done.state, &evidence(&[1, 2], 1), &advance()).unwrap();
        assert_eq!(ended.actions, [Action::DeleteKey { serial: 2 }]);
        assert_eq!(ended.state.history[0].outcome, Outcome::RolledBack);
        let again = step(&ended.state, &evidence(&[1], 1), &start()).unwrap();
        assert_eq!(again.actions, [Action::CreateKey { serial: 3, algorithm: Algorithm::Hs256 }]);
    }
}

#[test]
fn who_goes_back_twice_does_not_go_forward() {
    let refused = step(&rolling_back(), &evidence(&[1, 2], 1), &rollback()).unwrap_err();
    assert!(matches!(refused, Refused::GoesBack { .. }), "{refused:?}");
    assert!(refused.to_string().contains("end it with `kumactl rotate advance`"), "{refused}");
}

#[test]
fn phases_of_keys_follow_the_record() {
    let check = |state: &State, keys: &[u64], expected: &[(u64, Phase)]| {
        let id = |serial| KeyId { family: Family::ControlPlane, serial };
        let expected: Vec<_> = expected.iter().map(|(serial, phase)| (id(*serial), *phase)).collect();
        assert_eq!(state.phases(&Family::ControlPlane, &keys.iter().copied().collect()), expected, "{state:?}");
    };
    check(&idle(), &[1], &[]);
    check(&at_stage(Stage::Staged), &[1, 2], &[(2, Phase::Staged)]);
    for stage in [Stage::Signing, Stage::Draining] {
        check(&at_stage(stage), &[1, 2], &[(1, Phase::Retiring), (2, Phase::Signing)]);
    }
    check(&rolling_back(), &[1, 2], &[(2, Phase::Retiring), (1, Phase::Signing)]);
    // Of those that were made by hand the ones between do not sign in place of the old one; a later one does.
    let from_three =
        State { rotation: rolling_back().rotation.map(|way| Rotation { from: 3, ..way }), ..rolling_back() };
    let expected = [(3, Phase::Retiring), (2, Phase::Retiring), (1, Phase::Signing)];
    check(&from_three, &[1, 2, 3], &expected);
    check(&from_three, &[1, 2, 3, 4], &expected);
    // One was deleted by hand: the other signs, whatever was to become of it.
    check(&at_stage(Stage::Staged), &[2], &[]);
    check(&at_stage(Stage::Signing), &[1], &[]);
}

#[test]
fn what_cannot_be_begun_is_refused() {
    assert_eq!(step(&State::default(), &evidence(&[], 1), &start()), Err(Refused::NoKey));
    let last = State { highest: u64::MAX, ..State::default() };
    assert_eq!(step(&last, &evidence(&[1], 1), &start()), Err(Refused::NoSerial));
    for command in [advance(), rollback()] {
        assert_eq!(step(&idle(), &evidence(&[1], 1), &command), Err(Refused::Idle));
    }
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let start = order(Command::Start { automatic: false, algorithm: Some(algorithm) });
        let error = step(&idle(), &evidence(&[1], 1), &start).unwrap_err().to_string();
        assert_eq!(error, format!("keys of this family do not sign with {algorithm}, but with HS256"));
    }
}

#[test]
fn keys_of_other_families_sign_with_what_they_are_told() {
    let zone = Evidence { family: Family::Zone, ..evidence(&[1], 1) };
    let with = |algorithm| {
        step(&idle(), &zone, &order(Command::Start { automatic: false, algorithm })).map(|done| done.actions)
    };
    let key = |algorithm| Ok(vec![Action::CreateKey { serial: 2, algorithm }]);
    assert_eq!(with(None), key(Algorithm::Rs256));
    assert_eq!(with(Some(Algorithm::EdDsa)), key(Algorithm::EdDsa));
    assert!(with(Some(Algorithm::Hs256)).is_err());
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let mut state = step(&rolling_back(), &evidence(&[1, 2], 1), &advance()).unwrap().state;
    state = step(&state, &evidence(&[1], 1), &start()).unwrap().state;
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state, "{text}");
}

#[test]
fn the_history_keeps_the_last_twenty() {
    let mut state = idle();
    for _ in 0..30 {
        state = step(&state, &evidence(&[1], 1), &start()).unwrap().state;
        let highest = state.highest;
        state = step(&state, &evidence(&[1, highest], 1), &rollback()).unwrap().state;
    }
    let kept: Vec<u64> = state.history.iter().map(|finished| finished.from).collect();
    assert_eq!(kept, (12..=31).collect::<Vec<_>>());
}

#[test]
fn a_status_says_what_the_interface_says() {
    let mut evidence = Evidence {
        zones: vec![zone("west", StandsOn::Key(1)), zone("east", StandsOn::Key(2))],
        ..evidence(&[1, 2], 2)
    };
    evidence.zones.push(Zone { live: false, last_seen: Some(at(-700_000)), ..zone("old", StandsOn::Key(1)) });
    let status = serde_json::to_value(Status::of(&at_stage(Stage::Draining), &evidence)).unwrap();
    let expected = serde_json::json!({
        "family": "control-plane-signing-key", "phase": "draining", "from": 1, "to": 2, "since": "1970-01-01T00:16:40Z",
        "by": "ada", "byHand": false, "rollingBack": false, "automatic": false, "stopped": null, "algorithm": "HS256",
        "keys": [1, 2],
        "signs": 2,
        "blockers": [{
            "kind": "zone", "name": "west", "key": 1, "lastSeen": "1970-01-01T00:16:40Z",
            "reason": "is connected with a token of key 1, which it has still to renew"
        }],
        "zonesByKey": {"1": 1, "2": 1},
        "history": []
    });
    assert_eq!(status, expected);
    let idle = serde_json::to_value(Status::of(&State::default(), &super::evidence(&[1], 1))).unwrap();
    assert_eq!((&idle["phase"], &idle["from"], &idle["to"]), (&"idle".into(), &().into(), &().into()));
    let dataplane = Evidence { family: Family::Dataplane { mesh: "default".to_owned() }, ..super::evidence(&[1], 1) };
    assert_eq!(Status::of(&State::default(), &dataplane).mesh.as_deref(), Some("default"));
}
