//! The tests of the whole program: one binary, one module a subject.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests run real processes and wait for them with real time"
)]

mod world;

mod a_zone_connects;
mod b_a_token_is_issued;
mod broken_peers;
mod c_a_key_is_deleted;
mod d_a_policy_changes;
#[cfg(test)]
mod kumactl_replay;
mod recorded_zone;
mod refusals;
#[cfg(test)]
mod rest_access;
#[cfg(test)]
mod rest_log;
#[cfg(test)]
mod rest_replay;
#[cfg(test)]
mod rest_rules;
mod walk;
