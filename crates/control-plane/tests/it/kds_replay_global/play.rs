//! Plays a recorded zone against our global, event by event, and collects what differs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::FutureExt as _;
use serde_json::Value;
use testkit::{
    kds::{Ended, Peer},
    program::eventually,
};

use super::{
    admin::Asked,
    compare::Masks,
    differences::{Difference, Listed},
    global::{Fresh, Global, Way},
    held::Held,
    recording::{Event, Recording, Rpc},
    silence,
    stream::{Counters, Stream},
    up::Sent,
};

/// A stream of the recorded zone: its connection and its RPC.
pub(crate) type At = (u64, Rpc);

/// The recorded zone, our global, and what was found so far.
pub(crate) struct Player {
    pub(crate) recording: Recording,
    pub(crate) global: Global,
    pub(crate) held: Held,
    pub(crate) streams: BTreeMap<At, Stream>,
    pub(crate) step: String,
    /// The place of the event that is played.
    pub(crate) index: usize,
    pub(crate) masks: Masks,
    pub(crate) release: Release,
    peers: BTreeMap<u64, Peer>,
    pub(crate) watch: Vec<Stream>,
    _watching: Peer,
    found: BTreeSet<(Difference, String)>,
    pub(crate) questions: BTreeMap<String, Asked>,
    /// What the zone sent on ZoneToGlobalSync and was not answered yet.
    pub(crate) unanswered: BTreeMap<u64, VecDeque<Sent>>,
    /// The types that were too large to be sent.
    pub(crate) withheld: BTreeSet<String>,
    /// The last connection to a global that is gone.
    before_restart: u64,
    /// What a zone has here, by zone and kind, as its responses say.
    pub(crate) reported: BTreeMap<(String, &'static str), BTreeSet<String>>,
    /// What went over the GlobalToZoneSync streams that ended since our global started, by zone.
    pub(crate) subscriptions: BTreeMap<String, Vec<BTreeMap<String, Counters>>>,
}

/// Which global was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// 2.14.3: its defaults are not ours, so ours makes none and is given the recorded ones.
    V2,
    /// The 3.0 preview: our global makes the same defaults.
    V3,
    /// The 3.0 preview, set to make none.
    V3Bare,
}

/// Plays a folder; fails if something differs that is not listed, or is listed and does not differ.
pub(crate) fn replay(folder: &str, way: Way, release: Release) {
    let Some(recording) = Recording::read(folder) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let mut player = Player::start(recording, way, release).await;
        while player.index < player.recording.lines.len() {
            player.play().await;
            player.index += 1;
        }
        player.global.stop().await;
        player.found
    });
    Listed::read(folder).check(folder, &found);
}

impl Player {
    async fn start(recording: Recording, way: Way, release: Release) -> Self {
        let fresh = if release == Release::V3 { Fresh::WithDefaults } else { Fresh::Bare };
        let global = Box::pin(Global::start(way, fresh)).await;
        let held = Held::at_start(&global).await;
        let (watching, watch) = silence::watch(&global).await;
        Self {
            recording,
            global,
            held,
            streams: BTreeMap::new(),
            step: String::new(),
            index: 0,
            masks: Masks { mesh_keys: release != Release::V2, rebuilt: false },
            release,
            peers: BTreeMap::new(),
            watch,
            _watching: watching,
            found: BTreeSet::new(),
            questions: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            reported: BTreeMap::new(),
            withheld: BTreeSet::new(),
            before_restart: 0,
            subscriptions: BTreeMap::new(),
        }
    }

