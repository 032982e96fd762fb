//! A small Envoy: answers on its admin port what it was told, or nothing.
#![expect(clippy::disallowed_methods, reason = "ends with the runtime of its test")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What a path is answered with.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// This body.
    Body(Vec<u8>),
    /// Nothing, for as long as the caller waits.
    Never,
}

#[derive(Default)]
struct Shared {
    replies: BTreeMap<String, Reply>,
    asked: Vec<String>,
}

/// A running admin port. Ends with the runtime.
pub(crate) struct Envoy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Envoy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let answering = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((tcp, _peer)) = listener.accept().await {
                tokio::spawn(answer(tcp, Arc::clone(&answering)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers a path like this from now on.
    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.shared.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// Returns the paths that were asked since the last call, and forgets them.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap().asked)
    }
}

async fn answer(mut tcp: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = tcp.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
    let reply = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push(path.clone());
        shared.replies.get(&path).cloned()
    };
    let (status, body) = match reply {
        Some(Reply::Body(body)) => ("200 OK", body),
        Some(Reply::Never) => {
            // The caller hangs up.
            let _end = tcp.read_u8().await;
            return;
        }
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _caller_gone = tcp.write_all(&[head.as_bytes(), &body].concat()).await;
}
