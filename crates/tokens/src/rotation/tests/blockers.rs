//! Who is in the way of which step, and who is not.

use super::*;

const ZONE: BlockerKind = BlockerKind::Zone;
const INSTANCE: BlockerKind = BlockerKind::Instance;
const TOKEN: BlockerKind = BlockerKind::Token;

/// What is in the way of the last step, from key 1 to key 2.
fn in_the_way(zones: Vec<Zone>, tokens: Vec<Handed>) -> Vec<(BlockerKind, String, Option<u64>)> {
    let evidence = Evidence { zones, tokens, ..evidence(&[1, 2], 2) };
    let by_step = match step(&at_stage(Stage::Draining), &evidence, &advance()) {
        Ok(_) => Vec::new(),
        refused => blocked(refused),
    };
    // On the way back it is the other key: the same evidence the other way round.
    let swap = |key| 3 - key;
    let mut swapped = evidence;
    swapped.instances[0].signs = Some(1);
    for zone in &mut swapped.zones {
        if let StandsOn::Key(key) = &mut zone.stands_on {
            *key = swap(*key);
        }
    }
    for token in &mut swapped.tokens {
        token.key = swap(token.key);
    }
    let on_the_way_back = match step(&rolling_back(), &swapped, &advance()) {
        Ok(_) => Vec::new(),
        refused => blocked(refused),
    };
    let back: Vec<_> = on_the_way_back.into_iter().map(|(kind, name, key)| (kind, name, key.map(swap))).collect();
    assert_eq!(by_step, back);
    by_step
}

#[test]
fn an_instance_that_lacks_the_new_key_is_in_the_way_of_signing() {
    let mut evidence = evidence(&[1, 2], 1);
    evidence.instances.push(Instance {
        name: "global-2".to_owned(),
        verifies: [1].into(),
        ..evidence.instances[0].clone()
    });
    let state = at_stage(Stage::Staged);
    assert_eq!(blocked(step(&state, &evidence, &advance())), [(INSTANCE, "global-2".to_owned(), None)]);
    evidence.instances.pop();
    assert!(step(&state, &evidence, &advance()).is_ok());
}

#[test]
fn an_instance_that_signs_with_the_old_key_is_in_the_way_of_what_follows() {
    for (state, stays, goes) in
        [(at_stage(Stage::Signing), 2, 1), (at_stage(Stage::Draining), 2, 1), (rolling_back(), 1, 2)]
    {
        let late = evidence(&[1, 2], goes);
        assert_eq!(blocked(step(&state, &late, &advance())), [(INSTANCE, "global-1".to_owned(), Some(goes))]);
        assert!(step(&state, &evidence(&[1, 2], stays), &advance()).is_ok());
    }
    let mut none = evidence(&[1, 2], 1);
    none.instances[0].signs = None;
    assert_eq!(blocked(step(&at_stage(Stage::Signing), &none, &advance())), [(INSTANCE, "global-1".to_owned(), None)]);
}

#[test]
fn a_connected_zone_confirms_what_it_verifies_with() {
    let families = [
        (Family::ControlPlane, false),
        (Family::Zone, true),
        (Family::User, false),
        (Family::Dataplane { mesh: "default".to_owned() }, true),
    ];
    for (family, verified_there) in families {
        let silent = zone("west", StandsOn::Other);
        let zones = vec![
            Zone { confirmed: [1, 2].into(), ..zone("east", StandsOn::Other) },
            Zone { live: false, ..zone("away", StandsOn::Other) },
            silent,
        ];
        let evidence = Evidence { family: family.clone(), zones, ..evidence(&[1, 2], 1) };
        let result = step(&at_stage(Stage::Staged), &evidence, &advance());
        if verified_there {
            assert_eq!(blocked(result), [(ZONE, "west".to_owned(), None)], "{family:?}");
        } else {
            assert!(result.is_ok(), "{family:?}");
        }
    }
}

