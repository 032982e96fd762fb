//! Short ways to make what tests write.

use ::model::{Key, Kind, Labels, Resource};
use jiff::Timestamp;
use store::{Batch, Precondition, Write};

pub(crate) fn zone(name: &str) -> Key {
    Key::global(Kind::ZONE, name)
}

pub(crate) fn saying(key: &Key, spec: impl Into<Vec<u8>>) -> Resource {
    Resource {
        key: key.clone(),
        labels: Labels::new(),
        spec: spec.into().into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn puts(resources: impl IntoIterator<Item = Resource>) -> Batch {
    Batch::of(resources.into_iter().map(|resource| Write::Put { resource, expect: Precondition::Any }).collect())
}
