//! The probes g1 to g16 of the hand-driven global, and the two that end the process of a real zone.
//!
//! The bytes are the recorded ones. Where the recorded zone lost its connection, ours must come back by itself; where
//! ours loses it and the recorded zone did not, that is a listed difference.

use model::Kind;
use prost::Message as _;
use testkit::{client, kds_server::Server};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{
    compare,
    envoy::Envoy,
    link::{Answer, Link, Pong},
    listed::Found,
    mirror::Mirror,
    recording::{CLUSTERS, CONFIGS, DOWN, Event, METHODS, PING, Recording, STATS, UP},
    reverse::{Reverse, request_id},
    zone::Zone,
};

const ZONE: &str = "zone-1";
/// What is noted where ours loses the connection and the recorded zone did not.
const CONNECTS_AGAIN: &str = "the zone ends the connection and connects again";

/// Plays all probes of a folder.
pub(crate) fn play(folder: &str) {
    let Some(recording) = Recording::read(folder, ZONE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let mut probes = Probes::start(&recording).await;
        probes.requests_of_three_kinds().await;
        probes.ends_of_streams().await;
        probes.odd_responses().await;
        probes.kinds_not_asked_for().await;
        probes.reverse_requests().await;
        probes.first_responses().await;
        probes.broken_responses().await;
        probes.ends_that_reconnect().await;
        probes.what_ends_a_real_zone().await;
        probes.zone.stop();
        probes.found
    });
    found.check(&recording);
}

struct Probes<'a> {
    recording: &'a Recording,
    server: Server,
    zone: Zone,
    /// The process that was started first, and must live to the end.
    process: u32,
    link: Link,
    mirror: Mirror,
    found: Found,
}

impl<'a> Probes<'a> {
    /// g1: the zone connects, its ping is not implemented, and nothing is answered.
    async fn start(recording: &'a Recording) -> Self {
        let server = Server::start().await;
        let zone = Zone::start(ZONE, server.address(), &[]);
        let part = recording.part("g1: zone connects");
        let link = Link::accept(&server, pong(&part)).await;
        let process = zone.process();
        let (mirror, found) = (Mirror::default(), Found::default());
        let mut probes = Self { recording, server, zone, process, link, mirror, found };
        let headers = part.iter().find_map(|event| match event {
            Event::Connect(headers) => Some(headers),
            _ => None,
        });
        compare::headers(&mut probes.link, headers.unwrap(), &mut probes.found).await;
        probes.link.pinged(1).await;
        let mut asked = std::collections::BTreeSet::new();
        for request in heard(&part, DOWN) {
            let request = DeltaDiscoveryRequest::decode(request.as_slice()).unwrap();
            let ours = probes.link.first(&request.type_url).await;
            compare::first_request(&ours, &request, &mut probes.found);
            asked.insert(request.type_url);
        }
        // Nothing tells when the zone has asked for its last kind: its own list does.
        for kind in Kind::all().filter(|kind| kind.flow.global_to_zone()) {
            probes.link.first(kind.name).await;
        }
        compare::asked_kinds(&probes.link.firsts, &asked, &mut probes.found);
        probes
    }

