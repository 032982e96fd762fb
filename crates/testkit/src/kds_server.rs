//! A hand-driven KDS server, the counterpart of the client in `kds`: takes a zone's connection, shows every RPC with
//! its headers and messages, and answers with any bytes, any end status, and response headers late or never.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(30);

type Body = BoxBody<Bytes, Infallible>;
type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

/// A port on loopback, in plain text. Connections wait until they are taken.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Listens on a port that the system chooses.
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback") }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// Takes the next connection.
    pub async fn connection(&self) -> Connection {
        tokio::time::timeout(LIMIT, self.accept()).await.expect("a connection within the limit")
    }

    /// Takes the next connection, however long it takes.
    pub async fn accept(&self) -> Connection {
        let (tcp, _peer) = self.listener.accept().await.expect("a connection");
        // As every real global has it.
        tcp.set_nodelay(true).expect("a connection that stands");
        Connection::over(tcp)
    }
}

/// One HTTP/2 connection of a peer. Dropping it cuts it.
pub struct Connection {
    calls: mpsc::UnboundedReceiver<Call>,
    driver: JoinHandle<()>,
}

impl Connection {
    fn over(tcp: TcpStream) -> Self {
        let (opened, calls) = mpsc::unbounded_channel();
        // The service lives as long as the connection, and so does the channel: its end is the connection's.
        let service = service_fn(move |request| {
            let opened = opened.clone();
            async move { answer(request, &opened).await }
        });
        let driver = tokio::spawn(async move {
            let _how_it_ended =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tcp), service).await;
        });
        Self { calls, driver }
    }

    /// The next RPC that the peer opens, or `None` when the connection is gone.
    pub async fn call(&mut self) -> Option<Call> {
        tokio::time::timeout(LIMIT, self.opened()).await.expect("an RPC or the end within the limit")
    }

    /// The next RPC, however long it takes, or `None` when the connection is gone.
    pub async fn opened(&mut self) -> Option<Call> {
        self.calls.recv().await
    }

    /// Waits until the peer has closed the connection, ignoring what it opens meanwhile.
    pub async fn gone(&mut self) {
        while self.call().await.is_some() {}
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One RPC that a peer opened. Response headers are sent with the first message, not before.
pub struct Call {
    /// The full path of the method.
    pub path: String,
    /// The request headers.
    pub headers: http::HeaderMap,
    inbound: mpsc::UnboundedReceiver<Bytes>,
    over: Arc<Mutex<Option<Over>>>,
    frames: Option<Frames>,
    response: Option<(oneshot::Sender<http::Response<Body>>, Body)>,
}

/// How the peer's side of an RPC ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// It said that it has nothing more to send.
    HalfClosed,
    /// It reset the stream, or the connection was lost.
    Reset,
}

impl Call {
    /// Sends the response headers, if they were not sent.
    pub fn open(&mut self) {
        self.open_with(&[]);
    }

    /// Sends the response headers and these beside them, if none were sent.
    pub fn open_with(&mut self, headers: &[(&str, &str)]) {
        if let Some((response, body)) = self.response.take() {
            let head = http::Response::builder().header("content-type", "application/grpc");
            let head = headers.iter().fold(head, |head, (name, value)| head.header(*name, *value));
            let _peer_gone = response.send(head.body(body).expect("a response"));
        }
    }

    /// Sends one message.
    pub fn send(&mut self, message: &[u8]) {
        let mut frame = Vec::with_capacity(message.len() + 5);
        frame.push(0);
        frame.extend_from_slice(&u32::try_from(message.len()).expect("a length").to_be_bytes());
        frame.extend_from_slice(message);
        self.raw(frame);
    }

    /// Sends bytes that need not be a gRPC frame.
    pub fn raw(&mut self, bytes: Vec<u8>) {
        self.open();
        if let Some(frames) = &self.frames {
            let _peer_gone = frames.send(Ok(Frame::data(bytes.into())));
        }
    }

