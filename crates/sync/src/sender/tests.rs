//! One test a rule (contract: kds 4.5 to 4.7; decisions 14 and 15).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::*;
use crate::{message::Step, wire_name::WireName};

fn entry(name: &str, version: &str) -> Entry {
    Entry {
        name: WireName { mesh: "default".to_owned(), name: name.to_owned() },
        version: version.to_owned(),
        payload: Bytes::from(vec![0; 100]),
        origin_zone: None,
        needs: Features::NONE,
        needs_for_all: Features::NONE,
    }
}

fn audience() -> Audience {
    Audience { zone: "west".to_owned(), features: Features::HASH_SUFFIX, drops_rejected_batches: false }
}

fn ask(kind: &str) -> DeltaRequest {
    DeltaRequest { kind: kind.to_owned(), subscribe: vec!["*".to_owned()], ..DeltaRequest::default() }
}

fn ack(response: &DeltaResponse) -> DeltaRequest {
    DeltaRequest { kind: response.kind.clone(), nonce: response.nonce.clone(), ..DeltaRequest::default() }
}

fn names(response: &DeltaResponse) -> Vec<String> {
    response.changed.iter().map(|entry| format!("{}@{}", entry.name.name, entry.version)).collect()
}

/// A kind, and the stream that provides it.
struct Stream {
    sender: Sender,
    snapshot: Snapshot,
}

impl Stream {
    fn new(entries: Vec<Entry>) -> Self {
        let mut stream = Self { sender: Sender::new(audience()), snapshot: Snapshot::empty("K") };
        stream.change(entries, &[]);
        stream
    }

    fn change(&mut self, upserts: Vec<Entry>, removed: &[&str]) {
        let removed: Vec<_> =
            removed.iter().map(|name| WireName { mesh: "default".to_owned(), name: (*name).to_owned() }).collect();
        self.snapshot = self.snapshot.with_changes(upserts, &removed);
        self.sender.on_snapshot(Arc::new(self.snapshot.clone()));
    }

    fn ask(&mut self) -> DeltaResponse {
        self.sender.on_request(ask("K")).unwrap();
        self.next().unwrap()
    }

    fn next(&mut self) -> Option<DeltaResponse> {
        self.sender.next_within(usize::MAX)
    }

    fn ack(&mut self, response: &DeltaResponse) {
        self.sender.on_request(ack(response)).unwrap();
    }
}

#[test]
fn the_first_answer_comes_even_when_everything_is_empty() {
    let mut sender = Sender::new(audience());
    for kind in ["Mesh", "NoSuchKind", "Dataplane"] {
        assert_eq!(sender.on_request(ask(kind)), Ok(Reaction::Subscribed { kind: kind.to_owned() }));
    }
    let mut answered = Vec::new();
    while let Some(response) = sender.next_within(usize::MAX) {
        assert!(response.changed.is_empty() && response.removed.is_empty());
        answered.push(response.kind);
    }
    assert_eq!(answered, ["Dataplane", "Mesh", "NoSuchKind"]);
}

#[test]
fn one_response_is_in_flight_and_changes_are_coalesced() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let first = stream.ask();
    stream.change(vec![entry("a", "2")], &[]);
    stream.change(vec![entry("a", "3"), entry("b", "1")], &[]);
    assert_eq!(stream.next(), None, "nothing before the ACK");
    stream.ack(&first);
    let second = stream.next().unwrap();
    assert_eq!(names(&second), ["a@3", "b@1"]);
    assert_eq!(stream.next(), None);
}

#[test]
fn create_and_delete_between_two_responses_say_nothing() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let first = stream.ask();
    stream.ack(&first);
    stream.change(vec![entry("b", "1")], &[]);
    stream.change(Vec::new(), &["b"]);
    assert_eq!(stream.next(), None);
}

#[test]
fn removals_are_said_once() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1")]);
    let first = stream.ask();
    stream.ack(&first);
    stream.change(Vec::new(), &["a"]);
    let second = stream.next().unwrap();
    assert_eq!(second.removed.iter().map(WireName::to_string).collect::<Vec<_>>(), ["a.default"]);
    assert!(second.changed.is_empty());
    stream.ack(&second);
    assert_eq!(stream.next(), None);
}

#[test]
fn rejected_content_is_not_sent_again_until_it_changes() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let first = stream.ask();
    let nack = DeltaRequest { error: Some("spec: bad".to_owned()), subscribe: vec!["*".to_owned()], ..ack(&first) };
    let reaction = stream.sender.on_request(nack).unwrap();
    assert_eq!(
        reaction,
        Reaction::Rejected { kind: "K".to_owned(), nonce: first.nonce, reason: "spec: bad".to_owned() }
    );
    assert_eq!(stream.next(), None);
    stream.change(vec![entry("b", "1")], &[]);
    assert_eq!(names(&stream.next().unwrap()), ["b@1"]);
}

