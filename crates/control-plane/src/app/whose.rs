//! Whose a store is: the mode, the zone's name and the cluster that a database or a file says it belongs to.

use model::{Key, Kind, Labels, Resource, reserved::CLUSTER_ID};
use prost::Message as _;
use store::{Identity, Precondition, ResourceStore, StoreError, sqlite::Opener};
use uuid::Uuid;

use super::store_files::store_file;
use crate::{clock::Clock, config::Config};

/// Who these settings make us, in this cluster if one is known.
pub(super) fn identity(config: &Config, cluster: Option<String>) -> Identity {
    Identity {
        mode: config.mode.as_str().to_owned(),
        zone: (!config.mode.takes_zones()).then(|| config.zone_name.as_str().to_owned()),
        cluster,
        new_cluster: Uuid::new_v4().to_string(),
    }
}

/// Who opens the file of these settings: the one whose file was there before, unless somebody insists.
pub(super) fn opener(config: &Config) -> Opener {
    let before = store::sqlite::cluster_before(&config.work_dir.join(store_file(config)));
    Opener {
        identity: identity(config, before.filter(|_| !config.fresh)),
        takes_over: config.fresh,
        // The id that a zone has is its global's; stores of zones have ids of their own.
        cluster_in: if config.mode.takes_zones() { named_cluster } else { |_resource| None },
    }
}

/// The id of the cluster that what is stored names.
pub(super) fn cluster(resources: &[Resource]) -> Option<String> {
    resources.iter().find_map(named_cluster)
}

fn named_cluster(resource: &Resource) -> Option<String> {
    if resource.key != cluster_key() {
        return None;
    }
    Some(wire::kuma::system::v1alpha1::Config::decode(&*resource.spec).ok()?.config)
}

/// Makes the id that the API tells the one of the store.
pub(super) async fn say_cluster(store: &dyn ResourceStore, cluster: &str, clock: &Clock) -> Result<(), StoreError> {
    let key = cluster_key();
    if store.get(&key).await?.is_some() {
        return Ok(());
    }
    let config = wire::kuma::system::v1alpha1::Config { config: cluster.to_owned() };
    let now = clock.now();
    let resource = Resource {
        key,
        labels: Labels::new(),
        spec: config.encode_to_vec().into(),
        status: None,
        owner: None,
        created: now,
        modified: now,
    };
    match store.put(resource, Precondition::Absent).await {
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
        Err(problem) => Err(problem),
    }
}

fn cluster_key() -> Key {
    Key::global(Kind::CONFIG, CLUSTER_ID)
}