    /// Ends the RPC with a gRPC status: 0 is OK.
    pub fn end(&mut self, code: u32, message: &str) {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", code.into());
        if !message.is_empty() {
            trailers.insert("grpc-message", percent_encoded(message).parse().expect("a header"));
        }
        self.open();
        if let Some(frames) = self.frames.take() {
            let _peer_gone = frames.send(Ok(Frame::trailers(trailers)));
        }
    }

    /// The next message, or `None` when the peer has ended its side.
    pub async fn next(&mut self) -> Option<Bytes> {
        tokio::time::timeout(LIMIT, self.inbound.recv()).await.expect("a message or an end within the limit")
    }

    /// How the peer ended its side; waits for it, ignoring messages.
    pub async fn over(&mut self) -> Over {
        while self.next().await.is_some() {}
        self.over.lock().expect("no panic").clone().expect("a reason at the end")
    }
}

/// Hands the RPC to the test and waits for what the test answers. An RPC that the test drops is reset.
async fn answer(
    request: http::Request<Incoming>,
    opened: &mpsc::UnboundedSender<Call>,
) -> Result<http::Response<Body>, oneshot::error::RecvError> {
    let (parts, body) = request.into_parts();
    let (messages, inbound) = mpsc::unbounded_channel();
    let over = Arc::new(Mutex::new(None));
    let reason = Arc::clone(&over);
    tokio::spawn(async move {
        let ended = read(body, &messages).await;
        reason.lock().expect("no panic").replace(ended);
    });
    let (frames, outbound) = mpsc::unbounded_channel();
    let (response, answered) = oneshot::channel();
    let body = StreamBody::new(UnboundedReceiverStream::new(outbound)).boxed();
    let _test_is_over = opened.send(Call {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        inbound,
        over,
        frames: Some(frames),
        response: Some((response, body)),
    });
    answered.await
}

/// Takes the peer's side apart into messages.
async fn read(mut body: Incoming, messages: &mpsc::UnboundedSender<Bytes>) -> Over {
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Over::Reset };
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while buffer.len() >= 5 {
            let length = u32::from_be_bytes(buffer[1..5].try_into().expect("four bytes")) as usize;
            if buffer.len() < 5 + length {
                break;
            }
            assert_eq!(buffer[0], 0, "an uncompressed message");
            buffer.advance(5);
            let _test_is_over = messages.send(buffer.split_to(length).freeze());
        }
    }
    Over::HalfClosed
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b'%';
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kds::{Ended, Peer};

    #[tokio::test]
    async fn client_and_server_exchange_messages_and_a_status() {
        let server = Server::start().await;
        let peer = Peer::over(TcpStream::connect(server.address()).await.unwrap()).await;
        let mut connection = server.connection().await;
        let mut here = peer.open("/a.B/C", &[("client-id", "west")]);
        here.send(b"one");
        let mut there = connection.call().await.unwrap();
        assert_eq!((there.path.as_str(), there.headers["client-id"].to_str().unwrap()), ("/a.B/C", "west"));
        assert_eq!(there.next().await.unwrap(), "one");
        there.send(b"two");
        assert_eq!(here.next().await.unwrap(), "two");
        here.half_close();
        assert_eq!(there.over().await, Over::HalfClosed);
        there.end(13, "50 % ü");
        assert_eq!(here.ended().await, Ended { code: 13, message: "50 % ü".to_owned() });
        drop((peer, here));
        connection.gone().await;
    }

    #[tokio::test]
    async fn a_status_can_come_before_anything_else() {
        let server = Server::start().await;
        let peer = Peer::over(TcpStream::connect(server.address()).await.unwrap()).await;
        let mut connection = server.connection().await;
        let mut here = peer.open("/a.B/C", &[]);
        connection.call().await.unwrap().end(12, "no");
        assert_eq!(here.ended().await, Ended { code: 12, message: "no".to_owned() });
    }
}
