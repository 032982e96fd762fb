//! The Zone of a zone that connects for the first time.

use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, ZoneName};
use prost::Message as _;
use store::{Precondition, ResourceStore, StoreError};
use wire::kuma::system::v1alpha1::Zone;

/// Since when there is a Zone of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// There was one, or another stream of the zone was quicker.
    Before,
    /// It was made now.
    FromNowOn,
}

/// Makes the Zone of an authenticated caller if there is none yet (contract: kds 8.1).
pub(crate) async fn ensure_zone(
    store: &dyn ResourceStore,
    zone: &ZoneName,
    now: Timestamp,
) -> Result<Known, StoreError> {
    let key = Key::global(Kind::ZONE, zone.as_str());
    if store.get(&key).await?.is_some() {
        return Ok(Known::Before);
    }
    let resource = Resource {
        key,
        labels: Labels::new(),
        spec: Zone { enabled: Some(true) }.encode_to_vec().into(),
        status: None,
        owner: None,
        created: now,
        modified: now,
    };
    match store.put(resource, Precondition::Absent).await {
        Ok(_) => Ok(Known::FromNowOn),
        Err(StoreError::AlreadyExists { .. }) => Ok(Known::Before),
        Err(error) => Err(error),
    }
}
