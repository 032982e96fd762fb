//! What is made, and above all what is not made again.

use model::labels;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use store::{Version, memory::MemoryStore};
use tokens::{KeyRing, SecretEntry};

use super::*;

fn now() -> Timestamp {
    "2026-10-02T10:00:00Z".parse().unwrap()
}

fn store() -> Arc<dyn ResourceStore> {
    Arc::new(MemoryStore::new())
}

fn federated() -> Side {
    Side::FederatedZone("west".to_owned())
}

async fn names(store: &Arc<dyn ResourceStore>, kind: Kind) -> Vec<String> {
    let page = store.list(&Query::all(kind)).await.unwrap();
    page.items.iter().map(|stored| stored.resource.key.name.clone()).collect()
}

async fn resource(store: &Arc<dyn ResourceStore>, key: Key) -> Arc<Resource> {
    store.get(&key).await.unwrap().unwrap_or_else(|| panic!("{key} is there")).resource
}

async fn data(store: &Arc<dyn ResourceStore>, name: &str) -> Vec<u8> {
    let stored = resource(store, Key::global(Kind::GLOBAL_SECRET, name)).await;
    secret::decode(&stored.spec).unwrap().to_vec()
}

async fn delete(store: &Arc<dyn ResourceStore>, name: &str) {
    store.delete(&Key::global(Kind::GLOBAL_SECRET, name), Precondition::Present).await.unwrap();
}

async fn put_secret(store: &Arc<dyn ResourceStore>, name: &str, data: &[u8]) {
    let mut writes = Missing { store, now: now(), writes: Vec::new() };
    writes.put(Key::global(Kind::GLOBAL_SECRET, name), Labels::new(), secret::encode(data));
    store.apply(Batch::of(writes.writes)).await.unwrap();
}

async fn everything(store: &Arc<dyn ResourceStore>) -> Vec<(Key, Version)> {
    let mut all = Vec::new();
    for kind in Kind::all() {
        let page = store.list(&Query::all(kind)).await.unwrap();
        all.extend(page.items.iter().map(|stored| (stored.resource.key.clone(), stored.version)));
    }
    all
}

#[tokio::test]
async fn a_fresh_global_has_its_keys_mesh_and_generators() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    assert_eq!(
        names(&store, Kind::GLOBAL_SECRET).await,
        [
            "admin-user-token",
            "control-plane-signing-key-0001",
            "inter-cp-ca",
            "user-token-signing-key-1",
            "zone-token-signing-key-1"
        ]
    );
    assert_eq!(names(&store, Kind::SECRET).await, ["dataplane-token-signing-key-default-1"]);
    assert_eq!(names(&store, Kind::MESH).await, ["default"]);
    assert_eq!(names(&store, Kind::CONFIG).await, [CLUSTER_ID]);
    assert_eq!(
        names(&store, Kind::by_name("MeshTimeout").unwrap()).await,
        ["mesh-timeout-all-default", "mesh-timeout-to-all-default"]
    );
    assert_eq!(names(&store, Kind::HOSTNAME_GENERATOR).await.len(), 5);
    assert_eq!(names(&store, Kind::ZONE).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_global_makes_for_itself_has_no_labels_but_policies() {
    let store = store();
    for key in global(&store, &Wanted::default(), now()).await.unwrap() {
        let made = resource(&store, key.clone()).await;
        assert_eq!(made.labels.is_empty(), key.kind.policy.is_none(), "{key}");
    }
}

#[tokio::test]
async fn a_second_start_writes_nothing() {
    for side in [Side::Global, federated(), Side::LoneZone("west".to_owned())] {
        let store = store();
        assert!(!run(&store, &side, &Wanted::default(), now()).await.unwrap().is_empty());
        let before = everything(&store).await;
        assert_eq!(run(&store, &side, &Wanted::default(), now()).await.unwrap(), []);
        assert_eq!(everything(&store).await, before);
    }
}

#[tokio::test]
async fn a_mesh_of_an_earlier_version_gets_its_authority() {
    let (store, now) = (store(), now());
    let mesh = serde_json::json!({"mtls": {"backends": [{"name": "ca-1", "type": "builtin"}]}});
    let spec = model::proto::spec_from_json(Kind::MESH, mesh.as_object().unwrap()).unwrap();
    let mut writes = Missing { store: &store, now, writes: Vec::new() };
    writes.put(Key::global(Kind::MESH, "tls"), Labels::new(), spec);
    store.apply(Batch::of(writes.writes)).await.unwrap();
    let wanted = Wanted { default_mesh: false, ..Wanted::default() };
    global(&store, &wanted, now).await.unwrap();
    assert_eq!(names(&store, Kind::SECRET).await, ["tls.ca-builtin-cert-ca-1", "tls.ca-builtin-key-ca-1"]);
    assert_eq!(global(&store, &wanted, now).await.unwrap(), [], "once");
}

#[tokio::test]
async fn a_key_deleted_after_rotation_stays_deleted() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    for (old, new) in [
        ("control-plane-signing-key-0001", "control-plane-signing-key-0002"),
        ("zone-token-signing-key-1", "zone-token-signing-key-2"),
        ("user-token-signing-key-1", "user-token-signing-key-2"),
    ] {
        put_secret(&store, new, tokens::generate_signing_key().reveal().as_bytes()).await;
        delete(&store, old).await;
    }
    assert_eq!(global(&store, &Wanted::default(), now()).await.unwrap(), []);
}

