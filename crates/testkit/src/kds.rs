//! A hand-driven KDS peer: sends any bytes as gRPC messages and shows what comes back.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(30);

type Body = BoxBody<Bytes, Infallible>;

/// One HTTP/2 connection.
pub struct Peer {
    requests: SendRequest<Body>,
    driver: JoinHandle<()>,
}

impl Peer {
    /// Speaks HTTP/2 over a finished connection.
    pub async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::with(&http2::Builder::new(TokioExecutor::new()), io).await
    }

    /// Does so, and pings the connection at this interval, also when it is quiet.
    pub async fn pinging(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, interval: Duration) -> Self {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(interval).keep_alive_while_idle(true);
        Self::with(&builder, io).await
    }

    async fn with(
        builder: &http2::Builder<TokioExecutor>,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let (requests, driver) = builder.handshake(TokioIo::new(io)).await.expect("an HTTP/2 connection");
        let driver = tokio::spawn(async move {
            let _how_it_ended = driver.await;
        });
        Self { requests, driver }
    }

    /// Waits until the connection is closed.
    pub async fn closed(&mut self) {
        let closed = tokio::time::timeout(LIMIT, &mut self.driver).await;
        closed.expect("the connection is closed within the limit").expect("a driver that does not panic");
    }

    /// Sends a request that ends with its head, whatever that says, and returns the head of the answer.
    pub async fn ask(&self, request: http::Request<()>) -> http::response::Parts {
        let mut requests = self.requests.clone();
        let body = http_body_util::Empty::new().boxed();
        let answer = async {
            requests.ready().await?;
            requests.send_request(request.map(|()| body)).await
        };
        let answer = tokio::time::timeout(LIMIT, answer).await.expect("an answer within the limit");
        answer.expect("an answer").into_parts().0
    }

    /// Opens an RPC with these headers. Does not wait for response headers, which may come with the first message.
    pub fn open(&self, path: &str, headers: &[(&str, &str)]) -> Call {
        let (outbound, messages) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
        let body = StreamBody::new(UnboundedReceiverStream::new(messages)).boxed();
        let mut request = http::Request::post(format!("http://kds{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let request = request.body(body).expect("a request");
        let mut requests = self.requests.clone();
        let response = tokio::spawn(async move {
            requests.ready().await?;
            requests.send_request(request).await
        });
        Call {
            outbound: Some(outbound),
            state: State::Opening(response),
            buffer: BytesMut::new(),
            messages: VecDeque::new(),
            status: None,
        }
    }
}

/// How an RPC ended: the gRPC code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The gRPC code; 14 (Unavailable) if the connection was lost.
    pub code: u32,
    /// The text.
    pub message: String,
}

/// One RPC.
pub struct Call {
    outbound: Option<mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>>,
    state: State,
    buffer: BytesMut,
    messages: VecDeque<Bytes>,
    status: Option<Ended>,
}

enum State {
    Opening(JoinHandle<Result<http::Response<Incoming>, hyper::Error>>),
    Open(Incoming),
    Over,
}

impl Call {
    /// Sends one message.
    pub fn send(&self, message: &[u8]) {
        let mut frame = Vec::with_capacity(message.len() + 5);
        frame.push(0);
        frame.extend_from_slice(&u32::try_from(message.len()).expect("a length").to_be_bytes());
        frame.extend_from_slice(message);
        self.raw(frame);
    }

    /// Sends bytes that need not be a gRPC frame.
    pub fn raw(&self, bytes: Vec<u8>) {
        if let Some(outbound) = &self.outbound {
            let _peer_gone = outbound.send(Ok(Frame::data(bytes.into())));
        }
    }

    /// Closes this side of the stream.
    pub fn half_close(&mut self) {
        self.outbound = None;
    }

    /// The next message, however long it takes, or `None` when the RPC ended. Not cancel safe.
    pub async fn message(&mut self) -> Option<Bytes> {
        self.advance().await
    }

    /// The next message, or `None` when the RPC ended.
    pub async fn next(&mut self) -> Option<Bytes> {
        tokio::time::timeout(LIMIT, self.advance()).await.expect("a message or an end within the limit")
    }

    /// Waits for the end of the RPC, ignoring messages.
    pub async fn ended(&mut self) -> Ended {
        while self.next().await.is_some() {}
        self.status.clone().expect("a status at the end")
    }

    async fn advance(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Some(message);
            }
            match &mut self.state {
                State::Over => return None,
                State::Opening(response) => match response.await.expect("the request task") {
                    Ok(response) => {
                        self.note(response.headers());
                        self.state = State::Open(response.into_body());
                    }
                    Err(error) => self.lost(&error.to_string()),
                },
                State::Open(body) => match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.take(&data),
                        Err(frame) => {
                            if let Some(trailers) = frame.trailers_ref() {
                                let trailers = trailers.clone();
                                self.note(&trailers);
                            }
                        }
                    },
                    Some(Err(error)) => self.lost(&error.to_string()),
                    None if self.status.is_some() => self.state = State::Over,
                    None => self.lost("no status"),
                },
            }
        }
    }

    fn take(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
        while self.buffer.len() >= 5 {
            let length = u32::from_be_bytes(self.buffer[1..5].try_into().expect("four bytes")) as usize;
            if self.buffer.len() < 5 + length {
                break;
            }
            assert_eq!(self.buffer[0], 0, "an uncompressed message");
            self.buffer.advance(5);
            self.messages.push_back(self.buffer.split_to(length).freeze());
        }
    }

    fn note(&mut self, headers: &http::HeaderMap) {
        let text = |key: &str| headers.get(key).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        if let Ok(code) = text("grpc-status").parse() {
            self.status = Some(Ended { code, message: percent_decoded(&text("grpc-message")) });
        }
    }

    fn lost(&mut self, why: &str) {
        self.state = State::Over;
        self.status.get_or_insert_with(|| Ended { code: 14, message: why.to_owned() });
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits: Option<[u8; 2]> =
            (byte == b'%').then(|| [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')]);
        match digits {
            Some(digits) => {
                decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap_or("3f"), 16).unwrap_or(b'?'))
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
