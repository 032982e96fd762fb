//! What does not fit into one response.

use super::*;

#[test]
fn a_first_response_that_does_not_fit_is_not_sent_in_part() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1")]);
    stream.sender.on_request(ask("K")).unwrap();
    stream.sender.on_request(ask("L")).unwrap();
    assert_eq!(
        stream.sender.next_within(300).map(|response| response.kind),
        Some("L".to_owned()),
        "the others still come"
    );
    assert_eq!(stream.sender.take_size_notices().len(), 1);
    assert_eq!(stream.sender.next_within(300), None);
    assert!(stream.sender.take_size_notices().is_empty(), "said once");
    stream.change(Vec::new(), &["b"]);
    assert_eq!(names(&stream.sender.next_within(400).unwrap()), ["a@1"], "it heals when the content shrinks");
}

#[test]
fn a_large_change_comes_in_parts() {
    let mut stream = Stream::new(Vec::new());
    let first = stream.ask();
    stream.ack(&first);
    stream.change((0..10).map(|index| entry(&format!("e{index}"), "1")).collect(), &[]);
    let mut all = Vec::new();
    while let Some(part) = stream.sender.next_within(600) {
        assert!(part.changed.len() <= 3);
        assert_eq!(part.step, None);
        all.extend(names(&part));
        stream.ack(&part);
    }
    assert_eq!(all.len(), 10);
    stream.change(Vec::new(), &["e0"]);
    assert_eq!(stream.sender.next_within(600).unwrap().removed.len(), 1);
}

#[test]
fn an_entry_that_never_fits_is_left_out_and_said() {
    let mut stream = Stream::new(Vec::new());
    let first = stream.ask();
    stream.ack(&first);
    let huge = Entry { payload: Bytes::from(vec![0; 5000]), ..entry("huge", "1") };
    stream.change(vec![huge, entry("small", "1")], &[]);
    assert_eq!(names(&stream.sender.next_within(600).unwrap()), ["small@1"]);
    assert_eq!(stream.sender.take_size_notices().len(), 1);
}

#[test]
fn a_kind_that_stays_too_large_is_said_once() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1")]);
    stream.sender.on_request(ask("K")).unwrap();
    assert_eq!(stream.sender.next_within(300), None);
    stream.change(vec![entry("a", "2")], &[]);
    assert_eq!(stream.sender.next_within(300), None);
    let said = stream.sender.take_size_notices();
    assert_eq!(said, [SizeNotice::TooLarge { kind: "K".to_owned(), resource: None, bytes: 456 }]);
    let first = stream.sender.next_within(500).unwrap();
    assert_eq!(names(&first), ["a@2", "b@1"], "a higher limit is tried at once");
    stream.sender.on_request(ask("K")).unwrap();
    assert!(stream.sender.next_within(300).is_some(), "once it is there, nothing is too large any more");
}

#[test]
fn many_removals_come_in_parts() {
    let all: Vec<String> = (0..40).map(|index| format!("e{index}")).collect();
    let mut stream = Stream::new(all.iter().map(|name| entry(name, "1")).collect());
    let first = stream.ask();
    stream.ack(&first);
    stream.change(Vec::new(), &all.iter().map(String::as_str).collect::<Vec<_>>());
    let mut removed = 0;
    while let Some(part) = stream.sender.next_within(400) {
        removed += part.removed.len();
        stream.ack(&part);
    }
    assert_eq!(removed, 40);
}

#[test]
fn the_parts_of_a_change_take_in_what_changes_meanwhile() {
    let mut stream = Stream::new(Vec::new());
    let first = stream.ask();
    stream.ack(&first);
    stream.change((0..6).map(|index| entry(&format!("e{index}"), "1")).collect(), &[]);
    let part = stream.sender.next_within(600).unwrap();
    assert_eq!(names(&part), ["e0@1", "e1@1", "e2@1"]);
    stream.change(vec![entry("e0", "2")], &["e1", "e5"]);
    stream.ack(&part);
    let rest = stream.next().unwrap();
    assert_eq!(names(&rest), ["e0@2", "e3@1", "e4@1"]);
    assert_eq!(rest.removed.iter().map(WireName::to_string).collect::<Vec<_>>(), ["e1.default"], "e5 was never sent");
}

