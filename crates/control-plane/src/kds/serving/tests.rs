//! A peer that sends very many calls at once, in bytes.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    time::timeout,
};

use super::*;

const CALLS: usize = 5000;
/// A peer with nothing to say of itself.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `POST https://l/`, in the numbers of HPACK (RFC 7541, A).
const CALL: &[u8] = b"\x83\x87\x84\x41\x01l";

/// HEADERS frames with which the calls begin and end.
fn calls() -> Vec<u8> {
    let mut bytes = HELLO.to_vec();
    for index in 0..u32::try_from(CALLS).unwrap() {
        bytes.extend([0, 0, u8::try_from(CALL.len()).unwrap(), 1, 5]);
        bytes.extend((2 * index + 1).to_be_bytes());
        bytes.extend(CALL);
    }
    bytes
}

/// How many calls there are, and how many there were at a time.
#[derive(Default)]
struct Counted {
    began: AtomicUsize,
    ended: AtomicUsize,
    most: AtomicUsize,
}

#[tokio::test]
async fn calls_that_came_are_answered_before_more_are_taken() {
    let (ours, mut theirs) = duplex(1 << 20);
    theirs.write_all(&calls()).await.unwrap();
    let counted = Arc::new(Counted::default());
    let service = service_fn({
        let counted = Arc::clone(&counted);
        move |_call| {
            let counted = Arc::clone(&counted);
            let began = counted.began.fetch_add(1, Ordering::Relaxed) + 1;
            counted.most.fetch_max(began - counted.ended.load(Ordering::Relaxed), Ordering::Relaxed);
            async move {
                counted.ended.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(http::Response::new(Body::empty()))
            }
        }
    });
    let builder = |streams| {
        let mut builder = Builder::new(streams);
        builder.max_concurrent_streams(u32::try_from(2 * CALLS).unwrap());
        builder
    };
    let serving = Serving::new(builder, Box::new(ours), service);
    let answered = async {
        let mut bytes = vec![0; 1 << 16];
        while counted.ended.load(Ordering::Relaxed) < CALLS {
            assert_ne!(theirs.read(&mut bytes).await.unwrap(), 0);
        }
    };
    tokio::select! {
        ended = serving => panic!("{ended:?}"),
        answered = timeout(Duration::from_secs(30), answered) => answered.expect("all are answered"),
    }
    // Each takes fifteen bytes.
    let most = counted.most.load(Ordering::Relaxed);
    assert!(most < CALLS / 2, "{most} at a time");
}
