//! A relay between two pipes.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};

use super::*;
use crate::kds::relay::{
    answer::Passing,
    http2::{Connection, Origin},
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
