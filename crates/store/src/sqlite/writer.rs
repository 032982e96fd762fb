//! The thread that writes: takes what waits, commits it together, answers.

use std::{sync::Arc, thread::JoinHandle};

use tokio::sync::{
    mpsc::{self, error::SendError},
    oneshot,
};
use tracing::error;

use super::file::{File, OpenError};
use crate::{Applied, Batch, StoreError, feed::Shared, index::Change};

/// Batches that may wait; more make their callers wait.
const QUEUE: usize = 256;
/// Batches that share one commit.
const TOGETHER: usize = 64;

pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Result<Applied, StoreError>>,
}

/// A handle on the thread. The thread ends, and gives the file back, when the handle is dropped.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(file: File, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(file, &shared, queue))
            .map_err(OpenError::Thread)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) async fn send(&self, job: Job) -> Result<(), SendError<Job>> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await,
            None => Err(SendError(job)),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _how_it_ended = thread.join();
        }
    }
}

fn run(mut file: File, shared: &Shared, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < TOGETHER
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        write(&mut file, shared, jobs);
    }
}

/// Writes jobs in one transaction. Each is planned on top of the ones before it, so they are committed one by one in
/// memory only after all of them are in the file; if the commit fails, none of them happened.
fn write(file: &mut File, shared: &Shared, jobs: Vec<Job>) {
    // One job at a time is planned against what is in memory; to share a commit, jobs after the first must not depend
    // on each other's outcome. They may touch the same keys, so each is planned on a copy only when it has to be: the
    // simple way, and still one fsync for independent jobs, is to stop sharing at the first job that overlaps.
    let mut rest = jobs.into_iter().peekable();
    while rest.peek().is_some() {
        let mut group: Vec<(Job, Applied, Vec<Change>)> = Vec::new();
        let mut touched = std::collections::BTreeSet::new();
        while let Some(job) = rest.peek() {
            let keys = keys_of(&job.batch);
            let independent = keys.iter().all(|key| !touched.contains(key)) && !(deletes(&job.batch) && !group.is_empty());
            if !independent {
                break;
            }
            let Some(job) = rest.next() else { break };
            let ends_group = deletes(&job.batch);
            match shared.read(|index| index.plan(&job.batch)) {
                Err(refused) => {
                    let _caller_gone = job.answer.send(Err(refused));
                }
                Ok((mut applied, mut changes)) => {
                    // Versions follow the order of the group.
                    let ahead = u64::try_from(group.len()).unwrap_or(0);
                    renumber(&mut applied, &mut changes, ahead);
                    touched.extend(keys);
                    group.push((job, applied, changes));
                }
            }
            if ends_group {
                break;
            }
        }
        commit(file, shared, group);
    }
}

/// Every key a batch names, owners included: what a later job may depend on.
fn keys_of(batch: &Batch) -> Vec<model::Key> {
    let mut keys = Vec::new();
    for write in &batch.writes {
        match write {
            crate::Write::Put { resource, .. } => {
                keys.push(resource.key.clone());
                keys.extend(resource.owner.clone());
            }
            crate::Write::Delete { key, .. } => keys.push(key.clone()),
        }
    }
    keys
}

/// A delete may take anything with it: it shares a commit with nobody after it.
fn deletes(batch: &Batch) -> bool {
    batch.writes.iter().any(|write| matches!(write, crate::Write::Delete { .. }))
}

fn renumber(applied: &mut Applied, changes: &mut [Change], ahead: u64) {
    applied.version.0 += ahead;
    for change in changes {
        match change {
            Change::Put(stored) => stored.version.0 += ahead,
            Change::Delete { version, .. } => version.0 += ahead,
        }
    }
}

fn commit(file: &mut File, shared: &Shared, group: Vec<(Job, Applied, Vec<Change>)>) {
    if group.is_empty() {
        return;
    }
    match file.write(group.iter().map(|(_, _, changes)| changes.as_slice())) {
        Ok(()) => {
            for (job, applied, changes) in group {
                shared.commit(changes);
                let _caller_gone = job.answer.send(Ok(applied));
            }
        }
        Err(failed) => {
            error!(target: "store", error = %failed, "cannot write: nothing of this was stored");
            for (job, _, _) in group {
                let _caller_gone = job.answer.send(Err(StoreError::Unavailable { detail: failed.to_string() }));
            }
        }
    }
}
