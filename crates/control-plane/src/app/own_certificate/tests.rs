use std::fs;

use store::memory::MemoryStore;
use tempfile::TempDir;

use super::*;

fn config(folder: &TempDir, store: StoreType, names: &str) -> Config {
    let environment = [
        ("KUMA_MODE", "global".to_owned()),
        ("KUMA_GENERAL_WORK_DIR", folder.path().display().to_string()),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_NAMES", names.to_owned()),
    ];
    let environment = environment.map(|(key, text)| (key.to_owned(), text));
    let (mut config, _) = Config::from_sources(None, &environment, "").unwrap();
    config.store = store;
    config
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

async fn shown(folder: &TempDir, store: &MemoryStore, kind: StoreType, names: &str) -> Arc<ServerIdentity> {
    identity(&config(folder, kind, names), store, &Clock::system()).await.unwrap()
}

/// Why nothing is shown.
async fn refusal(folder: &TempDir, store: &MemoryStore) -> String {
    let refused = identity(&config(folder, StoreType::Postgres, ""), store, &Clock::system()).await;
    format!("{:#}", refused.err().unwrap())
}

fn root(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("kuma-cp.crt")).unwrap()
}

async fn secret_of(store: &MemoryStore) -> Option<Vec<u8>> {
    let found = store.get(&key()).await.unwrap()?;
    Some(secret::decode(&found.resource.spec).unwrap().to_vec())
}

#[tokio::test]
async fn instances_on_one_store_have_one_root_file_and_no_key_beside_it() {
    let (store, one, other) = (MemoryStore::new(), folder(), folder());
    let names = ["balancer.example.com".to_owned(), "192.0.2.7".to_owned()];
    let first = shown(&one, &store, StoreType::Postgres, &names.join(",")).await;
    assert!(first.has_names(&names) && first.has_names(&["localhost".to_owned()]));
    assert!(!first.has_names(&["elsewhere".to_owned()]));
    let second = shown(&other, &store, StoreType::Postgres, "").await;
    assert!(!second.has_names(&names), "each has its own names");
    assert_eq!(root(&one), root(&other));
    assert_eq!(fs::read_dir(one.path()).unwrap().count(), 1, "no private key lies in the folder");
    let kept = secret_of(&store).await;
    shown(&one, &store, StoreType::Postgres, "").await;
    assert_eq!(secret_of(&store).await, kept, "the next start changes nothing");
}

#[tokio::test]
async fn of_two_that_start_at_once_both_take_what_the_quicker_one_wrote() {
    let (store, one, other) = (MemoryStore::new(), folder(), folder());
    let now = Clock::system().now();
    // Both have seen an empty store.
    let quicker = agreed(one.path(), &store, now).await.unwrap();
    let slower = agreed(other.path(), &store, now).await.unwrap();
    assert_eq!(quicker.root(), slower.root());
}

#[tokio::test]
async fn a_store_of_one_program_has_its_pair_in_the_folder() {
    for kind in [StoreType::Sqlite, StoreType::Memory] {
        let (store, folder) = (MemoryStore::new(), folder());
        let identity = shown(&folder, &store, kind, "cp.example.com").await;
        assert!(identity.has_names(&["cp.example.com".to_owned()]));
        assert!(folder.path().join("kuma-cp.key").exists());
        assert_eq!(secret_of(&store).await, None);
    }
}

#[tokio::test]
async fn the_zones_of_who_moves_to_a_shared_store_keep_their_root_file() {
    let (store, moved, joins) = (MemoryStore::new(), folder(), folder());
    shown(&moved, &store, StoreType::Sqlite, "").await;
    let root_of_zones = root(&moved);
    shown(&moved, &store, StoreType::Postgres, "").await;
    assert_eq!(root(&moved), root_of_zones);
    shown(&joins, &store, StoreType::Postgres, "").await;
    assert_eq!(root(&joins), root_of_zones, "others sign with it, too");
    // And back: what the store has is what counts, also without the key in the folder.
    let back = folder();
    shown(&back, &store, StoreType::Sqlite, "").await;
    assert_eq!(root(&back), root_of_zones);
    assert!(!back.path().join("kuma-cp.key").exists());
}

#[tokio::test]
async fn the_pair_of_another_control_plane_is_not_thrown_away() {
    let (store, one, other) = (MemoryStore::new(), folder(), folder());
    shown(&one, &store, StoreType::Postgres, "").await;
    shown(&other, &MemoryStore::new(), StoreType::Sqlite, "").await;
    let before = root(&other);
    let said = refusal(&other, &store).await;
    assert!(said.contains("of another control plane") && said.contains("general.workDir"), "{said}");
    assert_eq!(root(&other), before);
    // Without the key it is a root file, and that follows the store.
    fs::remove_file(other.path().join("kuma-cp.key")).unwrap();
    shown(&other, &store, StoreType::Postgres, "").await;
    assert_eq!(root(&other), root(&one));
}

#[tokio::test]
async fn what_cannot_sign_is_refused_and_nothing_is_written() {
    let (store, folder) = (MemoryStore::new(), folder());
    for name in ["kuma-cp.crt", "kuma-cp.key"] {
        fs::write(folder.path().join(name), "something").unwrap();
    }
    let said = refusal(&folder, &store).await;
    assert!(said.contains("general.tlsCertFile") && said.contains("no certificate in PEM"), "{said}");
    assert_eq!((secret_of(&store).await, root(&folder).as_str()), (None, "something"));
    shown(&TempDir::new().unwrap(), &store, StoreType::Postgres, "").await;
    let broken = Resource::clone(&store.get(&key()).await.unwrap().unwrap().resource);
    let broken = Resource { spec: secret::encode(b"nothing of the kind"), ..broken };
    store.put(broken, Precondition::Any).await.unwrap();
    let said = refusal(&TempDir::new().unwrap(), &store).await;
    assert!(said.contains(TLS_AUTHORITY) && said.contains("delete it"), "{said}");
}
