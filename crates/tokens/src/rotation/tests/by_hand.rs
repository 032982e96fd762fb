//! Keys that are made and deleted by hand, beside a rotation and without one.

use super::*;

#[test]
fn two_keys_without_a_record_are_a_rotation_by_hand() {
    let mut evidence = Evidence { zones: vec![zone("west", StandsOn::Key(1))], ..evidence(&[1, 2], 2) };
    evidence.keys.insert(2, at(700));
    let status = Status::of(&State::default(), &evidence);
    assert_eq!((&*status.phase, status.from, status.to, status.by_hand), ("signing", Some(1), Some(2), true));
    assert_eq!((status.since, status.by), (Some(at(700)), None));
    let error = step(&State::default(), &evidence, &start()).unwrap_err().to_string();
    assert_eq!(
        error,
        "a rotation is under way since 1970-01-01T00:11:40Z by hand, it is signing (from key 1 to key 2): end it with \
         `kumactl rotate advance` or `rollback`"
    );
}

#[test]
fn a_rotation_by_hand_is_taken_over_by_the_next_step() {
    let both = evidence(&[1, 2], 2);
    let taken = step(&State::default(), &both, &advance()).unwrap().state;
    assert_eq!(position(&taken), Position::Draining { from: 1, to: 2 });
    let status = Status::of(&taken, &both);
    assert!(!status.by_hand && status.by.is_none());
    assert_eq!(step(&taken, &both, &advance()).unwrap().actions, [Action::DeleteKey { serial: 1 }]);
    let back = step(&State::default(), &both, &rollback()).unwrap().state;
    assert_eq!(position(&back), Position::Draining { from: 2, to: 1 });
}

#[test]
fn of_many_keys_the_lowest_goes_first() {
    let status = Status::of(&State::default(), &evidence(&[1, 2, 5], 5));
    assert_eq!((status.from, status.to), (Some(1), Some(5)));
}

#[test]
fn one_key_is_no_rotation() {
    let status = Status::of(&State::default(), &evidence(&[7], 7));
    assert_eq!((&*status.phase, status.from, status.by_hand), ("idle", None, false));
}

#[test]
fn a_key_deleted_by_hand_ends_the_rotation() {
    for (state, left) in [
        (at_stage(Stage::Staged), 1),
        (at_stage(Stage::Staged), 2),
        (at_stage(Stage::Signing), 2),
        (at_stage(Stage::Draining), 1),
        (rolling_back(), 1),
    ] {
        let evidence = evidence(&[left], left);
        let status = Status::of(&state, &evidence);
        assert_eq!((&*status.phase, status.history.len()), ("idle", 1));
        assert_eq!(status.history[0].outcome, Outcome::ByHand);
        assert_eq!(step(&state, &evidence, &advance()), Err(Refused::Idle));
        let noted = tick(&state, &evidence).unwrap();
        assert_eq!((noted.state.rotation.clone(), noted.actions), (None, vec![]));
        assert_eq!(tick(&noted.state, &evidence), None, "once");
        let next = step(&noted.state, &evidence, &start()).unwrap();
        assert_eq!(position(&next.state), Position::Staged { from: left, to: 3 });
    }
}

#[test]
fn serials_of_keys_made_by_hand_are_given() {
    assert_eq!(tick(&State::default(), &evidence(&[1], 1)), None, "a first key needs no record");
    let noted = tick(&State::default(), &evidence(&[1, 9], 9)).unwrap().state;
    assert_eq!(noted.highest, 9);
    let deleted = step(&noted, &evidence(&[1], 1), &start()).unwrap();
    assert_eq!(deleted.actions, [Action::CreateKey { serial: 10, algorithm: Algorithm::Hs256 }]);
    // A public half alone signs nothing, and is no key to rotate; its serial is given all the same.
    let mut public = evidence(&[1], 1);
    public.taken.insert(4);
    let beside = step(&State::default(), &public, &start()).unwrap();
    assert_eq!(beside.actions, [Action::CreateKey { serial: 5, algorithm: Algorithm::Hs256 }]);
}

#[test]
fn a_key_made_by_hand_during_a_rotation_is_in_its_way() {
    let third = evidence(&[1, 2, 3], 3);
    let state = at_stage(Stage::Signing);
    assert_eq!(
        blocked(step(&state, &third, &advance())),
        [(BlockerKind::Instance, "global-1".to_owned(), Some(3))],
        "it signs, as the newest key does"
    );
}

#[test]
fn who_made_a_key_by_hand_during_a_rotation_hears_what_to_do_and_can_end_it() {
    let third = evidence(&[1, 2, 3], 3);
    for stage in [Stage::Staged, Stage::Signing] {
        let state = at_stage(stage);
        let Err(Refused::Blocked { blockers }) = step(&state, &third, &advance()) else { panic!("{stage:?}") };
        let [blocker] = &blockers[..] else { panic!("{blockers:?}") };
        assert!(blocker.reason.contains("key 3, which was made by hand"), "{blocker:?}");
        assert!(blocker.reason.contains("kumactl rotate rollback control-plane-signing-key"), "{blocker:?}");
        assert!(!blocker.by_itself);
        let status = Status::of(&state, &third);
        assert_eq!((status.signs, status.blockers), (Some(3), blockers));
        let back = step(&state, &third, &rollback()).unwrap();
        if stage == Stage::Staged {
            assert_eq!((position(&back.state), back.actions), (Position::Idle, vec![Action::DeleteKey { serial: 2 }]));
        } else {
            // Nothing signs with the key that goes, whatever signs.
            let over = step(&back.state, &third, &advance()).unwrap();
            assert_eq!((position(&over.state), over.actions), (Position::Idle, vec![Action::DeleteKey { serial: 2 }]));
        }
    }
    assert!(step(&at_stage(Stage::Draining), &third, &advance()).is_ok());
}

#[test]
fn a_key_that_signs_beside_a_rotation_is_named() {
    let rotation = at_stage(Stage::Signing).rotation.unwrap();
    assert_eq!(evidence(&[1, 2, 3], 3).beside(&rotation), Some(3));
    for signs in [1, 2] {
        assert_eq!(evidence(&[1, 2, 3], signs).beside(&rotation), None);
    }
    assert_eq!(evidence(&[1, 2], 3).beside(&rotation), None, "that key is gone already");
}
