//! Whose tokens are taken: with keys as they are stored, and with a store that is behind.

use bytes::Bytes;
use jiff::Timestamp;
use model::{Labels, Resource, ZoneName};
use prost::Message as _;
use store::{Event, Precondition, Stored, Version, testing::Database};
use tokens::{Accept, Want};
use wire::kuma::system::v1alpha1::Secret;

use super::*;

const SIGNING: &[u8] = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
const KEY: &str = "control-plane-signing-key-0001";

fn key(name: &str) -> Key {
    Key::global(Kind::GLOBAL_SECRET, name)
}

fn spec(data: Option<&[u8]>) -> Bytes {
    Bytes::from(Secret { data: data.map(<[u8]>::to_vec) }.encode_to_vec())
}

fn secret(name: &str, spec: Bytes) -> Resource {
    Resource {
        key: key(name),
        labels: Labels::new(),
        spec,
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

fn token(ring: &KeyRing) -> String {
    let (west, valid_for) = (ZoneName::parse("west").unwrap(), Some(Duration::from_secs(3600)));
    let token = tokens::issue_control_plane(ring, &west, valid_for, Timestamp::UNIX_EPOCH, uuid::Uuid::nil());
    token.unwrap().reveal().to_owned()
}

fn verifies_with(ring: &KeyRing, raw: &str) -> bool {
    let want = Want { zone: "west", accept: Accept::CpToken, leeway: Duration::ZERO, legacy_until: None };
    tokens::verify(raw, ring, Timestamp::UNIX_EPOCH, &want).is_ok()
}

#[test]
fn a_stored_list_that_cannot_be_decoded_is_unreadable_and_not_empty() {
    let mut secrets = Picture::default();
    let mut ring_with = |name: &str, spec: Bytes| {
        let resource = Arc::new(secret(name, spec));
        secrets.take(Event::Apply(Stored { resource, version: Version(1) }));
        build(1, &secrets, &Arc::default())
    };
    let ring = ring_with(KEY, spec(Some(SIGNING)));
    let token = token(&ring);
    let mut accepted = |list: Bytes| verifies_with(&ring_with("control-plane-token-revocations", list), &token);
    assert!(verifies_with(&ring, &token) && accepted(spec(Some(b"another-id"))));
    for unreadable in [spec(None), Bytes::from_static(b"\xff\xff"), Bytes::new()] {
        assert!(!accepted(unreadable), "nobody is let in by a list that nobody can read");
    }
}

/// Lets the other tasks do all that they can do now.
async fn settle() {
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

#[tokio::test]
async fn keys_of_the_settings_are_in_every_ring() {
    let key = tokens::generate_key(tokens::Algorithm::EdDsa);
    let mut settings = StaticKeys::default();
    let public = tokens::public_half(key.reveal()).unwrap();
    settings.add(tokens::Family::Zone, "offline", public.as_bytes()).unwrap();
    let zone = ZoneName::parse("west").unwrap();
    let claims = tokens::Claims::Zone { zone: &zone, scope: Some(&[tokens::Scope::Cp]) };
    let hour = Duration::from_secs(3600);
    let token = tokens::sign_offline(key.reveal(), "offline", &claims, hour, Timestamp::UNIX_EPOCH, uuid::Uuid::nil());
    let token = token.unwrap();

    let store: Arc<dyn ResourceStore> = Arc::new(Database::new().instance());
    let keys = Keys::start_beside(Arc::new(settings), &store, &Tasks::new()).await.unwrap();
    assert!(verifies_with(&keys.ring(), &token));
    let mut rings = keys.subscribe();
    store.put(secret(KEY, spec(Some(SIGNING))), Precondition::Absent).await.unwrap();
    rings.changed().await.unwrap();
    assert_eq!(keys.ring().generation(), 2);
    assert!(verifies_with(&keys.ring(), &token));
}

#[tokio::test]
async fn the_end_of_the_watch_of_secrets_stops_the_program() {
    let store = Database::new().instance();
    let tasks = Tasks::new();
    Keys::start(&(Arc::new(store.clone()) as Arc<dyn ResourceStore>), &tasks).await.unwrap();
    store.end_watches();
    tasks.stopping().await;
    assert!(tasks.finished(Duration::from_secs(5)).await);
    assert_eq!(tasks.failure().as_deref(), Some("keys: the store's watch of secrets ended"));
}
