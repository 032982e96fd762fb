//! The places of a port as its connections hold them.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};

use super::{
    address::Group,
    book::{Book, Capacity, Entry, Id},
    metrics::{ConnectionMetrics, PortMetrics},
};

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Places are short, and it is the one that proved nothing for longest.
    Displaced,
    /// Nobody proved who they are in time.
    Overdue,
}

impl Told {
    /// What the log says.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Displaced => "connections are short and nobody proved who they are on this one",
            Self::Overdue => "nobody proved who they are in time",
        }
    }
}

/// The places of one port.
pub(crate) struct Port {
    name: &'static str,
    capacity: Capacity,
    book: Mutex<Book<Arc<Message>>>,
    /// A place became free.
    freed: Notify,
    metrics: PortMetrics,
}

/// What a connection is told.
#[derive(Debug, Default)]
struct Message {
    what: AtomicU8,
    told: Notify,
}

impl Message {
    fn tell(&self, what: Told) {
        self.what.store(if what == Told::Displaced { 1 } else { 2 }, Ordering::Relaxed);
        self.told.notify_one();
    }
}

/// Whether a connection got a place.
pub(super) enum Asked {
    /// Yes; another one may have lost it.
    Got {
        /// The place.
        place: Place,
        /// Another one had to go.
        displaced: bool,
    },
    /// Not yet: when one is free, or at the latest then.
    Wait(Option<Instant>),
}

