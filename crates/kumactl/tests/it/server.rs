//! A small HTTP server that answers what a test tells it to, and remembers what it was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// One request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a server answers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Where else to ask.
    pub(crate) location: Option<String>,
}

impl From<(u16, String)> for Answer {
    fn from((status, body): (u16, String)) -> Self {
        Self { status, body, location: None }
    }
}

/// The server. Its thread ends with the process.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a server on a port of its own.
    pub(crate) fn start<A: Into<Answer>>(answer: impl Fn(&Request) -> A + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
        let address = listener.local_addr().expect("a bound port");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &answer, &log);
            }
        });
        Self { address, seen }
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns the requests since the last call.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().expect("the log"))
    }
}

fn serve<A: Into<Answer>>(stream: TcpStream, answer: &impl Fn(&Request) -> A, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    if let Some(request) = read(&mut reader) {
        log.lock().expect("the log").push(request.clone());
        let Answer { status, body, location } = answer(&request).into();
        let location = location.map_or_else(String::new, |address| format!("location: {address}\r\n"));
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n");
        let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        // A client that left early is the client's business.
        drop(reader.get_mut().write_all(format!("{head}{location}{length}\r\n{body}").as_bytes()));
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = Request { method: words.next()?, path: words.next()?, ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request.headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}