/// A stream of our own zone: it takes a first response in parts.
fn own_zone(entries: Vec<Entry>) -> Stream {
    let features = Features::HASH_SUFFIX | Features::OURS;
    let audience = Audience { features, ..audience() };
    let mut stream = Stream { sender: Sender::new(audience), snapshot: Snapshot::empty("K") };
    stream.change(entries, &[]);
    stream
}

#[test]
fn a_first_response_of_any_size_comes_in_parts_to_a_zone_of_ours() {
    let mut stream = own_zone((0..8).map(|index| entry(&format!("e{index}"), "1")).collect());
    stream.sender.on_request(ask("K")).unwrap();
    let mut said = Vec::new();
    loop {
        let part = stream.sender.next_within(600).unwrap();
        said.extend(names(&part));
        stream.ack(&part);
        if !part.more {
            break;
        }
        assert!(said.len() <= 8, "the last part says that it is the last one");
    }
    assert_eq!(said.len(), 8);
    assert_eq!(stream.sender.next_within(600), None);
    assert!(stream.sender.take_size_notices().is_empty());
}

#[test]
fn the_end_of_the_parts_is_said_even_when_nothing_is_left_to_say() {
    let mut stream = own_zone((0..8).map(|index| entry(&format!("e{index}"), "1")).collect());
    stream.sender.on_request(ask("K")).unwrap();
    let part = stream.sender.next_within(600).unwrap();
    assert!(part.more);
    let rest: Vec<String> = (part.changed.len()..8).map(|index| format!("e{index}")).collect();
    stream.change(Vec::new(), &rest.iter().map(String::as_str).collect::<Vec<_>>());
    stream.ack(&part);
    let end = stream.sender.next_within(600).unwrap();
    assert_eq!((end.more, end.changed.len(), end.removed.len()), (false, 0, 0));
}

#[test]
fn what_never_fits_keeps_the_parts_open_until_it_does() {
    let huge = Entry { payload: Bytes::from(vec![0; 5000]), ..entry("huge", "1") };
    let mut stream = own_zone(vec![huge, entry("small", "1")]);
    stream.sender.on_request(ask("K")).unwrap();
    let part = stream.sender.next_within(600).unwrap();
    assert_eq!((names(&part), part.more), (vec!["small@1".to_owned()], true));
    assert!(
        matches!(&stream.sender.take_size_notices()[..], [SizeNotice::TooLarge { resource: Some(name), .. }] if name.name == "huge")
    );
    stream.ack(&part);
    assert_eq!(stream.sender.next_within(600), None, "absence of the large one must not look like a deletion");
    stream.change(vec![entry("huge", "2")], &[]);
    let end = stream.sender.next_within(600).unwrap();
    assert_eq!((names(&end), end.more), (vec!["huge@2".to_owned()], false));
    assert_eq!(stream.sender.take_size_notices(), [SizeNotice::Fits { kind: "K".to_owned() }]);
}

#[test]
fn removals_by_initial_versions_may_come_in_parts_too() {
    let known = |index: usize| (format!("e{index}.default"), "1".to_owned());
    let mut stream = own_zone(vec![entry("e0", "1")]);
    let initial_versions = (0..60).map(known).collect();
    stream.sender.on_request(DeltaRequest { initial_versions, ..ask("K") }).unwrap();
    let mut removed = 0;
    loop {
        let part = stream.sender.next_within(400).unwrap();
        assert!(part.changed.is_empty(), "it has the one that is there");
        removed += part.removed.len();
        stream.ack(&part);
        if !part.more {
            break;
        }
    }
    assert_eq!(removed, 59);
}
