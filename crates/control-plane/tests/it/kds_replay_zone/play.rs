//! Plays a recorded global to our zone, event by event, and compares what the zone says with what the recorded one said.
//!
//! ```text
//! Said   ── the recorded bytes go to our zone (an ACK with the nonce that our zone gave)
//! Heard  ── our zone must say it now; resources of the zone are written over its REST API first
//! Ended  ── the RPC is ended with the recorded status
//! Step   ── nothing else may have been said, and the store must hold what the recorded zone's did
//! Gone   ── the zone drops the connection, or is stopped
//! ```

use std::collections::{BTreeMap, BTreeSet};

use model::Kind;
use prost::Message as _;
use testkit::kds_server::Server;
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{
    between::Between,
    compare,
    envoy::Envoy,
    link::{Answer, Link, Pong},
    listed::Found,
    mirror::Mirror,
    recording::{DOWN, Event, Gone, PING, Recording, UP},
    reverse,
    zone::Zone,
};
use crate::stage::way::Way;

/// Kinds that a zone's own machinery makes; ours has none of it, and REST does not take them.
const MADE_BY_THE_ZONE: [&str; 2] = ["DataplaneInsight", "MeshTrust"];

/// Plays one zone of a recording, and checks what differs against the list.
pub(crate) fn play(folder: &str, zone: &str, scenario: Scenario) {
    play_on(Way::Direct, folder, zone, scenario);
}

/// Plays one zone of a recording with this between it and the recorded global.
pub(crate) fn play_on(way: Way, folder: &str, zone: &str, scenario: Scenario) {
    let Some(recording) = Recording::read(folder, zone) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let mut player = Player::new(&recording, scenario).await;
        player.between = Between::start(way, zone, player.server.address()).await;
        player.run().await;
        player.found
    });
    found.check(&recording);
}

/// What the messages of a recording do not say.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// Settings of the zone.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Done at the step that begins with this.
    pub(crate) steps: &'static [(&'static str, Act)],
}

/// Something that a recorded zone's user did.
pub(crate) type Act = fn(&Zone);

struct Player<'a> {
    recording: &'a Recording,
    scenario: Scenario,
    server: Server,
    between: Between,
    envoy: Envoy,
    zone: Option<Zone>,
    link: Option<Link>,
    mirror: Mirror,
    found: Found,
    /// Of this connection.
    talk: Talk,
}

/// What was said on one connection.
#[derive(Default)]
struct Talk {
    /// Responses of global that the recorded zone has not answered yet, by kind and nonce.
    responses: BTreeMap<(String, String), DeltaDiscoveryResponse>,
    /// First requests of the recorded zone.
    firsts: BTreeSet<String>,
    /// Nonces of the recorded zone, by kind, to those of ours; nothing where ours sent nothing.
    nonces: BTreeMap<(String, String), Option<String>>,
    /// ACKs of global that wait until the zone was given all that its next response shows.
    withheld: BTreeMap<String, DeltaDiscoveryRequest>,
    /// Kinds that global asked for, and the recorded zone has not answered.
    asked: BTreeSet<String>,
    /// The recorded zone has sent something on `ZoneToGlobalSync`.
    provides: bool,
    pings: usize,
    reverse: reverse::Reverse,
}

impl<'a> Player<'a> {
    async fn new(recording: &'a Recording, scenario: Scenario) -> Self {
        Self {
            recording,
            scenario,
            server: Server::start().await,
            between: Between::default(),
            envoy: Envoy::start().await,
            zone: None,
            link: None,
            mirror: Mirror::default(),
            found: Found::default(),
            talk: Talk::default(),
        }
    }

    async fn run(&mut self) {
        for (index, event) in self.recording.events.iter().enumerate() {
            self.event(index, event).await;
        }
        assert!(self.link.is_none() && self.zone.is_none(), "the recording ends with the zone");
    }

    async fn event(&mut self, index: usize, event: &Event) {
        match event {
            Event::Step(step) => self.step(step).await,
            Event::Connect(headers) => {
                self.connect(index).await;
                compare::headers(self.link.as_mut().unwrap(), headers, &mut self.found).await;
            }
            Event::Said { method, bytes } => self.said(index, method, bytes).await,
            Event::Heard { method, bytes } => self.heard(method, bytes).await,
            Event::Ended { method: PING, .. } => {}
            Event::Ended { method, code, message } => {
                self.link.as_mut().unwrap().call(method).await.end(*code, message);
            }
            Event::Gone(gone) => self.gone(*gone).await,
        }
    }

    async fn step(&mut self, step: &str) {
        self.settle(step).await;
        for (name, act) in self.scenario.steps {
            if step.starts_with(name) {
                act(self.zone.as_ref().expect("a running zone"));
            }
        }
    }

