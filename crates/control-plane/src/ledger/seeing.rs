//! Writes when tokens were first seen: once for each, and not while somebody waits.

use std::sync::Arc;

use store::{Batch, Precondition, StoreError};
use tokens::Family;
use tokio::sync::mpsc::Receiver;
use tracing::debug;

use super::{Entry, Ledger};
use crate::{clock::Clock, records, tasks::Tasks};

/// Writes until the program stops.
pub(super) async fn run(
    ledger: Ledger,
    mut seen: Receiver<(Family, String)>,
    clock: Clock,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let first = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            first = seen.recv() => first,
        };
        let Some((family, id)) = first else { return Ok(()) };
        if let Err(problem) = write(&ledger, &family, &id, &clock).await {
            debug!(token_id = id, %problem, "that a token was seen is not written yet");
            ledger.read().not_written(&family, &id);
        }
    }
}

async fn write(ledger: &Ledger, family: &Family, id: &str, clock: &Clock) -> Result<(), StoreError> {
    let Some((entry, version)) = ledger.read().version_of(family, id) else { return Ok(()) };
    if entry.first_seen.is_some() {
        return Ok(());
    }
    let now = clock.now();
    let entry = Entry { first_seen: Some(now), ..Entry::clone(&entry) };
    // It was read as a record, so it can be written as one.
    let Ok(write) = records::write(&entry, Precondition::Version(version), now) else { return Ok(()) };
    match ledger.0.store.apply(Batch::of(vec![write])).await {
        Ok(applied) => ledger.write().put(Arc::new(entry), applied.version),
        // It was deleted meanwhile, as the watch tells.
        Err(StoreError::NotFound { .. }) => {}
        Err(problem) => return Err(problem),
    }
    Ok(())
}
