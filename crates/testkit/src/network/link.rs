//! One connection through the relay: segments in both directions, each with the time at which it arrives.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Direction, End, Shared};
use crate::seed::Chance;

/// What one segment carries.
const SEGMENT: usize = 1448;
/// Segments under way in one direction: what TCP would keep in flight (3 MiB). More waits at its source.
const WINDOW: usize = 2048;

/// What became of a connection. What is lost or reset stays so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub(super) held: bool,
    pub(super) up_lost: bool,
    pub(super) down_lost: bool,
    pub(super) zone_reset: bool,
    pub(super) global_reset: bool,
}

impl Fate {
    /// Loses both directions.
    pub(super) fn die(&mut self) {
        self.up_lost = true;
        self.down_lost = true;
    }

    /// Resets the side of an end.
    pub(super) fn reset(&mut self, end: End) {
        match end {
            End::Zone => self.zone_reset = true,
            End::Global => self.global_reset = true,
        }
    }

    fn lost(&self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.up_lost,
            Direction::Down => self.down_lost,
        }
    }

    fn is_reset(&self, end: End) -> bool {
        match end {
            End::Zone => self.zone_reset,
            End::Global => self.global_reset,
        }
    }
}

impl Direction {
    fn source(self) -> End {
        match self {
            Self::Up => End::Zone,
            Self::Down => End::Global,
        }
    }

    fn target(self) -> End {
        match self {
            Self::Up => End::Global,
            Self::Down => End::Zone,
        }
    }
}

/// Carries a connection that the zone dialled until both sides are closed.
pub(super) async fn run(zone: TcpStream, number: usize, shared: Arc<Shared>, mut fate: watch::Receiver<Fate>) {
    if fate.borrow().lost(Direction::Up) {
        return swallow(zone, &mut fate).await;
    }
    let Ok(global) = TcpStream::connect(shared.global).await else {
        // Nobody listens there: the zone is told, as it would be by the machine of a global that is down.
        let _gone = zone.set_zero_linger();
        return;
    };
    let _gone = (zone.set_nodelay(true), global.set_nodelay(true));
    let (from_zone, to_zone) = zone.into_split();
    let (from_global, to_global) = global.into_split();
    let chance = |direction: Direction| Chance::of(shared.seed, &format!("connection {number} {direction:?}"));
    tokio::join!(
        pump(from_zone, to_global, Direction::Up, &shared, chance(Direction::Up), fate.clone()),
        pump(from_global, to_zone, Direction::Down, &shared, chance(Direction::Down), fate.clone()),
    );
}

/// A connection into a partition: it looks open, and nobody is there.
async fn swallow(mut zone: TcpStream, fate: &mut watch::Receiver<Fate>) {
    let mut nowhere = [0; SEGMENT];
    loop {
        tokio::select! {
            () = reset(fate, End::Zone) => {
                let _gone = zone.set_zero_linger();
                return;
            }
            read = zone.read(&mut nowhere) => if !matches!(read, Ok(1..)) { return },
        }
    }
}

struct Segment {
    bytes: Vec<u8>,
    arrives: Instant,
}

async fn pump(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    direction: Direction,
    shared: &Shared,
    chance: Chance,
    fate: watch::Receiver<Fate>,
) {
    let (sent, under_way) = mpsc::channel(WINDOW);
    tokio::join!(send(from, sent, direction, shared, chance, fate.clone()), deliver(under_way, to, direction, fate));
}

/// Takes segments from the source until it closes. Dropping the channel tells the other half.
async fn send(
    mut from: OwnedReadHalf,
    sent: mpsc::Sender<Segment>,
    direction: Direction,
    shared: &Shared,
    mut chance: Chance,
    mut fate: watch::Receiver<Fate>,
) {
    let mut last = Instant::now();
    let mut buffer = [0; SEGMENT];
    loop {
        let read = tokio::select! {
            biased;
            () = reset(&mut fate, direction.source()) => {
                let _gone = from.as_ref().set_zero_linger();
                return;
            }
            read = from.read(&mut buffer) => read,
        };
        let Ok(length @ 1..) = read else { return };
        if fate.borrow().lost(direction) {
            continue;
        }
        let (latency, stall): (Duration, Duration) = shared.way(&mut chance);
        last = last.max(Instant::now() + latency) + stall;
        let segment = Segment { bytes: buffer.iter().take(length).copied().collect(), arrives: last };
        tokio::select! {
            biased;
            () = reset(&mut fate, direction.source()) => {
                let _gone = from.as_ref().set_zero_linger();
                return;
            }
            room = sent.send(segment) => if room.is_err() { return },
        }
    }
}

/// Hands segments to the target as they arrive, until its side is reset or everything was said.
async fn deliver(
    under_way: mpsc::Receiver<Segment>,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut fate: watch::Receiver<Fate>,
) {
    let following = fate.clone();
    tokio::select! {
        biased;
        () = reset(&mut fate, direction.target()) => {
            let _gone = to.as_ref().set_zero_linger();
            // Without a polite end before the reset.
            to.forget();
        }
        () = carry(under_way, &mut to, direction, following) => {}
    }
}

/// Returns when the source has closed and the target shall hear of it, which it does not if the direction is lost.
async fn carry(
    mut under_way: mpsc::Receiver<Segment>,
    to: &mut OwnedWriteHalf,
    direction: Direction,
    mut fate: watch::Receiver<Fate>,
) {
    while let Some(Segment { bytes, arrives }) = under_way.recv().await {
        tokio::time::sleep_until(arrives).await;
        if passes(&mut fate, direction).await && to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    if !passes(&mut fate, direction).await {
        std::future::pending().await
    }
}

/// Waits for the end of a hold; returns whether what is under way arrives.
async fn passes(fate: &mut watch::Receiver<Fate>, direction: Direction) -> bool {
    fate.wait_for(|fate| !fate.held || fate.lost(direction)).await.is_ok_and(|fate| !fate.lost(direction))
}

/// Resolves when the side of an end is reset. Cancel safe.
async fn reset(fate: &mut watch::Receiver<Fate>, end: End) {
    if fate.wait_for(|fate| fate.is_reset(end)).await.is_err() {
        std::future::pending().await
    }
}
