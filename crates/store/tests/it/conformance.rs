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

mod sqlite_sealed_and_opened_again_after_each_step {
    use std::sync::Arc;

    use store::{
        Options,
        conformance::Subject,
        sealing::{Sealing, SealingKey},
        sqlite::SqliteStore,
    };
    use tempfile::TempDir;

    fn subject() -> Subject {
        let folder = TempDir::new().unwrap();
        let key = SealingKey::generate().unwrap().text();
        Subject::reopened(move || {
            let key: SealingKey = key.reveal().parse().unwrap();
            let sealing = Sealing::by(Arc::new(key), |_everything| true);
            SqliteStore::open_sealed(&folder.path().join("store.db"), Options::default(), &Arc::new(sealing)).unwrap()
        })
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

mod postgres {
    use store::conformance::Subject;
    use testkit::postgres::database;

    use crate::postgres::Opened as _;

    /// Nothing where there is no PostgreSQL, which is said.
    macro_rules! subject {
        () => {{
            let Some(database) = database() else { return };
            Subject::open(database.open()).keeping(database)
        }};
    }

    store::conformance_tests!(subject!());
}

mod postgres_as_another_instance_after_each_step {
    use store::conformance::Subject;
    use testkit::postgres::database;

    use crate::postgres::Opened as _;

    macro_rules! subject {
        () => {{
            let Some(database) = database() else { return };
            Subject::reopened(move || database.open())
        }};
    }

    store::conformance_tests!(subject!());
}

#[test]
fn the_page_of_promises_names_each() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/stores.md");
    let page = std::fs::read_to_string(page).unwrap();
    for promise in store::conformance::Promise::ALL {
        assert!(page.contains(&format!("| `{promise:?}`: ")), "{promise:?}");
    }
}
