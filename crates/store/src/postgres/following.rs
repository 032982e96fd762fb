//! Follows the database: a notice wakes, a heartbeat asks, and what is not heard for too long is said.
//!
//! Notices may get lost with the connection that they come on; nothing depends on them but how soon a change is seen.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_postgres::AsyncMessage;
use tracing::{info, warn};

use super::{
    connections::{Connections, Raw, within},
    error::Trouble,
    log, resealing,
    settings::{Settings, Times},
};
use crate::{StoreError, hub::Hub, journaled::Waker, sealing::Sealing};

/// How often old changes are forgotten.
const CUT_INTERVAL: Duration = Duration::from_secs(60);
/// The longest pause before the listening connection is made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Follows until the store is gone.
pub(super) async fn run(
    connections: Arc<Connections>,
    waker: Waker,
    hub: Weak<Hub>,
    sealing: Arc<Sealing>,
    settings: Settings,
) {
    let news = Notify::new();
    let times = settings.times;
    tokio::select! {
        () = ask(&waker, &news, times) => {}
        () = watch(&hub, times) => {}
        () = listen(&connections, &news, &hub, &sealing, times) => {}
        () = keep_house(&connections, &settings) => {}
    }
}

/// Has the writer look at what others wrote.
async fn ask(waker: &Waker, news: &Notify, times: Times) {
    let mut told: Option<StoreError> = None;
    loop {
        // A notice that comes meanwhile is kept.
        let _woken = timeout(times.heartbeat, news.notified()).await;
        match (waker.settle().await, &told) {
            (None, _) => return,
            (Some(Ok(())), Some(_)) => {
                info!("the database of the store answers again");
                told = None;
            }
            (Some(Err(problem)), None) => {
                warn!(error = %problem, "the database of the store cannot be asked: nothing is written, and what others write is not seen");
                told = Some(problem);
            }
            (Some(_), _) => {}
        }
    }
}

/// Says when the store is behind.
async fn watch(hub: &Weak<Hub>, times: Times) {
    let mut look = interval((times.behind_after / 10).max(Duration::from_millis(1)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(hub) = hub.upgrade() {
        hub.fall_behind_after(times.behind_after);
        drop(hub);
        look.tick().await;
    }
}

/// Keeps a connection on which the database tells that there is something new.
async fn listen(connections: &Connections, news: &Notify, hub: &Weak<Hub>, sealing: &Sealing, times: Times) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match connections.raw().await {
            Ok(raw) => {
                let lost = hear(raw, news, hub, sealing, times).await;
                info!(error = %lost, "the connection for notices of the database was lost, changes are asked for meanwhile");
                pause = SHORTEST_PAUSE;
                // What was told while nobody listened is not told again.
                news.notify_one();
            }
            Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
        sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
    }
}

/// Listens until the connection is lost, and says why.
async fn hear(
    (client, mut connection): Raw,
    news: &Notify,
    hub: &Weak<Hub>,
    sealing: &Sealing,
    times: Times,
) -> Trouble {
    let received = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notice))) if is_known(notice.payload(), hub) => {}
                Some(Ok(AsyncMessage::Notification(_))) => news.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(cause)) => return Trouble::from(cause),
                None => return Trouble::Way("the database closed the connection".to_owned()),
            }
        }
    };
    let asked = async {
        let listen = format!("LISTEN {}; {}", log::CHANNEL, resealing::say_key(sealing));
        let listening = async { Ok(client.batch_execute(&listen).await?) };
        if let Err(trouble) = within(times.answer, listening).await {
            return trouble;
        }
        // What was written before is asked for once.
        news.notify_one();
        loop {
            sleep(times.answer).await;
            // The file of the key may hold another one now.
            let alive = async { Ok(client.batch_execute(&resealing::say_key(sealing)).await?) };
            if let Err(trouble) = within(times.answer, alive).await {
                return trouble;
            }
        }
    };
    let (received, asked) = (pin!(received), pin!(asked));
    tokio::select! {
        lost = received => lost,
        lost = asked => lost,
    }
}

/// Whether a notice tells of what is shown here already, as those of our own writes do.
fn is_known(revision: &str, hub: &Weak<Hub>) -> bool {
    let shown = hub.upgrade().map(|hub| hub.version().0);
    shown.zip(revision.parse().ok()).is_some_and(|(shown, told): (u64, u64)| told <= shown)
}

/// Closes connections that nobody needs, and forgets old changes.
async fn keep_house(connections: &Connections, settings: &Settings) {
    let mut tidy = interval(settings.pool.check_interval.max(Duration::from_secs(1)));
    // Not all instances at once.
    let mut cut = interval(CUT_INTERVAL.mul_f64(0.8 + rand::random::<f64>() * 0.4));
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    cut.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tidy.tick() => connections.tidy(),
            _ = cut.tick() => {
                let cutting = async {
                    let held = connections.get().await?;
                    log::cut(&held, settings.times.keep_changes).await?;
                    held.give_back();
                    Ok(())
                };
                if let Err(trouble) = within(CUT_INTERVAL / 2, cutting).await {
                    info!(error = %trouble, "old changes stay in the database until the next look");
                }
            }
        }
    }
}
