//! Calls of our own on a far connection.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tonic::body::Body;

use super::*;
use crate::kds::relay::{call::LARGEST_OWN, orders::OwnCall};

type Reply = oneshot::Receiver<http::Response<Body>>;

/// Makes a call of our own; the number that takes it back.
fn make(line: &mut Line, numbers: &Orders, body: &'static str) -> (Number, Reply) {
    let (reply, answer) = oneshot::channel();
    let (head, ()) = http::Request::post("http://global/a").body(()).unwrap().into_parts();
    let (far, number) = (line.stand.far, numbers.number());
    let call = OwnCall { far, number, head, body: Bytes::from_static(body.as_bytes()), reply };
    line.order(Order::Call(Box::new(call)));
    (number, answer)
}

#[tokio::test(start_paused = true)]
async fn answers_come_whole_one_after_the_other() {
    let (mut line, numbers) = (Line::of(65_535, 1), Orders::default());
    // More than the windows take.
    for id in (1..41).step_by(2) {
        let (_, reply) = make(&mut line, &numbers, "body");
        line.answer(id, &"v".repeat(LARGEST_OWN - 1000));
        line.carry();
        assert_eq!(line.by_server[&id], "requestbody");
        let answer = reply.await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "5");
        assert_eq!(answer.to_bytes().len(), LARGEST_OWN - 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_long_or_reset_is_none() {
    let (mut line, numbers) = (Line::of(65_535, 10), Orders::default());
    let (_, mut reply) = make(&mut line, &numbers, "body");
    line.server.head(1, &[(":status", b"200")], &HeaderMap::new(), false);
    line.server.data(1, &[7; LARGEST_OWN + 1], false);
    line.carry();
    assert!(reply.try_recv().is_err());
    assert_eq!(line.by_server[&1], "requestbody reset 8");
    let (_, mut reply) = make(&mut line, &numbers, "body");
    line.server.forget(3, H2Code::CANCEL);
    line.carry();
    assert_eq!(reply.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
}

#[tokio::test(start_paused = true)]
async fn calls_are_taken_back() {
    let (mut line, numbers) = (Line::of(65_535, 1), Orders::default());
    let (first, _reply) = make(&mut line, &numbers, "first");
    let (second, _reply) = make(&mut line, &numbers, "second");
    let far = line.stand.far;
    line.order(Order::Abandon { far, call: second });
    line.order(Order::Abandon { far, call: first });
    assert_eq!(line.by_server.into_iter().collect::<Vec<_>>(), [(1, "requestfirst reset 8".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_far_side_that_is_released_goes_with_the_last_call() {
    let (mut line, numbers) = (Line::of(65_535, 1), Orders::default());
    let replies = ["first", "second"].map(|body| make(&mut line, &numbers, body).1);
    line.order(Order::Release(line.stand.far));
    for (id, reply) in [1, 3].into_iter().zip(replies) {
        assert!(!line.by_server.contains_key(&0), "it goes too early");
        line.answer(id, "answer");
        line.carry();
        assert_eq!(reply.await.unwrap().into_body().collect().await.unwrap().to_bytes(), "answer");
    }
    assert_eq!(line.by_server[&0], "leaves");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_far_side_that_goes_are_over() {
    let (mut line, numbers) = (Line::of(65_535, 1), Orders::default());
    let (_, mut first) = make(&mut line, &numbers, "first");
    let (_, mut second) = make(&mut line, &numbers, "second");
    line.server.leave_once();
    line.carry();
    assert_eq!(second.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
    assert_eq!(first.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty);
}