#[test]
fn a_connected_zone_is_seen_now() {
    let came = Some(at(1));
    for live in [true, false] {
        let west = Zone { live, last_seen: came, ..zone("west", StandsOn::Key(1)) };
        let evidence = Evidence { zones: vec![west], ..evidence(&[1, 2], 2) };
        let seen = evidence.on(1).map(|blocker| blocker.last_seen).collect::<Vec<_>>();
        assert_eq!(seen, [if live { Some(evidence.now) } else { came }]);
    }
}

#[test]
fn a_zone_on_the_key_that_goes_is_in_the_way() {
    let west = || zone("west", StandsOn::Key(1));
    let found = [(ZONE, "west".to_owned(), Some(1))];
    assert_eq!(in_the_way(vec![west(), zone("east", StandsOn::Key(2))], vec![]), found);
    assert_eq!(in_the_way(vec![Zone { live: false, ..west() }], vec![]), found, "seen a moment ago");
    assert_eq!(in_the_way(vec![Zone { last_seen: None, ..west() }], vec![]), found, "connected");
    assert_eq!(in_the_way(vec![zone("west", StandsOn::Other)], vec![]), []);
}

#[test]
fn a_zone_that_is_away_for_long_is_not_in_the_way() {
    let away =
        |seconds: i64| Zone { live: false, last_seen: Some(at(1000 - seconds)), ..zone("west", StandsOn::Key(1)) };
    let week = 168 * 3600;
    assert_eq!(in_the_way(vec![away(week)], vec![]), [(ZONE, "west".to_owned(), Some(1))]);
    assert_eq!(in_the_way(vec![away(week + 1)], vec![]), []);
    assert_eq!(in_the_way(vec![Zone { last_seen: None, ..away(0) }], vec![]), [], "it never came");
}

#[test]
fn a_zone_whose_next_token_is_revoked_is_told_with_the_way_out() {
    for live in [true, false] {
        let stuck = Zone { live, next_is_revoked: true, ..zone("west", StandsOn::Key(1)) };
        let Some(blocker) = Evidence { zones: vec![stuck], ..evidence(&[1, 2], 2) }.on(1).next() else {
            panic!("{live}")
        };
        assert!(blocker.reason.contains("--zone west --valid-for"), "{blocker:?}");
        assert!(!blocker.by_itself);
        let other = Zone { live, ..zone("west", StandsOn::Key(1)) };
        assert!(Evidence { zones: vec![other], ..evidence(&[1, 2], 2) }.on(1).all(|blocker| blocker.by_itself));
    }
}

#[test]
fn another_instance_of_a_zone_that_left_on_the_key_that_goes_is_in_the_way_while_its_token_is_good() {
    let left = |ends: Option<i64>, key| Zone {
        live: false,
        left: Some(Left {
            with: LeftWith::Instance("host-1a2b".to_owned()),
            token: "id".to_owned(),
            ends: ends.map(at),
        }),
        ..zone("west", StandsOn::Key(key))
    };
    let moved = || zone("west", StandsOn::Key(2));
    let found = [(ZONE, "west".to_owned(), Some(1))];
    assert_eq!(in_the_way(vec![moved(), left(None, 1)], vec![]), found);
    assert_eq!(in_the_way(vec![moved(), left(Some(1000 - 89), 1)], vec![]), found);
    assert_eq!(in_the_way(vec![moved(), left(Some(1000 - 90), 1)], vec![]), [], "it is refused anyway");
    assert_eq!(in_the_way(vec![moved(), left(None, 2)], vec![]), []);
    let long_ago = Zone { last_seen: Some(at(1000 - 168 * 3600 - 1)), ..left(None, 1) };
    assert_eq!(in_the_way(vec![moved(), long_ago], vec![]), []);
    let told = evidence(&[1, 2], 2).on_with(left(None, 1));
    assert!(told.contains("`host-1a2b`") && told.contains("--family control-plane-token --id id"), "{told}");
    // A zone that stands on two keys is one on each.
    let both = Evidence { zones: vec![moved(), moved(), left(None, 1)], ..evidence(&[1, 2], 2) };
    assert_eq!(both.zones_by_key(), [(1, 1), (2, 1)].into());
}

