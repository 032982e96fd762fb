//! Opens the store that the configuration names; an empty one only where there was none before.
//!
//! An empty store is a new control plane: it has other keys, so no token of before is good, and its zones would take over
//! its emptiness. Something that is missing is therefore not taken for something new: what a control plane leaves in its
//! folder (its certificate, the mark of its store and other files beside it, the store of a zone of another name) says that
//! there was one. A first start that was killed says so too: it is begun again.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use store::{
    Missing, Options, ResourceStore,
    memory::MemoryStore,
    sealing::Sealing,
    sqlite::{Before, OpenError, Opener, SqliteStore, before},
};
use tracing::warn;

use super::{
    open_postgres,
    opened::Opened,
    sealing::{self, KEY_FILE},
    store_files::{MARKER, is_store, is_zone, names_in, store_file},
    whose,
};
use crate::{
    clock::Clock,
    cluster::Times,
    config::{Config, StoreType},
    tls::SELF_SIGNED_FILES,
};

/// Opens the store of this configuration for a control plane, beside whoever else works with it.
pub(super) async fn open_to_run(config: &Config, clock: &Clock) -> anyhow::Result<Opened> {
    if config.store == StoreType::Postgres {
        let store = Box::pin(open_postgres::open(config, clock)).await?;
        let times = Times::of_heartbeat(config.inter_cp.heartbeat);
        let instances = store.instances(times.heartbeat);
        let cluster = Some(store.identity().cluster.clone());
        return Ok(Opened { store, others: Some((instances, times)), cluster });
    }
    Ok(Opened { store: open_store(config, clock).await?, others: None, cluster: None })
}

/// Opens the store of this configuration for whoever is not there for long.
pub(super) async fn open_store(config: &Config, clock: &Clock) -> anyhow::Result<Arc<dyn ResourceStore>> {
    match config.store {
        StoreType::Memory => {
            warn!("store.type is `memory`: keys, tokens and everything else are gone after a restart");
            Ok(Arc::new(MemoryStore::new()))
        }
        StoreType::Postgres => Ok(Box::pin(open_postgres::open(config, clock)).await?),
        StoreType::Sqlite => {
            let (folder, file) = (config.work_dir.clone(), store_file(config));
            let (opener, sealing) = (whose::opener(config), sealing::sealing(config));
            // Opening reads the whole file; that is a matter of the start and not of the executor.
            let opened = tokio::task::spawn_blocking(move || open(&folder, &file, &opener, &sealing))
                .await
                .context("open the store")?;
            let store = opened?;
            if config.mode.takes_zones()
                && let Some(found) = store.identity()
            {
                whose::say_cluster(&store, &found.cluster, clock).await.context("write the id of the cluster")?;
            }
            Ok(Arc::new(store))
        }
    }
}

fn open(folder: &Path, file: &str, opener: &Opener, sealing: &Arc<Sealing>) -> anyhow::Result<SqliteStore> {
    let (path, fresh) = (folder.join(file), opener.takes_over);
    let traces = Traces::of(folder, file);
    if !fresh && !path.exists() && !traces.other_zones.is_empty() {
        bail!(
            "there is no store `{}`, but there is {}: if this zone was renamed, rename the file too and start once with \
             `--fresh`, which makes it that of this zone; if it is another zone, give it a folder of its own \
             (general.workDir); without a file `--fresh` starts with an empty store beside it",
            path.display(),
            traces.other_zones.join(", "),
        );
    }
    let missing = if traces.was_used && !fresh { Missing::Refuse } else { Missing::Create };
    match SqliteStore::open_as(&path, Options { missing, ..Options::default() }, sealing, Some(opener)) {
        Err(error @ (OpenError::Missing { .. } | OpenError::Empty { .. })) => Err(error).with_context(|| {
            format!(
                "a control plane worked in `{}` before, and an empty store would have other keys than its zones and users \
                 have tokens of: restore the store from a backup (docs/backup.md), or insist on an empty one with `--fresh`",
                folder.display()
            )
        }),
        Err(error @ OpenError::OfAnother { .. }) => {
            Err(error).context("`--fresh` makes a file of another zone or cluster that of this control plane")
        }
        opened => Ok(opened?),
    }
}

/// What an earlier run left in a folder.
struct Traces {
    was_used: bool,
    /// The stores of zones of other names, if this is one of a zone.
    other_zones: Vec<String>,
}

