//! One GlobalToZoneSync stream at the global: the zone asks, global provides.

mod shared;

use std::sync::Arc;

use model::{Key, Kind, text};
use sync::{Audience, Features, Reaction, Release, Sender, SizeNotice, Unreadable, WireName};
use tokens::KeyName;
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Status};
use tracing::{debug, info, warn};

pub(crate) use self::shared::Shared;
use crate::{
    kds::{
        frames::{
            inbound::Inbound,
            outbound::{Frames, NotSent},
        },
        global::context::Context,
        messages::{convert, request::Request},
        snapshots::World,
        unanswered::Unanswered,
    },
    observe::kds_metrics::Client,
    zones::{
        caller::Origin,
        confirmed::Confirming,
        insight::{Instance, StreamName},
        registry::{CloseReason, News, StreamGuard},
    },
};

/// Kinds that one stream may ask for; a real zone asks for 45.
const KINDS: usize = 128;

/// How the stream was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// There was a token, good or not.
    pub(crate) token_provided: bool,
    /// From where.
    pub(crate) origin: Origin,
}

/// Serves the stream until it ends, then tells the peer why.
pub(crate) async fn serve(
    context: Arc<Context>,
    shared: Arc<Shared>,
    mut guard: StreamGuard,
    mut inbound: Inbound<Request>,
    mut frames: Frames,
    opened: Opened,
) -> Code {
    let zone = guard.caller().zone().clone();
    if let Err(status) = context.ensure_zone(&zone).await {
        return frames.end_with(Some(status));
    }
    context.insights.stream_opened(&zone, StreamName::GlobalToZoneSync);
    let subscription = context.insights.subscribe(&zone, opened.token_provided);
    context.insights.stands_on(&zone, &subscription, guard.caller(), &opened.origin);
    if guard.would_be_refused().is_some() {
        context.insights.show_would_be_refused(&zone);
    }
    let unanswered = Unanswered::new(context.settings.msg_send_timeout);
    let mut stream = Stream {
        context: &context,
        shared: &shared,
        guard: &mut guard,
        subscription: &subscription,
        origin: opened.origin,
        supply: None,
        described: false,
        unanswered,
    };
    let status = stream.run(&mut inbound, &mut frames).await;
    // Before the log is written: a thousand streams may end together.
    let code = frames.end_with(status.clone());
    context.insights.unsubscribe(&zone, &subscription);
    match &status {
        Some(status) => {
            info!(code = ?status.code(), reason = %text::of_peer(status.message()), "GlobalToZoneSync ended");
        }
        None => info!("GlobalToZoneSync ended by the zone"),
    }
    code
}

struct Stream<'a> {
    context: &'a Context,
    shared: &'a Shared,
    guard: &'a mut StreamGuard,
    subscription: &'a str,
    origin: Origin,
    /// Known after the first request: its features decide what the zone sees.
    supply: Option<Supply>,
    /// The zone said what it is.
    described: bool,
    unanswered: Unanswered,
}

struct Supply {
    sender: Sender,
    world: watch::Receiver<Arc<World>>,
    kinds: usize,
    /// Names carry their hash.
    hashed: bool,
    confirming: Confirming,
    _client: Client,
}

/// Keys that zones verify with are secrets of these kinds.
const OF_KEYS: [Kind; 2] = [Kind::GLOBAL_SECRET, Kind::SECRET];

impl Supply {
    /// Takes note of the keys that the zone has of a kind from now on.
    fn note_keys(&self, kind: &str) {
        let Some(kind) = OF_KEYS.into_iter().find(|of_keys| of_keys.name == kind) else { return };
        let names = self.sender.delivered(kind.name).filter(|name| KeyName::parse(&name.mesh, &name.name).is_some());
        let key = |name: &WireName| Key { kind, mesh: name.mesh.clone(), name: name.name.clone() };
        self.confirming.confirmed(kind, names.map(key).collect());
    }

    /// Takes note that nobody knows which keys the zone has of a kind.
    fn note_rejection(&self, kind: &str) {
        if let Some(kind) = OF_KEYS.into_iter().find(|of_keys| of_keys.name == kind) {
            self.confirming.rejected(kind);
        }
    }
}

