//! A bad network between a zone and its global, without root: a TCP relay on loopback that the zone dials.
//!
//! ```text
//! zone ── TLS, HTTP/2, unchanged ──► relay (ephemeral port) ──► global
//!        latency, lost segments, an outage, a dead direction, an end that is gone
//! ```
//!
//! It models what a program sees of a network, not packets. A lost segment of a TCP stream never shows as missing bytes:
//! it shows as a stall of a retransmission time (here 200 ms to 1 s, drawn anew if the retransmission is lost too) of
//! that segment **and of everything behind it** in its direction. Latency is added to each direction. What is not
//! modelled: loss while a connection is being opened, congestion windows that shrink, reordering.
//!
//! Two outages: [`Relay::hold`] is one that TCP rides out, bytes wait and arrive late; [`Relay::partition`] is one after
//! which something in between has forgotten the connections: what was sent is gone, and neither end is told (no FIN, no
//! RST), also after [`Relay::heal`], which only lets new connections through.

mod link;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::watch,
};

use self::link::Fate;
use crate::seed::Chance;

/// A way through the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the zone to global.
    Up,
    /// From global to the zone.
    Down,
}

/// An end of the connections through the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that dials.
    Zone,
    /// The one that listens.
    Global,
}

/// How good the way is.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    /// Added in each direction.
    latency: Duration,
    /// How many of a thousand segments are lost.
    lost_thousandths: u64,
}

/// What becomes of new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Open,
    Held,
    Partitioned,
}

/// A relay between one zone and its global. Ends with the test.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    global: SocketAddr,
    seed: u64,
    state: Mutex<State>,
}

struct State {
    reach: Reach,
    quality: Quality,
    /// How many connections were dialled.
    dialled: usize,
    /// The connections that stand.
    links: Vec<watch::Sender<Fate>>,
}

impl Relay {
    /// Starts a relay to a global; a perfect network until it is told otherwise.
    pub fn to(global: SocketAddr, seed: u64) -> Self {
        let state = State { reach: Reach::Open, quality: Quality::default(), dialled: 0, links: Vec::new() };
        let shared = Arc::new(Shared { global, seed, state: Mutex::new(state) });
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, runtime: Some(runtime) }
    }

    /// Where the zone dials.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were dialled so far, those into a partition included.
    pub fn dialled(&self) -> usize {
        self.shared.lock().dialled
    }

    /// Adds latency to each direction, and loses so many of a thousand segments.
    pub fn slow(&self, latency: Duration, lost_thousandths: u64) {
        self.shared.lock().quality = Quality { latency, lost_thousandths };
    }

    /// Nothing comes through any more; what is sent meanwhile arrives after [`Relay::heal`].
    pub fn hold(&self) {
        self.shared.lock().reach = Reach::Held;
        self.doom(|fate| fate.held = true);
    }

    /// Nothing comes through any more. The connections that stand, and those dialled meanwhile, are dead for good, and
    /// nobody is told.
    pub fn partition(&self) {
        self.shared.lock().reach = Reach::Partitioned;
        self.doom(Fate::die);
    }

    /// Ends a hold, and lets new connections through again.
    pub fn heal(&self) {
        self.shared.lock().reach = Reach::Open;
        self.doom(|fate| fate.held = false);
    }

    /// One direction of the connections that stand is dead for good, and nobody is told.
    pub fn lose(&self, direction: Direction) {
        self.doom(|fate| match direction {
            Direction::Up => fate.up_lost = true,
            Direction::Down => fate.down_lost = true,
        });
    }

    /// One end of the connections that stand is gone: its side is reset. The other end is not told; its side stays open
    /// and silent.
    pub fn abandon(&self, end: End) {
        self.doom(|fate| {
            fate.die();
            fate.reset(end);
        });
    }

    /// Resets the connections that stand, at both ends.
    pub fn cut(&self) {
        self.doom(|fate| {
            fate.reset(End::Zone);
            fate.reset(End::Global);
        });
    }

    fn doom(&self, change: impl Fn(&mut Fate)) {
        let mut state = self.shared.lock();
        state.links.retain(|link| !link.is_closed());
        for link in &state.links {
            link.send_modify(&change);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the next segment takes on its way, and how long it holds back what is behind it.
    fn way(&self, chance: &mut Chance) -> (Duration, Duration) {
        let Quality { latency, lost_thousandths } = self.lock().quality;
        let mut stall = Duration::ZERO;
        while chance.happens(lost_thousandths) {
            stall += Duration::from_millis(200 + chance.below(800));
        }
        (latency, stall)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((zone, _)) = listener.accept().await else { continue };
        let (fate, number) = {
            let mut state = shared.lock();
            state.dialled += 1;
            let (sender, fate) = watch::channel(Fate { held: state.reach == Reach::Held, ..Fate::default() });
            if state.reach == Reach::Partitioned {
                sender.send_modify(Fate::die);
            }
            state.links.push(sender);
            (fate, state.dialled)
        };
        tokio::spawn(link::run(zone, number, Arc::clone(&shared), fate));
    }
}

#[cfg(test)]
mod tests;