#[tokio::test]
async fn a_family_without_any_key_gets_its_first_one() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    delete(&store, "control-plane-signing-key-0001").await;
    let made = global(&store, &Wanted::default(), now()).await.unwrap();
    assert_eq!(made, [Key::global(Kind::GLOBAL_SECRET, "control-plane-signing-key-0001")]);
}

#[tokio::test]
async fn a_family_that_signs_outside_gets_no_key_and_the_admin_no_token_of_it() {
    let store = store();
    let wanted = Wanted { signed_outside: [Family::Zone, Family::User].into(), ..Wanted::default() };
    global(&store, &wanted, now()).await.unwrap();
    assert_eq!(names(&store, Kind::GLOBAL_SECRET).await, ["control-plane-signing-key-0001", "inter-cp-ca"]);
    assert_eq!(global(&store, &wanted, now()).await.unwrap(), [], "nor later");
    // What was put there stays.
    put_secret(&store, ADMIN_TOKEN, b"a token").await;
    global(&store, &wanted, now()).await.unwrap();
    assert_eq!(data(&store, ADMIN_TOKEN).await, b"a token");
}

#[tokio::test]
async fn keys_are_what_kumactl_prints() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    for name in ["control-plane-signing-key-0001", "zone-token-signing-key-1", "user-token-signing-key-1"] {
        let key = data(&store, name).await;
        assert!(key.starts_with(b"-----BEGIN RSA PRIVATE KEY-----\n"), "{name}");
        assert!(key.ends_with(b"-----END RSA PRIVATE KEY-----\n"), "{name}");
        tokens::check_key("", name, &key).unwrap();
    }
}

#[tokio::test]
async fn the_admin_token_is_good_for_ten_years() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    let key = data(&store, "user-token-signing-key-1").await;
    let token = String::from_utf8(data(&store, ADMIN_TOKEN).await).unwrap();
    let (ring, _) = KeyRing::build(1, &[SecretEntry { mesh: "", name: "user-token-signing-key-1", data: Some(&key) }]);
    let after = |days: i64| now() + jiff::SignedDuration::from_hours(days * 24);
    let leeway = std::time::Duration::ZERO;
    let user = tokens::verify_user(&token, &ring, after(3649), leeway).unwrap();
    assert_eq!((user.name(), user.groups()), ("mesh-system:admin", &["mesh-system:admin".to_owned()][..]));
    assert!(tokens::verify_user(&token, &ring, after(3651), leeway).is_err());
    let kept = records::all::<crate::ledger::Entry>(&*store).await.unwrap();
    let [kept] = &kept[..] else { panic!("it is in the ledger, and nothing else is: {kept:?}") };
    assert_eq!((Some(kept.record.id.as_str()), &kept.record.key), (user.token_id(), user.key()));
    assert_eq!((kept.record.expires_at, kept.record.by.as_str()), (user.expires_at(), "mesh-system:bootstrap"));
}

/// Whether the stored admin token is accepted with the keys that are stored.
async fn admin_is_let_in(store: &Arc<dyn ResourceStore>, now: Timestamp) -> bool {
    let token = String::from_utf8(data(store, ADMIN_TOKEN).await).unwrap();
    let mut secrets = Vec::new();
    for name in names(store, Kind::GLOBAL_SECRET).await {
        let data = data(store, &name).await;
        secrets.push((name, data));
    }
    let entries: Vec<_> = secrets.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) }).collect();
    let (ring, _) = KeyRing::build(1, &entries);
    tokens::verify_user(&token, &ring, now, std::time::Duration::ZERO).is_ok()
}

