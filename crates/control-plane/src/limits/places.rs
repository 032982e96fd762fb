//! The places of a port as its connections hold them.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};

use super::{
    address::Group,
    book::{Book, Capacity, Crowd, Entry, Holder, Id},
    metrics::{ConnectionMetrics, PortMetrics},
};

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Places are short, and it is the one that proved nothing for longest.
    Displaced,
    /// Nobody proved who they are in time.
    Overdue,
    /// Users have too many, and it is the one without a request for longest.
    Crowded,
}

impl Told {
    /// What the log says.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Displaced => "connections are short, and nobody proved who they are on this one or it was idle",
            Self::Overdue => "nobody proved who they are in time",
            Self::Crowded => "one user, or all of them, have too many connections, and this one was idle",
        }
    }
}

pub(crate) struct Port {
    name: &'static str,
    capacity: Capacity,
    book: Mutex<Book<Arc<Message>>>,
    /// A place became free.
    freed: Notify,
    metrics: PortMetrics,
}

/// What a connection is told.
#[derive(Default)]
struct Message {
    what: AtomicU8,
    told: Notify,
    /// Resolves when the newest proof does not count any more.
    ended: Mutex<Option<Ended>>,
    /// There is a newer proof.
    renewed: Notify,
}

/// Resolves when what was proved does not count any more.
type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Message {
    fn tell(&self, what: Told) {
        self.what.store(what as u8, Ordering::Relaxed);
        self.told.notify_one();
    }
}

/// Whether a connection got a place.
pub(super) enum Asked {
    /// Yes; another one may have lost it.
    Got {
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
                let held = Held { port: Arc::clone(self), id, group, message };
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
}

impl Place {
    /// A zone proved who it is on the connection: it keeps its place.
    pub(crate) fn prove(&self) {
        // Zones are not counted one by one here.
        let _always = self.prove_as(Holder::Zone);
    }

    /// Somebody proved who they are on the connection: it keeps its place if there is room for theirs.
    fn prove_as(&self, holder: Holder) -> Result<(), Crowd> {
        let held = &self.0;
        let mut book = held.port.lock();
        let proved = book.prove(held.id, held.group, holder, Instant::now(), Arc::clone(&held.message));
        held.port.gauge(&book);
        drop(book);
        if let Some(other) = proved? {
            held.port.metrics.crowded.inc();
            other.tell(Told::Crowded);
        }
        // There is one more place for one that has to prove itself.
        held.port.freed.notify_one();
        Ok(())
    }

    /// What was proved on it does not count any more.
    pub(crate) fn unprove(&self) {
        let held = &self.0;
        let mut book = held.port.lock();
        book.unprove(held.id, held.group, Instant::now(), Arc::clone(&held.message));
        held.port.gauge(&book);
        drop(book);
        // It may have to go for one that waits.
        held.port.freed.notify_one();
    }

    /// It made progress: others have waited longer now.
    pub(crate) fn touch(&self) {
        self.0.port.lock().touch(self.0.id, Instant::now());
    }

    /// Its request is answered.
    pub(super) fn rest(&self) {
        if self.0.port.lock().rest(self.0.id, Instant::now()) {
            self.0.port.freed.notify_one();
        }
    }

    /// Takes what a user proved away when it ends; never resolves. One task of the connection runs it.
    pub(super) async fn follow_proof(&self) {
        let message = &self.0.message;
        let mut ended: Option<Ended> = None;
        loop {
            let over = async {
                match &mut ended {
                    Some(ended) => ended.await,
                    None => std::future::pending().await,
                }
            };
            let renewed = tokio::select! {
                biased;
                () = message.renewed.notified() => true,
                () = over => false,
            };
            ended = if renewed { message.ended.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            if !renewed {
                self.unprove();
            }
        }
    }

    /// Resolves when the connection has to go. One that proved itself meanwhile may stay. Cancel safe.
    pub(crate) async fn told(&self) -> Told {
        loop {
            self.0.message.told.notified().await;
            if !self.0.port.lock().is_proven(self.0.id) {
                return match self.0.message.what.load(Ordering::Relaxed) {
                    what if what == Told::Displaced as u8 => Told::Displaced,
                    what if what == Told::Crowded as u8 => Told::Crowded,
                    _ => Told::Overdue,
                };
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

    /// The caller proved who they are: from now on the connection keeps its place, until `ended` resolves. The error is
    /// that there is no room for it beside those that users have.
    pub(crate) fn shown(&self, holder: Holder, ended: impl Future<Output = ()> + Send + 'static) -> Result<(), Crowd> {
        let Shown { place, shown } = &*self.0;
        place.prove_as(holder)?;
        shown.store(true, Ordering::Relaxed);
        let message = &place.0.message;
        *message.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(ended));
        message.renewed.notify_one();
        Ok(())
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
        book.leave(self.id);
        self.port.gauge(&book);
        drop(book);
        self.port.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
