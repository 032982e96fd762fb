//! What holds between both sides of a passage, and its rules with nobody behind it.

mod calls;
mod own;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, request};
use tonic::{Code, Status};

use super::{At, FarEnd, Passage, far_end::Owner};
use crate::kds::relay::{
    answer::{Answer, Passing},
    end::{End, Keepalive},
    http2::{Code as H2Code, Connection, Cut, Event, Frame, Limits, Origin},
    inbox::Inbox,
    inspect::Inspect,
    orders::{Adopted, Number, Order, Orders},
    standing::{Lost, Standing},
};

impl Passage {
    /// Both sides know of the same streams, and what one holds waits on the other.
    pub(in crate::kds::relay) fn check(&self) {
        self.near.connection.check();
        self.fars.iter().for_each(FarEnd::check);
        for (near, stream) in &self.streams {
            let At::Passed { far, id } = stream.at else { continue };
            let Some(far) = self.fars.iter().find(|one| one.number == far) else { continue };
            far.check_stream(id, *near, &self.near.connection);
        }
        assert!(!self.is_idle() || self.fars.iter().all(FarEnd::is_clear), "calls are over and are not");
    }
}

impl FarEnd {
    fn check(&self) {
        self.end.connection.check();
        assert!(self.owners.keys().all(|id| self.end.connection.has(*id)), "somebody owns a stream that is over");
    }

    fn check_stream(&self, id: u32, near_id: u32, near: &Connection) {
        let far = &self.end.connection;
        let (Some(held), Some(waiting)) = (far.held(id), near.waiting(near_id)) else { return };
        assert_eq!(held, waiting, "of the answer");
        let (Some(held), Some(waiting)) = (near.held(near_id), far.waiting(id)) else { return };
        assert_eq!(held, waiting, "of the request");
    }

    /// Whether nothing is known of any call of the near side.
    fn is_clear(&self) -> bool {
        !self.owners.values().any(|owner| matches!(owner, Owner::Stream(_)))
    }
}

const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(20), timeout: Duration::from_secs(15) };
const LIMITS: Limits = Limits { streams: 10, stream_window: 65_535, connection_window: 128 * 1024 };

/// A passage to one far side; how that stands, and why it was lost, if it was.
struct Stand {
    passage: Passage,
    far: Number,
    standing: Arc<Standing>,
    why: Arc<Mutex<Option<String>>>,
}

impl Stand {
    fn new() -> Self {
        let io = || Box::new(tokio::io::duplex(1).0);
        let mut passage = Passage::new(End::of_client(io(), LIMITS, KEEPALIVE));
        let (far, standing) = (Orders::default().number(), Arc::<Standing>::default());
        let why: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&why);
        let lost = Lost::new(Arc::clone(&standing), Box::new(move |why| *told.lock().unwrap() = Some(why)));
        let origin = Origin { scheme: "http".into(), authority: "global".into() };
        let end = End::of_server(io(), LIMITS, KEEPALIVE);
        passage.order(Order::Adopt(Box::new(Adopted { far, end, origin, lost })));
        Self { passage, far, standing, why }
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.passage.far(self.far).unwrap().end.connection
    }
}