    async fn play(&mut self) {
        let line = self.recording.lines[self.index].clone();
        let connection = line.connection;
        match line.event {
            Event::Step(text) => self.next_step(text).await,
            Event::Connect if self.reached(connection) => {
                self.seed(connection).await;
                let zone = self.zone_of(connection);
                self.peers.insert(connection, self.global.connect_as(&zone).await);
            }
            Event::Connect => {}
            Event::Open(rpc, headers) if self.peers.contains_key(&connection) => {
                self.open((connection, rpc), headers).await
            }
            Event::Open(..) => {}
            Event::FromZone(rpc, payload) => match rpc {
                Rpc::GlobalToZone => self.zone_asks(connection, &payload, line.at).await,
                Rpc::ZoneToGlobal => self.zone_reports(connection, &payload),
                Rpc::HealthCheck => self.streams[&(connection, rpc)].send(&payload.bytes),
                Rpc::XdsConfigs | Rpc::Stats | Rpc::Clusters => self.zone_answers((connection, rpc), &payload).await,
            },
            Event::FromGlobal(rpc, payload) => match rpc {
                Rpc::GlobalToZone => self.global_provides(connection, &payload).await,
                Rpc::ZoneToGlobal => self.global_answers(connection, &payload.request()).await,
                Rpc::HealthCheck => self.pinged((connection, rpc), &payload.bytes).await,
                Rpc::XdsConfigs | Rpc::Stats | Rpc::Clusters => self.global_asks((connection, rpc), &payload).await,
            },
            Event::HalfClose(rpc) => self.half_close((connection, rpc)).await,
            Event::ZoneEnds(rpc) => self.zone_ends((connection, rpc)).await,
            Event::GlobalEnds(rpc, code, text) => self.global_ends((connection, rpc), &code, &text).await,
            Event::Disconnect => {
                let gone: Vec<At> = self.streams.keys().filter(|(of, _)| *of == connection).copied().collect();
                for at in gone {
                    self.close(at).await;
                }
                self.peers.remove(&connection);
            }
        }
    }

    /// Whether a connection reached the recorded global: while that one was away the proxy took it and let it go again.
    fn reached(&self, connection: u64) -> bool {
        self.recording.lines.iter().any(|line| {
            line.connection == connection
                && matches!(line.event, Event::FromZone(..) | Event::FromGlobal(..) | Event::GlobalEnds(..))
        })
    }

    /// Which zone a connection is of, as its calls say.
    fn zone_of(&self, connection: u64) -> String {
        let opened = self.recording.lines.iter().filter(|line| line.connection == connection);
        let named = opened.filter_map(|line| match &line.event {
            Event::Open(_, headers) => headers.iter().find(|(name, _)| name == "client-id"),
            _ => None,
        });
        named.map(|(_, zone)| zone.clone()).next().unwrap_or_default()
    }

    async fn open(&mut self, at: At, headers: Vec<(String, String)>) {
        let zone = headers.iter().find(|(name, _)| name == "client-id").map(|(_, zone)| zone.clone());
        let zone = zone.unwrap_or_default();
        let headers: Vec<_> = headers.into_iter().chain(self.global.proof_of_the_zone(&zone)).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let before = self.opened(&zone, at.1);
        let call = self.peers[&at.0].open(&at.1.path(), &headers);
        self.streams.insert(at, Stream::new(&zone, call));
        match at.1 {
            Rpc::ZoneToGlobal => self.first_requests(at.0).await,
            // Only then questions reach it; without a zone it will be refused.
            Rpc::XdsConfigs | Rpc::Stats | Rpc::Clusters if !zone.is_empty() => {
                eventually("the stream is open", || self.opened(&zone, at.1), |opened| *opened != before);
            }
            _ => {}
        }
    }

    /// When an admin stream of a zone was opened last, as the zone's insight says.
    fn opened(&self, zone: &str, rpc: Rpc) -> Option<String> {
        let stream = match rpc {
            Rpc::XdsConfigs => "configDump",
            Rpc::Stats => "stats",
            Rpc::Clusters => "clusters",
            _ => return None,
        };
        let (_, body) = self.global.rest("GET", &format!("/zones/{zone}/_overview"), None);
        let overview: Value = serde_json::from_str(&body).ok()?;
        Some(overview["zoneInsight"]["kdsStreams"][stream]["connectTime"].as_str()?.to_owned())
    }

    async fn pinged(&mut self, at: At, recorded: &[u8]) {
        let ours = self.stream(at).next().await;
        if ours.as_deref() != Some(recorded) {
            self.note(at.1.name(), &format!("answers {ours:?}"), "another answer");
        }
    }

    async fn half_close(&mut self, at: At) {
        self.stream(at).half_close();
        // The recorded global leaves the stream open and silent for good.
        if at.1 == Rpc::GlobalToZone {
            self.stream(at).end().await;
            self.note_end(at, "goes on, silent");
        }
    }

    async fn zone_ends(&mut self, at: At) {
        let Some(stream) = self.streams.get_mut(&at) else { return };
        if at.1 == Rpc::ZoneToGlobal && stream.ended().is_none() && stream.next().now_or_never().flatten().is_some() {
            self.note(at.1.name(), "sends more", "silence");
        }
        let Some(stream) = self.streams.get_mut(&at) else { return };
        while let Some(kind) = stream.due() {
            if stream.response(&kind).await.is_none() {
                self.note_end(at, "goes on");
                break;
            }
        }
        self.close(at).await;
    }

