//! What holds between both sides of a passage, and its rules with nobody behind it.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

use super::{At, FarEnd, Passage, far_end::Owner};
use crate::kds::relay::{
    answer::{Answer, Passing},
    end::{End, Keepalive},
    http2::{Code as H2Code, Connection, Cut, Event, Frame, Limits, Origin},
    orders::{Adopted, Number, Order, Orders},
    standing::{Lost, Standing},
};

impl Passage {
    /// Both sides know of the same streams, and what one holds waits on the other.
    pub(in crate::kds::relay) fn check(&self) {
        self.near.connection.check();
        self.fars.iter().for_each(|far| far.end.connection.check());
        for (near, stream) in &self.streams {
            let At::Passed { far, id } = stream.at else { continue };
            let Some(far) = self.fars.iter().find(|one| one.number == far) else { continue };
            far.check_stream(id, *near, &self.near.connection);
        }
        assert!(!self.is_idle() || self.fars.iter().all(FarEnd::is_clear), "calls are over and are not");
    }
}

impl FarEnd {
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
    heard: String,
    told: Arc<Mutex<Vec<Code>>>,
}

impl Line {
    /// Of a client that takes so much of an answer at a time.
    fn of(window: u32) -> Self {
        let client = Connection::client(Limits { stream_window: window, ..LIMITS });
        let cuts = [Cut::from_client(), Cut::from_server(), Cut::from_client(), Cut::from_server()];
        let (server, told) = (Connection::server(LIMITS), Arc::default());
        let mut line = Self { stand: Stand::new(), client, server, cuts, heard: String::new(), told };
        line.carry();
        line
    }

    /// Carries all that is said, until nobody says anything more.
    fn carry(&mut self) {
        let Self { stand, client, server, cuts: [to_near, to_client, to_server, to_far], heard, told } = self;
        let (passage, far) = (&mut stand.passage, stand.far);
        for _ in 0..100 {
            carry(client, to_near, |frame| {
                let event = passage.near.connection.hear(frame).unwrap();
                if let Some((stream, head, _)) = passage.near_said(event) {
                    let told = Arc::clone(told);
                    let told = Box::new(move |status: Status| told.lock().unwrap().push(status.code()));
                    let passing = Passing { far, head, inspect: None, told, beside: None };
                    passage.answer(stream, Answer::Pass(Box::new(passing)));
                }
            });
            passage.settle();
            passage.check();
            carry(&mut passage.near.connection, to_client, |frame| match client.hear(frame).unwrap() {
                Event::Nothing => {}
                Event::Data { stream, data, .. } => {
                    heard.push_str(str::from_utf8(data).unwrap());
                    client.forwarded(stream, data.len());
                }
                Event::Trailers { trailers, .. } => heard.push_str(&format!(" {:?}", trailers["grpc-status"])),
                Event::Response { head, .. } => {
                    heard.extend(head.headers.get("grpc-status").map(|status| format!(" {status:?}")));
                }
                other => heard.push_str(&format!(" {other:?}")),
            });
            let Some(far) = passage.far(far) else { continue };
            carry(&mut far.end.connection, to_server, |frame| {
                server.hear(frame).unwrap();
            });
            carry(server, to_far, |frame| {
                if let Some(one) = passage.far(stand.far) {
                    let event = one.end.connection.hear(frame).unwrap();
                    passage.far_said(stand.far, event);
                }
            });
        }
    }

    /// The client makes a call, the server answers it with so much, and is done.
    fn call(&mut self, answer: &str) {
        let id = self.client.open();
        let post: [(&str, &[u8]); 3] = [(":method", b"POST"), (":scheme", b"http"), (":path", b"/a")];
        self.client.head(id, &post, &HeaderMap::new(), false);
        self.carry();
        let status = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("5"))]);
        self.server.head(id, &[(":status", b"200")], &HeaderMap::new(), false);
        self.server.data(id, answer.as_bytes(), false);
        self.server.trailers(id, &status);
        self.server.finish(id, H2Code::NO_ERROR);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_whole_goes_on_when_the_far_side_is_gone() {
    let mut line = Line::of(4);
    line.call("an answer of some length");
    // The client hears nothing of it before the far side is gone.
    let Line { stand, server, cuts: [_, _, _, to_far], .. } = &mut line;
    let (far, passage) = (stand.far, &mut stand.passage);
    carry(server, to_far, |frame| {
        let event = passage.far(far).unwrap().end.connection.hear(frame).unwrap();
        passage.far_said(far, event);
    });
    passage.lost(far, "closed".to_owned());
    line.carry();
    assert_eq!(line.heard, "an answer of some length \"5\"");
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
