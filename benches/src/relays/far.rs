//! A far side that costs no relay anything: it answers, sends so much as it is told, and swallows.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::rpcs::{PING, UP};
use tokio::net::TcpListener;

/// A call with this header is sent so many MiB.
pub(super) const SENDS: &str = "mib";
/// What the far side sends at once.
pub(super) const MESSAGE: usize = 1 << 20;
/// What the far side answers a first message with.
const ANSWER: &[u8] = &[0, 0, 0, 0, 3, b'y', b'e', b's'];

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// A running far side.
pub(super) struct Far {
    pub(super) address: SocketAddr,
}

impl Far {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let _kept_slow = tcp.set_nodelay(true);
                let service = service_fn(async |request| Ok::<_, Infallible>(answer(request)));
                let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tcp), service);
                tokio::spawn(served);
            }
        });
        Ok(Self { address })
    }
}

fn answer(request: http::Request<Incoming>) -> http::Response<Body> {
    let sends = request.headers().get(SENDS).and_then(|count| count.to_str().ok()?.parse().ok());
    let path = request.uri().path().to_owned();
    let body = match (path.as_str(), sends) {
        (_, Some(mib)) => {
            let message: Bytes = [&[0, 0, 16, 0, 0][..], &[7; MESSAGE]].concat().into();
            let messages = stream::iter(std::iter::repeat_n(message, mib)).map(|message| Ok(Frame::data(message)));
            StreamBody::new(messages.chain(end())).boxed_unsync()
        }
        (PING, _) => {
            StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from_static(&[0; 5])))]).chain(end())).boxed_unsync()
        }
        (UP, _) => StreamBody::new(stream::once(swallow(request.into_body()))).boxed_unsync(),
        _ => {
            let first = async |mut body: Incoming| {
                let _something = body.frame().await;
                (Frame::data(Bytes::from_static(ANSWER)), body)
            };
            let answered = stream::once(first(request.into_body()))
                .flat_map(|(answer, body)| stream::iter([Ok(answer)]).chain(stream::once(swallow(body))));
            StreamBody::new(answered).boxed_unsync()
        }
    };
    let mut response = http::Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    response
}

/// Takes all that comes; the end is good.
async fn swallow(mut body: Incoming) -> Result<Frame<Bytes>, hyper::Error> {
    while let Some(Ok(_)) = body.frame().await {}
    Ok(ok())
}

fn end() -> impl stream::Stream<Item = Result<Frame<Bytes>, hyper::Error>> {
    stream::iter([Ok(ok())])
}

fn ok() -> Frame<Bytes> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    Frame::trailers(trailers)
}