#[tokio::test]
async fn a_dead_admin_token_is_made_anew() {
    let replaced = store();
    global(&replaced, &Wanted::default(), now()).await.unwrap();
    put_secret(&replaced, "user-token-signing-key-2", tokens::generate_signing_key().reveal().as_bytes()).await;
    delete(&replaced, "user-token-signing-key-1").await;
    let otherwise = store();
    global(&otherwise, &Wanted::default(), now()).await.unwrap();
    delete(&otherwise, "user-token-signing-key-1").await;
    let key = tokens::generate_key(tokens::Algorithm::Es256);
    put_secret(&otherwise, "user-token-signing-key-1", key.reveal()).await;
    let remade = store();
    global(&remade, &Wanted::default(), now()).await.unwrap();
    delete(&remade, "user-token-signing-key-1").await;
    let expired = store();
    global(&expired, &Wanted::default(), now()).await.unwrap();
    let later = now() + jiff::SignedDuration::from_hours(24 * 3651);
    for (why, store, now) in [
        ("replaced", replaced, now()),
        ("for another algorithm", otherwise, now()),
        ("remade", remade, now()),
        ("expired", expired, later),
    ] {
        assert!(!admin_is_let_in(&store, now).await, "{why}: dead before the start");
        let unwanted = Wanted { admin_token: false, ..Wanted::default() };
        global(&store, &unwanted, now).await.unwrap();
        assert!(!admin_is_let_in(&store, now).await, "{why}: not without being wanted");
        global(&store, &Wanted::default(), now).await.unwrap();
        assert!(admin_is_let_in(&store, now).await, "{why}");
        let before = everything(&store).await;
        global(&store, &Wanted::default(), now).await.unwrap();
        assert_eq!(everything(&store).await, before, "{why}: once");
    }
}

#[tokio::test]
async fn a_revoked_admin_token_does_not_come_back() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    let token = data(&store, ADMIN_TOKEN).await;
    let key = data(&store, "user-token-signing-key-1").await;
    let (ring, _) = KeyRing::build(1, &[SecretEntry { mesh: "", name: "user-token-signing-key-1", data: Some(&key) }]);
    let text = std::str::from_utf8(&token).unwrap();
    let user = tokens::verify_user(text, &ring, now(), std::time::Duration::ZERO).unwrap();
    put_secret(&store, "user-token-revocations", user.token_id().unwrap().as_bytes()).await;
    assert!(!admin_is_let_in(&store, now()).await);
    global(&store, &Wanted::default(), now()).await.unwrap();
    assert_eq!(data(&store, ADMIN_TOKEN).await, token);
}

#[tokio::test]
async fn what_an_operator_put_in_place_of_the_admin_token_stays() {
    for own in [&b"chosen by hand"[..], b"\xff\xfe", b""] {
        let store = store();
        put_secret(&store, ADMIN_TOKEN, own).await;
        global(&store, &Wanted::default(), now()).await.unwrap();
        assert_eq!(data(&store, ADMIN_TOKEN).await, own);
    }
}

#[tokio::test]
async fn an_unusable_user_key_does_not_stop_the_start() {
    let store = store();
    put_secret(&store, "user-token-signing-key-7", b"no key").await;
    global(&store, &Wanted::default(), now()).await.unwrap();
    let secrets = names(&store, Kind::GLOBAL_SECRET).await;
    assert!(!secrets.contains(&ADMIN_TOKEN.to_owned()), "{secrets:?}");
    assert!(!secrets.contains(&"user-token-signing-key-1".to_owned()), "{secrets:?}");
}

#[tokio::test]
async fn authorities_are_certificate_and_key_that_belong_together() {
    let store = store();
    zone(&store, &federated(), &Wanted::default(), now()).await.unwrap();
    for name in ["inter-cp-ca", "envoy-admin-ca"] {
        let pem = data(&store, name).await;
        let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        assert!(parsed.is_ca(), "{name}");
        let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
        rustls::sign::CertifiedKey::from_der(vec![certificate.clone()], key, &crate::tls::provider()).unwrap();
    }
}

