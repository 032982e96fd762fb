//! What holds between both sides of a passage, and its rules with nobody behind it.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use super::{At, FarEnd, Passage, far_end::Owner};
use crate::kds::relay::{
    end::{End, Keepalive},
    http2::{Connection, Limits, Origin},
    orders::{Adopted, Number, Order, Orders},
    standing::{Lost, Standing},
};

impl Passage {
    /// Both sides know of the same streams, and what one holds waits on the other.
    pub(in crate::kds::relay) fn check(&self) {
        self.near.connection.check();
        self.fars.iter().for_each(|far| far.end.connection.check());
        for (near, stream) in &self.streams {
            let At::Passed { far, id } = stream.at else { continue };
            let Some(far) = self.fars.iter().find(|one| one.number == far) else { continue };
            far.check_stream(id, *near, &self.near.connection);
        }
        assert!(!self.is_idle() || self.fars.iter().all(FarEnd::is_clear), "calls are over and are not");
    }
}

impl FarEnd {
    fn check_stream(&self, id: u32, near_id: u32, near: &Connection) {
        let far = &self.end.connection;
        let (Some(held), Some(waiting)) = (far.held(id), near.waiting(near_id)) else { return };
        assert_eq!(held, waiting, "of the answer");
        let (Some(held), Some(waiting)) = (near.held(near_id), far.waiting(id)) else { return };
        assert_eq!(held, waiting, "of the request");
    }

    /// Whether nothing is known of any call of the near side.
    fn is_clear(&self) -> bool {
        !self.owners.values().any(|owner| matches!(owner, Owner::Stream(_)))
    }
}

const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(20), timeout: Duration::from_secs(15) };
const LIMITS: Limits = Limits { streams: 10, stream_window: 65_535, connection_window: 128 * 1024 };

/// A passage to one far side; how that stands, and why it was lost, if it was.
struct Stand {
    passage: Passage,
    far: Number,
    standing: Arc<Standing>,
    why: Arc<Mutex<Option<String>>>,
}

impl Stand {
    fn new() -> Self {
        let io = || Box::new(tokio::io::duplex(1).0);
        let mut passage = Passage::new(End::of_client(io(), LIMITS, KEEPALIVE));
        let (far, standing) = (Orders::default().number(), Arc::<Standing>::default());
        let why: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&why);
        let lost = Lost::new(Arc::clone(&standing), Box::new(move |why| *told.lock().unwrap() = Some(why)));
        let origin = Origin { scheme: "http".into(), authority: "global".into() };
        let end = End::of_server(io(), LIMITS, KEEPALIVE);
        passage.order(Order::Adopt(Box::new(Adopted { far, end, origin, lost })));
        Self { passage, far, standing, why }
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.passage.far(self.far).unwrap().end.connection
    }
}

#[tokio::test(start_paused = true)]
async fn who_closes_after_a_farewell_is_not_lost() {
    for is_released in [true, false] {
        let Stand { mut passage, far, why, .. } = Stand::new();
        if is_released {
            passage.order(Order::Release(far));
        }
        passage.settle();
        passage.lost(far, "closed".to_owned());
        assert_eq!(why.lock().unwrap().is_none(), is_released);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_ids_left_for_streams_is_used_for_no_further_call() {
    let mut stand = Stand::new();
    stand.passage.settle();
    assert!(!stand.standing.is_closing.load(Ordering::Relaxed));
    stand.connection().use_up();
    stand.passage.settle();
    assert!(stand.standing.is_closing.load(Ordering::Relaxed));
}
