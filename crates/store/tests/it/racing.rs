//! Two programs that open one place in the same moment.

use std::{fs, sync::Arc, thread};

use ::model::Kind;
use store::{
    Options, Precondition, ResourceStore,
    sealing::{Sealer, Sealing, SealingKey},
    sqlite::{OpenError, SqliteStore},
};

use crate::{
    hooked::Hooked,
    shapes::{saying, zone},
};

#[tokio::test]
async fn of_two_that_open_an_empty_folder_one_makes_the_store_and_the_other_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new").join("store.db");
    let sealed_by = |sealer: Arc<dyn Sealer>| Arc::new(Sealing::by(sealer, |key| key.kind == Kind::GLOBAL_SECRET));
    let open = |sealing: &Arc<Sealing>| SqliteStore::open_sealed(&file, Options::default(), sealing);
    let key = || Arc::new(SealingKey::generate().unwrap());
    let (hooked, stopped) = Hooked::before(key());
    let first = thread::scope(|scope| {
        let sealing = sealed_by(hooked);
        let first = scope.spawn(move || open(&sealing));
        // It makes the first data key; nothing was written that could be read.
        stopped.is_there();
        let before = fs::read(&file).unwrap();
        let refused = open(&sealed_by(key())).unwrap_err();
        let us = std::process::id().to_string();
        assert!(matches!(&refused, OpenError::InUse { holder, .. } if *holder == us), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), before, "the other one changed nothing");
        stopped.goes_on();
        first.join().unwrap().unwrap()
    });
    first.put(saying(&zone("z"), "first"), Precondition::Absent).await.unwrap();
    drop(first);
    // Neither did it seal anything with another key.
    let refused = open(&sealed_by(key())).unwrap_err();
    assert!(matches!(refused, OpenError::Sealed { .. }), "{refused}");
}
