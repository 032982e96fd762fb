//! What others ask of a connection that is passed on: they stand beside its task, and wake it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http::request;
use tokio::sync::oneshot;
use tonic::{Status, body::Body};

use super::{end::End, standing::Lost};

/// Takes orders for one near connection. Cheap to clone; what is asked when that is gone is dropped.
#[derive(Clone, Default)]
pub(crate) struct Orders(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Of the task, while it waits. A task that wakes itself at work would be handed to another thread.
    waker: AtomicWaker,
    /// Something happened since the task looked.
    is_woken: AtomicBool,
    desk: Mutex<Desk>,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.waker.wake();
    }
}

#[derive(Default)]
struct Desk {
    orders: Vec<Order>,
    closed: bool,
    numbers: u64,
}

/// Names a far connection, or a call of our own, beside one near connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u64);

/// What is asked.
pub(super) enum Order {
    /// To end a stream of the near side.
    End { stream: u32, status: Status },
    /// To end all streams on a far connection, and those that would come.
    EndAll { far: Number, status: Status },
    /// To pass streams on to one more far connection.
    Adopt(Box<Adopted>),
    /// A far connection is used for no further stream.
    Release(Number),
    /// To make a call on a far connection.
    Call(Box<OwnCall>),
    /// Nobody waits for the answer to a call.
    Abandon { far: Number, call: Number },
}

/// A far connection that was dialled.
pub(super) struct Adopted {
    pub(super) far: Number,
    pub(super) end: End,
    pub(super) origin: super::http2::Origin,
    pub(super) lost: Lost,
}

/// Who waits for the answer to a call of our own.
pub(super) type Reply = oneshot::Sender<http::Response<Body>>;

/// A call of our own.
pub(super) struct OwnCall {
    pub(super) far: Number,
    pub(super) number: Number,
    pub(super) head: request::Parts,
    pub(super) body: Bytes,
    pub(super) reply: Reply,
}

/// Ends one stream of the near side, from wherever. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ender {
    orders: Orders,
    stream: u32,
}

impl Orders {
    pub(super) fn give(&self, order: Order) {
        let mut desk = self.desk();
        if desk.closed {
            // Dropped when nobody else waits for the desk.
            drop(desk);
            drop(order);
            return;
        }
        desk.orders.push(order);
        drop(desk);
        self.0.wake_by_ref();
    }

    pub(super) fn take(&self) -> Vec<Order> {
        std::mem::take(&mut self.desk().orders)
    }

    /// The task is at work, and looks by itself until it waits: whatever wakes it meanwhile is only noted.
    pub(super) fn at_work(&self) {
        self.0.waker.take();
        self.0.is_woken.swap(false, Ordering::AcqRel);
    }

    /// The task has nothing to do; whether it waits. Whoever wakes it from then on does so at once.
    pub(super) fn waits(&self, context: &Context<'_>) -> bool {
        self.0.waker.register(context.waker());
        !self.0.is_woken.load(Ordering::Acquire)
    }

    /// Wakes the task for what is polled in it.
    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.0).into()
    }

    /// The near connection is gone.
    pub(super) fn close(&self) {
        let orders = {
            let mut desk = self.desk();
            desk.closed = true;
            std::mem::take(&mut desk.orders)
        };
        drop(orders);
    }

    pub(super) fn number(&self) -> Number {
        let mut desk = self.desk();
        desk.numbers += 1;
        Number(desk.numbers)
    }

    pub(super) fn ender(&self, stream: u32) -> Ender {
        Ender { orders: self.clone(), stream }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ender {
    /// Ends the stream with this status, if it is not over.
    pub(crate) fn end(&self, status: Status) {
        self.orders.give(Order::End { stream: self.stream, status });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_at_work_is_not_woken_and_looks_again_before_it_waits() {
        let (orders, task) = (Orders::default(), Arc::new(Counted::default()));
        let waker = Waker::from(Arc::clone(&task));
        let (context, woken) = (Context::from_waker(&waker), || task.0.load(Ordering::Relaxed));
        let far = orders.number();
        let (gives, wakes) = (|| orders.give(Order::Release(far)), || orders.waker().wake());
        for wake in [&gives as &dyn Fn(), &wakes] {
            orders.at_work();
            wake();
            assert!(!orders.waits(&context), "something happened");
            assert_eq!(woken(), 0);
        }
        orders.at_work();
        assert!(orders.waits(&context));
        orders.give(Order::Release(far));
        assert_eq!(woken(), 1, "now it waits");
        assert_eq!(orders.take().len(), 2);
    }
}
