//! The zone's end: keeps one connection to global, moves to a new token without a gap, and says how it stands.
//!
//! Whatever happens to the connection, the zone goes on serving what it has. A new token in the file is tried on a
//! connection of its own; the old connection is dropped only when the new one was accepted. A token that global renews
//! needs no new connection, but where a balancer has spread the streams of one. Of several instances of a zone the one that
//! leads is connected, and no other.

mod admin;
mod backoff;
mod consume;
mod ended;
mod held_token;
mod lead;
mod legacy_policies;
mod line;
mod own_meshes;
mod provide;
mod renewal;
mod reports;
mod sanitise;
mod schedule;
mod session;
mod shared;
mod silence;
mod stream_count;
mod streams;
mod token;
mod token_file;

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use model::{ZoneName, text};
use store::ResourceStore;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tracing::{error, info, warn};

pub(crate) use self::{
    backoff::Backoff,
    ended::Ended,
    held_token::HeldToken,
    lead::Lead,
    legacy_policies::LegacyPolicies,
    line::{Bearer, Channel, Line, NO_ROOM},
    own_meshes::OwnMeshes,
    reports::Reports,
    shared::Shared,
    stream_count::Streams,
    token::{Token, TokenError, TokenSource},
};
use crate::{
    clock::Clock,
    cluster::Epoch,
    kds::{
        dial::Dialer,
        link::{Link, LinkState},
        snapshots::{Provider, Snapshots},
        zone::session::Session,
    },
    records::RecordError,
    tasks::Tasks,
    zones::insight::Instance,
};

/// What the zone's end needs.
pub(crate) struct Options {
    pub zone: ZoneName,
    /// How to reach global.
    pub dialer: Dialer,
    /// Where the token comes from.
    pub token: TokenSource,
    /// Whether global is asked for the next token.
    pub renew_token: bool,
    /// What this end says of itself.
    pub us: Instance,
    /// The largest message, in bytes.
    pub max_message_size: usize,
    /// The first pause before a new attempt; doubles up to `max_backoff`, with jitter.
    pub base_backoff: Duration,
    /// The longest pause before a new attempt.
    pub max_backoff: Duration,
    /// Labels with these prefixes are not sent.
    pub skip_prefixes: Vec<String>,
    /// How long global may take to answer a response, and how long a stream of a real one may be silent.
    pub msg_send_timeout: Duration,
    /// Where a proxy has its admin interface if its Dataplane names no port.
    pub default_admin_port: u16,
    /// What the zone had before it joined.
    pub own_meshes: Arc<OwnMeshes>,
    /// Whether this instance of the zone is the one that connects.
    pub lead: Lead,
    /// What the instances of the zone keep for each other, if there may be several.
    pub shared: Option<Arc<Shared>>,
    /// Where the connection reports.
    pub reports: Reports,
}

/// A global that has not accepted the zone by then is not waited for: something in between may hold the connection open.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(30);

/// What a new connection runs beside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The connection with the old token, which still takes in what comes.
    OldConnection,
}

/// A connection, and what is known of it.
struct RunningSession {
    running: Pin<Box<dyn Future<Output = Ended> + Send>>,
    /// Tells a token that needs a connection of its own.
    reopen: mpsc::Receiver<Token>,
    /// See `Session`.
    accepted: Arc<Notify>,
    /// See `Session`.
    predecessor_gone: Arc<Notify>,
    /// Global accepted it.
    up: bool,
    /// When it has to be.
    accept_by: Instant,
}

/// Keeps the connection until the program stops.
pub(crate) async fn run(
    options: Options,
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    link: Link,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let provider =
        Provider::Zone { name: options.zone.as_str().to_owned(), skip_prefixes: options.skip_prefixes.clone() };
    let snapshots = Snapshots::start(provider, &store, &options.reports.metrics, &tasks).await?;
    let backoff = Backoff::new(options.base_backoff, options.max_backoff);
    let held_token = HeldToken::new(options.token.clone(), options.renew_token).shared(options.shared.clone());
    let held_token = Arc::new(held_token);
    let mut keeper = Keeper { options, held_token, store, clock, snapshots, link, backoff };
    tokio::select! {
        () = tasks.stopping() => Ok(()),
        () = keeper.keep() => Ok(()),
    }
}

