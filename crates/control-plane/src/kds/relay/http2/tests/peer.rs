//! Calls of and to an HTTP/2 library, which says back whatever it hears, or hears it back.

use std::{collections::HashMap, future::Future, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use http::{HeaderMap, Request, Response};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{Code, Connection, Cut, Event, Limits, OK, POST};

const LIMITS: Limits = Limits { streams: 100, stream_window: 65_535, connection_window: 150_000 };
const CALLS: usize = 12;
const ROUNDS: usize = 8;

/// What is said on a call, in pieces.
fn body(random: &mut StdRng) -> Vec<Bytes> {
    let piece = |random: &mut StdRng| {
        let longest = [1, 100, 20_000, 150_000][random.random_range(0..4)];
        let mut piece = vec![0; random.random_range(0..longest)];
        random.fill(piece.as_mut_slice());
        Bytes::from(piece)
    };
    (0..random.random_range(0..6)).map(|_| piece(random)).collect()
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"))])
}

async fn in_time(all: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("the peers wait for each other");
}

/// Our end with the bytes beneath it.
struct Ours {
    io: DuplexStream,
    cut: Cut,
    connection: Connection,
}

impl Ours {
    /// Writes or reads something; whether the peer is still there.
    async fn step(&mut self, mut heard: impl FnMut(&mut Connection, Event<'_>)) -> bool {
        let Self { io, cut, connection } = self;
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut bytes = [0; 5000];
        let is_written = connection.output().is_empty();
        let count = tokio::select! {
            count = reader.read(&mut bytes) => count.unwrap(),
            count = writer.write(connection.output.waiting()), if !is_written => {
                connection.output().advance(count.unwrap());
                return true;
            }
        };
        let mut input = &bytes[..count];
        while let Some(frame) = cut.next(&mut input).unwrap() {
            let event = connection.hear(frame).unwrap();
            heard(connection, event);
        }
        count > 0
    }

    /// All that came was given back.
    fn check_over(&self) {
        assert!(self.connection.is_idle());
        assert_eq!(self.connection.receive + self.connection.owed, LIMITS.connection_window);
    }
}

/// Says back what is heard, until the peer goes.
async fn echo(mut ours: Ours) {
    let mut goes_on = true;
    while goes_on {
        let mut gone = Vec::new();
        ours.connection.pump(|id, count| gone.push((id, count)));
        gone.into_iter().for_each(|(id, count)| ours.connection.forwarded(id, count));
        goes_on = ours
            .step(|connection, event| match event {
                Event::Request { stream, head, end } => {
                    connection.head(stream, &OK, &head.headers, false);
                    assert!(!end);
                }
                Event::Data { stream, data, end } => {
                    let gone = connection.data(stream, data, false);
                    connection.forwarded(stream, gone);
                    if end {
                        connection.trailers(stream, &trailers());
                        connection.finish(stream, Code::NO_ERROR);
                    }
                }
                Event::Nothing | Event::Reset { .. } | Event::Leaves { .. } => {}
                other => panic!("{other:?}"),
            })
            .await;
    }
    ours.check_over();
}

/// Says a body to a peer that says it back, unless it is given up after so many bytes.
async fn call(sender: h2::client::SendRequest<Bytes>, body: Vec<Bytes>, patience: Option<usize>) {
    let mut sender = sender.ready().await.unwrap();
    let request = Request::post("http://global/a").header("number", body.len()).body(()).unwrap();
    let (answer, mut said) = sender.send_request(request, false).unwrap();
    drop(sender);
    for piece in &body {
        said.send_data(piece.clone(), false).unwrap();
    }
    said.send_data(Bytes::new(), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["number"], body.len().to_string());
    let (mut heard, mut back) = (answer.into_body(), Vec::new());
    while let Some(data) = heard.data().await {
        let data = data.unwrap();
        back.extend_from_slice(&data);
        heard.flow_control().release_capacity(data.len()).unwrap();
        if patience.is_some_and(|patience| back.len() > patience) {
            return said.send_reset(h2::Reason::CANCEL);
        }
    }
    assert_eq!(heard.trailers().await.unwrap(), Some(trailers()));
    assert!(back == body.concat(), "{} bytes came back of {}", back.len(), body.concat().len());
}

#[tokio::test]
async fn a_client_of_a_library_hears_what_it_said() {
    let mut random = StdRng::seed_from_u64(testkit::seed::seed(9113));
    for _ in 0..ROUNDS {
        let (theirs, io) = duplex([100, 3000, 1 << 20][random.random_range(0..3)]);
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(random.random_range(1000..200_000))
            .initial_connection_window_size(random.random_range(65_535..200_000))
            .max_frame_size([16_384, 1 << 20][random.random_range(0..2)])
            .handshake::<_, Bytes>(theirs)
            .await
            .unwrap();
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                let patience = random.random_ratio(1, 4).then(|| random.random_range(0..50_000));
                call(sender.clone(), body(&mut random), patience)
            })
            .collect();
        drop(sender);
        let ours = Ours { io, cut: Cut::from_client(), connection: Connection::server(LIMITS) };
        in_time(Box::pin(async {
            let (_, ended, ()) = tokio::join!(join_all(calls), connection, echo(ours));
            ended.unwrap();
        }))
        .await;
    }
}

