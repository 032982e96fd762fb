//! A relay between two pipes, one side of which wants too much.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};

use super::super::*;
use crate::kds::relay::{
    answer::Passing,
    http2::{Connection, Origin, request_fields},
    orders::{Adopted, Order},
    standing::{Lost, Standing},
};

/// What a pipe holds.
const PIPE: usize = 64 * 1024;

/// Passes the one call that comes on to this far side.
struct PassesOn(std::sync::Mutex<Option<DuplexStream>>);

impl Answers for PassesOn {
    fn answer(&self, arriving: Arriving) -> BoxFuture<'static, Answer> {
        let io = self.0.lock().unwrap().take().expect("one call");
        let (far, state) = (arriving.orders.number(), Arc::new(Standing::default()));
        let end = End::of_server(Box::new(io), LIMITS, KEEPALIVE);
        let origin = Origin { scheme: Bytes::from_static(b"http"), authority: Bytes::from_static(b"far") };
        let lost = Lost::new(state, Box::new(drop));
        arriving.orders.give(Order::Adopt(Box::new(Adopted { far, end, origin, lost })));
        let (head, _body) = arriving.request.into_parts();
        let passing = Passing { far, head, inspect: None, told: Box::new(drop), beside: None };
        std::future::ready(Answer::Pass(Box::new(passing))).boxed()
    }
}

/// A client that opens a call, as bytes.
fn opens() -> Vec<u8> {
    let mut client = Connection::client(LIMITS);
    let call = client.open();
    client.head(call, &[(":method", b"POST"), (":scheme", b"http"), (":path", b"/a")], &HeaderMap::new(), false);
    client.output().waiting().to_vec()
}

/// A far side may ask for answers without end; one that takes none is not asked for more.
#[tokio::test(start_paused = true)]
async fn what_a_far_side_does_not_take_does_not_pile_up() {
    let ((near, mut zone), (far, mut global)) = (duplex(PIPE), duplex(PIPE));
    let relay = Relay::new(Box::new(near), PassesOn(std::sync::Mutex::new(Some(far))));
    let said = async {
        zone.write_all(&opens()).await.unwrap();
        let mut said = 0;
        global.write_all(Connection::server(LIMITS).output().waiting()).await.unwrap();
        let pings = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8].repeat(1000);
        // Nothing else happens when this time passes.
        while said < 8 << 20 && timeout(Duration::from_secs(1), global.write_all(&pings)).await.is_ok() {
            said += pings.len();
        }
        said
    };
    let said = tokio::select! {
        ended = relay => panic!("{ended:?}"),
        said = said => said,
    };
    // What is in the pipes, and as much of answers.
    assert!(said < 5 * PIPE, "{said} bytes were taken of a side that takes nothing");
}

/// Answers no call, and always wants to be asked again.
struct Restless(Arc<AtomicUsize>);

impl Answers for Restless {
    fn answer(&self, _: Arriving) -> BoxFuture<'static, Answer> {
        let asked = Arc::clone(&self.0);
        std::future::poll_fn(move |context| {
            assert!(asked.fetch_add(1, Ordering::Relaxed) < 100, "nobody else has a turn");
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_always_awake_leaves_others_their_turn() {
    let (near, mut zone) = duplex(64 * 1024);
    let mut client = Connection::client(LIMITS);
    let (stream, origin) = (client.open(), Origin { scheme: "http".into(), authority: "global".into() });
    client.head(stream, &request_fields(&Method::POST, &origin, "/a"), &HeaderMap::new(), true);
    zone.write_all(client.output().waiting()).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let mut relay = Relay::new(Box::new(near), Restless(Arc::clone(&asked)));
    for _turn in 0..3 {
        let before = asked.load(Ordering::Relaxed);
        assert!(futures::poll!(&mut relay).is_pending());
        assert!(asked.load(Ordering::Relaxed) > before);
    }
}
