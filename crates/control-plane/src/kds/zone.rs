//! The zone's end: keeps one connection to global, moves to a new token without a gap, and says how it stands.
//!
//! Whatever happens to the connection, the zone goes on serving what it has. A new token in the file is tried on a
//! connection of its own; the old connection is dropped only when the new one was accepted.

mod admin;
mod backoff;
mod consume;
mod dial;
mod ended;
mod legacy_policies;
mod link;
mod provide;
mod reports;
mod sanitise;
mod session;
mod token;

use std::{pin::Pin, sync::Arc, time::Duration};

use model::ZoneName;
use store::ResourceStore;
use tokio::{sync::oneshot, time::Instant};
use tracing::{info, warn};

pub use self::{
    dial::{Dialer, Target, Trust},
    legacy_policies::LegacyPolicies,
    link::{Link, LinkState},
    reports::Reports,
    token::{Token, TokenSource},
};
use crate::{
    clock::Clock,
    kds::{
        convert::clip,
        snapshots::{Provider, Snapshots},
        zone::{backoff::Backoff, ended::Ended, session::Session},
    },
    tasks::Tasks,
    zones::insight::Peer,
};

/// What the zone's end needs.
pub struct Options {
    /// The zone.
    pub zone: ZoneName,
    /// How to reach global.
    pub dialer: Dialer,
    /// Where the token comes from.
    pub token: TokenSource,
    /// What this end says of itself.
    pub us: Peer,
    /// The largest message, in bytes.
    pub max_message_size: usize,
    /// The first pause before a new attempt; doubles up to `max_backoff`, with jitter.
    pub base_backoff: Duration,
    /// The longest pause before a new attempt.
    pub max_backoff: Duration,
    /// Labels with these prefixes are not sent.
    pub skip_prefixes: Vec<String>,
    /// How long global may take to answer a response, and how long a stream of a real one may be silent.
    pub patience: Duration,
    /// Where a proxy has its admin interface if its Dataplane names no port.
    pub default_admin_port: u16,
    /// Where the connection reports.
    pub reports: Reports,
}

/// A global that has not served the zone by then is not waited for: something in between may hold the connection open.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(30);

/// What a new connection runs beside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The connection with the old token, which still takes in what comes.
    OldConnection,
}

type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Keeps the connection until the program stops.
pub async fn run(
    options: Options,
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    link: Link,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let provider =
        Provider::Zone { name: options.zone.as_str().to_owned(), skip_prefixes: options.skip_prefixes.clone() };
    let snapshots = Snapshots::start(provider, &store, &options.reports.metrics, &tasks).await;
    let backoff = Backoff::new(options.base_backoff, options.max_backoff);
    let mut keeper = Keeper { options, store, clock, snapshots, link, backoff };
    tokio::select! {
        () = tasks.stopping() => Ok(()),
        () = keeper.keep() => Ok(()),
    }
}

struct Keeper {
    options: Options,
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    snapshots: Snapshots,
    link: Link,
    backoff: Backoff,
}

impl Keeper {
    async fn keep(&mut self) {
        loop {
            self.link.set(LinkState::Connecting);
            let (ended, token) = match self.options.token.read().await {
                Ok(token) => {
                    let (running, accepted) = self.start(token.clone(), Beside::Nothing);
                    self.hold(running, accepted, token).await
                }
                Err(error) => (Ended::NoToken(error.to_string()), None),
            };
            let pause = self.backoff.pause(ended.lasted());
            self.link.set(ended.state());
            warn!(
                target: "kds.zone",
                reason = %clip(&ended.to_string()),
                advice = Some(ended.advice()).filter(|advice| !advice.is_empty()),
                retryIn = %format_args!("{:.1}s", pause.as_secs_f64()),
                "not connected to the global control plane; this zone keeps serving what it has"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.options.token.changed_from(token.as_ref()) => {
                    info!(target: "kds.zone", "the token changed, trying it now");
                }
            }
        }
    }

    fn start(&self, token: Option<Token>, beside: Beside) -> (Running, oneshot::Receiver<()>) {
        let (accept, accepted) = oneshot::channel();
        let session = Session {
            zone: self.options.zone.clone(),
            dialer: self.options.dialer.clone(),
            token,
            us: self.options.us.clone(),
            max_message_size: self.options.max_message_size,
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            snapshots: self.snapshots.clone(),
            patience: self.options.patience,
            alone: beside == Beside::Nothing,
            reports: self.options.reports.clone(),
            default_admin_port: self.options.default_admin_port,
        };
        (Box::pin(session.run(accept)), accepted)
    }

    /// Holds a connection until it ends, moving to newer tokens as they come. Returns the token it stood on last.
    async fn hold(
        &mut self,
        mut running: Running,
        mut accepted: oneshot::Receiver<()>,
        mut token: Option<Token>,
    ) -> (Ended, Option<Token>) {
        let mut up = false;
        let mut patience = Instant::now() + ACCEPTED_WITHIN;
        // The newest token that was tried: one that was refused is not tried again until the file changes.
        let mut tried = token.clone();
        loop {
            tokio::select! {
                ended = running.as_mut() => return (ended, token),
                () = tokio::time::sleep_until(patience), if !up => return (Ended::Silent, token),
                Ok(()) = &mut accepted, if !up => {
                    up = true;
                    self.link.set(LinkState::Connected { since: self.clock.now() });
                    info!(target: "kds.zone", zone = %self.options.zone, global = %self.options.dialer.target(), "connected to the global control plane");
                }
                () = self.options.token.changed_from(tried.as_ref()) => {
                    let Ok(newer) = self.options.token.read().await else { continue };
                    tried.clone_from(&newer);
                    let (mut candidate, mut candidate_accepted) = self.start(newer.clone(), Beside::OldConnection);
                    info!(target: "kds.zone", "the token changed, opening a connection with the new one");
                    tokio::select! {
                        ended = running.as_mut() => {
                            // The old connection is gone anyway: all hope is on the new one.
                            info!(target: "kds.zone", reason = %clip(&ended.to_string()), "the connection with the old token ended");
                            (running, accepted, token, up) = (candidate, candidate_accepted, newer, false);
                            patience = Instant::now() + ACCEPTED_WITHIN;
                            self.link.set(ended.state());
                        }
                        ended = candidate.as_mut() => {
                            warn!(target: "kds.zone", reason = %clip(&ended.to_string()), "the new token was not accepted, keeping the connection with the old one");
                        }
                        () = tokio::time::sleep(ACCEPTED_WITHIN) => {
                            warn!(target: "kds.zone", "the connection with the new token is not served, keeping the one with the old token");
                        }
                        Ok(()) = &mut candidate_accepted => {
                            (running, token, up) = (candidate, newer, true);
                            self.link.set(LinkState::Connected { since: self.clock.now() });
                            info!(target: "kds.zone", zone = %self.options.zone, "the new token was accepted, the old connection is dropped");
                        }
                    }
                }
            }
        }
    }
}
