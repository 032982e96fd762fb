//! Two instances on one database, each with streams of its own; a zone is asked through either.

use jiff::Timestamp;
use model::{Key, Kind, Labels};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use store::{Precondition, ResourceStore, memory::MemoryStore, testing::Database};
use testkit::ports::ClosedPort;
use tokio::sync::mpsc;

use super::*;
use crate::{
    clock::Clock,
    cluster::Cluster,
    inter_cp::{Answers, Credentials, serve},
    limits::{self, Limits, PortName},
    tasks::{OnError, Tasks},
    tls::Protocols,
    writes::authority_certificate,
    zones::{
        examples::{database_with_west, west},
        insight::{Options, StreamName},
    },
};

const LIMIT: Duration = Duration::from_secs(30);

struct Instance {
    proxies: Proxies,
    insights: Insights,
    tasks: Tasks,
    address: String,
    credentials: Credentials,
}

struct Here(Proxies);

#[async_trait]
impl Answers for Here {
    async fn answer(&self, _path: &str, question: Bytes) -> Reply {
        self.0.answer(&question).await
    }
}

/// A store with an authority, as bootstrap makes it.
async fn authority() -> MemoryStore {
    let (clock, store) = (Clock::system(), MemoryStore::new());
    let params = authority_certificate("CA", clock.now(), Duration::ZERO, Duration::from_secs(3600));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem());
    let secret = resource(Key::global(Kind::GLOBAL_SECRET, "inter-cp-ca"), model::secret::encode(pem.as_bytes()));
    store.put(secret, Precondition::Absent).await.unwrap();
    store
}

fn resource(key: Key, spec: Bytes) -> Resource {
    let (created, modified) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    Resource { key, labels: Labels::new(), spec, status: None, owner: None, created, modified }
}

impl Instance {
    async fn start(database: &Database, authority: &MemoryStore, name: &str) -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let options = Options {
            flush_interval: Duration::from_secs(10),
            subscription_limit: 10,
            compact_finished: false,
            cluster: Cluster::among(name, &[]),
        };
        let store: Arc<dyn ResourceStore> = Arc::new(database.instance());
        let insights = Insights::start(&store, &clock, options, &tasks).await.unwrap();
        let (credentials, _) = Credentials::start(authority, Protocols::default(), clock).await.unwrap();
        let proxies = Proxies::new(Asker::default(), insights.clone(), name);
        let listener = limits::bind("127.0.0.1:0".parse().unwrap(), "a test").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let places = Limits::for_tests().port(PortName::InterCp);
        let answers = Arc::new(Here(proxies.clone()));
        let serving = serve(listener, credentials.clone(), name.to_owned(), answers, places, tasks.clone());
        tasks.spawn("inter-cp", OnError::StopProgram, serving);
        Self { proxies, insights, tasks, address, credentials }
    }

    /// Looks into proxies from here; the other instance is there.
    fn through(&self, other: &Self, at: Option<&str>) -> ThroughZones {
        let (me, address) = (&*self.proxies.me, at.unwrap_or(&other.address));
        let cluster = Cluster::among(me, &[(&*other.proxies.me, Some(address))]);
        ThroughZones::new(self.proxies.clone(), Some(Others::new(cluster, self.credentials.clone())))
    }

    /// The zone connects here, with a stream for statistics.
    fn connect(&self) -> Stream {
        self.insights.subscribe(&west(), true);
        self.insights.stream_opened(&west(), StreamName::Admin(ProxyView::Stats));
        let (_, questions) = self.proxies.asker.opened(&west(), ProxyView::Stats);
        Stream { asker: self.proxies.asker.clone(), questions }
    }

    /// Waits until it knows that the zone's statistics are at this instance.
    async fn knows(&self, holder: &str) {
        let told = async {
            while self.insights.holders(&west(), ProxyView::Stats).first().is_none_or(|first| first != holder) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, told).await.expect("it hears of it");
    }
}

/// A zone's end of the stream.
struct Stream {
    asker: Asker,
    questions: mpsc::Receiver<Box<(String, Question)>>,
}

impl Stream {
    /// Answers the next question.
    async fn answer(&mut self, answer: Result<&'static str, &'static str>) -> Question {
        let next = tokio::time::timeout(LIMIT, self.questions.recv()).await.expect("a question in time");
        let (id, question) = *next.expect("a question");
        let answer = answer.map(|text| Bytes::from_static(text.as_bytes())).map_err(str::to_owned);
        assert!(self.asker.answered(&id, answer), "somebody waits for it");
        question
    }
}

fn proxy() -> Resource {
    resource(Key::in_mesh(Kind::DATAPLANE, "default", "backend"), Bytes::new())
}

async fn stats(through: &ThroughZones) -> Result<Bytes, AdminError> {
    let request = AdminRequest { view: ProxyView::Stats, json: true, with_endpoints: false };
    through.ask("west", &proxy(), request).await
}