/// Answers a call with what it says, or resets it after so many bytes.
async fn answer(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>, patience: usize) {
    let mut head = Response::new(());
    *head.headers_mut() = request.headers().clone();
    let mut said = respond.send_response(head, false).unwrap();
    let (mut heard, mut count) = (request.into_body(), 0);
    while let Some(Ok(data)) = heard.data().await {
        count += data.len();
        heard.flow_control().release_capacity(data.len()).unwrap();
        if count > patience {
            return said.send_reset(h2::Reason::CANCEL);
        }
        // The client may have given up meanwhile.
        if said.send_data(data, false).is_err() {
            return;
        }
    }
    let _gone = said.send_trailers(trailers());
}

async fn serve(io: DuplexStream, builder: h2::server::Builder, mut random: StdRng) {
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = connection.accept() => {
                let Some(request) = request else { return };
                let (request, respond) = request.unwrap();
                let patience = if random.random_ratio(1, 4) { random.random_range(0..50_000) } else { usize::MAX };
                answers.push(answer(request, respond, patience));
            }
            Some(()) = answers.next() => {}
        }
    }
}

/// Calls a peer that says back what it hears, or resets calls; gives up some itself.
async fn calls(mut ours: Ours, mut random: StdRng) {
    let mut waiting: Vec<Vec<u8>> = (0..CALLS).map(|_| body(&mut random).concat()).collect();
    let mut under_way: HashMap<u32, (Vec<u8>, Vec<u8>)> = HashMap::new();
    let mut answered = 0;
    while !waiting.is_empty() || !under_way.is_empty() {
        while ours.connection.can_open()
            && let Some(body) = waiting.pop()
        {
            let id = ours.connection.open();
            let pseudo = [&POST[..], &[(":authority", b"global")]].concat();
            ours.connection.head(id, &pseudo, &HeaderMap::new(), false);
            ours.connection.data(id, &body, true);
            under_way.insert(id, (body, Vec::new()));
        }
        ours.connection.pump(|_, _| {});
        let goes_on = ours.step(|connection, event| match event {
            Event::Data { stream, data, end } => {
                assert!(!end);
                connection.forwarded(stream, data.len());
                under_way.get_mut(&stream).unwrap().1.extend_from_slice(data);
                if random.random_ratio(1, 200) {
                    connection.forget(stream, Code::CANCEL);
                    under_way.remove(&stream).unwrap();
                }
            }
            Event::Trailers { stream, trailers: said } => {
                let (body, back) = under_way.remove(&stream).unwrap();
                assert_eq!(said, trailers());
                assert!(back == body, "{} bytes came back of {}", back.len(), body.len());
                answered += 1;
            }
            Event::Reset { stream, .. } => assert!(under_way.remove(&stream).is_some()),
            Event::Nothing | Event::Response { .. } => {}
            other => panic!("{other:?}"),
        });
        assert!(goes_on.await);
    }
    assert!(answered > 0);
    ours.connection.leave(Code::NO_ERROR);
    while !ours.connection.output().is_empty() {
        ours.step(|_, event| assert!(matches!(event, Event::Nothing | Event::Reset { .. }), "{event:?}")).await;
    }
    ours.check_over();
}

#[tokio::test]
async fn a_server_of_a_library_answers_what_it_hears() {
    let mut random = StdRng::seed_from_u64(testkit::seed::seed(9113));
    for _ in 0..ROUNDS {
        let (theirs, io) = duplex([100, 3000, 1 << 20][random.random_range(0..3)]);
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(random.random_range(1000..200_000))
            .initial_connection_window_size(random.random_range(65_535..200_000))
            .max_concurrent_streams(random.random_range(1..10));
        let ours = Ours { io, cut: Cut::from_server(), connection: Connection::client(LIMITS) };
        let (calls, serve) =
            (calls(ours, StdRng::from_rng(&mut random)), serve(theirs, builder, StdRng::from_rng(&mut random)));
        in_time(Box::pin(async {
            tokio::join!(calls, serve);
        }))
        .await;
    }
}
