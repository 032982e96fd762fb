//! A zone, and a database of several instances that has it: where tests of what is known of zones begin.

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, ZoneName};
use store::{Precondition, ResourceStore as _, testing::Database};

pub(crate) fn west() -> ZoneName {
    ZoneName::parse("west").unwrap()
}

/// A database with the zone.
pub(crate) async fn database_with_west() -> Database {
    let database = Database::new();
    let zone = Resource {
        key: Key::global(Kind::ZONE, west().as_str()),
        labels: Labels::new(),
        spec: Bytes::new(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    database.instance().put(zone, Precondition::Absent).await.unwrap();
    database
}