    /// g1: a kind that the zone has, one that it does not provide, one that nobody knows.
    async fn requests_of_three_kinds(&mut self) {
        let part = self.recording.part("g1: the global asks for three kinds");
        let requests: Vec<_> =
            said(&part, UP).iter().map(|bytes| DeltaDiscoveryRequest::decode(bytes.as_slice()).unwrap()).collect();
        let (firsts, acks): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|request| request.response_nonce.is_empty());
        for first in &firsts {
            assert!(first.node.as_ref().unwrap().metadata.is_none(), "a global that says nothing of itself");
            self.link.request(first).await;
        }
        for recorded in heard(&part, UP) {
            let recorded = DeltaDiscoveryResponse::decode(recorded.as_slice()).unwrap();
            let ours = self.link.response(&recorded.type_url).await;
            compare::response(&ours, &recorded, ZONE, 0, &mut self.found);
            let ack = acks.iter().find(|ack| ack.type_url == recorded.type_url).unwrap().clone();
            self.link.request(&DeltaDiscoveryRequest { response_nonce: ours.nonce, ..ack }).await;
        }
        self.link.mark_up(ZONE).await;
        assert_eq!(self.link.all_untaken().count(), 0);
    }

    /// g2, g3, g4: OK and Canceled on the synchronization streams; what a zone does without.
    async fn ends_of_streams(&mut self) {
        let part = self.recording.part("g2");
        self.end(&part, UP).await;
        self.found.note("g2: ZoneToGlobalSync ends with OK", CONNECTS_AGAIN);
        self.connect(pong(&self.recording.part("g1: zone connects"))).await;
        self.exchange(&part).await;

        let part = self.recording.part("g3");
        self.end(&part, DOWN).await;
        self.connect(pong(&part)).await;
        for method in [CONFIGS, STATS] {
            let (code, message) = ended(&part, method);
            self.link.call(method).await.end(code, &message);
        }
        // The interval of 2 s is named in the answer; without it the next ping comes after minutes.
        self.link.pinged(2).await;
        self.link.mark_up(ZONE).await;

        let part = self.recording.part("g4");
        self.end(&part, DOWN).await;
        self.connect(pong(&part)).await;
    }

    /// g5, g6: odd but accepted responses, and two in a row.
    async fn odd_responses(&mut self) {
        for probe in ["g5", "g6"] {
            self.exchange(&self.recording.part(probe)).await;
            self.check(probe);
        }
        let service = client::get(self.zone.http(), "/meshes/default/meshservices/ms");
        assert_eq!(service["labels"]["kuma.io/zone"], "zone-9");
    }

    /// g7: the recorded zone validates and acknowledges a kind that it did not ask for; ours refuses it.
    async fn kinds_not_asked_for(&mut self) {
        for response in said(&self.recording.part("g7"), DOWN) {
            self.respond_and_lose(&response).await;
            self.found.note("g7: a kind that was not asked for", CONNECTS_AGAIN);
        }
        for kind in ["Dataplane", "Zone"] {
            self.zone.lost_because(&format!("type {kind} was not asked for"));
        }
        let (status, _) = client::ask(self.zone.http(), "GET", "/meshes/default/dataplanes/intruder", None);
        assert_eq!(status, 404);
        assert_eq!(client::get(self.zone.http(), "/zones")["total"], 1);
    }

    /// g8: a proxy that nobody knows, an unknown kind, a kind without proxies, an empty request.
    async fn reverse_requests(&mut self) {
        let part = self.recording.part("g8");
        let answers: Vec<_> = heard(&part, CONFIGS).iter().map(|bytes| Answer::of(CONFIGS, bytes)).collect();
        let envoy = Envoy::start().await;
        let mut reverse = Reverse::default();
        for request in said(&part, CONFIGS) {
            let id = request_id(&request);
            let answer = answers.iter().find(|answer| answer.id == id);
            reverse.ask(&mut self.link, &envoy, CONFIGS, &request, answer).await;
        }
        assert_eq!(answers.len(), 4);
        for answer in &answers {
            reverse.answered(&mut self.link, &envoy, CONFIGS, answer, &mut self.found).await;
        }
    }

    /// g9, g10, g11: an unknown kind ends the connection; first responses that are empty, or refused in part.
    async fn first_responses(&mut self) {
        self.respond_and_lose(&said(&self.recording.part("g9"), DOWN)[0]).await;
        self.check("g9");
        for probe in ["g10", "g11"] {
            self.exchange(&self.recording.part(probe)).await;
            self.check(probe);
        }
    }

    /// g12, g13, g14: too large, empty JSON, a foreign message.
    async fn broken_responses(&mut self) {
        for probe in ["g12", "g13", "g14"] {
            self.respond_and_lose(&said(&self.recording.part(probe), DOWN)[0]).await;
            self.check(probe);
        }
    }

    /// g15, g16: Unavailable on a stream, and OK on an admin stream.
    async fn ends_that_reconnect(&mut self) {
        let quiet = Pong::Message(Vec::new());
        self.end(&self.recording.part("g15"), UP).await;
        self.connect(quiet.clone()).await;
        let part = self.recording.part("g16");
        self.end(&part, DOWN).await;
        self.connect(quiet.clone()).await;
        self.end(&part, CLUSTERS).await;
        self.connect(quiet).await;
        self.check("g16");
    }

    /// A request without `node`, and a resource without `spec`: a real zone's process ends.
    async fn what_ends_a_real_zone(&mut self) {
        let part = self.recording.part("zone connects; the global's first request carries no node");
        let request = DeltaDiscoveryRequest::decode(said(&part, UP)[0].as_slice()).unwrap();
        assert!(request.node.is_none());
        self.link.request(&request).await;
        self.found.note("a request without node", CONNECTS_AGAIN);
        self.lose(pong(&part)).await;
        self.zone.lost_because("the request has no `node`");
        let part = self.recording.part("zone connects; the global sends a JSON kind without spec");
        self.respond_and_lose(&said(&part, DOWN)[0]).await;
        self.zone.lost_because("resource 0 of type MeshRetry");
        self.found.note("a JSON kind without spec", CONNECTS_AGAIN);
        self.check("without spec");
        assert_eq!(self.zone.process(), self.process);
        self.link.mark_up(ZONE).await;
    }

    /// Sends the recorded responses of a part, compares the answers, and remembers what is stored now.
    async fn exchange(&mut self, part: &[Event]) {
        let mut responses = Vec::new();
        for bytes in said(part, DOWN) {
            let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
            self.link.first(&response.type_url).await;
            self.link.respond(&bytes).await;
            responses.push(response);
        }
        for answer in heard(part, DOWN) {
            let answer = DeltaDiscoveryRequest::decode(answer.as_slice()).unwrap();
            if answer.response_nonce.is_empty() {
                continue;
            }
            let ours = self.link.answer(&answer.type_url).await;
            let nack = compare::answer(&ours, &answer, &mut self.found);
            let is_of = |response: &&DeltaDiscoveryResponse| {
                (&response.type_url, &response.nonce) == (&answer.type_url, &answer.response_nonce)
            };
            self.mirror.apply(responses.iter().find(is_of).unwrap(), &nack);
        }
        self.link.mark_down().await;
    }

    fn check(&self, probe: &str) {
        self.mirror.check(self.zone.http(), &format!("{}, {probe}", self.recording.folder));
    }

    /// Ends a stream as the recorded global did; the zone must drop the connection.
    async fn end(&mut self, part: &[Event], method: &'static str) {
        let (code, message) = ended(part, method);
        self.link.call(method).await.end(code, &message);
        self.link.gone().await;
    }

    /// Sends a response that the zone must not survive on this connection.
    async fn respond_and_lose(&mut self, bytes: &[u8]) {
        self.link.respond(bytes).await;
        self.lose(Pong::Message(Vec::new())).await;
    }

    async fn lose(&mut self, pong: Pong) {
        self.link.gone().await;
        self.connect(pong).await;
    }

    /// Takes the zone's next connection, with all RPCs of one.
    async fn connect(&mut self, pong: Pong) {
        self.link = Link::accept(&self.server, pong).await;
        self.mirror.connect();
        for method in METHODS {
            self.link.call(method).await;
        }
    }
}

