//! The tests of the whole program: one binary, one module a subject.
#[cfg(test)]
mod a_zone_connects;
#[cfg(test)]
mod b_a_token_is_issued;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod backups_on_postgres;
#[cfg(test)]
mod bad_network;
#[cfg(test)]
mod broken_globals;
#[cfg(test)]
mod broken_peers;
#[cfg(test)]
mod c_a_key_is_deleted;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod connectors;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod d_a_policy_changes;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod export_and_apply;
#[cfg(test)]
mod fault_run;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod file_lengths;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod global_takes_in;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod kds_replay_global;
#[cfg(test)]
mod kds_replay_zone;
#[cfg(test)]
mod kds_rules;
#[cfg(test)]
mod kumactl_replay;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log_floods;
#[cfg(test)]
mod lost_globals;
#[cfg(test)]
mod named_tests;
#[cfg(test)]
mod no_calls;
#[cfg(test)]
mod old_globals;
#[cfg(test)]
mod old_peers;
#[cfg(test)]
mod old_types;
#[cfg(test)]
mod on_postgres;
#[cfg(test)]
mod own_ends;
#[cfg(test)]
mod own_meshes;
#[cfg(test)]
mod places;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod raw_http2;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod relays_in_trouble;
#[cfg(test)]
mod renewals;
#[cfg(test)]
mod rest_access;
#[cfg(test)]
mod rest_attacks;
#[cfg(test)]
mod rest_content;
#[cfg(test)]
mod rest_log;
#[cfg(test)]
mod rest_replay;
#[cfg(test)]
mod rest_rules;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod rotations;
#[cfg(test)]
mod secrets_nowhere;
#[cfg(test)]
mod seen_signing_keys;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod signed_outside;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod stolen_token;
#[cfg(test)]
mod store_behind;
#[cfg(test)]
mod troubles;
#[cfg(test)]
mod two_globals;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod walls;
#[cfg(test)]
mod zone_tokens;