#[test]
fn an_unknown_nonce_releases_the_next_response() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let mut first = stream.ask();
    stream.change(vec![entry("a", "2")], &[]);
    first.nonce = "invented".to_owned();
    stream.ack(&first);
    assert_eq!(names(&stream.next().unwrap()), ["a@2"]);
}

#[test]
fn a_repeated_first_request_is_answered_and_a_repeated_ack_is_not() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let first = stream.ask();
    stream.ack(&first);
    stream.ack(&first);
    assert_eq!(stream.next(), None);
    assert_eq!(stream.sender.on_request(ask("K")), Ok(Reaction::Repeated { kind: "K".to_owned() }));
    let again = stream.next().unwrap();
    assert!(again.changed.is_empty() && again.removed.is_empty());
}

#[test]
fn a_list_of_names_gets_just_those() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1")]);
    stream.sender.on_request(DeltaRequest { subscribe: vec!["b.default".to_owned()], ..ask("K") }).unwrap();
    let first = stream.next().unwrap();
    assert_eq!((names(&first), first.step), (vec!["b@1".to_owned()], None));
    stream.ack(&first);
    stream.change(vec![entry("a", "2")], &[]);
    assert_eq!(stream.next(), None);
    let mut nothing_named = Stream::new(vec![entry("a", "1")]);
    nothing_named.sender.on_request(DeltaRequest { subscribe: Vec::new(), ..ask("K") }).unwrap();
    assert_eq!(names(&nothing_named.next().unwrap()), ["a@1"], "an empty list means everything");
}

#[test]
fn initial_versions_cost_the_difference_only() {
    let mut stream = Stream::new(vec![entry("same", "1"), entry("stale", "2")]);
    let has = [("same.default", "1"), ("stale.default", "1"), ("gone.default", "1")];
    let initial_versions = has.map(|(name, version)| (name.to_owned(), version.to_owned())).into();
    stream.sender.on_request(DeltaRequest { initial_versions, ..ask("K") }).unwrap();
    let first = stream.next().unwrap();
    assert_eq!(names(&first), ["stale@2"]);
    assert_eq!(first.removed.iter().map(WireName::to_string).collect::<Vec<_>>(), ["gone.default"]);
    assert_eq!(first.step, None, "a frame for this zone alone");
    stream.ack(&first);
    stream.change(vec![entry("new", "1")], &[]);
    assert!(stream.next().unwrap().step.is_some(), "from then on it is like every other zone");
}

#[test]
fn a_zone_does_not_get_its_own_back_nor_what_it_would_misread() {
    let own = Entry { origin_zone: Some("west".to_owned()), ..entry("own", "1") };
    let other = Entry { origin_zone: Some("east".to_owned()), ..entry("other", "1") };
    let newer = Entry { needs: Features::PRODUCER_POLICY_FLOW, ..entry("newer", "1") };
    let mut stream = Stream::new(vec![own, other, newer]);
    let first = stream.ask();
    assert_eq!((names(&first), first.step), (vec!["other@1".to_owned()], None));
    stream.ack(&first);
    stream.change(vec![Entry { origin_zone: Some("west".to_owned()), ..entry("own", "2") }], &[]);
    assert_eq!(stream.next(), None, "a change of its own says nothing");
    stream.change(Vec::new(), &["own"]);
    assert_eq!(stream.next(), None);
    stream.change(vec![Entry { origin_zone: Some("west".to_owned()), ..entry("other", "2") }], &[]);
    assert_eq!(stream.next().unwrap().removed.len(), 1, "what becomes its own is taken back");
}

#[test]
fn streams_that_make_the_same_step_share_its_frame() {
    let mut one = Stream::new(vec![entry("a", "1")]);
    let mut two = Stream::new(vec![entry("a", "1")]);
    let (first, same) = (one.ask(), two.ask());
    assert_eq!(first.step, Some(Step { from: None, to: 1, readers: None }));
    assert_eq!((first.nonce.as_str(), first.step), (same.nonce.as_str(), same.step));
    one.ack(&first);
    one.change(vec![entry("a", "2")], &[]);
    assert_eq!(one.next().unwrap().step, Some(Step { from: Some(1), to: 2, readers: None }));
}

#[test]
fn a_request_without_type_is_refused() {
    assert_eq!(Sender::new(audience()).on_request(DeltaRequest::default()), Err(RequestError::NoType));
}

#[test]
fn more_names_add_to_the_list_and_what_is_there_is_not_sent_again() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1"), entry("c", "1")]);
    let asking = |name: &str| DeltaRequest { subscribe: vec![name.to_owned()], ..ask("K") };
    stream.sender.on_request(asking("a.default")).unwrap();
    assert_eq!(names(&stream.next().unwrap()), ["a@1"]);
    stream.sender.on_request(asking("b.default")).unwrap();
    assert_eq!(names(&stream.next().unwrap()), ["b@1"]);
    stream.sender.on_request(asking("*")).unwrap();
    let rest = stream.next().unwrap();
    assert_eq!((names(&rest), rest.step), (vec!["c@1".to_owned()], None));
}

