//! Every recorded exchange, played to our zone by a global that says what the recorded one said, byte for byte.
//!
//! Where our zone differs on purpose stands in `docs/compatibility.md`; the tests read that table.

mod between;
mod compare;
mod envoy;
mod link;
mod listed;
mod mirror;
mod play;
mod probes;
mod recording;
mod reverse;
mod stored;
mod zone;

use model::labels;
use serde_json::json;
use testkit::captures;

use self::{
    play::{Scenario, play},
    zone::Zone,
};
use crate::stage::way::Way;

const PLAIN: Scenario = Scenario { settings: &[], steps: &[] };
/// A zone that has nothing of its own at the start.
const BARE: Scenario = Scenario { settings: &[("KUMA_DEFAULTS_SKIP_HOSTNAME_GENERATORS", "true")], steps: &[] };
const LONG: Scenario = Scenario { settings: &[], steps: &[("zone: a dataplane and a zone policy", own_secret)] };

/// A secret of the zone never leaves it.
fn own_secret(zone: &Zone) {
    zone.write_secret("zsec", "em9uZQ==");
}

const REFUSALS: Scenario = Scenario {
    settings: &[],
    steps: &[
        ("zone: a secret of its own", secret_that_global_has_too),
        ("global: it is deleted", own_secret_has_won),
        ("global: a name that is not a DNS label", own_secret_has_won),
    ],
};

fn secret_that_global_has_too(zone: &Zone) {
    zone.write_secret("same", "em9uZQ==");
}

fn own_secret_has_won(zone: &Zone) {
    assert_eq!(zone.secret("same"), "em9uZQ==");
}

const FIRST_OF_TWO: Scenario =
    Scenario { settings: &[], steps: &[("zone-1: two producer policies", policy_kept_back)] };

