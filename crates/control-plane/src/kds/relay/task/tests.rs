//! Whole calls through a relay, with an HTTP/2 library before it and behind it: whatever one says the other hears, and no
//! byte of a window is lost on the way.
//!
//! Nothing here hangs on time. All tasks are polled by hand, in an order of chance that a seed repeats (but for the order of
//! our own hash maps); a stall is that nobody can move. `ARCTOS_RELAY_CASES` plays more cases, `ARCTOS_SEED` begins with
//! another one.

mod check;
mod floods;
mod peers;
mod plan;
mod stage;

use std::{
    cell::{Cell, RefCell},
    mem::ManuallyDrop,
    rc::Rc,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::io::{DuplexStream, duplex};
use tonic::{Status, body::Body};

use self::{
    check::{Goes, Notes},
    plan::{By, Plan, content, seeds},
    stage::{Entrance, Stage, pause},
};
use super::*;
use crate::kds::relay::{
    answer::Passing,
    http2::Origin,
    orders::{Adopted, Order},
    standing::Lost,
};

/// Cases of a usual run.
const CASES: usize = 25;
/// The limits that count are those of the test.
const NO_LIMIT: usize = usize::MAX >> 1;

/// Counts down; whether this is the time.
fn is_now(turns: &mut Option<usize>) -> bool {
    *turns = turns.and_then(|left| left.checked_sub(1));
    *turns == Some(0)
}

fn pick<T: Copy>(of: &[T], random: &mut StdRng) -> T {
    of[random.random_range(0..of.len())]
}

/// How peers and pipes of a case are.
struct Setting {
    longest: usize,
    pipe: usize,
    /// Of the library: window of a stream and of the connection.
    windows: (u32, u32),
    /// It makes them larger as it goes.
    changes: bool,
    /// So many streams it remembers that it reset.
    remembers: usize,
    table: u32,
}

impl Setting {
    fn of(random: &mut StdRng) -> Self {
        let pipe = pick(&[1, 9, 100, 3000, 1 << 16, 1 << 20], random);
        let window = pick(&[1, 50, 1000, 16_384, 65_535, 200_000], random);
        let longest: usize = pick(&[100, 3000, 20_000, 150_000], random);
        Self {
            longest: longest.min(pipe * 300).min(window as usize * 100),
            pipe,
            windows: (window, pick(&[65_535, 70_000, 200_000], random)),
            changes: window >= 1000 && random.random_ratio(1, 3),
            remembers: pick(&[0, 1, 1000], random),
            table: pick(&[0, 100, 4096, 65_536], random),
        }
    }

    /// Perhaps larger windows. Never smaller ones: after those the library says nothing of what it takes again, until
    /// something more comes, which cannot.
    fn change(&mut self, random: &mut StdRng) -> Option<(u32, u32)> {
        let is_now = self.changes && random.random_ratio(1, 10);
        let larger = |window: u32, random: &mut StdRng| (window + random.random_range(0..5000)).min(1 << 20);
        is_now.then(|| {
            self.windows = (larger(self.windows.0, random), larger(self.windows.1, random));
            self.windows
        })
    }

    /// What is passed on may wait here within these.
    fn limits(random: &mut StdRng) -> Limits {
        Limits {
            streams: random.random_range(1..12),
            stream_window: pick(&[1000, 16_384, 65_535, 256 * 1024], random),
            connection_window: pick(&[65_535, 65_536, 150_000, 512 * 1024], random),
        }
    }
}

macro_rules! builder {
    ($side:ident, $setting:expr) => {{
        let setting: &Setting = $setting;
        let mut builder = h2::$side::Builder::new();
        builder
            .initial_window_size(setting.windows.0)
            .initial_connection_window_size(setting.windows.1)
            .header_table_size(setting.table)
            .max_concurrent_reset_streams(setting.remembers)
            .reset_stream_duration(Duration::from_secs(1 << 20))
            // It takes many tiny frames, many resets, and frames on streams that it has forgotten for an attack.
            .data_frame_budget(NO_LIMIT)
            .max_pending_accept_reset_streams(NO_LIMIT)
            .max_local_error_reset_streams(None);
        builder
    }};
}

/// One case: both peers, what is between them, and what they noted.
struct Case {
    plans: Arc<Vec<Plan>>,
    notes: Rc<RefCell<Notes>>,
    told: Arc<Mutex<Vec<Option<tonic::Code>>>>,
    goes: Goes,
    /// The relay has gone, and the client: who still writes to them finds nobody.
    is_over: Rc<Cell<bool>>,
    has_gone: Rc<Cell<bool>>,
    entrance: Entrance,
}

impl Case {
    async fn client(self: Rc<Self>, io: DuplexStream, mut setting: Setting, fars: usize, mut random: StdRng) {
        let mut builder = builder!(client, &setting);
        // Before it has heard how many it may open.
        builder.initial_max_send_streams(1);
        let (sender, mut connection) = builder.handshake::<_, Bytes>(io).await.unwrap();
        let (is_over, has_gone) = (Rc::clone(&self.is_over), Rc::clone(&self.has_gone));
        self.entrance.enter("client".to_owned(), async move {
            let ended = std::future::poll_fn(|context| {
                if let Some((window, all)) = setting.change(&mut random) {
                    // Refused while the last change is under way.
                    let _refused = connection.set_initial_window_size(window);
                    connection.set_target_window_size(all);
                }
                Pin::new(&mut connection).poll(context)
            });
            let ended = ended.await;
            has_gone.set(true);
            if let Err(error) = ended {
                assert!(is_over.get() && error.is_io(), "{error:?}");
                std::mem::forget(connection);
            }
        });
        for number in 0..self.plans.len() {
            let (case, sender) = (Rc::clone(&self), sender.clone());
            let call = async move {
                let heard = peers::call(sender, &case.plans[number]).await;
                case.notes.borrow_mut().of_client(number, heard);
            };
            // Those before say what the peers may do.
            if number < fars {
                call.await;
            } else {
                self.entrance.enter(format!("call {number}"), call);
            }
        }
    }

    async fn server(
        self: Rc<Self>,
        io: DuplexStream,
        mut setting: Setting,
        streams: u32,
        mut goes: Option<usize>,
        mut random: StdRng,
    ) {
        // One that forgets takes the trailers of a request that it reset for an error of the connection.
        let builder =
            builder!(server, &setting).max_concurrent_reset_streams(NO_LIMIT).max_concurrent_streams(streams).clone();
        // Not dropped: it would look whether all calls are over, and count those whose reset could not be written any more.
        let mut connection = match builder.handshake::<_, Bytes>(io).await {
            Ok(connection) => ManuallyDrop::new(connection),
            Err(error) => return assert!(self.is_over.get() && error.is_io(), "{error:?}"),
        };
        loop {
            let next = std::future::poll_fn(|context| {
                if let Some((window, all)) = setting.change(&mut random) {
                    let _refused = connection.set_initial_window_size(window);
                    connection.set_target_window_size(all);
                }
                if is_now(&mut goes) {
                    connection.graceful_shutdown();
                }
                connection.poll_accept(context)
            });
            let (request, respond) = match next.await {
                None => return,
                Some(Ok(came)) => came,
                Some(Err(error)) => return assert!(self.is_over.get() && error.is_io(), "{error:?}"),
            };
            let number: usize = request.uri().path()[1..].parse().unwrap();
            let case = Rc::clone(&self);
            self.entrance.enter(format!("answer {number}"), async move {
                let heard = peers::answer(&case.plans[number], request, respond).await;
                case.notes.borrow_mut().of_server(number, heard);
            });
        }
    }
}

/// A far side before its first call and after.
enum Side {
    Dialled(Option<Box<(End, Lost)>>),
    Adopted(Number),
}

impl Side {
    fn number(&mut self, orders: &Orders) -> Number {
        let (end, lost) = match self {
            Self::Adopted(far) => return *far,
            Self::Dialled(dialled) => *dialled.take().unwrap(),
        };
        let far = orders.number();
        let origin = Origin { scheme: Bytes::from_static(b"http"), authority: Bytes::from_static(b"global") };
        orders.give(Order::Adopt(Box::new(Adopted { far, end, origin, lost })));
        *self = Self::Adopted(far);
        far
    }
}

/// Answers calls as they are planned.
struct Service {
    plans: Arc<Vec<Plan>>,
    fars: Arc<Mutex<Vec<Side>>>,
    told: Arc<Mutex<Vec<Option<tonic::Code>>>>,
}

impl Answers for Service {
    fn answer(&self, Arriving { request, ender, orders }: Arriving) -> BoxFuture<'static, Answer> {
        let (plans, fars, told) = (Arc::clone(&self.plans), Arc::clone(&self.fars), Arc::clone(&self.told));
        async move {
            let (head, body) = request.into_parts();
            let number: usize = head.uri.path()[1..].parse().unwrap();
            let plan = &plans[number];
            pause(plan.thinks).await;
            match plan.by {
                By::Refusal => Answer::status(Status::permission_denied("refused")),
                By::Here => {
                    let Ok(said) = body.collect().await else { return Answer::status(Status::cancelled("")) };
                    assert_eq!(said.trailers(), plan.request.trailers());
                    assert_eq!(said.to_bytes(), content(seeds(number).0, 0, plan.request.length()));
                    let data = Some(Frame::data(content(seeds(number).1, 0, plan.response.length())));
                    let trailers = plan.response.trailers().cloned().map(Frame::trailers);
                    let frames = data.into_iter().chain(trailers).map(Ok::<_, Status>);
                    let mut answer = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
                    *answer.headers_mut() = plan.response.head.clone();
                    Answer::here(answer).await
                }
                By::Far(far) => {
                    let far = fars.lock().unwrap()[far].number(&orders);
                    let ends = plan.ends.map(|after| {
                        let end = async move {
                            pause(after).await;
                            ender.end(Status::permission_denied(check::ENDED));
                        };
                        end.boxed()
                    });
                    let told = Box::new(move |status: Status| told.lock().unwrap()[number] = Some(status.code()));
                    Answer::Pass(Box::new(Passing { far, head, inspect: None, told, beside: ends }))
                }
            }
        }
        .boxed()
    }
}