impl Stream<'_> {
    /// Returns the status to end with, or `None` if the peer is gone.
    async fn run(&mut self, inbound: &mut Inbound<Request>, frames: &mut Frames) -> Option<Status> {
        loop {
            // Biased: a stream that lost its right to live must not send one more message.
            tokio::select! {
                biased;
                news = self.guard.news() => match news {
                    News::Closed(reason) => return Some(convert::close_status(&reason)),
                    News::Renewed(newer) => {
                        self.context.insights.stands_on(newer.zone(), self.subscription, &newer, &self.origin);
                        continue;
                    }
                },
                message = inbound.message() => match message {
                    Ok(Some(message)) => {
                        if let Err(status) = self.take(message).await {
                            return Some(status);
                        }
                    }
                    // A half-closed stream stays open and silent at a real global; end it, so that the zone comes back.
                    Ok(None) => return Some(Status::unavailable("the zone closed its side of the stream")),
                    Err(status) if matches!(status.code(), Code::Cancelled | Code::Unknown) => return None,
                    Err(status) => return Some(convert::inbound_status(status)),
                },
                () = changed(&mut self.supply) => {}
                () = self.unanswered.overdue() => self.report_overdue(),
            }
            if let Err(status) = self.send(frames) {
                return status;
            }
        }
    }

    async fn take(&mut self, message: Request) -> Result<(), Status> {
        let zone = self.guard.caller().zone().clone();
        let malformed = |malformed| convert::malformed_status(&malformed);
        let (request, from) = convert::request(message, zone.as_str()).map_err(malformed)?;
        // Every first request says it all, and one of them is enough.
        let said = if self.described { None } else { from.instance().map_err(malformed)? };
        if let Some(said) = &said {
            self.described = true;
            self.describe(said);
        }
        if self.supply.is_none() {
            self.supply = Some(self.supply(&said.unwrap_or_default()).await?);
        }
        let Some(supply) = &mut self.supply else { return Ok(()) };
        let reaction =
            supply.sender.on_request(request).map_err(|broken| Status::invalid_argument(broken.to_string()))?;
        match &reaction {
            Reaction::Acknowledged { kind, .. } | Reaction::Rejected { kind, .. } => self.answered(kind),
            Reaction::Subscribed { .. } | Reaction::Repeated { .. } => {}
        }
        let Some(supply) = &mut self.supply else { return Ok(()) };
        match reaction {
            Reaction::Subscribed { .. } => {
                supply.kinds += 1;
                if supply.kinds > KINDS {
                    return Err(Status::resource_exhausted(format!("more than {KINDS} types on one stream")));
                }
            }
            Reaction::Acknowledged { kind, nonce } => {
                supply.note_keys(&kind);
                self.context.metrics.acknowledged(&kind);
                self.context.insights.acknowledged(&zone, self.subscription, &kind);
                debug!(kind, nonce, "acknowledged");
            }
            Reaction::Rejected { kind, nonce, reason } => {
                supply.note_rejection(&kind);
                self.context.metrics.rejected(zone.as_str(), &kind, &reason);
                self.context.insights.rejected(&zone, self.subscription, &kind, &reason);
                warn!(kind, nonce, reason = %text::of_peer(&reason), "the zone rejected a response; what was not rejected is in force there");
            }
            Reaction::Repeated { .. } => {}
        }
        Ok(())
    }

    /// Keeps what the zone says of itself, and ends an older instance of it.
    fn describe(&mut self, said: &Instance) {
        let zone = self.guard.caller().zone();
        self.context.insights.described(zone, self.subscription, said);
        if said.id.is_empty() {
            return;
        }
        for closed in self.context.registry.identify(self.guard.id(), &said.id) {
            if let CloseReason::Replaced { by } = &closed.reason {
                warn!(instance = %text::of_peer(by), method = closed.method, "two instances of one zone, the older one is ended");
            }
        }
    }

    /// Makes the provider for a zone with these features.
    async fn supply(&self, said: &Instance) -> Result<Supply, Status> {
        let version = said.version.version.as_str();
        let features = Features::from_names(said.features.iter().map(String::as_str)) | Features::of_version(version);
        let snapshots = self.shared.snapshots(features).await?;
        let mut world = snapshots.subscribe();
        let drops_rejected_batches = Release::parse(version).is_some_and(Release::drops_rejected_batches);
        let zone = self.guard.caller().zone().as_str().to_owned();
        let mut sender = Sender::new(Audience { zone, features, drops_rejected_batches });
        for snapshot in world.borrow_and_update().snapshots() {
            sender.on_snapshot(Arc::clone(snapshot));
        }
        let hashed = features.contains(Features::HASH_SUFFIX);
        let client = self.context.metrics.client(&said.version.version);
        let confirming = self.context.confirmed.open(self.guard.id(), self.guard.caller().zone());
        Ok(Supply { sender, world, kinds: 0, hashed, confirming, _client: client })
    }

    /// Sends what the sender wants to send now. The error is the status to end with; `None` if the peer is gone.
    fn send(&mut self, frames: &mut Frames) -> Result<(), Option<Status>> {
        let zone = self.guard.caller().zone().clone();
        let Some(supply) = &mut self.supply else { return Ok(()) };
        let limit = self.context.settings.max_msg_size;
        loop {
            // Room for the frame first: a peer that does not read must not make the sender forget a response.
            let room = match frames.reserve() {
                Ok(room) => room,
                Err(NotSent::Gone) => return Err(None),
                Err(NotSent::Full) => {
                    self.context.metrics.not_read("");
                    return Err(Some(Status::resource_exhausted("the zone does not read its responses")));
                }
            };
            let Some(response) = supply.sender.next_within(limit) else { break };
            let frame = self.shared.frame(&response, supply.hashed);
            self.context.metrics.sent(&response.kind, frame.len());
            self.context.insights.sent(&zone, self.subscription, &response.kind);
            self.unanswered.sent(&response.kind, Instant::now());
            debug!(
                kind = response.kind,
                nonce = response.nonce,
                changed = response.changed.len(),
                removed = response.removed.len(),
                "sent"
            );
            room.send(frame);
        }
        for unreadable in supply.sender.take_unreadable() {
            self.context.insights.unreadable(&zone, &unreadable);
            let Unreadable { kind, since, not_sent, in_part, .. } = &unreadable;
            if unreadable.is_over() {
                info!(kind, "the version of the zone reads all of a type again");
            } else {
                self.context.metrics.unreadable(zone.as_str(), kind);
                warn!(
                    kind,
                    since,
                    not_sent,
                    in_part,
                    "the version of the zone cannot read some resources of a type: they are not sent, or mean nothing there in part; update the zone, or write them in the older form"
                );
            }
        }
        for notice in supply.sender.take_size_notices() {
            self.context.insights.sized(&zone, &notice, limit);
            match notice {
                SizeNotice::TooLarge { kind, resource, bytes } => {
                    self.context.metrics.too_large(zone.as_str(), &kind);
                    let resource = resource.map(|name| name.to_string());
                    warn!(
                        kind,
                        resource,
                        bytes,
                        limit,
                        "a type does not fit into one message and is not sent; the other types are"
                    );
                }
                SizeNotice::Fits { kind } => {
                    info!(kind, "a type that was too large for one message fits again");
                }
            }
        }
        Ok(())
    }

    /// Says once that a zone does not answer: it may be stuck, or the network in between.
    fn report_overdue(&mut self) {
        let zone = self.guard.caller().zone();
        let limit = self.unanswered.limit();
        let since = self.context.clock.now().checked_sub(limit).ok();
        for kind in self.unanswered.report(Instant::now()) {
            self.context.metrics.unacknowledged(zone.as_str(), &kind);
            self.context.insights.unacknowledged(zone, &kind, since);
            warn!(
                kind,
                seconds = limit.as_secs(),
                "the zone does not acknowledge a response; changes of this type wait until it does"
            );
        }
    }

    fn answered(&mut self, kind: &str) {
        let Some(answered) = self.unanswered.answered(kind, Instant::now()) else { return };
        self.context.metrics.delivered(answered.took);
        if answered.reported {
            let zone = self.guard.caller().zone();
            self.context.insights.unacknowledged(zone, kind, None);
            info!(kind, seconds = answered.took.as_secs(), "the zone acknowledged a response at last");
        }
    }
}

/// Resolves when the provider has new snapshots, and gives them to the sender. Cancel safe.
async fn changed(supply: &mut Option<Supply>) {
    let Some(supply) = supply else { return std::future::pending().await };
    if supply.world.changed().await.is_err() {
        return std::future::pending().await;
    }
    let world = Arc::clone(&supply.world.borrow_and_update());
    for snapshot in world.snapshots() {
        supply.sender.on_snapshot(Arc::clone(snapshot));
    }
}
