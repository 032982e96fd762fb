//! Which names count, and that a serial is given once, whoever writes.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use jiff::Timestamp;
use prost::Message as _;
use serde_json::json;
use store::{
    Precondition, ResourceStore,
    testing::{Database, Instance},
};
use wire::kuma::system::v1alpha1::{KdsSubscription, Version, ZoneInsight};

use super::*;
use crate::{
    access::{Access, Allowed, Caller, Permit, Rule},
    clock::Clock,
    writes::{MeshDefaults, Rules, Side},
};

/// The write path of one control plane, for somebody who may write secrets.
struct Writer {
    writes: Writes,
    permit: Permit,
}

impl Writer {
    fn to(store: impl ResourceStore) -> Self {
        Self::which(true, store)
    }

    fn which(sends_keys: bool, store: impl ResourceStore) -> Self {
        let rules = Rules {
            side: Side::Global,
            sends_keys,
            read_only: false,
            origin_label_is_free: false,
            unsafe_delete: false,
            mesh_defaults: MeshDefaults::Never,
        };
        let keeper = Allowed { users: vec!["keeper".to_owned()], groups: Vec::new() };
        let access = Arc::new(Access { admin_resources: keeper, ..Access::default() });
        let writes = Writes::new(Arc::new(store), Clock::starting_at(Timestamp::UNIX_EPOCH), rules);
        Self { writes, permit: access.judge(Caller::proved("keeper"), Rule::Public).unwrap() }
    }

    /// Writes a secret that holds a key, whichever.
    async fn put(&self, name: &str, key: &str) -> Result<(), String> {
        let body = json!({"type": "GlobalSecret", "name": name, "data": STANDARD.encode(key)}).to_string();
        let written = self.writes.put(&self.permit, Kind::GLOBAL_SECRET, "", name, body.as_bytes()).await;
        written.map(drop).map_err(|error| error.to_string())
    }
}

fn key() -> String {
    tokens::generate_signing_key().reveal().to_owned()
}

#[tokio::test]
async fn of_writers_that_do_not_see_each_other_one_gets_the_serial() {
    let (database, key) = (Database::new(), key());
    let names = ["", "-0", "-00", "-000"].map(|serial| format!("zone-token-signing-key{serial}"));
    // Each looks at what was there before any of the others wrote.
    let instances = names.each_ref().map(|_| database.instance());
    instances.iter().for_each(Instance::fall_behind);
    let writers = instances.map(Writer::to);
    let results = join_all(writers.iter().zip(&names).map(|(writer, name)| writer.put(name, &key))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for error in lost {
        let error = error.unwrap_err();
        assert!(error.contains("the serial 0 is that of \"zone-token-signing-key"), "{error}");
    }
    let stored = database.instance().list(&Query::all(Kind::GLOBAL_SECRET)).await.unwrap();
    assert_eq!(stored.items.len(), 1);
}

#[tokio::test]
async fn a_key_is_changed_only_while_its_serial_is_its_own() {
    let database = Database::new();
    let (one, other) = (database.instance(), database.instance());
    let writer = Writer::to(one.clone());
    writer.put("user-token-signing-key-1", &key()).await.unwrap();
    one.fall_behind();
    let second = Key::global(Kind::GLOBAL_SECRET, "user-token-signing-key-01");
    let first = one.get(&Key::global(Kind::GLOBAL_SECRET, "user-token-signing-key-1")).await.unwrap().unwrap();
    // As an older control plane may have written it, which looks for no other.
    let copy = model::Resource { key: second.clone(), ..model::Resource::clone(&first.resource) };
    other.put(copy, Precondition::Absent).await.unwrap();
    let error = writer.put("user-token-signing-key-1", &key()).await.unwrap_err();
    assert!(error.contains("the serial 1 is that of \"user-token-signing-key-01\" already"), "{error}");
    other.delete(&second, Precondition::Present).await.unwrap();
    writer.put("user-token-signing-key-1", &key()).await.unwrap();
}

#[tokio::test]
async fn keys_of_other_serials_and_secrets_of_users_are_written_at_will() {
    let (database, key) = (Database::new(), key());
    let writer = Writer::to(database.instance());
    for name in
        ["zone-token-signing-key-1", "zone-token-signing-key-2", "user-token-signing-key-1", "mine-1", "mine-01"]
    {
        writer.put(name, &key).await.unwrap();
    }
}

#[tokio::test]
async fn zones_that_do_not_get_a_key_anyway_are_warned_of_by_nobody() {
    let database = Database::new();
    let open = KdsSubscription {
        connect_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        version: Some(Version::default()),
        ..KdsSubscription::default()
    };
    let insight = ZoneInsight { subscriptions: vec![open], ..ZoneInsight::default() };
    let resource = model::Resource {
        key: Key::global(Kind::ZONE_INSIGHT, "real"),
        labels: model::Labels::new(),
        spec: insight.encode_to_vec().into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    database.instance().put(resource, Precondition::Absent).await.unwrap();
    let key = tokens::generate_key(tokens::Algorithm::Es256);
    let (key_name, spec) = (Key::global(Kind::GLOBAL_SECRET, "zone-token-signing-key-2"), secret::encode(key.reveal()));
    let warning = async |sends_keys| {
        let writer = Writer::which(sends_keys, database.instance());
        writer.writes.unread_in_zones(&key_name, &spec).await.unwrap()
    };
    assert!(warning(true).await.is_some_and(|said| said.contains("read RSA keys alone") && said.contains("real")));
    assert_eq!(warning(false).await, None);
}

#[test]
fn names_of_keys_count_where_keys_are_looked_for() {
    let check = |key: Key, expected: bool| assert_eq!(signing_key(&key).is_some(), expected, "{key}");
    let global = |name: &str| Key::global(Kind::GLOBAL_SECRET, name);
    for name in ["control-plane-signing-key-0001", "zone-token-signing-key", "user-token-signing-key-x"] {
        check(global(name), true);
    }
    check(global("user-token-revocations"), false);
    check(global("zone-token-signing-public-key-1"), false);
    check(global("dataplane-token-signing-key-default-1"), false);
    let secret = |name: &str| Key::in_mesh(Kind::SECRET, "default", name);
    check(secret("dataplane-token-signing-key-default-1"), true);
    check(secret("dataplane-token-signing-key-default"), true);
    check(secret("dataplane-token-signing-key-other-1"), false);
    check(secret("user-token-signing-key-1"), false);
}
