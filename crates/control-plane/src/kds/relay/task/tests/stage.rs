//! Tasks that are polled by hand, in an order of chance. There is no clock: when nobody was woken, nobody can move.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use rand::{Rng as _, rngs::StdRng};

/// No case takes so many turns.
const TURNS: usize = 20_000_000;

type Act = Pin<Box<dyn Future<Output = ()>>>;

/// Polls tasks until they are over.
pub(super) struct Stage {
    tasks: Vec<Task>,
    entrance: Entrance,
}

struct Task {
    name: String,
    act: Act,
    woken: Arc<Woken>,
}

/// Where further tasks come in. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Entrance(Rc<RefCell<Vec<Task>>>);

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Entrance {
    pub(super) fn enter(&self, name: String, act: impl Future<Output = ()> + 'static) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.0.borrow_mut().push(Task { name, act: Box::pin(act), woken });
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { tasks: Vec::new(), entrance: Entrance::default() }
    }

    pub(super) fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    /// Plays until all are over; the error names those that wait for each other.
    pub(super) fn play(mut self, random: &mut StdRng) -> Result<(), String> {
        for _ in 0..TURNS {
            self.tasks.append(&mut self.entrance.0.borrow_mut());
            let woken: Vec<usize> =
                (0..self.tasks.len()).filter(|at| self.tasks[*at].woken.0.load(Ordering::Relaxed)).collect();
            if woken.is_empty() {
                let waiting: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
                return if waiting.is_empty() { Ok(()) } else { Err(format!("nobody can move: {waiting:?}")) };
            }
            let at = woken[random.random_range(0..woken.len())];
            let task = &mut self.tasks[at];
            task.woken.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&task.woken));
            if task.act.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.tasks.swap_remove(at);
            }
        }
        Err("they turn in circles".to_owned())
    }
}

/// Lets others go first, so many times.
pub(super) async fn pause(times: usize) {
    for _ in 0..times {
        let mut is_back = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut is_back, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
