//! Steps that are sent again, and steps that come second.

use super::*;

const STAGED: Position = Position::Staged { from: 1, to: 2 };

fn expecting(position: Position, order: Order) -> Order {
    Order { expect: Some(position), ..order }
}

fn named(id: &str, order: Order) -> Order {
    Order { id: Some(id.to_owned()), ..order }
}

fn of(by: &str, order: Order) -> Order {
    Order { by: by.to_owned(), ..order }
}

/// The rotation after an advance of ada's that expected it to be staged.
fn advanced(order: Order) -> State {
    step(&at_stage(Stage::Staged), &evidence(&[1, 2], 1), &expecting(STAGED, order)).unwrap().state
}

#[test]
fn a_step_that_is_sent_again_changes_nothing() {
    let later = Evidence { now: at(2000), ..evidence(&[1, 2], 2) };
    for sent in [advance(), named("a", advance())] {
        let state = advanced(sent.clone());
        let again = step(&state, &later, &expecting(STAGED, sent.clone())).unwrap();
        assert_eq!((again.state, again.actions), (state.clone(), vec![]));
        // However much later, and whatever came since.
        let further = step(&state, &later, &advance()).unwrap().state;
        let retired = step(&further, &later, &advance()).unwrap().state;
        let again = step(&retired, &evidence(&[2], 2), &expecting(STAGED, sent)).unwrap();
        assert_eq!((again.state, again.actions), (retired, vec![]));
    }
    // By its name it is known without a word of what it expects.
    let state = advanced(named("a", advance()));
    assert_eq!(step(&state, &later, &named("a", advance())).unwrap().state, state);
}

#[test]
fn a_start_that_is_sent_again_changes_nothing() {
    let state = step(&idle(), &evidence(&[1], 1), &start()).unwrap().state;
    let again = step(&state, &evidence(&[1, 2], 1), &start()).unwrap();
    assert_eq!((again.state, again.actions), (state.clone(), vec![]));
    let other = order(Command::Start { automatic: true, algorithm: None });
    assert!(matches!(step(&state, &evidence(&[1, 2], 1), &other), Err(Refused::UnderWay { .. })), "it is another one");
}

#[test]
fn a_start_beside_a_rotation_hears_of_that_one_and_not_of_those_that_ended() {
    let state = step(&at_stage(Stage::Draining), &evidence(&[1, 2], 2), &advance()).unwrap().state;
    let by_hand = evidence(&[2, 3], 3);
    let error = step(&state, &by_hand, &start()).unwrap_err();
    let now = Position::Signing { from: 2, to: 3 };
    assert_eq!(error, Refused::UnderWay { now, since: at(0), by: None }, "it was not begun by this order");
}

#[test]
fn who_comes_second_hears_who_was_first() {
    let state = advanced(advance());
    let later = evidence(&[1, 2], 2);
    let expected =
        "ada was quicker: `advance` at 1970-01-01T00:16:40Z; look at the status, and order what is still wanted";
    for second in [
        of("bob", advance()),
        // The same person at two places: each of the two commands has its own name.
        named("b", advance()),
        rollback(),
        of("bob", rollback()),
        force(of("bob", advance())),
    ] {
        let error = step(&state, &later, &expecting(STAGED, second)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let state = step(&idle(), &evidence(&[1], 1), &start()).unwrap().state;
    let error = step(&state, &evidence(&[1, 2], 1), &of("bob", start())).unwrap_err();
    assert!(error.to_string().contains("under way since 1970-01-01T00:16:40Z by ada, it is staged"), "{error}");
}

#[test]
fn a_step_is_made_where_it_expects_the_rotation_only() {
    let both = evidence(&[1, 2], 2);
    for (state, other) in [
        (at_stage(Stage::Staged), Position::Signing { from: 1, to: 2 }),
        (at_stage(Stage::Staged), Position::Staged { from: 1, to: 3 }),
        (at_stage(Stage::Draining), Position::Draining { from: 2, to: 1 }),
    ] {
        for command in [advance(), rollback()] {
            let result = step(&state, &both, &expecting(other, command));
            assert_eq!(result, Err(Refused::Elsewhere { now: position(&state) }));
        }
    }
}

#[test]
fn positions_are_read_as_the_interface_writes_them() {
    let check = |text: &str, position| assert_eq!(serde_json::from_str::<Position>(text).unwrap(), position);
    check(r#"{"phase":"idle","from":null,"to":null}"#, Position::Idle);
    check(r#"{"phase":"staged","from":1,"to":2}"#, STAGED);
    check(r#"{"phase":"draining","to":1,"from":2}"#, Position::Draining { from: 2, to: 1 });
    for bad in [r#"{"phase":"staged","from":1}"#, r#"{"phase":"retired"}"#, r#"{"from":1,"to":2}"#] {
        assert!(serde_json::from_str::<Position>(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_id_of_one_step_is_not_that_of_another() {
    let evidence = evidence(&[1], 1);
    let begun = step(&idle(), &evidence, &named("s1", start())).unwrap().state;
    assert_eq!(step(&begun, &evidence, &named("s1", start())).unwrap().state, begun, "sent again");
    let refused = step(&begun, &evidence, &named("s1", advance())).unwrap_err();
    assert!(matches!(refused, Refused::OtherStep { step: "start", .. }), "{refused:?}");
}
