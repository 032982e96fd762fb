//! What is told of the end of calls: what really happened, also where it was not known yet who takes them.

use futures::{FutureExt as _, future::BoxFuture};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tonic::{Code, Status};

use super::*;
use crate::{
    clock::Clock,
    kds::dial::{Dialer, Target, Trust},
    tasks::{OnError, Tasks},
};

/// A peer with nothing to say of itself, and the head of a call: `POST https://l/`, in the numbers of HPACK (RFC 7541, A).
const CALL: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x06\x01\x04\0\0\0\x01\x83\x87\x84\x41\x01l";
/// Takes it back.
const RESET: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";

/// Hands the calls to the test.
struct Hands(mpsc::UnboundedSender<(Arriving, oneshot::Sender<Answer>)>);

impl Answers for Hands {
    fn answer(&self, arriving: Arriving) -> BoxFuture<'static, Answer> {
        let (answers, answer) = oneshot::channel();
        self.0.send((arriving, answers)).unwrap();
        async { answer.await.unwrap() }.boxed()
    }
}

/// A call for which nobody was found yet who takes it.
struct Asked {
    zone: DuplexStream,
    arriving: Arriving,
    answers: oneshot::Sender<Answer>,
    far: Far,
    _global: TcpListener,
    _tasks: Tasks,
}

impl Asked {
    async fn start() -> Self {
        let tasks = Tasks::new();
        let (near, mut zone) = duplex(64 * 1024);
        let (hands, mut arriving) = mpsc::unbounded_channel();
        tasks.spawn("relay", OnError::Log, async move {
            let _how = Relay::new(Box::new(near), Hands(hands)).await;
            Ok(())
        });
        zone.write_all(CALL).await.unwrap();
        let (arriving, answers) = arriving.recv().await.unwrap();
        let global = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { host: "127.0.0.1".to_owned(), port: global.local_addr().unwrap().port() };
        let dialer = Dialer::new(vec![(target, None)], Trust::Plain, Clock::system());
        let far = Far::adopt(&arriving.orders, dialer.reach().await.ok().unwrap(), drop);
        Self { zone, arriving, answers, far, _global: global, _tasks: tasks }
    }
}

/// Passes the call on; what is told of it.
fn pass(far: &Far, answers: oneshot::Sender<Answer>) -> oneshot::Receiver<Status> {
    let (tells, told) = oneshot::channel();
    let (head, ()) = http::Request::post("/").body(()).unwrap().into_parts();
    let answer = Answer::pass(far, head, None, move |status| tells.send(status).unwrap());
    assert!(answers.send(answer).is_ok(), "somebody waits for the answer");
    told
}

#[tokio::test]
async fn why_a_call_was_ended_is_told_although_it_was_not_passed_on_yet() {
    let Asked { zone: _zone, arriving, answers, far, .. } = Asked::start().await;
    arriving.ender.end(Status::unauthenticated("the token was revoked"));
    let told = pass(&far, answers).await.expect("something is told");
    assert_eq!((told.code(), told.message()), (Code::Unauthenticated, "the token was revoked"));
}

#[tokio::test]
async fn that_a_call_was_taken_back_is_told_although_it_was_not_passed_on_yet() {
    let Asked { mut zone, arriving, answers, far, .. } = Asked::start().await;
    zone.write_all(RESET).await.unwrap();
    let end = arriving.request.into_body().frame().await.unwrap().unwrap_err();
    assert_eq!(end.message(), "the near side gave up");
    let told = pass(&far, answers).await.expect("something is told");
    assert_eq!((told.code(), told.message()), (Code::Cancelled, "the near side gave up"));
}

#[tokio::test]
async fn that_the_connection_of_a_call_was_lost_is_told_as_that() {
    let Asked { zone, answers, far, .. } = Asked::start().await;
    let told = pass(&far, answers);
    drop(zone);
    let told = told.await.expect("something is told");
    assert_eq!(told.code(), Code::Cancelled);
    assert!(told.message().starts_with("the connection of the zone is gone"), "{}", told.message());
}

#[tokio::test]
async fn that_the_far_side_was_lost_is_told_as_that() {
    let Asked { zone: _zone, answers, far, _global: global, .. } = Asked::start().await;
    drop(global.accept().await.unwrap());
    far.gone().await;
    let told = pass(&far, answers).await.expect("something is told");
    assert_eq!(
        (told.code(), told.message()),
        (Code::Unavailable, "the connection to the global control plane was lost")
    );
}
