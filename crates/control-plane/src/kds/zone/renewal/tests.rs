//! A zone that renews its token, and a global that a test plays.

use std::{path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use prometheus_client::registry::Registry;
use prost::Message as _;
use store::{ResourceStore, memory::MemoryStore};
use tempfile::TempDir;
use testkit::{
    kds_server::{Call, Connection, Server},
    program::LIMIT,
    rpcs::{DOWN, PING, PRESENT, RENEW},
};
use tokens::{KeyRing, SecretEntry};
use uuid::Uuid;
use wire::{
    arctos::kds::v1::{PresentRequest, PresentResponse, RenewResponse},
    envoy::service::discovery::v3::DeltaDiscoveryResponse,
    kuma::mesh::v1alpha1::ZoneHealthCheckResponse,
};

use super::*;
use crate::{
    clock::Clock,
    cluster::Cluster,
    kds::{
        dial::{Dialer, Target, Trust},
        link::{Link, LinkState},
        zone::{Lead, LegacyPolicies, Options, OwnMeshes, Reports, Shared, TokenSource, run},
    },
    observe::{kds_metrics::KdsMetrics, readiness::Readiness},
    tasks::{OnError, Tasks},
    zones::insight::{self, Insights, Instance},
};

const MINUTE: Duration = Duration::from_secs(60);
const RENEWS: [(&str, &str); 1] = [("features", "token-renewal")];

/// A token of the zone `west` whose life began so many seconds ago.
fn token(life: Option<Duration>, age: i64) -> String {
    let key = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
    let (ring, _) =
        KeyRing::build(1, &[SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(key) }]);
    let (zone, issued) = (ZoneName::parse("west").unwrap(), now() - SignedDuration::from_secs(age));
    tokens::issue_control_plane(&ring, &zone, life, issued, Uuid::new_v4()).unwrap().reveal().to_owned()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// The zone, its token file, and where it dials.
pub(in crate::kds::zone) struct Played {
    server: Server,
    folder: TempDir,
    tasks: Tasks,
    link: Link,
}

impl Played {
    async fn start(token: &str, renew_token: bool) -> Self {
        Self::start_as(token, renew_token, Lead::of(&Cluster::alone("west-1")), None).await
    }

    /// One of several instances.
    pub(in crate::kds::zone) async fn led(token: &str, lead: Lead, shared: Option<Arc<Shared>>) -> Self {
        Self::start_as(token, false, lead, shared).await
    }

    /// A token that was issued so many seconds ago, and lives for longer than any test.
    pub(in crate::kds::zone) fn token(age: i64) -> String {
        token(Some(Duration::from_secs(1_000_000)), age)
    }

    pub(in crate::kds::zone) fn clock() -> Clock {
        Clock::starting_at(now())
    }

    async fn start_as(token: &str, renew_token: bool, lead: Lead, shared: Option<Arc<Shared>>) -> Self {
        let (server, folder, tasks) = (Server::start().await, tempfile::tempdir().unwrap(), Tasks::new());
        let played = Self { server, folder, tasks, link: Link::default() };
        std::fs::write(played.file(), token).unwrap();
        let clock = Clock::starting_at(now());
        let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
        let kept = insight::Options {
            flush_interval: MINUTE,
            subscription_limit: 10,
            compact_finished: true,
            cluster: Cluster::alone("west-1"),
        };
        let target = Target { host: "127.0.0.1".to_owned(), port: played.server.address().port() };
        let options = Options {
            zone: ZoneName::parse("west").unwrap(),
            dialer: Dialer::new(vec![(target, None)], Trust::Plain, clock.clone()),
            token: TokenSource::File(played.file()),
            renew_token,
            us: Instance::default(),
            max_message_size: 1 << 20,
            base_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_millis(500),
            skip_prefixes: Vec::new(),
            msg_send_timeout: MINUTE,
            default_admin_port: 9901,
            own_meshes: Arc::new(OwnMeshes::new(played.folder.path(), "west", false, false)),
            lead,
            shared,
            reports: Reports {
                insights: Insights::start(&store, &clock, kept, &played.tasks).await.unwrap(),
                policies: Arc::new(LegacyPolicies::new(Readiness::default())),
                metrics: KdsMetrics::register(&mut Registry::default()),
                rejections: Arc::default(),
            },
        };
        let running = run(options, store, clock, played.link.clone(), played.tasks.clone());
        played.tasks.spawn("zone", OnError::Log, running);
        played
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn kept(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// Waits until it says that it stands by.
    pub(in crate::kds::zone) async fn stands_by(&self) {
        let mut state = self.link.subscribe();
        let stands_by = state.wait_for(|state| matches!(state, LinkState::StandsBy { .. }));
        timeout(LIMIT, stands_by).await.expect("within the limit").unwrap();
    }

    pub(in crate::kds::zone) async fn accept(&self, answers: &'static [(&'static str, &'static str)]) -> PlayedLink {
        let (connection, interval) = (self.server.connection().await, Duration::from_millis(200));
        PlayedLink { connection, interval, answers, open: Vec::new(), pings: Vec::new(), full_for: None }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// One connection of the zone: its pings are answered, its streams held open.
pub(in crate::kds::zone) struct PlayedLink {
    connection: Connection,
    /// When the next ping is wanted.
    interval: Duration,
    /// The headers of the answers to pings.
    answers: &'static [(&'static str, &'static str)],
    open: Vec<Call>,
    /// The tokens of the pings so far.
    pings: Vec<String>,
    /// What there is no room for.
    full_for: Option<&'static str>,
}

impl PlayedLink {
    /// The next call of these paths; all others are answered as they should be.
    async fn next(&mut self, paths: &[&str]) -> Call {
        loop {
            let mut call = self.connection.call().await.expect("the zone keeps its connection");
            let is_wanted = paths.contains(&call.path.as_str());
            if self.full_for == Some(call.path.as_str()) {
                call.open_with(&[("grpc-status", "8"), ("grpc-message", "this token has 64 streams open already")]);
                return call;
            }
            match call.path.as_str() {
                PING => {
                    self.pings.push(bearer(&call));
                    let interval = prost_types::Duration::try_from(self.interval).ok();
                    call.open_with(self.answers);
                    call.send(&ZoneHealthCheckResponse { interval }.encode_to_vec());
                    call.end(0, "");
                }
                RENEW | PRESENT => assert!(is_wanted, "{} was not expected", call.path),
                _ => call.open(),
            }
            if is_wanted {
                return call;
            }
            if call.path != PING {
                self.open.push(call);
            }
        }
    }

    /// Waits until the zone has closed it.
    pub(in crate::kds::zone) async fn is_lost(&mut self) {
        timeout(LIMIT, self.connection.gone()).await.expect("within the limit");
    }

    /// Waits until the zone has closed it; nothing of this path may come before.
    pub(in crate::kds::zone) async fn is_lost_without(&mut self, path: &str) {
        while let Some(call) = self.connection.call().await {
            assert_ne!(call.path, path);
            self.open.push(call);
        }
    }

    /// Whether this token came with the last ping.
    pub(in crate::kds::zone) fn pinged_with(&self, token: &str) -> bool {
        self.pings.last().is_some_and(|shown| shown == token)
    }

    pub(in crate::kds::zone) async fn expect(&mut self, path: &str) -> Call {
        self.next(&[path]).await
    }

    /// Refuses the next call of this path as one too many.
    pub(in crate::kds::zone) async fn finds_no_room(&mut self, path: &'static str) {
        self.full_for = Some(path);
        self.next(&[path]).await;
        self.full_for = None;
    }

    /// Gives the zone this token; returns the call that shows it.
    async fn give(&mut self, token: &str) -> Call {
        let renew = self.expect(RENEW).await;
        answer(renew, &RenewResponse { token: token.to_owned(), expires_at: None });
        let present = self.expect(PRESENT).await;
        assert!(bearer(&present) == token);
        present
    }
}

/// Lets the zone know on its first stream that it is accepted.
fn serve(down: &mut Call) {
    let response = DeltaDiscoveryResponse {
        type_url: "MeshTimeout".to_owned(),
        nonce: "1".to_owned(),
        ..DeltaDiscoveryResponse::default()
    };
    down.send(&response.encode_to_vec());
}

fn answer(mut call: Call, message: &impl prost::Message) {
    call.send(&message.encode_to_vec());
    call.end(0, "");
}

fn presented(moved: u32) -> PresentResponse {
    PresentResponse { moved, left: 0 }
}

fn bearer(call: &Call) -> String {
    call.headers["authorization"].to_str().unwrap().to_owned()
}

fn says(call: &Call, header: &str) -> Option<String> {
    call.headers.get(header).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_old_token_stays_in_use() {
    let (given, next) = (token(Some(MINUTE), 50), token(Some(MINUTE), 0));
    let zone = Played::start(&given, true).await;
    let mut link = zone.accept(&RENEWS).await;
    let lost = link.expect(RENEW).await;
    assert!(bearer(&lost) == given);
    assert_eq!(says(&lost, "arctos-token-renewal").as_deref(), Some("yes"));
    drop(lost);
    let mut present = link.give(&next).await;
    assert!(link.pings.iter().all(|token| *token == given));
    assert_eq!(zone.kept().trim(), next, "it is kept before it is used");
    let asked = PresentRequest::decode(present.next().await.unwrap()).unwrap();
    assert_eq!(asked.former, Outline::of(&given).unwrap().id);
    answer(present, &presented(5));
    while bearer(&link.expect(PING).await) != next {}
}

#[tokio::test]
async fn streams_that_are_elsewhere_are_opened_anew_before_the_old_ones_end() {
    let (given, next) = (token(Some(MINUTE), 50), token(Some(MINUTE), 0));
    let zone = Played::start(&given, true).await;
    let mut old = zone.accept(&RENEWS).await;
    let present = old.give(&next).await;
    answer(present, &presented(3));
    let mut new = zone.accept(&RENEWS).await;
    assert!(bearer(&new.expect(PING).await) == next);
    let mut down = new.expect(DOWN).await;
    // The old one ends when the new one is served, and no sooner.
    old.expect(PING).await;
    old.expect(PING).await;
    serve(&mut down);
    old.connection.gone().await;
    assert!(bearer(&new.expect(PING).await) == next);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_tried_on_a_connection_of_its_own() {
    let (given, next) = (token(Some(MINUTE), 50), token(Some(MINUTE), 0));
    let zone = Played::start(&given, true).await;
    let mut link = zone.accept(&RENEWS).await;
    let mut present = link.give(&next).await;
    for _ in 1..SHOWN_IN_VAIN {
        present.end(16, "signed with an unknown key");
        present = link.expect(PRESENT).await;
        assert!(bearer(&present) == next);
    }
    present.end(16, "signed with an unknown key");
    let mut own = zone.accept(&RENEWS).await;
    assert!(bearer(&own.expect(PING).await) == next);
    assert!(link.pings.iter().all(|token| *token == given));
}

#[tokio::test]
async fn a_zone_that_is_told_renews_a_token_without_end() {
    let (given, next) = (token(None, 0), token(Some(MINUTE), 0));
    let zone = Played::start(&given, true).await;
    let mut link = zone.accept(&[("features", "token-renewal"), ("arctos-renew-token", "key-draining")]).await;
    let present = link.give(&next).await;
    link.answers = &RENEWS;
    answer(present, &presented(5));
    while bearer(&link.expect(PING).await) != next {}
    link.expect(PING).await;
    assert_eq!(zone.kept().trim(), next);
}

#[tokio::test]
async fn a_global_without_the_feature_sees_nothing_of_it() {
    let told = &[("features", "initial-resource-versions"), ("arctos-renew-token", "key-draining")];
    let zone = Played::start(&token(Some(MINUTE), 50), true).await;
    let mut link = zone.accept(told).await;
    // The token is due after a second: long enough for any call that should not be.
    for _ in 0..10 {
        let ping = link.expect(PING).await;
        assert_eq!(says(&ping, "arctos-token-renewal"), None);
    }
    assert!(link.open.iter().all(|call| says(call, "arctos-token-renewal").is_none()));
}

#[tokio::test]
async fn a_zone_that_shall_not_renew_says_so_and_asks_for_nothing() {
    let given = token(Some(MINUTE), 50);
    let zone = Played::start(&given, false).await;
    let mut link = zone.accept(&[("features", "token-renewal"), ("arctos-renew-token", "key-draining")]).await;
    link.expect(PING).await;
    for _ in 0..10 {
        assert_eq!(says(&link.expect(PING).await, "arctos-token-renewal").as_deref(), Some("no"));
    }
    assert_eq!(zone.kept(), given);
}

#[tokio::test]
async fn what_becomes_of_the_file_global_hears_at_once() {
    let (given, next) = (token(Some(MINUTE), 50), token(Some(MINUTE), 0));
    let zone = Played::start(&given, true).await;
    // Nobody hears of a ping before five minutes are over.
    let mut link = zone.accept(&RENEWS).await;
    link.interval = Duration::from_secs(300);
    let first = link.expect(RENEW).await;
    std::fs::remove_file(zone.file()).unwrap();
    answer(first, &RenewResponse { token: next.clone(), expires_at: None });
    let present = link.expect(PRESENT).await;
    answer(present, &presented(5));
    while says(&link.expect(PING).await, "arctos-token-renewal").as_deref() != Some("no (file)") {}
    assert!(!zone.file().exists());
}
