//! A global that takes nothing of what a zone says: what is over for the zone does not go on there.

use std::convert::Infallible;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tonic::body::Body;

use super::*;

/// A global that answers pings, and every other call with a stream that says nothing, and takes not a byte of what it is told.
/// Returns when a stream is over, or the connection.
#[expect(clippy::disallowed_types, reason = "the tasks of a connection end with the test")]
async fn take_nothing(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let (opened, mut streams) = mpsc::unbounded_channel::<Incoming>();
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let body = if request.uri().path() == PING {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", 0.into());
            let pong = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
            Body::new(StreamBody::new(futures::stream::iter(pong.map(Ok::<_, Status>))))
        } else {
            opened.send(request.into_body()).unwrap();
            Body::new(StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>()))
        };
        std::future::ready(Ok::<_, Infallible>(http::Response::new(body)))
    });
    let mut server = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    server.initial_stream_window_size(0);
    let over = async {
        let mut stream = streams.recv().await.unwrap();
        // There is no window for anything else.
        stream.frame().await.expect("no end").expect_err("no data")
    };
    tokio::select! {
        _lost = server.serve_connection(hyper_util::rt::TokioIo::new(stream), service) => {}
        _reset = over => {}
    }
}

fn call(path: &str) -> http::Request<()> {
    let request = http::Request::post(format!("http://kds{path}")).header("content-type", "application/grpc");
    request.header("client-id", "west").body(()).unwrap()
}

/// A zone says something that global does not take, and then `ends`: so does the stream at global.
async fn check(ends: impl FnOnce(&mut h2::SendStream<Bytes>, &Tasks)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let played = Played::before(listener.local_addr().unwrap(), Server::start().await).await;
    let global = take_nothing(listener);
    let zone = async {
        let of_zone = Tasks::new();
        let stream = TcpStream::connect(played.port).await.unwrap();
        let (mut zone, connection) = h2::client::handshake(stream).await.unwrap();
        let stopping = of_zone.clone();
        of_zone.spawn("zone", OnError::Log, async move {
            tokio::select! {
                ended = connection => Ok(ended?),
                () = stopping.stopping() => Ok(()),
            }
        });
        let (answer, mut said) = zone.send_request(call(DOWN), false).unwrap();
        let _silence = answer.await.unwrap();
        said.send_data(Bytes::from_static(&[7; 1024]), false).unwrap();
        // What was said before them is on its way when these are answered.
        for _ in 0..20 {
            zone = zone.ready().await.unwrap();
            let (answer, _) = zone.send_request(call(PING), true).unwrap();
            let mut pong = answer.await.unwrap().into_body();
            while pong.data().await.is_some() {}
        }
        ends(&mut said, &of_zone);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = zone => {}
        gone = tokio::time::timeout(LIMIT, global) => gone.expect("the stream at global is over"),
    }
}

#[tokio::test]
async fn a_stream_that_a_zone_resets_does_not_go_on_at_a_global_that_takes_nothing() {
    check(|said, _| said.send_reset(h2::Reason::CANCEL)).await;
}

#[tokio::test]
async fn a_zone_that_is_gone_is_gone_for_a_global_that_takes_nothing() {
    check(|_, zone| zone.stop()).await;
}