/// A policy with the label that keeps it in the zone.
fn policy_kept_back(zone: &Zone) {
    let spec = json!({"targetRef": {"kind": "Mesh"}, "to": [
        {"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "22s"}}]});
    assert_eq!(zone.write_policy("MeshTimeout", "kept", Some((labels::KDS_SYNC, "disabled")), &spec), 201);
}

#[test]
fn zone_2_14_3_of_global_2_14_3() {
    play("global-2.14.3+zone-2.14.3", "zone-1", LONG);
}

#[test]
fn zone_3_0_of_global_2_14_3() {
    play("global-2.14.3+zone-3.0-preview", "zone-1", LONG);
}

#[test]
fn zone_2_14_3_of_global_3_0() {
    play("global-3.0-preview+zone-2.14.3", "zone-1", LONG);
}

#[test]
fn zone_3_0_of_global_3_0() {
    play("global-3.0-preview+zone-3.0-preview", "zone-1", LONG);
}

#[test]
fn empty_2_14_3() {
    play("empty-2.14.3", "zone-1", BARE);
}

#[test]
fn empty_3_0() {
    play("empty-3.0-preview", "zone-1", BARE);
}

#[test]
fn reverse_requests_2_14_3() {
    play("reverse-requests-2.14.3", "zone-1", BARE);
}

#[test]
fn reverse_requests_3_0() {
    play("reverse-requests-3.0-preview", "zone-1", BARE);
}

#[test]
fn refused_by_zone_3_0() {
    play("refused-by-zone-3.0-preview", "zone-1", REFUSALS);
}

#[test]
fn refused_by_global_3_0() {
    play("refused-by-global-3.0-preview", "zone-1", REFUSALS);
}

#[test]
fn too_large_2_14_3() {
    play("too-large-2.14.3", "zone-1", PLAIN);
}

#[test]
fn too_large_3_0() {
    play("too-large-3.0-preview", "zone-1", PLAIN);
}

#[test]
fn first_of_two_zones_2_14_3() {
    play("two-zones-2.14.3", "zone-1", FIRST_OF_TWO);
}

#[test]
fn second_of_two_zones_2_14_3() {
    play("two-zones-2.14.3", "zone-2", PLAIN);
}

#[test]
fn first_of_two_zones_3_0() {
    play("two-zones-3.0-preview", "zone-1", FIRST_OF_TWO);
}

#[test]
fn second_of_two_zones_3_0() {
    play("two-zones-3.0-preview", "zone-2", PLAIN);
}

/// The recordings again with relays between our zone and the recorded global, but for the hand-driven ones, whose global says
/// of its connection what a relay says for itself.
macro_rules! through {
    ($module:ident $way:ident $($name:ident $folder:literal $zone:literal $scenario:ident)*) => {
        mod $module {
            use super::*;
            $(#[test] fn $name() { play::play_on(Way::$way, $folder, $zone, $scenario); })*
        }
    };
}

/// All of them, on a way.
macro_rules! all_through {
    ($module:ident $way:ident) => {
        through! { $module $way
            zone_2_14_3_of_global_2_14_3 "global-2.14.3+zone-2.14.3" "zone-1" LONG
            zone_3_0_of_global_2_14_3 "global-2.14.3+zone-3.0-preview" "zone-1" LONG
            zone_2_14_3_of_global_3_0 "global-3.0-preview+zone-2.14.3" "zone-1" LONG
            zone_3_0_of_global_3_0 "global-3.0-preview+zone-3.0-preview" "zone-1" LONG
            empty_2_14_3 "empty-2.14.3" "zone-1" BARE
            empty_3_0 "empty-3.0-preview" "zone-1" BARE
            reverse_requests_2_14_3 "reverse-requests-2.14.3" "zone-1" BARE
            reverse_requests_3_0 "reverse-requests-3.0-preview" "zone-1" BARE
            refused_by_zone_3_0 "refused-by-zone-3.0-preview" "zone-1" REFUSALS
            refused_by_global_3_0 "refused-by-global-3.0-preview" "zone-1" REFUSALS
            too_large_2_14_3 "too-large-2.14.3" "zone-1" PLAIN
            too_large_3_0 "too-large-3.0-preview" "zone-1" PLAIN
            first_of_two_zones_2_14_3 "two-zones-2.14.3" "zone-1" FIRST_OF_TWO
            second_of_two_zones_2_14_3 "two-zones-2.14.3" "zone-2" PLAIN
            first_of_two_zones_3_0 "two-zones-3.0-preview" "zone-1" FIRST_OF_TWO
            second_of_two_zones_3_0 "two-zones-3.0-preview" "zone-2" PLAIN
        }
    };
}

all_through! { through_a_gateway Gateway }
all_through! { through_both Both }

through! { through_a_connector Connector
    zone_2_14_3_of_global_2_14_3 "global-2.14.3+zone-2.14.3" "zone-1" LONG
    zone_3_0_of_global_3_0 "global-3.0-preview+zone-3.0-preview" "zone-1" LONG
    reverse_requests_3_0 "reverse-requests-3.0-preview" "zone-1" BARE
    refused_by_global_3_0 "refused-by-global-3.0-preview" "zone-1" REFUSALS
    first_of_two_zones_2_14_3 "two-zones-2.14.3" "zone-1" FIRST_OF_TWO
}

#[test]
fn probes_of_zone_2_14_3() {
    probes::play("hand-driven-global+zone-2.14.3");
}

#[test]
fn probes_of_zone_3_0() {
    probes::play("hand-driven-global+zone-3.0-preview");
}

/// Whether a test of this file plays the folder.
fn is_played(folder: &str) -> bool {
    include_str!("kds_replay_zone.rs").contains(&format!("play(\"{folder}\""))
}

#[test]
fn every_recording_is_played() {
    for folder in captures::kds_folders() {
        // In these the zone was the small program: there is no zone to compare ours with.
        let has_no_zone = ["bad-zone-name-", "half-closed-stream-", "hand-driven-zone+"];
        let may_be_left_out = has_no_zone.iter().any(|prefix| folder.starts_with(prefix));
        assert_ne!(is_played(&folder), may_be_left_out, "{folder}");
    }
}

#[test]
fn every_listed_difference_is_of_a_recording_that_is_played() {
    for recording in listed::recordings() {
        let is_of_many = ["every zone", "2.14.3 zones", "3.0-preview zones"].contains(&recording.as_str());
        let folder = recording.split(", ").next().unwrap();
        assert!(is_of_many || is_played(folder), "{recording}");
    }
}