    async fn global_ends(&mut self, at: At, code: &str, text: &str) {
        let lives = match at.1 {
            Rpc::HealthCheck | Rpc::ZoneToGlobal => false,
            Rpc::GlobalToZone => {
                let settled = self.settle().await.contains(&at);
                if code == "ResourceExhausted" {
                    // The kind that the recorded global could not send is the one that ours does not send.
                    let kind = self.stream(at).due().expect("a kind that was not sent");
                    self.too_large(at.0, &kind).await;
                }
                settled && self.stream(at).ended().is_none()
            }
            Rpc::XdsConfigs | Rpc::Stats | Rpc::Clusters => self.still_asks(at).await,
        };
        let recorded = end_with(code, text);
        let stops = at.0 <= self.before_restart;
        if lives {
            self.note(at.1.name(), "goes on", &recorded);
        } else {
            let (ended, before) = self.stream(at).end().await;
            if stops {
                self.note_anywhere("global stops: every stream", &shown(&ended));
            } else if shown(&ended) != recorded {
                self.note(at.1.name(), &shown(&ended), &recorded);
            }
            if at.1 != Rpc::GlobalToZone && !before.is_empty() {
                self.note(at.1.name(), &format!("{} more messages", before.len()), "none");
            }
        }
        self.close(at).await;
    }

    /// Lets go of a stream, and waits until our global has noticed: it must not count what nobody reads any more.
    async fn close(&mut self, at: At) {
        let Some(Stream { zone, counters, .. }) = self.streams.remove(&at) else { return };
        if at.0 <= self.before_restart {
            return;
        }
        match at.1 {
            Rpc::GlobalToZone => self.subscriptions.entry(zone.clone()).or_default().push(counters),
            Rpc::ZoneToGlobal => drop(self.unanswered.remove(&at.0)),
            _ => {}
        }
        let open = self.streams.iter().filter(|((of, rpc), stream)| {
            *rpc == at.1 && stream.zone == zone && stream.ended().is_none() && *of > self.before_restart
        });
        self.global.open(&zone, at.1.name(), open.count()).await;
    }

    pub(crate) fn stream(&mut self, at: At) -> &mut Stream {
        self.streams.get_mut(&at).unwrap_or_else(|| panic!("no stream {at:?} at line {}", self.index))
    }

    /// Notes a difference.
    pub(crate) fn note(&mut self, what: &str, ours: &str, recorded: &str) {
        let place = format!("{}: {what}", self.place());
        self.found.insert((Difference { place, ours: ours.to_owned() }, recorded.to_owned()));
    }

    /// Notes a difference that has no place of its own.
    pub(crate) fn note_anywhere(&mut self, place: &str, ours: &str) {
        self.found.insert((Difference { place: place.to_owned(), ours: ours.to_owned() }, String::new()));
    }

    /// Notes how our stream ended where the recorded one did not.
    pub(crate) fn note_end(&mut self, at: At, recorded: &str) {
        let ours = shown(self.stream(at).ended().expect("an end"));
        self.note(at.1.name(), &ours, recorded);
    }

    /// The step, shortened: of a probe its number.
    fn place(&self) -> String {
        let number = self.step.split_once(':').map(|(number, _)| number);
        let is_probe = |text: &&str| text.len() <= 4 && text.starts_with(['p', 'h']);
        let step = self.step.split_once(',').map_or(self.step.as_str(), |(start, _)| start);
        number.filter(is_probe).unwrap_or(step).to_owned()
    }

    /// Our global starts again, empty.
    pub(crate) async fn restart(&mut self) {
        self.global.restart_empty().await;
        for stream in self.streams.values_mut() {
            stream.end().await;
        }
        self.before_restart = self.peers.keys().max().copied().unwrap_or_default();
        self.held = Held::at_start(&self.global).await;
        self.reported.clear();
        self.subscriptions.clear();
        let (watching, watch) = silence::watch(&self.global).await;
        self.watch = watch;
        self._watching = watching;
    }
}

fn end_with(code: &str, text: &str) -> String {
    if text.is_empty() { format!("ends with {code}") } else { format!("ends with {code}: {text}") }
}

/// An end as the recordings write it.
pub(crate) fn shown(ended: &Ended) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = NAMES.get(ended.code as usize).unwrap_or(&"?");
    end_with(name, &ended.message)
}
