//! The promises through a network that delays everything and cuts connections in the middle of writes: who tries again what
//! was said not to be there gets what everybody gets.
#![expect(clippy::disallowed_methods, reason = "whoever tries again does so, too, when nobody waits for the answer")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ::model::Key;
use async_trait::async_trait;
use store::{
    Applied, Batch, Freshness, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch, conformance::Subject,
    postgres::PostgresStore,
};
use testkit::{
    network::Relay,
    postgres::{Database, database},
    seed::{self, Chance},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{open, settings};

/// How many of a thousand writes are cut off.
const CUT_THOUSANDTHS: u64 = 400;
/// Nobody is cut off so often in a row.
const ATTEMPTS: usize = 1000;

mod cut_off {
    use super::subject;

    macro_rules! subject {
        () => {{
            let Some(subject) = subject() else { return };
            subject
        }};
    }

    store::conformance_tests!(subject!());
}

fn subject() -> Option<Subject> {
    let database = database()?;
    let through = Through::new(&database);
    Some(Subject::open(through).keeping(database))
}

/// A store behind a bad network, and whoever tries again.
struct Through {
    behind: Arc<Behind>,
    /// What was asked for, also by those who do not wait for it.
    asked: Mutex<Vec<JoinHandle<()>>>,
}

struct Behind {
    /// Dropped first: it says good-bye through the network.
    store: PostgresStore,
    relay: Relay,
    chance: Mutex<Chance>,
}

impl Through {
    fn new(database: &Database) -> Self {
        static USES: AtomicUsize = AtomicUsize::new(0);
        let seed = seed::seed(23);
        let address: SocketAddr = format!("{}:{}", database.place().host, database.place().port).parse().unwrap();
        // It has a runtime of its own, and waits for it to start.
        let relay = thread::scope(|scope| scope.spawn(|| Relay::to(address, seed)).join().unwrap());
        relay.slow(Duration::from_millis(1), 0);
        let mut settings = settings(database.place());
        settings.host = "127.0.0.1".to_owned();
        settings.port = relay.address().port();
        let usage = format!("cuts {}", USES.fetch_add(1, Ordering::Relaxed));
        let behind = Behind { store: open(settings).unwrap(), relay, chance: Mutex::new(Chance::of(seed, &usage)) };
        Self { behind: Arc::new(behind), asked: Mutex::default() }
    }
}

impl Behind {
    /// After how many looks of others at what they wait for the connections are cut, if they are.
    fn cut_after(&self) -> Option<u64> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.happens(CUT_THOUSANDTHS).then(|| chance.below(200))
    }

    async fn persist(&self, batch: Batch) -> Result<Applied, StoreError> {
        for _attempt in 0..ATTEMPTS {
            let cutting = async {
                if let Some(looks) = self.cut_after() {
                    for _look in 0..looks {
                        tokio::task::yield_now().await;
                    }
                    self.relay.cut();
                }
            };
            let (answer, ()) = futures::join!(self.store.apply(batch.clone()), cutting);
            match answer {
                Err(StoreError::Unavailable { .. }) => {}
                answer => return answer,
            }
        }
        panic!("cut off {ATTEMPTS} times");
    }
}

#[async_trait]
impl ResourceStore for Through {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.behind.store.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.behind.store.list(query).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let behind = Arc::clone(&self.behind);
        let asked = tokio::spawn(async move { drop(answer.send(behind.persist(batch).await)) });
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        answered.await.expect("whoever tries again ends with an answer")
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.behind.store.watch(kinds)
    }

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.behind.store.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        for asked in asked {
            asked.await.expect("whoever tries again does not fail");
        }
        for _attempt in 0..ATTEMPTS {
            match self.behind.store.settled().await {
                Err(StoreError::Unavailable { .. }) => {}
                settled => return settled,
            }
        }
        panic!("cut off {ATTEMPTS} times");
    }
}