/// Plays a case; the error says who waits for whom.
fn play(seed: u64) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let (near, behind) = (Setting::of(&mut random), Setting::of(&mut random));
    let (longest, fars) = (near.longest.min(behind.longest), random.random_range(1..3));
    let plans: Vec<Plan> = (0..fars)
        .map(|far| Plan::plain(far, far))
        .chain((fars..fars + random.random_range(1..25)).map(|number| Plan::of(number, longest, fars, &mut random)))
        .collect();
    let turns = |random: &mut StdRng| random.random_range(20..400);
    let goes = Goes {
        far: random.random_ratio(1, 6).then(|| (random.random_range(0..fars), turns(&mut random))),
        relay: random.random_ratio(1, 6).then(|| turns(&mut random)),
    };
    let stage = Stage::new();
    let told = Arc::new(Mutex::new(vec![None; plans.len()]));
    let case = Rc::new(Case {
        notes: Rc::new(RefCell::new(Notes::new(plans.len()))),
        plans: Arc::new(plans),
        told: Arc::clone(&told),
        goes,
        is_over: Rc::default(),
        has_gone: Rc::default(),
        entrance: stage.entrance(),
    });
    let mut sides = Vec::new();
    for far in 0..fars {
        let (ours, theirs) = duplex(behind.pipe);
        let end = End::of_server(Box::new(ours), Setting::limits(&mut random), KEEPALIVE);
        let leaves = goes.far.filter(|(leaver, _)| *leaver == far).map(|(_, turns)| turns);
        let lost = Box::new(move |why| assert!(leaves.is_some(), "lost: {why}"));
        sides.push(Side::Dialled(Some(Box::new((end, Lost::new(Arc::default(), lost))))));
        let setting = Setting { ..behind };
        // The library counts a stream of which it does not want the rest until it could say so, whatever it hears.
        let counts = case.plans.iter().all(|plan| plan.reads == usize::MAX);
        let streams = if counts { random.random_range(1..12) } else { 100 };
        let server = Rc::clone(&case).server(theirs, setting, streams, leaves, StdRng::from_rng(&mut random));
        case.entrance.enter(format!("server {far}"), server);
    }
    // A relay that is done reads no more: without room for all that is still said to it, it would wait until its time is over.
    let (ours, theirs) = duplex(if goes.relay.is_some() { 1 << 22 } else { near.pipe });
    let end = End::of_client(Box::new(ours), Setting::limits(&mut random), KEEPALIVE);
    let service = Service { plans: Arc::clone(&case.plans), fars: Arc::new(Mutex::new(sides)), told };
    let timer = Box::pin(tokio::time::sleep_until(end.next()));
    let (answers, beside, orders) = (FuturesUnordered::new(), FuturesUnordered::new(), Orders::default());
    let mut relay = Relay { passage: Passage::new(end), service, answers, beside, orders, timer, parting: None };
    let (is_over, has_gone) = (Rc::clone(&case.is_over), Rc::clone(&case.has_gone));
    let mut leaves = goes.relay;
    case.entrance.enter("relay".to_owned(), async move {
        let ended = std::future::poll_fn(|context| {
            if is_now(&mut leaves) {
                relay.graceful_shutdown();
            }
            let polled = Pin::new(&mut relay).poll(context);
            relay.passage.check();
            polled
        });
        let ended = ended.await;
        is_over.set(true);
        assert!(ended.is_ok() || has_gone.get() && matches!(ended, Err(Ended::Broken(_))), "{ended:?}");
    });
    let client = Rc::clone(&case).client(theirs, near, fars, StdRng::from_rng(&mut random));
    case.entrance.enter("calls".to_owned(), client);
    stage.play(&mut random)?;
    let told = case.told.lock().unwrap();
    case.plans.iter().for_each(|plan| case.notes.borrow().check(plan, told[plan.number], &case.goes));
    Ok(())
}

#[test]
fn what_is_said_before_a_relay_is_heard_behind_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let first = testkit::seed::seed(9113);
    for seed in (first..).take(testkit::seed::amount("ARCTOS_RELAY_CASES", CASES)) {
        let played = std::panic::catch_unwind(|| play(seed));
        let played = played.unwrap_or_else(|_said| Err("a check failed".to_owned()));
        assert_eq!(played, Ok(()), "ARCTOS_SEED={seed} ARCTOS_RELAY_CASES=1");
    }
}