/// What one end says the other hears.
fn carry(from: &mut Connection, cut: &mut Cut, mut hear: impl FnMut(Frame<'_>)) {
    let bytes = from.output().waiting().to_vec();
    from.output().advance(bytes.len());
    let mut input = bytes.as_slice();
    while let Some(frame) = cut.next(&mut input).unwrap() {
        hear(frame);
    }
}

/// A passage with both peers.
struct Line {
    stand: Stand,
    client: Connection,
    server: Connection,
    cuts: [Cut; 4],
    /// Nobody says yet who answers.
    holds: bool,
    asked: Vec<(u32, request::Parts, Inbox)>,
    inspect: Option<Inspect>,
    /// What was heard on each stream.
    by_client: BTreeMap<u32, String>,
    by_server: BTreeMap<u32, String>,
    told: Arc<Mutex<Vec<Code>>>,
}

impl Line {
    /// Of a client that takes so much of an answer at a time, and a server that takes so many calls.
    fn of(window: u32, calls: u32) -> Self {
        let mut line = Self {
            stand: Stand::new(),
            client: Connection::client(Limits { stream_window: window, ..LIMITS }),
            server: Connection::server(Limits { streams: calls, ..LIMITS }),
            cuts: [Cut::from_client(), Cut::from_server(), Cut::from_client(), Cut::from_server()],
            holds: false,
            asked: Vec::new(),
            inspect: None,
            by_client: BTreeMap::new(),
            by_server: BTreeMap::new(),
            told: Arc::default(),
        };
        line.carry();
        line
    }

    fn client_to_near(&mut self) {
        self.client.pump(|_, _| {});
        let passage = &mut self.stand.passage;
        carry(&mut self.client, &mut self.cuts[0], |frame| {
            let event = passage.near.connection.hear(frame).unwrap();
            self.asked.extend(passage.near_said(event));
        });
        if !self.holds {
            self.pass();
        }
    }

    /// All that was asked is passed on.
    fn pass(&mut self) {
        for (stream, head, _) in std::mem::take(&mut self.asked) {
            let told = Arc::clone(&self.told);
            let told = Box::new(move |status: Status| told.lock().unwrap().push(status.code()));
            let passing = Passing { far: self.stand.far, head, inspect: self.inspect.take(), told, beside: None };
            self.stand.passage.answer(stream, Answer::Pass(Box::new(passing)));
        }
    }

    fn server_to_far(&mut self) {
        self.server.pump(|_, _| {});
        let Stand { passage, far, .. } = &mut self.stand;
        carry(&mut self.server, &mut self.cuts[3], |frame| {
            if let Some(end) = passage.far(*far) {
                let event = end.end.connection.hear(frame).unwrap();
                passage.far_said(*far, event);
            }
        });
    }

    /// Carries all that is said, until nobody says anything more.
    fn carry(&mut self) {
        for _ in 0..100 {
            self.client_to_near();
            self.stand.passage.settle();
            self.stand.passage.check();
            let near = &mut self.stand.passage.near.connection;
            carry(near, &mut self.cuts[1], |frame| hear(&mut self.client, frame, &mut self.by_client));
            if let Some(far) = self.stand.passage.far(self.stand.far) {
                let far = &mut far.end.connection;
                carry(far, &mut self.cuts[2], |frame| hear(&mut self.server, frame, &mut self.by_server));
            }
            self.server_to_far();
        }
    }

    /// The client makes a call, and does not say its end.
    fn call(&mut self) -> u32 {
        let id = self.client.open();
        self.client.head(id, &POST, &HeaderMap::new(), false);
        self.carry();
        id
    }

    /// The server answers a call with so much, and is done with it.
    fn answer(&mut self, id: u32, answer: &str) {
        let status = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("5"))]);
        self.server.head(id, &[(":status", b"200")], &HeaderMap::new(), false);
        self.server.data(id, answer.as_bytes(), false);
        self.server.trailers(id, &status);
        self.server.finish(id, H2Code::NO_ERROR);
    }

    fn order(&mut self, order: Order) {
        self.stand.passage.order(order);
        self.carry();
    }
}

/// Notes what was heard, and lets it go on.
fn hear(end: &mut Connection, frame: Frame<'_>, heard: &mut BTreeMap<u32, String>) {
    let (stream, said) = match end.hear(frame).unwrap() {
        Event::Nothing => return,
        Event::Request { stream, .. } => (stream, "request".to_owned()),
        Event::Response { stream, head, .. } => (stream, status_in(&head.headers)),
        Event::Data { stream, data, .. } => {
            end.forwarded(stream, data.len());
            (stream, String::from_utf8_lossy(data).into_owned())
        }
        Event::Trailers { stream, trailers } => (stream, status_in(&trailers)),
        Event::Reset { stream, code } => (stream, format!(" reset {}", code.0)),
        Event::Leaves { .. } => (0, "leaves".to_owned()),
    };
    heard.entry(stream).or_default().push_str(&said);
}

fn status_in(headers: &HeaderMap) -> String {
    let status = headers.get("grpc-status").map(|status| status.to_str().unwrap());
    status.map_or(String::new(), |status| format!(" status {status}"))
}

const POST: [(&str, &[u8]); 3] = [(":method", b"POST"), (":scheme", b"http"), (":path", b"/a")];

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_whole_goes_on_when_the_far_side_is_gone() {
    let mut line = Line::of(4, 10);
    let id = line.call();
    line.answer(id, "an answer of some length");
    // The client hears nothing of it before the far side is gone.
    line.server_to_far();
    line.stand.passage.lost(line.stand.far, "closed".to_owned());
    line.carry();
    assert_eq!(line.by_client[&id], "an answer of some length status 5");
    assert_eq!(*line.told.lock().unwrap(), [Code::NotFound]);
    assert!(line.stand.passage.is_idle());
}

#[tokio::test(start_paused = true)]
async fn who_closes_after_a_farewell_is_not_lost() {
    for is_released in [true, false] {
        let Stand { mut passage, far, why, .. } = Stand::new();
        if is_released {
            passage.order(Order::Release(far));
        }
        passage.settle();
        passage.lost(far, "closed".to_owned());
        assert_eq!(why.lock().unwrap().is_none(), is_released);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_ids_left_for_streams_is_used_for_no_further_call() {
    let mut stand = Stand::new();
    stand.passage.settle();
    assert!(!stand.standing.is_closing.load(Ordering::Relaxed));
    stand.connection().use_up();
    stand.passage.settle();
    assert!(stand.standing.is_closing.load(Ordering::Relaxed));
}