struct Keeper {
    options: Options,
    held_token: Arc<HeldToken>,
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    snapshots: Snapshots,
    link: Link,
    backoff: Backoff,
}

impl Keeper {
    async fn keep(&mut self) {
        let mut lead = self.options.lead.clone();
        loop {
            let epoch = lead.begins(&self.link).await;
            tokio::select! {
                // Biased: who does not lead any more must not dial again.
                biased;
                () = lead.ends(epoch) => {}
                never = self.lead(epoch) => match never {},
            }
            self.options.reports.policies.forget();
            info!(
                epoch = epoch.0,
                "this instance leads its zone no more, what it had of a connection to global is closed"
            );
        }
    }

    /// Keeps the connection as the leader of the zone.
    async fn lead(&mut self, epoch: Epoch) -> Infallible {
        while let Err(problem) = self.take_over(epoch).await {
            let pause = self.backoff.pause();
            let reason = format!("what this zone knew of its global cannot be read: {problem}");
            warn!(%reason, retryIn = %format_args!("{:.1}s", pause.as_secs_f64()), "not connected to the global control plane");
            self.link.set(LinkState::Down { reason, advice: "" });
            tokio::time::sleep(pause).await;
        }
        self.connect(epoch).await
    }

    /// Learns what happened while another instance of the zone led.
    async fn take_over(&self, epoch: Epoch) -> Result<(), RecordError> {
        if let Some(shared) = &self.options.shared {
            shared.leads(epoch);
        }
        self.options.own_meshes.take_over().await?;
        self.held_token.take_over().await
    }

    async fn connect(&mut self, epoch: Epoch) -> Infallible {
        // A refusal to join is for a human: an error when it is new, a warning when it is repeated.
        let mut refused = String::new();
        loop {
            self.link.set(LinkState::Connecting);
            let (ended, was_up) = match self.held_token.read().await {
                Ok(token) => {
                    let connection = self.start(token, epoch, Beside::Nothing);
                    self.hold(connection, epoch).await
                }
                Err(error) => (Ended::NoToken(error.to_string()), false),
            };
            if matches!(ended, Ended::Rpc { .. }) && ended.is_refusal() {
                self.held_token.refused();
            }
            if !matches!(ended, Ended::NoToken(_) | Ended::Refused(_)) {
                // Another global may do what this one does not.
                self.options.dialer.set_aside();
            }
            let pause = if was_up { self.backoff.pause_after(ended.lasted()) } else { self.backoff.pause() };
            self.link.set(ended.state());
            if let Ended::Refused(refusal) = &ended
                && refusal.to_string() != refused
            {
                refused = refusal.to_string();
                error!(reason = %refused, advice = ended.advice(), "this zone does not join the global control plane");
            }
            warn!(
                reason = %text::of_peer(&ended.to_string()),
                advice = Some(ended.advice()).filter(|advice| !advice.is_empty()),
                retryIn = %format_args!("{:.1}s", pause.as_secs_f64()),
                "not connected to the global control plane; this zone keeps serving what it has"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.held_token.changed() => {
                    info!("the token changed, trying it now");
                }
            }
        }
    }

