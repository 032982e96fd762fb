//! Every case against every backend.

mod memory {
    use store::{conformance::Subject, memory::MemoryStore};

    store::conformance_tests!(Subject::open(MemoryStore::new()));
}

mod sqlite {
    use store::{conformance::Subject, sqlite::SqliteStore};
    use tempfile::TempDir;

    fn subject() -> Subject {
        let folder = TempDir::new().unwrap();
        Subject::open(SqliteStore::open(&folder.path().join("store.db")).unwrap()).keeping(folder)
    }

    store::conformance_tests!(subject());
}

mod sqlite_opened_again_after_each_step {
    use store::{conformance::Subject, sqlite::SqliteStore};
    use tempfile::TempDir;

    fn subject() -> Subject {
        let folder = TempDir::new().unwrap();
        // the folder lives as long as the closure
        Subject::reopened(move || SqliteStore::open(&folder.path().join("store.db")).unwrap())
    }

    store::conformance_tests!(subject());
}

mod testing {
    use store::{conformance::Subject, testing::Database};

    store::conformance_tests!(Subject::open(Database::new().instance()));
}

mod testing_as_another_instance_after_each_step {
    use store::{conformance::Subject, testing::Database};

    fn subject() -> Subject {
        let database = Database::new();
        Subject::reopened(move || database.instance())
    }

    store::conformance_tests!(subject());
}

#[test]
fn the_page_of_promises_names_each() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/stores.md");
    let page = std::fs::read_to_string(page).unwrap();
    for promise in store::conformance::Promise::ALL {
        assert!(page.contains(&format!("| `{promise:?}`: ")), "{promise:?}");
    }
}

/// That a case names what it needs is tried with a store that lacks it.
mod without_batches {
    use async_trait::async_trait;
    use model::Key;
    use store::{
        Applied, Batch, Freshness, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch,
        conformance::{Promise, Subject},
        memory::MemoryStore,
    };
    use tokio::sync::watch;

    /// Writes one resource after the other, as an API of single objects does.
    struct OneByOne(MemoryStore);

    #[async_trait]
    impl ResourceStore for OneByOne {
        async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
            self.0.get(key).await
        }

        async fn list(&self, query: &Query) -> Result<Page, StoreError> {
            self.0.list(query).await
        }

        async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
            let Some((last, first)) = batch.writes.split_last() else { return self.0.apply(batch).await };
            let mut outcomes = Vec::new();
            for write in first {
                outcomes.extend(self.0.apply(Batch::of(vec![write.clone()])).await?.outcomes);
            }
            let applied = self.0.apply(Batch::of(vec![last.clone()])).await?;
            outcomes.extend(applied.outcomes);
            Ok(Applied { outcomes, ..applied })
        }

        fn watch(&self, kinds: Kinds) -> Watch {
            self.0.watch(kinds)
        }

        fn freshness(&self) -> watch::Receiver<Freshness> {
            self.0.freshness()
        }

        async fn settled(&self) -> Result<(), StoreError> {
            self.0.settled().await
        }
    }

    store::conformance_tests!(Subject::open(OneByOne(MemoryStore::new())).lacking(Promise::Batches));
}
