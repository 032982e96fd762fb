//! Stores that lack one promise each, as databases of other kinds do: they pass every case that does not need it, and fail
//! every case that does.

use std::{collections::VecDeque, sync::Arc};

use ::model::{Key, Kind, Resource};
use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, stream};
use store::{
    Applied, Batch, Event, Freshness, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch, Write,
    conformance::{Promise, Subject},
    memory::MemoryStore,
};
use tokio::sync::watch;

mod batches {
    store::conformance_tests!(super::subject(super::Promise::Batches));
}

mod owners {
    store::conformance_tests!(super::subject(super::Promise::Owners));
}

mod order {
    store::conformance_tests!(super::subject(super::Promise::Order));
}

fn subject(promise: Promise) -> Subject {
    Subject::open(Lacking { memory: MemoryStore::new(), promise }).lacking(promise)
}

/// A store without this promise.
struct Lacking {
    memory: MemoryStore,
    promise: Promise,
}

#[async_trait]
impl ResourceStore for Lacking {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.memory.get(key).await?.map(shown))
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let Page { items, total } = self.memory.list(query).await?;
        Ok(Page { items: items.into_iter().map(shown).collect(), total })
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        match self.promise {
            Promise::Batches => self.one_by_one(batch).await,
            Promise::Owners => {
                let writes = batch.writes.into_iter().map(without_owner).collect();
                self.memory.apply(Batch { writes, ..batch }).await
            }
            Promise::Order | Promise::Versions => self.memory.apply(batch).await,
        }
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        let watch = self.memory.watch(kinds).map(|event| match event {
            Event::Apply(stored) => Event::Apply(shown(stored)),
            Event::InitApply(stored) => Event::InitApply(shown(stored)),
            Event::Init | Event::InitDone | Event::Delete { .. } => event,
        });
        if self.promise == Promise::Order { kind_by_kind(watch.boxed()) } else { watch.boxed() }
    }

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.memory.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.memory.settled().await
    }
}

impl Lacking {
    /// Writes one resource after the other, as an API of single objects does.
    async fn one_by_one(&self, batch: Batch) -> Result<Applied, StoreError> {
        let Some((last, first)) = batch.writes.split_last() else { return self.memory.apply(batch).await };
        let one = |write: &Write| Batch { writes: vec![write.clone()], ..batch };
        let mut outcomes = Vec::new();
        for write in first {
            outcomes.extend(self.memory.apply(one(write)).await?.outcomes);
        }
        let applied = self.memory.apply(one(last)).await?;
        outcomes.extend(applied.outcomes);
        Ok(Applied { outcomes, ..applied })
    }
}

/// Where an owner is kept that means nothing.
const OWNER: &str = "owner-of-test";

/// Keeps the owner where the memory store does not look.
fn without_owner(write: Write) -> Write {
    match write {
        Write::Put { mut resource, expect } => {
            if let Some(owner) = resource.owner.take() {
                let text = format!("{}|{}|{}", owner.kind.name, owner.mesh, owner.name);
                resource.labels.insert(OWNER.to_owned(), text);
            }
            Write::Put { resource, expect }
        }
        Write::Delete { .. } => write,
    }
}

/// Gives a resource its owner back.
fn shown(stored: Stored) -> Stored {
    let Some(owner) = stored.resource.labels.get(OWNER) else { return stored };
    let mut parts = owner.split('|');
    let mut part = || parts.next().unwrap();
    let owner = Some(Key::in_mesh(Kind::by_name(part()).unwrap(), part(), part()));
    let mut resource = Resource { owner, ..Resource::clone(&stored.resource) };
    resource.labels.remove(OWNER);
    Stored { resource: Arc::new(resource), ..stored }
}

/// Tells what is ready together one kind after the other, as watches of single kinds do.
fn kind_by_kind(watch: Watch) -> Watch {
    let kind = |event: &Event| match event {
        Event::Apply(stored) | Event::InitApply(stored) => Some(stored.resource.key.kind),
        Event::Delete { key, .. } => Some(key.kind),
        Event::Init | Event::InitDone => None,
    };
    let told = stream::unfold((watch.fuse(), VecDeque::new()), move |(mut watch, mut ready)| async move {
        if ready.is_empty() {
            ready.push_back(watch.next().await?);
            while let Some(Some(event)) = watch.next().now_or_never() {
                ready.push_back(event);
            }
            let events = ready.make_contiguous();
            for changes in events.split_mut(|event| kind(event).is_none()) {
                changes.sort_by_key(kind);
            }
        }
        ready.pop_front().map(|event| (event, (watch, ready)))
    });
    told.boxed()
}
