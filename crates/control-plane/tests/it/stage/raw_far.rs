//! The far side of a relay, played byte by byte.

use tokio::net::TcpListener;

use testkit::program::LIMIT;

use super::{
    passage::Relay,
    raw_http2::{Raw, block, data, headers, kind, last_headers, message},
    way::Way,
};

/// A relay, and the port that it dials.
pub(crate) struct FarSide {
    pub(crate) relay: Relay,
    listener: TcpListener,
}

impl FarSide {
    pub(crate) async fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::before(way, listener.local_addr().unwrap()).await;
        Self { relay, listener }
    }

    /// The next connection of the relay, on which nothing was said.
    pub(crate) async fn silent(&self) -> Raw {
        let accepted = tokio::time::timeout(LIMIT, self.listener.accept()).await;
        Raw::over(accepted.expect("a connection within the limit").unwrap().0)
    }

    /// The next connection of the relay, with these settings.
    pub(crate) async fn takes(&self, says: &[(u16, u32)]) -> Raw {
        let accepted = tokio::time::timeout(LIMIT, self.listener.accept()).await;
        Raw::server(accepted.expect("a connection within the limit").unwrap().0, says).await
    }
}

impl Raw {
    /// The stream of the call that begins with this message. The relay's own pings, which are an empty message each, are
    /// answered.
    pub(crate) async fn called(&mut self, with: &[u8]) -> u32 {
        let wanted = message(with);
        loop {
            let frame = self.find(|frame| frame.kind == kind::DATA && !frame.payload.is_empty()).await;
            if frame.content() == wanted {
                return frame.stream;
            }
            assert_eq!(frame.content(), message(b""), "a ping");
            self.answer(frame.stream, b"", "0").await;
        }
    }

    /// Answers a call with a message and a status.
    pub(crate) async fn answer(&mut self, stream: u32, content: &[u8], status: &str) {
        let all = [good(stream), data(stream, &message(content)), ended(stream, status)].concat();
        self.send(&all).await;
    }
}

/// With what a good answer begins.
pub(crate) fn good(stream: u32) -> Vec<u8> {
    headers(stream, &[&[0x88][..], &block(&[("content-type", "application/grpc")])].concat())
}

/// With what an answer ends.
pub(crate) fn ended(stream: u32, status: &str) -> Vec<u8> {
    last_headers(stream, &block(&[("grpc-status", status)]))
}
