//! What all streams to zones share: the snapshots, and the bytes of the last steps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use model::Kind;
use store::{ResourceStore, WatchEnded};
use sync::{DeltaResponse, Features, Step};
use tokio::sync::OnceCell;
use tonic::Status;

use crate::{
    config::GlobalKds,
    kds::{
        messages::convert,
        snapshots::{Provider, Snapshots},
    },
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
};

/// Who shares frames: by population, kind and what zones can read. The two lines of snapshots count their generations
/// apart.
type Readers = (bool, &'static str, Option<Features>);

/// The frames of the last two steps of a kind: zones that connect, and zones that follow.
type LastFrames = [Option<(Step, Bytes)>; 2];

/// What global provides, for all zones.
pub(crate) struct Shared {
    store: Arc<dyn ResourceStore>,
    settings: Arc<GlobalKds>,
    metrics: KdsMetrics,
    tasks: Tasks,
    hashed: Snapshots,
    /// For zones that do not know hashed names, from the first of them on.
    plain: OnceCell<Snapshots>,
    frames: Mutex<BTreeMap<Readers, LastFrames>>,
}

impl Shared {
    /// Builds the first snapshots.
    pub(crate) async fn start(
        store: &Arc<dyn ResourceStore>,
        settings: &Arc<GlobalKds>,
        metrics: &KdsMetrics,
        tasks: &Tasks,
    ) -> Result<Self, WatchEnded> {
        let hashed = Snapshots::start(provider(settings, true), store, metrics, tasks).await?;
        Ok(Self {
            store: Arc::clone(store),
            settings: Arc::clone(settings),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            hashed,
            plain: OnceCell::new(),
            frames: Mutex::new(BTreeMap::new()),
        })
    }

    /// The snapshots for zones with these features.
    pub(super) async fn snapshots(&self, features: Features) -> Result<Snapshots, Status> {
        if features.contains(Features::HASH_SUFFIX) {
            return Ok(self.hashed.clone());
        }
        let start = || Snapshots::start(provider(&self.settings, false), &self.store, &self.metrics, &self.tasks);
        let plain = self.plain.get_or_try_init(start).await;
        plain.cloned().map_err(|ended| Status::unavailable(ended.to_string()))
    }

    /// The bytes of a response; one encoding serves all zones with the same names that make the same step.
    pub(super) fn frame(&self, response: &DeltaResponse, hashed: bool) -> Bytes {
        let (Some(step), Some(kind)) = (response.step, Kind::by_name(&response.kind)) else {
            return convert::response_frame(response, "global");
        };
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let known = frames.entry((hashed, kind.name, step.readers)).or_default();
        if let Some((_, frame)) = known.iter().flatten().find(|(made, _)| *made == step) {
            return frame.clone();
        }
        let frame = convert::response_frame(response, "global");
        let [newest, older] = known;
        *older = newest.replace((step, frame.clone()));
        frame
    }
}

fn provider(settings: &GlobalKds, hashed: bool) -> Provider {
    Provider::Global { hashed, skip_prefixes: settings.skip_prefixes.clone() }
}