#[test]
fn initial_versions_outside_the_list_of_names_are_not_taken_for_gone() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1")]);
    let initial_versions =
        [("a.default", "1"), ("b.default", "1")].map(|(name, version)| (name.to_owned(), version.to_owned())).into();
    let subscribe = vec!["a.default".to_owned()];
    stream.sender.on_request(DeltaRequest { subscribe, initial_versions, ..ask("K") }).unwrap();
    let first = stream.next().unwrap();
    assert!(first.changed.is_empty() && first.removed.is_empty());
}

#[test]
fn what_is_up_to_date_by_initial_versions_answers_empty() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let initial_versions = BTreeMap::from([("a.default".to_owned(), "1".to_owned())]);
    stream.sender.on_request(DeltaRequest { initial_versions, ..ask("K") }).unwrap();
    let first = stream.next().unwrap();
    assert!(first.changed.is_empty() && first.removed.is_empty());
    stream.ack(&first);
    stream.change(Vec::new(), &["a"]);
    assert_eq!(stream.next().unwrap().removed.len(), 1, "and is known from then on");
}

#[test]
fn a_stream_that_begins_with_an_ack_hears_of_content_only() {
    let late_ack = DeltaRequest { nonce: "7".to_owned(), ..ask("K") };
    let mut empty = Stream::new(Vec::new());
    empty.sender.on_request(late_ack.clone()).unwrap();
    assert_eq!(empty.next(), None);
    let mut full = Stream::new(vec![entry("a", "1")]);
    full.sender.on_request(late_ack).unwrap();
    assert_eq!(names(&full.next().unwrap()), ["a@1"]);
}

#[test]
fn kinds_do_not_wait_for_each_other() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    stream.ask();
    stream.sender.on_request(ask("L")).unwrap();
    assert_eq!(stream.next().map(|response| response.kind), Some("L".to_owned()));
}

#[test]
fn nonces_are_never_empty_and_differ_between_steps() {
    let mut stream = Stream::new(Vec::new());
    let mut seen = BTreeSet::new();
    let mut response = stream.ask();
    for version in 0..5 {
        assert!(!response.nonce.is_empty() && seen.insert(response.nonce.clone()), "{}", response.nonce);
        stream.ack(&response);
        stream.change(vec![entry("a", &version.to_string())], &[]);
        response = stream.next().unwrap();
    }
}

#[test]
fn requests_beyond_all_reason_are_refused() {
    let mut sender = Sender::new(audience());
    assert_eq!(sender.on_request(ask(&"K".repeat(300))), Err(RequestError::LongType { limit: 253 }));
    let many = |count: usize| (0..count).map(|index| format!("{index}.default"));
    let named = DeltaRequest { subscribe: many(10_001).collect(), ..ask("K") };
    assert_eq!(sender.on_request(named), Err(RequestError::TooManyNames { limit: 10_000 }));
    let initial_versions = many(200_001).map(|name| (name, "1".to_owned())).collect();
    assert_eq!(
        sender.on_request(DeltaRequest { initial_versions, ..ask("K") }),
        Err(RequestError::TooManyVersions { limit: 200_000 })
    );
}

#[test]
fn a_refused_request_changes_nothing() {
    let mut stream = Stream::new(vec![entry("a", "1"), entry("b", "1")]);
    let named = |names: Vec<String>| DeltaRequest { subscribe: names, ..ask("K") };
    stream.sender.on_request(named(vec!["a.default".to_owned()])).unwrap();
    assert_eq!(names(&stream.next().unwrap()), ["a@1"]);
    let mut many: Vec<String> = (0..10_000).map(|index| format!("{index}.default")).collect();
    many.push("b.default".to_owned());
    assert_eq!(stream.sender.on_request(named(many)), Err(RequestError::TooManyNames { limit: 10_000 }));
    assert_eq!(stream.next(), None, "the first response is unanswered, and `b` was not asked for");
}

#[test]
fn a_frame_that_hides_something_is_shared_by_those_who_see_the_same() {
    let mut stream = Stream::new(vec![entry("a", "1")]);
    let first = stream.ask();
    stream.ack(&first);
    let gated = Entry { needs: Features::HG_MZ_SELECTOR, ..entry("a", "2") };
    stream.change(vec![gated, entry("b", "1")], &[]);
    let second = stream.next().unwrap();
    assert_eq!(
        (names(&second), second.removed.len(), second.step.unwrap().readers),
        (vec!["b@1".to_owned()], 1, Some(Features::NONE)),
        "what became invisible is taken back"
    );
    stream.ack(&second);
    stream.change(vec![entry("a", "3")], &[]);
    let third = stream.next().unwrap();
    let readers = third.step.unwrap().readers;
    assert_eq!((names(&third), readers), (vec!["a@3".to_owned()], Some(Features::NONE)), "others had it all the time");
    stream.ack(&third);
    stream.change(vec![entry("a", "4")], &[]);
    assert_eq!(stream.next().unwrap().step.unwrap().readers, None, "all zones");
}
