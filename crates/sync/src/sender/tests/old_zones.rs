//! Zones that drop a batch whole, and what a version cannot read.

use super::*;

/// A zone before 2.9.4: it drops a batch whole that has something bad in it.
fn dropping_zone(entries: Vec<Entry>) -> Stream {
    let audience = Audience { drops_rejected_batches: true, ..audience() };
    let mut stream = Stream { sender: Sender::new(audience), snapshot: Snapshot::empty("K") };
    stream.change(entries, &[]);
    stream
}

/// Plays on until nobody has anything to say; returns the batches, those that were dropped with a `!`.
fn play(stream: &mut Stream, bad: &[&str]) -> Vec<String> {
    let mut batches = Vec::new();
    while let Some(response) = stream.next() {
        let names = names(&response);
        let dropped = names.iter().any(|name| bad.contains(&name.as_str()));
        let error = dropped.then(|| "spec: bad".to_owned());
        stream.sender.on_request(DeltaRequest { error, ..ack(&response) }).unwrap();
        let removed = response.removed.iter().map(|name| format!("-{}", name.name));
        let said: Vec<String> = names.into_iter().chain(removed).collect();
        batches.push(format!("{}{}", said.join(" "), if dropped { "!" } else { "" }));
        assert!(batches.len() < 100, "{batches:?}");
    }
    batches
}

#[test]
fn a_bad_resource_of_a_first_response_is_found_and_nothing_good_is_left_out() {
    let mut stream = dropping_zone(["a", "b", "c"].map(|name| entry(name, "1")).into());
    stream.sender.on_request(ask("K")).unwrap();
    assert_eq!(play(&mut stream, &["b@1"]), ["a@1 b@1 c@1!", "b@1 c@1!", "a@1 c@1", "b@1!"]);
    stream.change(vec![entry("c", "2"), entry("d", "1")], &[]);
    assert_eq!(play(&mut stream, &["b@1"]), ["c@2 d@1"], "what is refused keeps nothing back");
    stream.change(vec![entry("b", "2")], &[]);
    assert_eq!(play(&mut stream, &["b@1"]), ["b@2"]);
}

#[test]
fn of_several_bad_resources_of_a_first_response_none_is_taken_for_the_only_one() {
    let mut stream = dropping_zone(["a", "b", "c"].map(|name| entry(name, "1")).into());
    stream.sender.on_request(ask("K")).unwrap();
    let bad = ["a@1", "b@1"];
    assert_eq!(play(&mut stream, &bad), ["a@1 b@1 c@1!", "b@1 c@1!", "a@1 c@1!", "a@1 b@1!"]);
    stream.change(vec![entry("a", "2")], &[]);
    let batches = play(&mut stream, &bad);
    assert_eq!(batches, ["a@2 b@1 c@1!", "b@1 c@1!", "a@2 c@1", "b@1!"], "as soon as one of them is good");
}

#[test]
fn bad_resources_of_a_later_response_are_found_by_halves() {
    let mut stream = dropping_zone(vec![entry("old", "1")]);
    let first = stream.ask();
    stream.ack(&first);
    stream.change(["a", "b", "c", "d"].map(|name| entry(name, "1")).into(), &["old"]);
    let batches = play(&mut stream, &["b@1", "d@1"]);
    let expected =
        ["a@1 b@1 c@1 d@1 -old!", "a@1 b@1 -old!", "a@1 -old", "b@1 c@1 d@1!", "b@1!", "c@1 d@1!", "c@1", "d@1!"];
    assert_eq!(batches, expected);
    stream.change(Vec::new(), &["b"]);
    assert_eq!(play(&mut stream, &[]), ["-b"], "it may have an older one");
    stream.change(vec![entry("a", "2")], &[]);
    assert_eq!(play(&mut stream, &[]), ["a@2"]);
}

#[test]
fn a_change_during_the_search_is_tried_whole_first() {
    let mut stream = dropping_zone(["a", "b", "c"].map(|name| entry(name, "1")).into());
    let first = stream.ask();
    let nack = |response: &DeltaResponse| DeltaRequest { error: Some("bad".to_owned()), ..ack(response) };
    stream.sender.on_request(nack(&first)).unwrap();
    assert_eq!(names(&stream.next().unwrap()), ["b@1", "c@1"]);
    stream.change(vec![entry("c", "2")], &[]);
    let dropped = DeltaRequest {
        kind: "K".to_owned(),
        nonce: "x".to_owned(),
        error: Some("bad".to_owned()),
        ..DeltaRequest::default()
    };
    stream.sender.on_request(dropped).unwrap();
    assert_eq!(play(&mut stream, &["c@1"]), ["a@1 b@1 c@2"], "the one that was left out may be good");
}