#[test]
fn an_older_token_in_the_file_of_a_zone_is_in_the_way_while_it_is_good() {
    let in_file = |ends: Option<i64>, key| Zone {
        live: false,
        left: Some(Left { with: LeftWith::File, token: "id".to_owned(), ends: ends.map(at) }),
        ..zone("west", StandsOn::Key(key))
    };
    let moved = || zone("west", StandsOn::Key(2));
    assert_eq!(in_the_way(vec![moved(), in_file(None, 1)], vec![]), [(ZONE, "west".to_owned(), Some(1))]);
    assert_eq!(in_the_way(vec![moved(), in_file(Some(1000 - 90), 1)], vec![]), [], "it is refused anyway");
    assert_eq!(in_the_way(vec![moved(), in_file(None, 2)], vec![]), []);
    let told = evidence(&[1, 2], 2).on_with(in_file(None, 1));
    assert!(told.contains("in memory alone") && told.contains("generate control-plane-token --zone west"), "{told}");
}

#[test]
fn a_zone_of_which_nothing_is_known_is_in_the_way() {
    assert_eq!(in_the_way(vec![zone("west", StandsOn::Unknown)], vec![]), [(ZONE, "west".to_owned(), None)]);
    let reason = |zone: Zone| evidence(&[1, 2], 2).on_with(zone);
    for (live, renews, expected) in [
        (true, true, "is connected with a token of key 1, which it has still to renew"),
        (true, false, "is connected with a token of key 1 and does not renew it: give it a new one"),
        (false, true, "was last connected with a token of key 1, and renews it when it comes back"),
        (
            false,
            false,
            "was last connected with a token of key 1 and does not renew it: give it a new one, or delete the zone if it \
             does not come back",
        ),
    ] {
        assert_eq!(reason(Zone { live, renews, ..zone("west", StandsOn::Key(1)) }), expected);
    }
}

impl Evidence {
    /// What is said of a zone that is in the way of the end of key 1.
    fn on_with(mut self, zone: Zone) -> String {
        self.zones.push(zone);
        self.on(1).map(|blocker| blocker.reason).collect()
    }
}

#[test]
fn a_token_that_may_still_be_used_is_in_the_way() {
    let found = [(TOKEN, "id".to_owned(), Some(1))];
    assert_eq!(in_the_way(vec![], vec![token("id", 1), token("other", 2)]), found);
    assert_eq!(in_the_way(vec![], vec![Handed { seen: true, ..token("id", 1) }]), [], "its zone is what counts");
    assert_eq!(in_the_way(vec![], vec![Handed { seen: true, watched: false, ..token("id", 1) }]), found);
    assert_eq!(in_the_way(vec![], vec![Handed { ends: None, ..token("id", 1) }]), found);
    // Leeway, and a minute that clocks may differ: until 1000 it is good somewhere.
    assert_eq!(in_the_way(vec![], vec![Handed { ends: Some(at(1000 - 89)), ..token("id", 1) }]), found);
    assert_eq!(in_the_way(vec![], vec![Handed { ends: Some(at(1000 - 90)), ..token("id", 1) }]), []);
}

#[test]
fn a_lost_answer_is_not_in_the_way_once_another_one_came() {
    let lost = || Handed { renewal: true, ..token("id", 1) };
    let west = |issued| Zone { issued: Some(at(issued)), ..zone("west", StandsOn::Key(2)) };
    let found = [(TOKEN, "id".to_owned(), Some(1))];
    assert_eq!(in_the_way(vec![west(561)], vec![lost()]), []);
    assert_eq!(in_the_way(vec![west(560)], vec![lost()]), found, "clocks may differ so much");
    assert_eq!(in_the_way(vec![Zone { name: "east".to_owned(), ..west(561) }], vec![lost()]), found);
    assert_eq!(in_the_way(vec![west(561)], vec![Handed { renewal: false, ..lost() }]), found, "somebody has it");
    assert_eq!(in_the_way(vec![west(561)], vec![Handed { watched: false, ..lost() }]), found);
}

