//! What tests stand on: control planes, peers that a test plays, and the API alone. No tests are in here, so that what a
//! test module has is its own, and what two of them need is here or, where it needs nothing of the control plane, in
//! `testkit`.

pub(crate) mod database_global;
pub(crate) mod inside;
pub(crate) mod passage;
pub(crate) mod plain_global;
pub(crate) mod plain_port;
pub(crate) mod played_global;
pub(crate) mod played_zone;
pub(crate) mod postgres_global;
pub(crate) mod raw_far;
pub(crate) mod raw_http2;
pub(crate) mod relays;
pub(crate) mod rest_world;
pub(crate) mod sides;
pub(crate) mod way;
pub(crate) mod world;
