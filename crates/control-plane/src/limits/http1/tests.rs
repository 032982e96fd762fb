//! The phases of a connection, on a clock that does not move by itself.

use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::limits::{Limits, PortName};

const TIMEOUTS: Timeouts =
    Timeouts { head: Duration::from_secs(1), write: Duration::from_secs(30), idle: Duration::from_secs(120) };

/// A client, and the connection that serves it: it answers with so many bytes after so many seconds.
fn connection(size: usize, after: u64) -> (DuplexStream, impl Future<Output = Duration>) {
    let (ours, theirs) = duplex(4096);
    let limits = Limits::for_tests();
    let place = limits.port(PortName::Http).place_for_tests();
    let serving = async move {
        let start = Instant::now();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let answer = move |_request| async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            Response::new(Full::new(Bytes::from(vec![b'x'; size])))
        };
        serve(ours, peer, place, TIMEOUTS, Tasks::new(), answer).await;
        start.elapsed()
    };
    (theirs, serving)
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Sends a request and reads its answer to the last byte, an `x`.
async fn ask(client: &mut DuplexStream) {
    client.write_all(REQUEST).await.unwrap();
    loop {
        let mut byte = [0];
        client.read_exact(&mut byte).await.unwrap();
        if byte == [b'x'] {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_closed_without_a_word() {
    let (mut client, serving) = connection(1, 0);
    let mut said = Vec::new();
    let (open, read) = tokio::join!(serving, client.read_to_end(&mut said));
    assert_eq!((open, read.unwrap()), (TIMEOUTS.head, 0));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_is_given_up() {
    let (mut client, serving) = connection(1, 0);
    let dripping = async {
        for byte in REQUEST {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if client.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
        panic!("the whole head was read");
    };
    let (open, ()) = tokio::join!(serving, dripping);
    assert_eq!(open, TIMEOUTS.head);
}

#[tokio::test(start_paused = true)]
async fn between_two_requests_there_is_more_time_than_in_one() {
    let (mut client, serving) = connection(1, 0);
    let client = async {
        ask(&mut client).await;
        tokio::time::sleep(TIMEOUTS.idle / 2).await;
        ask(&mut client).await;
        // The next head has begun: it has to come as quickly as the first one.
        tokio::time::sleep(Duration::from_secs(10)).await;
        client.write_all(b"GET ").await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
    };
    let (open, ()) = tokio::join!(serving, client);
    assert_eq!(open, TIMEOUTS.idle / 2 + Duration::from_secs(10) + TIMEOUTS.head);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_for_too_long_is_closed() {
    let (mut client, serving) = connection(1, 0);
    let client = async {
        ask(&mut client).await;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
    };
    let (open, ()) = tokio::join!(serving, client);
    assert_eq!(open, TIMEOUTS.idle);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_its_time_is_not_cut() {
    let (mut client, serving) = connection(1, 600);
    let client = async {
        ask(&mut client).await;
        drop(client);
    };
    let (open, ()) = tokio::join!(serving, client);
    assert_eq!(open, Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_given_up() {
    let (mut client, serving) = connection(1 << 20, 0);
    client.write_all(REQUEST).await.unwrap();
    assert_eq!(serving.await, TIMEOUTS.write);
}