async fn two() -> (Instance, Instance) {
    let (database, authority) = (database_with_west().await, authority().await);
    (Instance::start(&database, &authority, "a").await, Instance::start(&database, &authority, "b").await)
}

fn offline() -> Result<Bytes, AdminError> {
    Err(AdminError::ZoneOffline { operation: "Stats" })
}

#[tokio::test]
async fn a_zone_is_asked_through_whatever_instance() {
    let (a, b) = two().await;
    let mut west = b.connect();
    a.knows("b").await;
    for (asked, other) in [(&a, &b), (&b, &a)] {
        let through = asked.through(other, None);
        let (answer, heard) = tokio::join!(stats(&through), west.answer(Ok("{}")));
        assert_eq!((answer, heard), (Ok(Bytes::from_static(b"{}")), question()));
    }
    let through = a.through(&b, None);
    let (answer, _) = tokio::join!(stats(&through), west.answer(Err("no such proxy")));
    let said = AdminError::Zone { request: "StatsRequest", text: "no such proxy".to_owned() };
    assert_eq!(answer, Err(said));
}

#[tokio::test]
async fn a_question_is_passed_on_once_and_never_again() {
    let (a, b) = two().await;
    // Each takes the other one for the one that has the zone.
    let west = b.connect();
    a.knows("b").await;
    drop(west);
    b.proxies.asker.closed(&self::west(), ProxyView::Stats, 1);
    let mut newer = a.connect();
    b.knows("a").await;
    let asked = serde_json::to_vec(&Asked::new(&self::west(), &question())).unwrap();
    let answer = b.proxies.answer(&asked).await;
    assert_eq!(answer.status, NOT_HERE, "whoever is asked by another instance looks at home alone");
    let through = b.through(&a, None);
    let (answer, _) = tokio::join!(stats(&through), newer.answer(Ok("{}")));
    assert_eq!(answer, Ok(Bytes::from_static(b"{}")));
}

fn question() -> Question {
    Question {
        view: ProxyView::Stats,
        kind: "Dataplane".to_owned(),
        mesh: "default".to_owned(),
        name: "backend".to_owned(),
        json: true,
        include_eds: false,
        used_only: true,
    }
}

#[tokio::test]
async fn of_two_instances_that_claim_a_zone_the_newest_stream_is_asked() {
    let (a, b) = two().await;
    let mut old = b.connect();
    a.knows("b").await;
    let mut new = a.connect();
    b.knows("a").await;
    for (asked, other) in [(&a, &b), (&b, &a)] {
        let through = asked.through(other, None);
        let (answer, _) = tokio::join!(stats(&through), new.answer(Ok("new")));
        assert_eq!(answer, Ok(Bytes::from_static(b"new")));
    }
    assert!(old.questions.try_recv().is_err(), "the old stream heard nothing");
    // The new one ends: the old one is there still.
    a.proxies.asker.closed(&west(), ProxyView::Stats, 1);
    let through = a.through(&b, None);
    let (answer, _) = tokio::join!(stats(&through), old.answer(Ok("old")));
    assert_eq!(answer, Ok(Bytes::from_static(b"old")));
}

#[tokio::test]
async fn what_is_wrong_elsewhere_is_told_apart() {
    let (a, b) = two().await;
    let west = b.connect();
    a.knows("b").await;
    // Nobody listens there any more.
    let closed = ClosedPort::new();
    let vacated = closed.to_string();
    let unreachable = stats(&a.through(&b, Some(&vacated))).await.unwrap_err();
    let AdminError::Elsewhere { operation: "Stats", reason } = &unreachable else { panic!("{unreachable}") };
    assert!(reason.contains("instance `b`") && reason.contains("log"), "{reason}");
    assert!(!reason.contains(&vacated), "where it is, is told in the log: {reason}");
    // The lease of that instance is over.
    let alone = Others::new(Cluster::among("a", &[]), a.credentials.clone());
    assert_eq!(stats(&ThroughZones::new(a.proxies.clone(), Some(alone))).await, offline());
    // The instance lost the stream, and did not say so yet.
    drop(west);
    b.proxies.asker.closed(&self::west(), ProxyView::Stats, 1);
    assert_eq!(stats(&a.through(&b, None)).await, offline());
    assert_eq!(stats(&ThroughZones::new(a.proxies.clone(), None)).await, offline());
    b.tasks.stop();
    assert!(b.tasks.finished(LIMIT).await);
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let (a, _b) = two().await;
    for asked in ["", "{}", r#"{"zone": "No Zone", "view": "stats"}"#] {
        assert_eq!(a.proxies.answer(asked.as_bytes()).await.status, StatusCode::BAD_REQUEST);
    }
}