    /// Nothing was said but what the recorded zone said, and the same is stored.
    async fn settle(&mut self, place: &str) {
        let Some(link) = &mut self.link else { return };
        link.mark_up(&self.recording.zone).await;
        for response in link.all_untaken() {
            let is_empty = response.resources.is_empty() && response.removed_resources.is_empty();
            let is_early = is_empty && !self.talk.provides && self.talk.asked.contains(&response.type_url);
            assert!(is_early, "before {place:?}: nobody waits for {response:?}");
            self.found
                .note("zone without resources of its own", "answers first requests at once, with empty responses");
        }
        link.mark_down().await;
        compare::asked_kinds(&link.firsts, &self.talk.firsts, &mut self.found);
        let zone = self.zone.as_ref().unwrap().http();
        self.mirror.check(zone, &format!("{}, before the step {place:?}", self.recording.folder));
    }

    async fn connect(&mut self, index: usize) {
        if self.zone.is_none() {
            let (name, settings) = (&self.recording.zone, self.scenario.settings);
            self.zone = Some(match self.between.near {
                Some(relay) => Zone::inside(name, relay, settings),
                None => Zone::start(name, self.server.address(), settings),
            });
        }
        let link = Link::accept(&self.server, self.pong(index)).await;
        let Between { has_connector, token, .. } = &self.between;
        self.link = Some(if *has_connector { link.through_a_connector(token.clone()) } else { link });
        self.mirror.connect();
        self.talk = Talk::default();
    }

    /// How the recorded global answered the pings of this connection.
    fn pong(&self, index: usize) -> Pong {
        let later = self.recording.events[index..].iter();
        let answer = later.filter_map(|event| match event {
            Event::Said { method: PING, bytes } => Some(Pong::Message(bytes.clone())),
            Event::Ended { method: PING, code, message } => Some(Pong::Status(*code, message.clone())),
            _ => None,
        });
        answer.take(1).next().expect("a recorded answer to a ping")
    }

    async fn said(&mut self, index: usize, method: &'static str, bytes: &[u8]) {
        let link = self.link.as_mut().unwrap();
        match method {
            PING => {}
            DOWN => {
                let response = DeltaDiscoveryResponse::decode(bytes).unwrap();
                link.first(&response.type_url).await;
                link.respond(bytes).await;
                self.talk.responses.insert((response.type_url.clone(), response.nonce.clone()), response);
            }
            UP => {
                let request = DeltaDiscoveryRequest::decode(bytes).unwrap();
                self.said_up(index, request).await;
            }
            _ => {
                let later = &self.recording.events[index..];
                let answer = recorded_answer(later, method, &reverse::request_id(bytes));
                self.talk.reverse.ask(link, &self.envoy, method, bytes, answer.as_ref()).await;
            }
        }
    }

    async fn said_up(&mut self, index: usize, mut request: DeltaDiscoveryRequest) {
        let link = self.link.as_mut().unwrap();
        let kind = request.type_url.clone();
        if request.response_nonce.is_empty() {
            self.talk.asked.insert(kind);
            link.request(&request).await;
            return;
        }
        let nonce = &self.talk.nonces[&(kind.clone(), request.response_nonce.clone())];
        let Some(nonce) = nonce else { return };
        request.response_nonce.clone_from(nonce);
        // A real zone collects for a second. Ours answers at once, unless an answer is on its way: so it is given what
        // the next response shows before this one is acknowledged.
        let shows =
            self.next_response(index, &kind).map_or(0, |next| next.resources.len() + next.removed_resources.len());
        if shows > 1 {
            self.talk.withheld.insert(kind, request);
        } else {
            self.link.as_mut().unwrap().request(&request).await;
        }
    }

    fn next_response(&self, index: usize, kind: &str) -> Option<DeltaDiscoveryResponse> {
        let connection = self.recording.events[index..].iter().take_while(|event| !matches!(event, Event::Gone(_)));
        connection
            .filter_map(|event| match event {
                Event::Heard { method: UP, bytes } => Some(DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap()),
                _ => None,
            })
            .find(|response| response.type_url == kind)
    }

