//! Questions to zones about their proxies: who waits for which answer (contract: kds 8.5).
//!
//! Requests are correlated by id. An answer nobody waits for any more is ignored: an impatient REST client must not cost
//! a zone its streams.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use model::{ProxyView, ZoneName};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// A zone that has not answered by then will not be waited for.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// One question about a proxy, in the words of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub view: ProxyView,
    /// The kind of the proxy: `Dataplane`.
    pub kind: String,
    pub mesh: String,
    /// The name in the zone.
    pub name: String,
    /// JSON instead of text.
    pub json: bool,
    /// With endpoints (configuration only).
    pub include_eds: bool,
    /// Only what was used (statistics only).
    pub used_only: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AskError {
    /// The zone has no such stream here.
    #[error("client {zone} is not connected")]
    NotConnected { zone: ZoneName },
    /// The zone answered with an error.
    #[error("{text}")]
    Zone { text: String },
    /// The zone did not answer in time.
    #[error("the zone did not answer within {} s", ANSWER_DEADLINE.as_secs())]
    Late,
}

/// Where a stream takes its questions from: request id and question.
/// Boxed, because the channel of each of the three streams of each zone holds places for 32 of them.
type Questions = mpsc::Sender<Box<(String, Question)>>;

/// Asks zones. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Asker {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// The streams of each zone and view, oldest first: the newest is asked, and when it ends the one before it.
    streams: BTreeMap<(ZoneName, ProxyView), Vec<(u64, Questions)>>,
    waiting: BTreeMap<String, oneshot::Sender<Result<Bytes, String>>>,
}

impl Asker {
    /// Asks a zone and waits for the answer.
    pub(crate) async fn ask(&self, zone: &ZoneName, question: Question) -> Result<Bytes, AskError> {
        let id = uuid::Uuid::new_v4().to_string();
        let (answer, answered) = oneshot::channel();
        let not_connected = || AskError::NotConnected { zone: zone.clone() };
        let stream = {
            let mut state = self.lock();
            let streams = state.streams.get(&(zone.clone(), question.view));
            let (_, stream) = streams.and_then(|streams| streams.last()).cloned().ok_or_else(not_connected)?;
            state.waiting.insert(id.clone(), answer);
            stream
        };
        // Also when this future is dropped: whoever hung up leaves nothing behind.
        let _forget = Forget { asker: self, id: &id };
        let answer = async {
            stream.send(Box::new((id.clone(), question))).await.map_err(|_gone| not_connected())?;
            answered.await.map_err(|_gone| not_connected())?.map_err(|text| AskError::Zone { text })
        };
        tokio::time::timeout(ANSWER_DEADLINE, answer).await.unwrap_or(Err(AskError::Late))
    }

    /// A zone opened a stream for questions.
    pub(crate) fn opened(&self, zone: &ZoneName, view: ProxyView) -> (u64, mpsc::Receiver<Box<(String, Question)>>) {
        // Questions wait here only until the stream's task takes them.
        let (sender, questions) = mpsc::channel(64);
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.streams.entry((zone.clone(), view)).or_default().push((id, sender));
        (id, questions)
    }

    /// The stream ended.
    pub(crate) fn closed(&self, zone: &ZoneName, view: ProxyView, id: u64) {
        let mut state = self.lock();
        let key = (zone.clone(), view);
        if let Some(streams) = state.streams.get_mut(&key) {
            streams.retain(|(other, _)| *other != id);
            if streams.is_empty() {
                state.streams.remove(&key);
            }
        }
    }

    /// An answer came; returns whether somebody waits for it.
    pub(crate) fn answered(&self, id: &str, answer: Result<Bytes, String>) -> bool {
        self.lock().waiting.remove(id).is_some_and(|waiting| waiting.send(answer).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Forget<'a> {
    asker: &'a Asker,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.asker.lock().waiting.remove(self.id);
    }
}

#[cfg(test)]
mod tests;
