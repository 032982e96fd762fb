//! A zone that reads nothing of a global that has much to say.

use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use tonic::body::Body;

use super::*;

/// Says much, and counts how much was taken of it.
struct Endless {
    taken: Arc<AtomicUsize>,
}

const MUCH: usize = 64 << 20;

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let data = bytes::Bytes::from_static(&[7; 16 * 1024]);
        let taken = self.taken.fetch_add(data.len(), Ordering::Relaxed);
        std::task::Poll::Ready((taken < MUCH).then(|| Ok(http_body::Frame::data(data))))
    }
}

/// A global that has much to say on every stream, and answers pings.
#[expect(clippy::disallowed_types, reason = "the tasks of a connection end with the test")]
async fn speak_much(listener: TcpListener, taken: Arc<AtomicUsize>) {
    let (stream, _) = listener.accept().await.unwrap();
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let taken = Arc::clone(&taken);
        async move {
            if request.uri().path() != PING {
                return Ok::<_, std::convert::Infallible>(http::Response::new(Body::new(Endless { taken })));
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", 0.into());
            let pong = [http_body::Frame::data(vec![0; 5].into()), http_body::Frame::trailers(trailers)];
            let pong = futures::stream::iter(pong.map(Ok::<http_body::Frame<bytes::Bytes>, Status>));
            Ok(http::Response::new(Body::new(http_body_util::StreamBody::new(pong))))
        }
    });
    let io = hyper_util::rt::TokioIo::new(stream);
    let server = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let _cut = server.serve_connection(io, service).await;
}

#[tokio::test]
async fn a_zone_that_reads_nothing_has_windows_kept_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, taken) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let played = Played::before(address, Server::start().await).await;
    let counted = Arc::clone(&taken);
    played.tasks.spawn("global", OnError::Log, async move {
        speak_much(listener, counted).await;
        Ok(())
    });
    let zone = played.zone().await;
    let _unread = open(&zone, DOWN);
    // Other calls go on beside it; when nothing was taken during many of them, nothing will be.
    loop {
        let before = taken.load(Ordering::Relaxed);
        for _ in 0..200 {
            assert_eq!(open(&zone, PING).ended().await.code, 0);
        }
        if taken.load(Ordering::Relaxed) == before && before > 0 {
            break;
        }
    }
    // Windows of the zone's end (2 MiB), of ours and of sockets.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < MUCH / 4, "{taken} bytes were taken for a zone that reads nothing");
}