    async fn heard(&mut self, method: &'static str, bytes: &[u8]) {
        let link = self.link.as_mut().unwrap();
        match method {
            PING => {
                assert!(bytes.is_empty());
                self.talk.pings += 1;
                link.pinged(self.talk.pings).await;
            }
            DOWN => {
                let request = DeltaDiscoveryRequest::decode(bytes).unwrap();
                let kind = request.type_url.clone();
                if request.response_nonce.is_empty() && !self.talk.firsts.contains(&kind) {
                    let ours = link.first(&kind).await;
                    compare::first_request(&ours, &request, &mut self.found);
                    self.talk.firsts.insert(kind);
                    return;
                }
                let ours = link.answer(&kind).await;
                let nack = compare::answer(&ours, &request, &mut self.found);
                let response = self.talk.responses.remove(&(kind, request.response_nonce));
                self.mirror.apply(&response.expect("a response before its answer"), &nack);
            }
            UP => self.heard_up(DeltaDiscoveryResponse::decode(bytes).unwrap()).await,
            _ => {
                let recorded = Answer::of(method, bytes);
                self.talk.reverse.answered(link, &self.envoy, method, &recorded, &mut self.found).await;
            }
        }
    }

    async fn heard_up(&mut self, mut recorded: DeltaDiscoveryResponse) {
        let kind = recorded.type_url.clone();
        let shows = |response: &DeltaDiscoveryResponse| {
            !response.resources.is_empty() || !response.removed_resources.is_empty()
        };
        self.talk.provides = true;
        let is_first = self.talk.asked.remove(&kind);
        let showed = shows(&recorded);
        let given = self.give(&mut recorded, is_first);
        let link = self.link.as_mut().unwrap();
        if let Some(ack) = self.talk.withheld.remove(&kind) {
            link.request(&ack).await;
        }
        let place = (kind.clone(), recorded.nonce.clone());
        if showed && !shows(&recorded) {
            // Nothing of it is there in our zone, so it says nothing; in a first response it says that.
            if !is_first {
                self.talk.nonces.insert(place, None);
                return;
            }
        }
        if is_first && given {
            // The recorded zone answers once it has something, ours has answered that it has nothing.
            let early = link.response(&kind).await;
            assert!(!shows(&early), "{early:?}");
            let ack = DeltaDiscoveryRequest {
                node: Some(compare::node(&self.recording.zone)),
                type_url: kind.clone(),
                response_nonce: early.nonce,
                ..Default::default()
            };
            link.request(&ack).await;
        }
        let ours = link.response(&kind).await;
        assert!(link.untaken(&kind).is_none(), "one response of a kind before its ACK");
        compare::response(&ours, &recorded, &self.recording.zone, self.envoy.port(), &mut self.found);
        self.talk.nonces.insert(place, Some(ours.nonce));
    }

    /// Gives our zone what the recorded one shows, and takes away what it says is gone. What cannot be given is struck
    /// off. Returns whether something was given.
    fn give(&mut self, recorded: &mut DeltaDiscoveryResponse, is_first: bool) -> bool {
        let kind = Kind::by_name(&recorded.type_url);
        let Some(kind) = kind.filter(|kind| kind.name != "HostnameGenerator") else { return false };
        let zone = self.zone.as_mut().unwrap();
        let found = &mut self.found;
        let port = self.envoy.port();
        let mut given = false;
        if MADE_BY_THE_ZONE.contains(&kind.name) {
            if !recorded.resources.is_empty() {
                found.note(kind.name, "not sent");
            }
            recorded.resources.clear();
            recorded.removed_resources.clear();
            return false;
        }
        let is_there = |zone: &Zone, resource: &_| zone.has(kind, resource, port);
        if is_first && recorded.resources.iter().all(|resource| is_there(zone, resource)) {
            // After a reconnect a first response shows what is there.
            return false;
        }
        recorded.resources.retain(|resource| {
            let name = compare::display_name(resource);
            if is_there(zone, resource) {
                found.note(format!("{} {name}", kind.name), "a change of its status alone is not sent");
                return false;
            }
            match zone.write(kind, resource, port) {
                Ok(()) => {
                    given = true;
                    true
                }
                Err(reason) => {
                    let status = reason.split(':').next().unwrap_or_default().to_owned();
                    found.note(format!("{} {name}", kind.name), format!("not sent; refused by REST with {status}"));
                    false
                }
            }
        });
        recorded.removed_resources.retain(|name| zone.delete(kind, name));
        given
    }

    async fn gone(&mut self, gone: Gone) {
        if gone == Gone::ZoneStopped {
            self.zone.take().expect("a running zone").stop();
        }
        let mut link = self.link.take().expect("a connection");
        if gone != Gone::Cut {
            link.gone().await;
        }
        if gone == Gone::ZoneStopped {
            // Its store was in memory.
            self.mirror = Mirror::default();
        }
    }
}

fn recorded_answer(later: &[Event], asked: &str, id: &str) -> Option<Answer> {
    later.iter().find_map(|event| match event {
        Event::Heard { method, bytes } if *method == asked => {
            Some(Answer::of(method, bytes)).filter(|answer| answer.id == id)
        }
        _ => None,
    })
}
