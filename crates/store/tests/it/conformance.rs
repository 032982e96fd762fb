//! Every case against every backend.

mod memory {
    use store::{conformance::Subject, memory::MemoryStore};

    store::conformance_tests!(Subject::open(MemoryStore::new()));
}

mod sqlite {
    use store::{ResourceStore, conformance::Subject, sqlite::SqliteStore};
    use tempfile::TempDir;

    fn subject() -> Subject {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
        Subject::open(InFolder { store, _folder: folder })
    }

    /// Removes the folder after the store.
    struct InFolder {
        store: SqliteStore,
        _folder: TempDir,
    }

    #[async_trait::async_trait]
    impl ResourceStore for InFolder {
        async fn get(&self, key: &model::Key) -> Result<Option<store::Stored>, store::StoreError> {
            self.store.get(key).await
        }

        async fn list(&self, query: &store::Query) -> Result<store::Page, store::StoreError> {
            self.store.list(query).await
        }

        async fn apply(&self, batch: store::Batch) -> Result<store::Applied, store::StoreError> {
            self.store.apply(batch).await
        }

        fn watch(&self, kinds: store::Kinds) -> store::Watch {
            self.store.watch(kinds)
        }
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