    fn start(&self, token: Option<Token>, epoch: Epoch, beside: Beside) -> RunningSession {
        let (accepted, predecessor_gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (reopen, reopened) = mpsc::channel(1);
        let line = Line {
            zone: self.options.zone.clone(),
            bearer: Bearer::new(token),
            held_token: Arc::clone(&self.held_token),
            version: self.options.us.version.version.clone(),
            clock: self.clock.clone(),
            accepted: Arc::clone(&accepted),
            reopen,
            streams: Streams::default(),
            learned: watch::Sender::new(None),
            told_to_renew: watch::Sender::new(false),
        };
        let session = Session {
            line,
            dialer: self.options.dialer.clone(),
            us: self.options.us.clone(),
            max_message_size: self.options.max_message_size,
            store: Arc::clone(&self.store),
            epoch,
            snapshots: self.snapshots.clone(),
            msg_send_timeout: self.options.msg_send_timeout,
            alone: beside == Beside::Nothing,
            reports: self.options.reports.clone(),
            default_admin_port: self.options.default_admin_port,
            own_meshes: Arc::clone(&self.options.own_meshes),
            predecessor_gone: Arc::clone(&predecessor_gone),
        };
        let running = Box::pin(session.run());
        RunningSession {
            running,
            reopen: reopened,
            accepted,
            predecessor_gone,
            up: false,
            accept_by: Instant::now() + ACCEPTED_WITHIN,
        }
    }

    /// Holds a connection until it ends, moving to newer tokens as they come. One that was refused is not tried again until
    /// the file changes. Returns why the last one ended, and whether global had accepted it.
    async fn hold(&self, mut current: RunningSession, epoch: Epoch) -> (Ended, bool) {
        loop {
            tokio::select! {
                // Biased: what the connection says of itself counts before what its silence would say.
                biased;
                ended = current.running.as_mut() => return (ended, current.up),
                () = current.accepted.notified(), if !current.up => self.up(&mut current),
                () = tokio::time::sleep_until(current.accept_by), if !current.up => return (Ended::Silent, false),
                Some(token) = current.reopen.recv() => {
                    let candidate = self.start(Some(token), epoch, Beside::OldConnection);
                    info!("not all streams stand on the renewed token, opening a connection with it");
                    current = self.choose(current, candidate).await;
                }
                () = self.held_token.changed() => {
                    let Ok(newer) = self.held_token.read().await else { continue };
                    let candidate = self.start(newer, epoch, Beside::OldConnection);
                    info!("the token changed, opening a connection with the new one");
                    current = self.choose(current, candidate).await;
                }
            }
        }
    }

    /// Waits until one of two connections is the better one, and drops the other.
    async fn choose(&self, mut old: RunningSession, mut candidate: RunningSession) -> RunningSession {
        loop {
            tokio::select! {
                // Biased: as above; and a connection that ended was not accepted, whatever came before.
                biased;
                ended = old.running.as_mut() => {
                    // The old connection is gone anyway: all hope is on the new one.
                    info!(reason = %text::of_peer(&ended.to_string()), "the connection with the old token ended");
                    candidate.accept_by = Instant::now() + ACCEPTED_WITHIN;
                    candidate.predecessor_gone.notify_one();
                    self.link.set(ended.state());
                    return candidate;
                }
                ended = candidate.running.as_mut() => {
                    warn!(reason = %text::of_peer(&ended.to_string()), "the new token was not accepted, keeping the connection with the old one");
                    return old;
                }
                () = old.accepted.notified(), if !old.up => self.up(&mut old),
                () = candidate.accepted.notified() => {
                    candidate.up = true;
                    candidate.predecessor_gone.notify_one();
                    self.link.set(LinkState::Connected { since: self.clock.now() });
                    info!(zone = %self.options.zone, "the new token was accepted, the old connection is dropped");
                    return candidate;
                }
                () = tokio::time::sleep_until(candidate.accept_by) => {
                    warn!("the connection with the new token is not served, keeping the one with the old token");
                    return old;
                }
            }
        }
    }

    fn up(&self, connection: &mut RunningSession) {
        connection.up = true;
        self.link.set(LinkState::Connected { since: self.clock.now() });
        info!(zone = %self.options.zone, global = %self.options.dialer.target(), "connected to the global control plane");
    }
}
