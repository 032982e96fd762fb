use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use model::{Key, Kind, Labels, Resource, secret};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use store::{Precondition, ResourceStore, memory::MemoryStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{credentials::AUTHORITY, *};
use crate::{
    clock::Clock,
    cluster::Cluster,
    limits::{self, Limits, PortName},
    tasks::{OnError, Tasks},
    tls::Protocols,
    writes::authority_certificate,
};

const LIMIT: Duration = Duration::from_secs(30);

/// An authority: certificate and key, PEM.
fn authority(now: Timestamp) -> Zeroizing<Vec<u8>> {
    let params = authority_certificate("Test CA", now, Duration::ZERO, Duration::from_secs(10 * 365 * 24 * 3600));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    Zeroizing::new(format!("{certificate}{}", key.serialize_pem()).into_bytes())
}

fn credentials(authority: &Zeroizing<Vec<u8>>, clock: &Clock) -> Credentials {
    Credentials::of(authority.clone(), Protocols::default(), clock.clone()).unwrap()
}

/// Says what it was asked; some questions it never answers.
struct Echo {
    never: Notify,
    /// One of these came.
    came: Arc<Notify>,
}

#[async_trait]
impl Answers for Echo {
    async fn answer(&self, path: &str, question: Bytes) -> Reply {
        match path {
            "/never" => {
                self.came.notify_one();
                self.never.notified().await;
            }
            "/unknown" => return Reply::new(StatusCode::NOT_FOUND, ""),
            _ => {}
        }
        Reply::new(StatusCode::OK, [path.as_bytes(), b" ", &*question].concat())
    }
}

/// An instance `there` that others can ask.
struct There {
    address: SocketAddr,
    tasks: Tasks,
    clock: Clock,
    came: Arc<Notify>,
}

impl There {
    fn start(authority: &Zeroizing<Vec<u8>>, clock: &Clock) -> Self {
        let listener = limits::bind("127.0.0.1:0".parse().unwrap(), "a test").unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let places = Limits::for_tests().port(PortName::InterCp);
        let came = Arc::new(Notify::new());
        let answers = Arc::new(Echo { never: Notify::new(), came: Arc::clone(&came) });
        let serving =
            serve(listener, credentials(authority, clock), "there".to_owned(), answers, places, tasks.clone());
        tasks.spawn("inter-cp", OnError::StopProgram, serving);
        Self { address, tasks, clock: clock.clone(), came }
    }

    /// Who asks it, with an authority of its own.
    fn others(&self, authority: &Zeroizing<Vec<u8>>) -> Others {
        let address = self.address.to_string();
        let cluster = Cluster::among("here", &[("there", Some(&address)), ("silent", None)]);
        Others::new(cluster, credentials(authority, &self.clock))
    }

    async fn stop(self) {
        self.tasks.stop();
        assert!(self.tasks.finished(LIMIT).await);
    }
}

impl There {
    /// What a peer hears that knows nothing of certificates; nothing if the connection ends.
    async fn hears(&self, said: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let _reset_or_end = tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard)).await.unwrap();
        heard
    }
}

#[tokio::test]
async fn an_instance_answers_another_one() {
    let clock = Clock::system();
    let authority = authority(clock.now());
    let there = There::start(&authority, &clock);
    let others = there.others(&authority);
    assert_eq!(others.names(), ["silent", "there"]);
    let answer = others.ask("there", "/proxy", Bytes::from_static(b"west"), LIMIT).await;
    assert_eq!(answer, Ok(Reply::new(StatusCode::OK, "/proxy west")));
    let unknown = others.ask("there", "/unknown", Bytes::new(), LIMIT).await;
    assert_eq!(unknown.unwrap().status, StatusCode::NOT_FOUND);
    let all = others.ask_all("/all", LIMIT).await;
    let gone = NotAnswered::Gone { instance: "silent".to_owned() };
    assert_eq!(all, [("silent".to_owned(), Err(gone)), ("there".to_owned(), Ok(Reply::new(StatusCode::OK, "/all ")))]);
    there.stop().await;
}

