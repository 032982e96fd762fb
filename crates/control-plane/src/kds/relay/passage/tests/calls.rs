//! How calls that are passed on end.

use http_body::Body as _;

use super::*;
use crate::kds::relay::{answer::Whole, inspect::Payload, scan::Rule};

/// Two calls under way, one that finds no room, and one of which nobody knows yet who answers.
fn four_calls() -> Line {
    let mut line = Line::of(65_535, 2);
    assert_eq!([line.call(), line.call(), line.call()], [1, 3, 5]);
    line.holds = true;
    assert_eq!(line.call(), 7);
    assert_eq!(line.by_server.len(), 2);
    line
}

fn check_all(line: &Line, status: &str, code: Code) {
    assert!(line.by_client.values().all(|heard| heard == status), "{:?}", line.by_client);
    assert_eq!(line.by_client.len(), 4);
    assert_eq!(*line.told.lock().unwrap(), [code; 4]);
    assert!(line.stand.passage.is_idle());
}

#[tokio::test(start_paused = true)]
async fn all_calls_of_a_far_side_end_with_one_status() {
    let mut line = four_calls();
    line.order(Order::EndAll { far: line.stand.far, status: Status::permission_denied("revoked") });
    assert_eq!(line.by_client.len(), 3);
    line.pass();
    line.carry();
    check_all(&line, " status 7", Code::PermissionDenied);
    assert_eq!(line.by_server.values().collect::<Vec<_>>(), ["request reset 8"; 2]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_far_side_that_is_lost_end() {
    let mut line = four_calls();
    line.stand.passage.lost(line.stand.far, "cut".to_owned());
    line.carry();
    line.pass();
    line.carry();
    check_all(&line, " status 14", Code::Unavailable);
    assert_eq!(line.stand.why.lock().unwrap().as_deref(), Some("cut"));
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_near_side_that_goes_are_taken_back() {
    let mut line = four_calls();
    let (_, _, mut inbox) = line.asked.pop().unwrap();
    line.stand.passage.part(&Status::cancelled("it goes"));
    line.carry();
    assert_eq!(line.by_server.remove(&0).as_deref(), Some("leaves"));
    assert_eq!(line.by_server.values().collect::<Vec<_>>(), ["request reset 8"; 2]);
    assert_eq!(*line.told.lock().unwrap(), [Code::Cancelled; 3]);
    let came = std::future::poll_fn(|context| std::pin::Pin::new(&mut inbox).poll_frame(context)).await;
    assert_eq!(came.unwrap().unwrap_err().code(), Code::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_far_side_that_goes_answers_what_it_looked_at() {
    let mut line = Line::of(65_535, 10);
    let first = line.call();
    line.server.leave_once();
    let second = line.call();
    assert!(line.stand.standing.is_closing.load(Ordering::Relaxed));
    assert_eq!(line.by_client[&second], " status 14");
    let third = line.call();
    assert_eq!(line.by_client[&third], " status 14", "it takes no more");
    line.answer(first, "answer");
    line.carry();
    assert_eq!(line.by_client[&first], "answer status 5");
}

#[tokio::test(start_paused = true)]
async fn what_waits_of_an_answer_is_left_out_when_the_call_is_ended() {
    let mut line = Line::of(4, 10);
    let id = line.call();
    line.server.head(id, &[(":status", b"200")], &HeaderMap::new(), false);
    line.server.data(id, b"an answer", false);
    line.server_to_far();
    line.order(Order::End { stream: id, status: Status::permission_denied("revoked") });
    assert_eq!(line.by_client[&id], "an a status 7");
    assert_eq!(line.by_server[&id], "request reset 8");
    // The client has not said all.
    assert!(line.stand.passage.is_idle());
}

#[tokio::test(start_paused = true)]
async fn resets_go_through_with_their_codes() {
    let mut line = Line::of(65_535, 10);
    let (by_client, by_server) = (line.call(), line.call());
    line.client.forget(by_client, H2Code(0xbeef));
    line.server.forget(by_server, H2Code(0xcafe));
    line.carry();
    assert_eq!(line.by_server[&by_client], "request reset 48879");
    assert_eq!(line.by_client[&by_server], " reset 51966");
    assert_eq!(*line.told.lock().unwrap(), [Code::Cancelled, Code::Unknown]);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_on_a_call_that_is_answered_here_goes_nowhere() {
    let mut line = Line::of(4, 10);
    line.holds = true;
    let id = line.call();
    let (head, ()) = http::Response::new(()).into_parts();
    let whole = Whole { head, data: "an answer".into(), trailers: None };
    line.stand.passage.answer(id, Answer::Here(Box::new(whole)));
    line.client.data(id, b"request", false);
    line.client_to_near();
    assert_eq!(line.stand.passage.near.connection.held(id), Some(0));
    line.carry();
    assert_eq!(line.by_client[&id], "an answer");
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_of_a_request_that_is_refused() {
    let mut line = Line::of(65_535, 10);
    let payload = Payload { rule: Rule::Node, zone: "west".into(), limit: 1000 };
    line.inspect = Some(Inspect::new(payload, &HeaderMap::new()).unwrap());
    let id = line.call();
    line.client.data(id, b"\0\0\0\0\x08\x0a\x06\x0a\x04east", false);
    line.carry();
    assert_eq!((line.by_client[&id].as_str(), line.by_server[&id].as_str()), (" status 3", "request reset 8"));
}