impl Traces {
    fn of(folder: &Path, file: &str) -> Self {
        let names: Vec<String> = names_in(folder).collect();
        let others: Vec<&String> = names.iter().filter(|name| *name != file && is_store(name)).collect();
        let other_zones = if is_zone(file) {
            others.iter().filter(|name| is_zone(name)).map(|name| format!("`{name}`")).collect()
        } else {
            Vec::new()
        };
        let has = |name: &str| names.iter().any(|found| found == name);
        // What is beside the store of another control plane may be that one's.
        let certified = others.is_empty() && (SELF_SIGNED_FILES.iter().any(|name| has(name)) || has(KEY_FILE));
        let kept_in_a_database = Path::new(file).with_extension(MARKER).to_str().is_some_and(has);
        let was_used = match before(&folder.join(file)) {
            Before::Used => true,
            // The certificate and the key of the store are made before the first keys are.
            Before::Begun => false,
            Before::Nothing => certified || kept_in_a_database,
        };
        Self { was_used, other_zones }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;
    use model::{Key, Kind, Labels, Resource};
    use store::Precondition;
    use tempfile::TempDir;

    use super::*;

    fn sealing(folder: &TempDir) -> Arc<Sealing> {
        let sealer = Arc::new(sealing::KeyFile::own(folder.path()));
        Arc::new(Sealing::by(sealer, sealing::is_secret))
    }

    /// The whole reason why a store is not opened; nothing if it is.
    fn refusal(folder: &TempDir, file: &str, fresh: bool) -> Option<String> {
        let opener = opener(folder, file, fresh);
        open(folder.path(), file, &opener, &sealing(folder)).err().map(|error| format!("{error:#}"))
    }

    /// Whoever has a store of this name.
    fn opener(folder: &TempDir, file: &str, fresh: bool) -> Opener {
        let zone = file.strip_prefix("zone-").and_then(|name| name.strip_suffix(".db"));
        let mut environment = vec![("KUMA_GENERAL_WORK_DIR", folder.path().to_str().unwrap())];
        match zone {
            Some(zone) => environment.extend([("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_NAME", zone)]),
            None => environment.push(("KUMA_MODE", "global")),
        }
        let environment: Vec<_> =
            environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (mut config, _) = Config::from_sources(None, &environment, "").unwrap();
        config.fresh = fresh;
        assert_eq!(store_file(&config), file);
        whose::opener(&config)
    }

    /// Writes the first resource of a store that is there.
    async fn write(folder: &TempDir, file: &str) {
        let store = open(folder.path(), file, &opener(folder, file, false), &sealing(folder)).unwrap();
        store.put(zone_resource(), Precondition::Absent).await.unwrap();
    }

    fn zone_resource() -> Resource {
        Resource {
            key: Key::global(Kind::ZONE, "z"),
            labels: Labels::new(),
            spec: Vec::new().into(),
            status: None,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        }
    }

    fn used(files: &[&str]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        folder
    }

    #[test]
    fn a_new_folder_gets_a_store_and_keeps_it() {
        let folder = TempDir::new().unwrap();
        for _ in 0..2 {
            assert_eq!(refusal(&folder, "global.db", false), None);
        }
    }

    #[test]
    fn in_a_used_folder_a_missing_or_empty_store_is_not_a_new_one() {
        for trace in [
            "kuma-cp.crt",
            "kuma-cp.key",
            "global.db.made",
            "global.db.lock",
            "global.db.reserve",
            "global.db-wal",
            "global.postgres",
        ] {
            let folder = used(&[trace]);
            let missing = refusal(&folder, "global.db", false).expect(trace);
            assert!(missing.contains("--fresh") && missing.contains("there is no store"), "{missing}");
            for content in [&b""[..], b"\0"] {
                fs::write(folder.path().join("global.db"), content).unwrap();
                assert!(refusal(&folder, "global.db", false).is_some(), "{trace}, {content:?}");
            }
            fs::write(folder.path().join("global.db"), "").unwrap();
            let empty = refusal(&folder, "global.db", false).expect(trace);
            assert!(empty.contains("is empty") && empty.contains("docs/backup.md"), "{empty}");
            assert_eq!(refusal(&folder, "global.db", true), None, "{trace}: somebody insists");
            assert_eq!(refusal(&folder, "global.db", false), None, "{trace}: it is a store now");
        }
    }

    #[test]
    fn a_key_without_its_store_says_that_there_was_one() {
        let folder = TempDir::new().unwrap();
        let key = store::sealing::SealingKey::generate().unwrap();
        sealing::replace(&folder.path().join("store.key"), &key.text()).unwrap();
        assert!(refusal(&folder, "global.db", false).is_some_and(|said| said.contains("--fresh")));
        assert_eq!(refusal(&folder, "global.db", true), None);
    }

    #[tokio::test]
    async fn a_store_without_its_key_is_refused_with_what_to_do() {
        let folder = TempDir::new().unwrap();
        write(&folder, "global.db").await;
        let before = fs::read(folder.path().join("global.db")).unwrap();
        fs::remove_file(folder.path().join("store.key")).unwrap();
        for fresh in [false, true] {
            let refused = refusal(&folder, "global.db", fresh).unwrap();
            assert!(refused.contains("store.key` is not there: put that key back"), "{refused}");
        }
        assert!(!folder.path().join("store.key").exists(), "no other key is made");
        assert_eq!(fs::read(folder.path().join("global.db")).unwrap(), before);
    }

    #[tokio::test]
    async fn a_store_that_lost_its_log_is_not_a_new_one() {
        let folder = TempDir::new().unwrap();
        assert_eq!(refusal(&folder, "global.db", false), None);
        let tables_alone = fs::read(folder.path().join("global.db")).unwrap();
        write(&folder, "global.db").await;
        assert_eq!(refusal(&folder, "global.db", false), None);
        // what the file held as long as all else was in the log
        fs::write(folder.path().join("global.db"), tables_alone).unwrap();
        for gone in ["nothing", "global.db.made", "global.db.reserve"] {
            let _not_there = fs::remove_file(folder.path().join(gone));
            let said = refusal(&folder, "global.db", false).unwrap();
            assert!(said.contains("is empty") && said.contains("--fresh"), "without {gone}: {said}");
        }
    }

    #[test]
    fn a_first_start_that_was_killed_is_begun_again() {
        let folder = TempDir::new().unwrap();
        assert_eq!(refusal(&folder, "global.db", false), None);
        fs::write(folder.path().join("kuma-cp.crt"), "x").unwrap();
        assert_eq!(refusal(&folder, "global.db", false), None, "the certificate comes before the keys");
        fs::remove_file(folder.path().join("global.db")).unwrap();
        assert_eq!(refusal(&folder, "global.db", false), None, "there was nothing in it");
    }

    #[tokio::test]
    async fn a_store_that_was_lost_is_missed_whatever_else_is_gone() {
        let folder = TempDir::new().unwrap();
        write(&folder, "global.db").await;
        for gone in ["global.db", "global.db.reserve"] {
            fs::remove_file(folder.path().join(gone)).unwrap();
        }
        assert!(refusal(&folder, "global.db", false).is_some_and(|said| said.contains("--fresh")));
    }

    #[test]
    fn a_renamed_zone_is_told_where_its_resources_are() {
        let folder = used(&["zone-w.db", "kuma-cp.crt"]);
        let renamed = refusal(&folder, "zone-w2.db", false).unwrap();
        assert!(renamed.contains("`zone-w.db`") && renamed.contains("general.workDir"), "{renamed}");
        assert!(!folder.path().join("zone-w2.db").exists(), "nothing is made");
        assert_eq!(refusal(&folder, "zone-w2.db", true), None);
    }

    #[tokio::test]
    async fn the_file_of_another_zone_is_refused_by_name_and_taken_over_where_somebody_insists() {
        let folder = TempDir::new().unwrap();
        write(&folder, "zone-w.db").await;
        fs::rename(folder.path().join("zone-w.db"), folder.path().join("zone-w2.db")).unwrap();
        let refused = refusal(&folder, "zone-w2.db", false).unwrap();
        for part in ["that of zone `w` of cluster", "this is zone `w2`", "--fresh"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert_eq!(refusal(&folder, "zone-w2.db", true), None);
        assert_eq!(refusal(&folder, "zone-w2.db", false), None, "it is that zone's now");
        fs::rename(folder.path().join("zone-w2.db"), folder.path().join("global.db")).unwrap();
        for fresh in [false, true] {
            let refused = refusal(&folder, "global.db", fresh).unwrap();
            assert!(refused.contains("this is a global control plane of cluster"), "{refused}");
        }
    }

    #[tokio::test]
    async fn the_file_of_another_cluster_is_refused_by_name_in_a_folder_that_knows_its_own() {
        let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for folder in [&one, &other] {
            write(folder, "global.db").await;
            // the mark names the cluster when there is something to lose
            assert_eq!(refusal(folder, "global.db", false), None);
        }
        for file in ["global.db", "store.key"] {
            fs::copy(other.path().join(file), one.path().join(file)).unwrap();
        }
        let refused = refusal(&one, "global.db", false).unwrap();
        let of = |folder: &TempDir| store::sqlite::cluster_before(&folder.path().join("global.db")).unwrap();
        for cluster in [of(&one), of(&other)] {
            assert!(refused.contains(&cluster), "{cluster}: {refused}");
        }
        assert_eq!(refusal(&one, "global.db", true), None, "somebody insists");
    }

    #[tokio::test]
    async fn a_file_without_an_identity_becomes_that_of_the_cluster_it_tells() {
        let folder = TempDir::new().unwrap();
        let config = |name: &str| wire::kuma::system::v1alpha1::Config { config: name.to_owned() };
        let mut of_before = zone_resource();
        of_before.key = Key::global(Kind::CONFIG, model::reserved::CLUSTER_ID);
        of_before.spec = prost::Message::encode_to_vec(&config("cluster-of-before")).into();
        let path = folder.path().join("global.db");
        let store = SqliteStore::open_sealed(&path, Options::default(), &sealing(&folder)).unwrap();
        store.put(of_before, Precondition::Absent).await.unwrap();
        drop(store);
        let store = open(folder.path(), "global.db", &opener(&folder, "global.db", false), &sealing(&folder)).unwrap();
        let found = store.identity().unwrap();
        assert_eq!((found.mode.as_str(), found.cluster.as_str()), ("global", "cluster-of-before"));
        assert_eq!(store::sqlite::cluster_before(&path).as_deref(), Some("cluster-of-before"));
    }

    #[test]
    fn a_global_and_a_zone_may_share_a_folder() {
        let folder = used(&["kuma-cp.crt", "global.db"]);
        assert_eq!(refusal(&folder, "zone-w.db", false), None);
        let folder = used(&["kuma-cp.crt", "zone-w.db"]);
        assert_eq!(refusal(&folder, "global.db", false), None);
    }
}