#[tokio::test]
async fn who_is_not_there_is_told_apart_from_who_cannot_be_reached() {
    let clock = Clock::system();
    let authority = authority(clock.now());
    let there = There::start(&authority, &clock);
    let others = there.others(&authority);
    let ask = async |others: &Others, who: &str| others.ask(who, "/proxy", Bytes::new(), LIMIT).await;
    for who in ["silent", "nobody"] {
        assert_eq!(ask(&others, who).await, Err(NotAnswered::Gone { instance: who.to_owned() }));
    }
    // Another one took its address over.
    let address = there.address.to_string();
    let cluster = Cluster::among("here", &[("before", Some(&address))]);
    let stale = Others::new(cluster, credentials(&authority, &clock));
    assert_eq!(ask(&stale, "before").await, Err(NotAnswered::Gone { instance: "before".to_owned() }));
    there.stop().await;
    let refused = ask(&others, "there").await.unwrap_err();
    assert!(matches!(&refused, NotAnswered::Unreachable { instance, .. } if instance == "there"), "{refused}");
    assert!(refused.to_string().contains(&address) && refused.to_string().contains("refused"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_with_its_deadline() {
    // Takes connections, and says nothing on them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let clock = Clock::starting_at("2026-10-02T10:00:00Z".parse().unwrap());
    let authority = authority(clock.now());
    let cluster = Cluster::among("here", &[("there", Some(&address))]);
    let others = Others::new(cluster, credentials(&authority, &clock));
    let silent = others.ask("there", "/proxy", Bytes::new(), Duration::from_secs(20)).await.unwrap_err();
    assert!(silent.to_string().ends_with("no answer within 3 s"), "{silent}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_late() {
    let clock = Clock::system();
    let authority = authority(clock.now());
    let there = There::start(&authority, &clock);
    let others = there.others(&authority);
    let came = Arc::clone(&there.came);
    let then = async {
        came.notified().await;
        // From here on time passes only while nobody has anything to do.
        tokio::time::pause();
    };
    let (asked, ()) = tokio::join!(others.ask("there", "/never", Bytes::new(), Duration::from_secs(4)), then);
    assert!(matches!(asked, Err(NotAnswered::Late { .. })), "{asked:?}");
    tokio::time::resume();
    there.stop().await;
}

#[tokio::test]
async fn a_key_that_is_not_that_of_the_authority_is_refused_with_the_reason() {
    let clock = Clock::system();
    let [one, other] = [(); 2].map(|()| authority(clock.now()));
    let [(certificate, _), (_, key)] =
        [&one, &other].map(|text| std::str::from_utf8(text).unwrap().split_once("-----BEGIN PRIVATE").unwrap());
    let mixed = Zeroizing::new(format!("{certificate}-----BEGIN PRIVATE{key}").into_bytes());
    let refused = Credentials::of(mixed, Protocols::default(), clock).err().unwrap().to_string();
    assert!(refused.contains("`inter-cp-ca`") && refused.contains("not that of the certificate"), "{refused}");
}

#[tokio::test]
async fn who_has_no_certificate_of_the_authority_hears_nothing() {
    let clock = Clock::system();
    let authority = authority(clock.now());
    let there = There::start(&authority, &clock);
    // A certificate of another authority; its owner does not believe the instance, either.
    let other = self::authority(clock.now());
    let refused = there.others(&other).ask("there", "/proxy", Bytes::new(), LIMIT).await.unwrap_err();
    assert!(matches!(refused, NotAnswered::Unreachable { .. }), "{refused}");
    // Believes the instance, and shows what another authority signed, or nothing.
    let believes = credentials(&authority, &clock).current().client;
    let shows = credentials(&other, &clock).current().client;
    let mut mixed = (*believes).clone();
    mixed.client_auth_cert_resolver = Arc::clone(&shows.client_auth_cert_resolver);
    let mut nothing = (*believes).clone();
    nothing.client_auth_cert_resolver = Arc::new(Nothing);
    for config in [mixed, nothing] {
        assert_eq!(heard_over(config, there.address).await, None);
    }
    assert!(heard_over((*believes).clone(), there.address).await.is_some());
    // Plain text gets an alert of TLS and no word of HTTP.
    for said in
        ["POST /proxy HTTP/1.1\r\nhost: inter-cp\r\nx-instance: there\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let heard = there.hears(said.as_bytes()).await;
        assert!(!String::from_utf8_lossy(&heard).contains("HTTP"), "{heard:?}");
    }
    there.stop().await;
}

/// Shows no certificate.
#[derive(Debug)]
struct Nothing;

impl rustls::client::ResolvesClientCert for Nothing {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// The first bytes that a client hears; none if it is refused.
async fn heard_over(config: rustls::ClientConfig, address: SocketAddr) -> Option<u8> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("inter-cp").unwrap();
    let exchange = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        stream.write_all(b"POST /proxy HTTP/1.1\r\nhost: inter-cp\r\ncontent-length: 0\r\n\r\n").await?;
        stream.read_u8().await
    };
    tokio::time::timeout(LIMIT, exchange).await.unwrap().ok()
}

#[tokio::test]
async fn questions_are_small_and_posted() {
    let clock = Clock::system();
    let authority = authority(clock.now());
    let there = There::start(&authority, &clock);
    let large = Bytes::from(vec![0; 65 * 1024]);
    let refused = there.others(&authority).ask("there", "/proxy", large, LIMIT).await.unwrap();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    there.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_made_anew_after_half_of_its_life() {
    let clock = Clock::starting_at("2026-10-02T10:00:00Z".parse().unwrap());
    let shown = credentials(&authority(clock.now()), &clock);
    let first = shown.current();
    assert!(Arc::ptr_eq(&first.server, &shown.current().server));
    tokio::time::advance(Duration::from_secs(12 * 3600 - 1)).await;
    assert!(Arc::ptr_eq(&first.server, &shown.current().server));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(!Arc::ptr_eq(&first.server, &shown.current().server));
}

#[tokio::test]
async fn an_end_of_a_certificate_is_seen_by_the_clock_of_the_house() {
    let start: Timestamp = "2026-10-02T10:00:00Z".parse().unwrap();
    let authority = authority(start);
    let there = There::start(&authority, &Clock::starting_at(start));
    let later = Clock::starting_at(start + SignedDuration::from_hours(25));
    let late = There { clock: later, address: there.address, tasks: there.tasks.clone(), came: Arc::default() };
    let refused = late.others(&authority).ask("there", "/proxy", Bytes::new(), LIMIT).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    there.stop().await;
}

async fn put(store: &dyn ResourceStore, data: &[u8]) {
    let now = Timestamp::UNIX_EPOCH;
    let resource = Resource {
        key: Key::global(Kind::GLOBAL_SECRET, AUTHORITY),
        labels: Labels::new(),
        spec: secret::encode(data),
        status: None,
        owner: None,
        created: now,
        modified: now,
    };
    store.put(resource, Precondition::Any).await.unwrap();
}

#[tokio::test]
async fn another_authority_counts_at_once_and_a_broken_one_never() {
    let clock = Clock::system();
    let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
    let none = Credentials::start(&*store, Protocols::default(), clock.clone()).await;
    assert!(none.err().unwrap().to_string().contains("`inter-cp-ca` is not there"));
    put(&*store, b"no authority").await;
    let broken = Credentials::start(&*store, Protocols::default(), clock.clone()).await;
    assert!(broken.err().unwrap().to_string().contains("delete it"));
    put(&*store, &authority(clock.now())).await;
    let (shown, secrets) = Credentials::start(&*store, Protocols::default(), clock.clone()).await.unwrap();
    let tasks = Tasks::new();
    tasks.spawn("inter-cp-authority", OnError::StopProgram, shown.clone().follow(secrets, tasks.clone()));
    let first = shown.current();
    let next = authority(clock.now());
    put(&*store, b"no authority").await;
    put(&*store, &next).await;
    let other = tokio::time::timeout(LIMIT, async {
        while Arc::ptr_eq(&first.server, &shown.current().server) {
            tokio::task::yield_now().await;
        }
    });
    other.await.unwrap();
    let there = There::start(&next, &clock);
    let address = there.address.to_string();
    let others = Others::new(Cluster::among("here", &[("there", Some(&address))]), shown);
    assert_eq!(others.ask("there", "/a", Bytes::new(), LIMIT).await.unwrap().status, StatusCode::OK);
    there.stop().await;
    tasks.stop();
    assert!(tasks.finished(LIMIT).await);
}