#[test]
fn what_a_version_cannot_read_is_not_sent_and_is_told_once() {
    let needs = Features::SINCE_2_10;
    let new = |name: &str, version: &str| Entry { needs, needs_for_all: needs, ..entry(name, version) };
    let half = Entry { needs_for_all: needs, ..entry("half", "1") };
    let mut stream = dropping_zone(vec![entry("old", "1"), new("new", "1"), half]);
    stream.sender.on_request(ask("K")).unwrap();
    assert_eq!(play(&mut stream, &[]), ["half@1 old@1"]);
    let told = |stream: &mut Stream| -> Vec<(usize, usize)> {
        stream.sender.take_unreadable().iter().map(|one| (one.not_sent, one.in_part)).collect()
    };
    assert_eq!(told(&mut stream), [(1, 1)]);
    stream.change(vec![new("new", "2"), entry("old", "2")], &[]);
    assert_eq!(play(&mut stream, &[]), ["old@2"]);
    assert_eq!(told(&mut stream), [], "it was said");
    stream.change(vec![new("old", "3")], &[]);
    assert_eq!(play(&mut stream, &[]), ["-old"], "what it had is not what it is now");
    assert_eq!(told(&mut stream), [(2, 1)]);
    stream.change(vec![entry("new", "3"), entry("old", "4")], &["half"]);
    assert_eq!(play(&mut stream, &[]), ["new@3 old@4 -half"]);
    assert_eq!(told(&mut stream), [(0, 0)], "over");
}

#[test]
fn zones_that_read_the_same_share_their_steps() {
    let gated = Entry { needs: Features::SINCE_2_12, needs_for_all: Features::SINCE_2_12, ..entry("gated", "1") };
    let snapshot = Arc::new(Snapshot::empty("K").with_changes(vec![entry("a", "1"), gated], &[]));
    let step = |zone: &str, features: Features| {
        let mut sender = Sender::new(Audience { zone: zone.to_owned(), features, ..audience() });
        sender.on_snapshot(Arc::clone(&snapshot));
        sender.on_request(ask("K")).unwrap();
        sender.next_within(usize::MAX).unwrap().step.unwrap()
    };
    let old = step("one", Features::HASH_SUFFIX);
    assert_eq!(old, step("two", Features::HASH_SUFFIX | Features::ZONE_TOKEN), "what it sees is the same");
    assert_ne!(old, step("three", Features::SINCE_2_10));
    assert_ne!(old, step("four", Features::NEWEST));
    assert_eq!(step("four", Features::NEWEST).readers, None);
}

#[test]
fn a_zone_before_2_9_4_that_rejected_its_first_response_is_told_that_nothing_is_left() {
    let audience = Audience { drops_rejected_batches: true, ..audience() };
    let mut stream = Stream { sender: Sender::new(audience), snapshot: Snapshot::empty("K") };
    stream.change(vec![entry("bad", "1")], &[]);
    let first = stream.ask();
    stream.sender.on_request(DeltaRequest { error: Some("bad".to_owned()), ..ack(&first) }).unwrap();
    assert_eq!(stream.next(), None);
    stream.change(Vec::new(), &["bad"]);
    let again = stream.next().unwrap();
    assert!(again.changed.is_empty(), "it deletes what it had before");
    stream.ack(&again);
    assert_eq!(stream.next(), None);
}

#[test]
fn what_was_too_large_and_went_down_with_a_rejected_batch_fits_when_it_is_gone() {
    let audience = Audience { drops_rejected_batches: true, ..audience() };
    let mut stream = Stream { sender: Sender::new(audience), snapshot: Snapshot::empty("K") };
    let first = stream.ask();
    stream.ack(&first);
    let huge = Entry { payload: Bytes::from(vec![0; 5000]), ..entry("huge", "1") };
    stream.change(vec![entry("bad", "1"), huge], &[]);
    let second = stream.sender.next_within(600).unwrap();
    assert!(matches!(stream.sender.take_size_notices()[..], [SizeNotice::TooLarge { .. }]));
    stream.sender.on_request(DeltaRequest { error: Some("bad".to_owned()), ..ack(&second) }).unwrap();
    stream.change(Vec::new(), &["bad", "huge"]);
    assert_eq!(stream.sender.next_within(600), None, "it never had them");
    assert_eq!(stream.sender.take_size_notices(), [SizeNotice::Fits { kind: "K".to_owned() }]);
}
