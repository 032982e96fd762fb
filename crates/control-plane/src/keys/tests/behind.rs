//! Whose tokens are taken while the store is behind.

use super::*;

/// Lets the other tasks do all that they can do now.
pub(super) async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_deleted_key_lets_anybody_in_for_longer_than_is_said() {
    let database = Database::new();
    let (here, there) = (database.instance(), database.instance());
    there.put(secret(KEY, spec(Some(SIGNING))), Precondition::Absent).await.unwrap();
    let store: Arc<dyn ResourceStore> = Arc::new(here.clone());
    let keys = Keys::start(&store, &Tasks::new()).await.unwrap();
    let token = token(&keys.ring());
    let lets_in = |keys: &Keys| keys.to_admit().map(|ring| verifies_with(&ring, &token));
    assert_eq!(lets_in(&keys), Ok(true));

    here.fall_behind();
    there.delete(&key(KEY), Precondition::Present).await.unwrap();
    settle().await;
    tokio::time::advance(LONGEST_BEHIND - Duration::from_millis(1)).await;
    assert_eq!(lets_in(&keys), Ok(true), "a short while, as when a database fails over");
    tokio::time::advance(Duration::from_millis(1)).await;
    let refusal = keys.to_admit().unwrap_err();
    assert!(refusal.to_string().starts_with("tokens cannot be checked: for 30 s"), "{refusal}");
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    settle().await;
    assert!(lets_in(&keys).is_err(), "however long it takes");
    assert!(verifies_with(&keys.ring(), &token), "who is in stays: nobody knows of the deletion yet");

    let mut rings = keys.subscribe();
    here.catch_up();
    assert!(lets_in(&keys).is_err(), "until the ring of now is there");
    rings.changed().await.unwrap();
    settle().await;
    assert_eq!(lets_in(&keys), Ok(false), "and now it is");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_starts_with_a_store_that_is_behind_is_no_exception() {
    let store = Database::new().instance();
    store.fall_behind();
    tokio::time::advance(LONGEST_BEHIND).await;
    let keys = Keys::start(&(Arc::new(store.clone()) as Arc<dyn ResourceStore>), &Tasks::new()).await.unwrap();
    assert!(keys.to_admit().is_err());
    store.catch_up();
    settle().await;
    assert!(keys.to_admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_fresh_again_counts_from_the_start() {
    let store = Database::new().instance();
    let keys = Keys::start(&(Arc::new(store.clone()) as Arc<dyn ResourceStore>), &Tasks::new()).await.unwrap();
    for _ in 0..3 {
        store.fall_behind();
        settle().await;
        tokio::time::advance(LONGEST_BEHIND - Duration::from_millis(1)).await;
        assert!(keys.to_admit().is_ok());
        store.catch_up();
        settle().await;
    }
    assert_eq!(keys.ring().generation(), 1, "nothing changed, so nobody is judged anew");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_behind_is_logged_at_each_turn() {
    let store = Database::new().instance();
    let log = Log::here();
    let keys = Keys::start(&(Arc::new(store.clone()) as Arc<dyn ResourceStore>), &Tasks::new()).await.unwrap();
    for _ in 0..2 {
        settle().await;
        assert_eq!(log.told(), NOTHING);
        store.fall_behind();
        settle().await;
        assert_eq!(log.told(), [Level::WARN]);
        tokio::time::advance(LONGEST_BEHIND - Duration::from_millis(1)).await;
        settle().await;
        assert_eq!(log.told(), NOTHING);
        for told in [vec![Level::ERROR], vec![]] {
            tokio::time::advance(LONGEST_BEHIND).await;
            settle().await;
            assert_eq!(log.told(), told, "once");
        }
        store.catch_up();
        settle().await;
        assert_eq!(log.told(), [Level::INFO]);
    }
    assert_eq!(keys.ring().generation(), 1);
}