impl Port {
    pub(super) fn new(name: &'static str, capacity: Capacity, metrics: &ConnectionMetrics) -> Arc<Self> {
        let (book, metrics) = (Mutex::new(Book::new(capacity)), metrics.of(name));
        Arc::new(Self { name, capacity, book, freed: Notify::new(), metrics })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Asks for a place for a connection from this address.
    pub(super) fn ask(self: &Arc<Self>, from: IpAddr, now: Instant) -> Asked {
        let (group, message) = (Group::of(from), Arc::<Message>::default());
        let mut book = self.lock();
        let entered = book.enter(group, now, Arc::clone(&message));
        self.gauge(&book);
        drop(book);
        match entered {
            Entry::In { id, in_place_of } => {
                self.metrics.accepted.inc();
                let displaced = in_place_of.is_some();
                if let Some(other) = in_place_of {
                    self.metrics.displaced.inc();
                    other.tell(Told::Displaced);
                }
                let held = Held { port: Arc::clone(self), id, group, message, proven: AtomicBool::new(false) };
                Asked::Got { place: Place(Arc::new(held)), displaced }
            }
            Entry::Wait(until) => Asked::Wait(until),
        }
    }

    /// Notes that a connection has to wait.
    pub(super) fn waits(&self) {
        self.metrics.waited.inc();
    }

    /// Resolves when a place became free since the last call. Cancel safe.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Resolves when a connection has been unproven for too long. Cancel safe.
    pub(super) async fn due(&self) {
        let due = self.lock().due();
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Tells those that have been unproven for too long.
    pub(super) fn tell_overdue(&self, now: Instant) {
        // One by one: places are less short after each.
        loop {
            let Some(message) = self.lock().overdue(now) else { return };
            self.metrics.overdue.inc();
            message.tell(Told::Overdue);
        }
    }

    /// The address with the most unproven connections, and how many it has.
    pub(super) fn heaviest(&self) -> Option<(usize, Group)> {
        self.lock().heaviest()
    }

    /// A place for a connection of a test.
    #[cfg(test)]
    pub(crate) fn place_for_tests(self: &Arc<Self>) -> Place {
        match self.ask([127, 0, 0, 1].into(), Instant::now()) {
            Asked::Got { place, .. } => place,
            Asked::Wait(_) => panic!("no place"),
        }
    }

    fn gauge(&self, book: &Book<Arc<Message>>) {
        self.metrics.unproven.set(i64::try_from(book.unproven()).unwrap_or(i64::MAX));
        self.metrics.proven.set(i64::try_from(book.proven()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Book<Arc<Message>>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; free again when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Place(Arc<Held>);

struct Held {
    port: Arc<Port>,
    id: Id,
    group: Group,
    message: Arc<Message>,
    proven: AtomicBool,
}

impl Place {
    /// Somebody proved who they are on the connection: it keeps its place.
    pub(crate) fn prove(&self) {
        let held = &self.0;
        let mut book = held.port.lock();
        if !held.proven.swap(true, Ordering::Relaxed) {
            book.prove(held.id);
            held.port.gauge(&book);
            drop(book);
            // There is one more place for one that has to prove itself.
            held.port.freed.notify_one();
        }
    }

    /// What was proved on it does not count any more.
    pub(crate) fn unprove(&self) {
        let held = &self.0;
        let mut book = held.port.lock();
        if held.proven.swap(false, Ordering::Relaxed) {
            book.unprove(held.id, held.group, Instant::now(), Arc::clone(&held.message));
            held.port.gauge(&book);
        }
    }

    /// It made progress: others have waited longer now.
    pub(crate) fn touch(&self) {
        self.0.port.lock().touch(self.0.id, Instant::now());
    }

    /// Resolves when the connection has to go. One that proved itself meanwhile may stay. Cancel safe.
    pub(crate) async fn told(&self) -> Told {
        loop {
            self.0.message.told.notified().await;
            if !self.0.proven.load(Ordering::Relaxed) {
                let displaced = self.0.message.what.load(Ordering::Relaxed) == 1;
                return if displaced { Told::Displaced } else { Told::Overdue };
            }
        }
    }
}

/// Goes with a request, for whoever finds out who is calling.
#[derive(Clone)]
pub(crate) struct Proof(Arc<Shown>);

struct Shown {
    place: Place,
    shown: AtomicBool,
}

impl Proof {
    /// Returns one for a request that came over the connection of `place`.
    pub(crate) fn new(place: Place) -> Self {
        Self(Arc::new(Shown { place, shown: AtomicBool::new(false) }))
    }

    /// The caller proved who they are: from now on the connection keeps its place.
    pub(crate) fn shown(&self) {
        self.0.shown.store(true, Ordering::Relaxed);
        self.0.place.prove();
    }

    /// The request was answered: what an earlier one proved does not count for a caller who proved nothing.
    pub(super) fn answered(&self) {
        if !self.0.shown.load(Ordering::Relaxed) {
            self.0.place.unprove();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut book = self.port.lock();
        book.leave(self.id, self.proven.load(Ordering::Relaxed));
        self.port.gauge(&book);
        drop(book);
        self.port.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::limits::book::Grace;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn port(unproven: usize) -> Arc<Port> {
        let capacity = Capacity { all: unproven + 1, unproven, grace: Grace::OF_REST, patience: None };
        Port::new("test", capacity, &ConnectionMetrics::default())
    }

    fn counts(port: &Port) -> (usize, usize) {
        let book = port.lock();
        (book.unproven(), book.proven())
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_told_and_one_that_proved_itself_is_not() {
        let port = port(2);
        let (first, second) = (port.place_for_tests(), port.place_for_tests());
        first.prove();
        let third = port.place_for_tests();
        tokio::time::advance(Grace::OF_REST.silent).await;
        let Asked::Got { displaced: true, place: _fourth } = port.ask(FROM, Instant::now()) else { panic!("no place") };
        assert_eq!(first.told().now_or_never(), None);
        assert_eq!(second.told().now_or_never(), Some(Told::Displaced));
        assert_eq!(third.told().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_proves_nothing_takes_the_proof_of_an_earlier_one_away() {
        let port = port(2);
        let place = port.place_for_tests();
        let proof = Proof::new(place.clone());
        proof.shown();
        proof.answered();
        assert_eq!(counts(&port), (0, 1));
        Proof::new(place.clone()).answered();
        assert_eq!(counts(&port), (1, 0));
        drop((place, proof));
        assert_eq!(counts(&port), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_a_place() {
        let port = port(1);
        let place = port.place_for_tests();
        assert!(matches!(port.ask(FROM, Instant::now()), Asked::Wait(Some(_))));
        drop(place);
        port.freed().await;
        assert!(matches!(port.ask(FROM, Instant::now()), Asked::Got { displaced: false, .. }));
    }
}