#[test]
fn an_entry_that_cannot_be_read_is_in_the_way() {
    let evidence = Evidence { unreadable: vec!["token.x".to_owned()], ..evidence(&[1, 2], 2) };
    assert_eq!(blocked(step(&at_stage(Stage::Draining), &evidence, &advance())), [(TOKEN, "token.x".to_owned(), None)]);
}

#[test]
fn who_insists_is_told_who_is_cut_off() {
    let evidence = Evidence { zones: vec![zone("west", StandsOn::Key(1))], ..evidence(&[1, 2], 2) };
    let done = step(&at_stage(Stage::Draining), &evidence, &force(advance())).unwrap();
    assert_eq!(done.cut_off.len(), 1);
    assert_eq!(done.actions, [Action::DeleteKey { serial: 1 }]);
    let finished = &done.state.history[0];
    assert!(finished.forced && finished.steps.last().unwrap().forced && !finished.steps[0].forced);
    let nobody = step(&at_stage(Stage::Draining), &super::evidence(&[1, 2], 2), &force(advance())).unwrap();
    assert!(nobody.cut_off.is_empty() && !nobody.state.history[0].forced);
}

#[test]
fn a_staged_key_that_somebody_stands_on_is_not_taken_back() {
    let state = at_stage(Stage::Staged);
    let mut evidence = Evidence { zones: vec![zone("west", StandsOn::Key(2))], ..evidence(&[1, 2], 1) };
    assert_eq!(blocked(step(&state, &evidence, &rollback())), [(ZONE, "west".to_owned(), Some(2))]);
    assert!(step(&state, &evidence, &force(rollback())).is_ok());
    // It signed nothing here: who is not known to be on it is not.
    evidence.zones = vec![zone("west", StandsOn::Unknown), zone("east", StandsOn::Key(1))];
    assert!(step(&state, &evidence, &rollback()).is_ok());
}

#[test]
fn a_key_that_zones_cannot_read_is_not_made() {
    let kuma = || Zone { reads_rsa_alone: true, ..zone("west", StandsOn::Key(1)) };
    let refused = |family: &Family, algorithm, zone: Zone| {
        let evidence = Evidence { family: family.clone(), zones: vec![zone], ..evidence(&[1], 1) };
        let start = order(Command::Start { automatic: false, algorithm: Some(algorithm) });
        assert!(step(&idle(), &evidence, &force(start.clone())).is_ok());
        step(&idle(), &evidence, &start)
    };
    let dataplane = Family::Dataplane { mesh: "default".to_owned() };
    for family in [&Family::Zone, &dataplane] {
        let found = [(ZONE, "west".to_owned(), None)];
        assert_eq!(blocked(refused(family, Algorithm::Es256, kuma())), found);
        assert_eq!(blocked(refused(family, Algorithm::EdDsa, Zone { live: false, ..kuma() })), found);
        assert!(refused(family, Algorithm::Rs256, kuma()).is_ok());
        assert!(refused(family, Algorithm::Es256, zone("west", StandsOn::Key(1))).is_ok());
    }
    assert!(refused(&Family::User, Algorithm::Es256, kuma()).is_ok());
}

#[test]
fn the_first_in_the_way_is_named_and_the_others_are_counted() {
    let check = |names: &[&str], expected: &str| {
        let zones = names.iter().map(|name| zone(name, StandsOn::Key(1))).collect();
        let evidence = Evidence { zones, ..evidence(&[1, 2], 2) };
        let refused = step(&at_stage(Stage::Draining), &evidence, &advance()).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    };
    let west = "zone `west` is connected with a token of key 1, which it has still to renew";
    check(&["west"], &format!("1 in the way: {west}"));
    check(&["west", "east", "north"], &format!("3 in the way: {west}; and 2 more, see the status"));
}