#[tokio::test]
async fn what_is_not_wanted_is_not_made() {
    let store = store();
    let nothing = Wanted { admin_token: false, default_mesh: false, hostname_generators: false, ..Wanted::default() };
    global(&store, &nothing, now()).await.unwrap();
    assert!(!names(&store, Kind::GLOBAL_SECRET).await.contains(&ADMIN_TOKEN.to_owned()));
    for kind in [Kind::MESH, Kind::SECRET, Kind::HOSTNAME_GENERATOR] {
        assert_eq!(names(&store, kind).await, Vec::<String>::new());
    }
    let bare = Wanted { mesh_defaults: MeshDefaults::Never, ..Wanted::default() };
    global(&store, &bare, now()).await.unwrap();
    assert_eq!(names(&store, Kind::by_name("MeshTimeout").unwrap()).await, Vec::<String>::new());
    assert_eq!(names(&store, Kind::SECRET).await.len(), 1, "data plane tokens need their key all the same");
}

#[tokio::test]
async fn policies_deleted_from_the_default_mesh_stay_deleted() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    let retry = Key::in_mesh(Kind::by_name("MeshRetry").unwrap(), "default", "mesh-retry-all-default");
    store.delete(&retry, Precondition::Present).await.unwrap();
    assert_eq!(global(&store, &Wanted::default(), now()).await.unwrap(), []);
}

#[tokio::test]
async fn what_belongs_to_the_default_mesh_goes_with_it() {
    let store = store();
    global(&store, &Wanted::default(), now()).await.unwrap();
    store.delete(&Key::global(Kind::MESH, "default"), Precondition::Present).await.unwrap();
    assert_eq!(names(&store, Kind::SECRET).await, Vec::<String>::new());
    assert_eq!(names(&store, Kind::by_name("MeshTimeout").unwrap()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_zone_of_a_global_has_its_own_key_and_nothing_that_global_sends() {
    let store = store();
    zone(&store, &federated(), &Wanted::default(), now()).await.unwrap();
    assert_eq!(
        names(&store, Kind::GLOBAL_SECRET).await,
        ["admin-user-token", "envoy-admin-ca", "inter-cp-ca", "user-token-signing-key-1"]
    );
    for kind in [Kind::MESH, Kind::SECRET, Kind::CONFIG] {
        assert_eq!(names(&store, kind).await, Vec::<String>::new(), "{}", kind.name);
    }
    for name in ["local-mesh-external-service", "local-universal-mesh-service"] {
        let generator = resource(&store, Key::global(Kind::HOSTNAME_GENERATOR, name)).await;
        let expected = Labels::from([(labels::ORIGIN.to_owned(), labels::ORIGIN_ZONE.to_owned())]);
        assert_eq!(generator.labels, expected);
    }
}

#[tokio::test]
async fn a_zone_knows_itself_and_no_other() {
    let store = store();
    for name in ["east", "north"] {
        zone(&store, &Side::FederatedZone(name.to_owned()), &Wanted::default(), now()).await.unwrap();
    }
    let made = zone(&store, &federated(), &Wanted::default(), now()).await.unwrap();
    assert_eq!(made, [Key::global(Kind::ZONE, "west")]);
    assert_eq!(names(&store, Kind::ZONE).await, ["west"]);
    let own = resource(&store, Key::global(Kind::ZONE, "west")).await;
    assert!(own.spec.is_empty() && own.labels.is_empty());
}

#[tokio::test]
async fn a_zone_without_a_global_stands_alone() {
    let store = store();
    zone(&store, &Side::LoneZone("west".to_owned()), &Wanted::default(), now()).await.unwrap();
    assert_eq!(
        names(&store, Kind::GLOBAL_SECRET).await,
        ["admin-user-token", "envoy-admin-ca", "inter-cp-ca", "user-token-signing-key-1", "zone-token-signing-key-1"]
    );
    assert_eq!(names(&store, Kind::MESH).await, ["default"]);
    assert_eq!(names(&store, Kind::CONFIG).await, [CLUSTER_ID]);
}

#[tokio::test]
async fn two_instances_that_start_at_once_make_one_set() {
    let store = store();
    let wanted = Wanted::default();
    let (one, two) = tokio::join!(global(&store, &wanted, now()), global(&store, &wanted, now()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.is_empty() != two.is_empty(), "one of them made everything: {one:?} {two:?}");
    assert_eq!(names(&store, Kind::MESH).await, ["default"]);
}