/// How the recorded global answered pings in a part.
fn pong(part: &[Event]) -> Pong {
    let answer = part.iter().find_map(|event| match event {
        Event::Said { method: PING, bytes } => Some(Pong::Message(bytes.clone())),
        Event::Ended { method: PING, code, message } => Some(Pong::Status(*code, message.clone())),
        _ => None,
    });
    answer.expect("a recorded answer to a ping")
}

fn said(part: &[Event], wanted: &str) -> Vec<Vec<u8>> {
    let messages = part.iter().filter_map(|event| match event {
        Event::Said { method, bytes } if *method == wanted => Some(bytes.clone()),
        _ => None,
    });
    messages.collect()
}

fn heard(part: &[Event], wanted: &str) -> Vec<Vec<u8>> {
    let messages = part.iter().filter_map(|event| match event {
        Event::Heard { method, bytes } if *method == wanted => Some(bytes.clone()),
        _ => None,
    });
    messages.collect()
}

/// How the recorded global ended a stream in a part, the first time.
fn ended(part: &[Event], wanted: &str) -> (u32, String) {
    let end = part.iter().find_map(|event| match event {
        Event::Ended { method, code, message } if *method == wanted => Some((*code, message.clone())),
        _ => None,
    });
    end.unwrap_or_else(|| panic!("no end of {wanted}"))
}
