//! Every recorded KDS exchange, played against our global, message by message.
//!
//! The zone of a recording is played as it was: its headers, its requests and its responses byte for byte, with the nonces
//! and ids of our global in place of the recorded ones. Our global is the one that `kuma-cp run` assembles, in this process
//! and on a store that the test can write to:
//!
//! ```text
//! recording ──► held: what the recorded global held ──► store of our global ──► its responses ──┐
//!     │                                                                                          ├─► the same?
//!     └──► the zone's messages ──► our global ──► its answers, its REST API ─────────────────────┘
//! ```
//!
//! What our global makes by itself is compared and not seeded: a 3.0 recording gets our default mesh, our host name
//! generators and, for each new mesh, the policies and the signing key that our global gives it. A recorded silence is
//! shown by order: a marker that is written afterwards arrives, and nothing came before it.
//!
//! Compared is up to the order of types and resources, nonces, ids, times, and how changes that come within a second are
//! spread over responses. What differs on purpose stands in `docs/compatibility.md`; a difference that does not stand
//! there fails, and so does one that stands there and is none.

mod admin;
mod compare;
mod differences;
mod down;
mod global;
mod held;
mod overview;
mod play;
mod probes;
mod recording;
mod silence;
mod steps;
mod stream;
mod up;

use self::{
    global::Way,
    play::{Release, replay},
};

#[test]
fn zone_2_14_at_a_2_14_global() {
    replay("global-2.14.3+zone-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn zone_3_0_at_a_2_14_global() {
    replay("global-2.14.3+zone-3.0-preview", Way::Recorded, Release::V2);
}

#[test]
fn zone_2_14_at_a_3_0_global() {
    replay("global-3.0-preview+zone-2.14.3", Way::Recorded, Release::V3);
}

#[test]
fn zone_3_0_at_a_3_0_global() {
    replay("global-3.0-preview+zone-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn zone_2_14_over_tls_with_a_token() {
    replay("global-2.14.3+zone-2.14.3", Way::Authenticated, Release::V2);
}

#[test]
fn zone_3_0_over_tls_with_a_token() {
    replay("global-3.0-preview+zone-3.0-preview", Way::Authenticated, Release::V3);
}

/// The recordings again through relays. Left out are those of hand-driven zones with probes of the port itself (what a gateway
/// refuses of them has tests of its own).
macro_rules! through {
    ($module:ident $way:ident $($name:ident $folder:literal $release:ident)*) => {
        mod $module {
            use super::*;
            $(#[test] fn $name() { replay($folder, Way::$way, Release::$release); })*
        }
    };
}

/// All of them, on a way.
macro_rules! all_through {
    ($module:ident $way:ident) => {
        through! { $module $way
            zone_2_14_at_a_2_14_global "global-2.14.3+zone-2.14.3" V2
            zone_3_0_at_a_2_14_global "global-2.14.3+zone-3.0-preview" V2
            zone_2_14_at_a_3_0_global "global-3.0-preview+zone-2.14.3" V3
            zone_3_0_at_a_3_0_global "global-3.0-preview+zone-3.0-preview" V3
            two_zones_of_2_14 "two-zones-2.14.3" V2
            two_zones_of_3_0 "two-zones-3.0-preview" V3
            resources_that_a_zone_refuses "refused-by-zone-3.0-preview" V2
            resources_that_global_refuses "refused-by-global-3.0-preview" V3
            reverse_requests_to_2_14 "reverse-requests-2.14.3" V2
            reverse_requests_to_3_0 "reverse-requests-3.0-preview" V3
            empty_ends_of_2_14 "empty-2.14.3" V2
            empty_ends_of_3_0 "empty-3.0-preview" V3Bare
            too_large_for_2_14 "too-large-2.14.3" V2
            too_large_for_3_0 "too-large-3.0-preview" V3
            a_half_closed_stream_of_2_14 "half-closed-stream-2.14.3" V2
            a_half_closed_stream_of_3_0 "half-closed-stream-3.0-preview" V3
        }
    };
}

all_through! { through_a_gateway Relayed }
all_through! { through_both Both }

through! { through_a_connector Connected
    zone_2_14_at_a_2_14_global "global-2.14.3+zone-2.14.3" V2
    zone_3_0_at_a_3_0_global "global-3.0-preview+zone-3.0-preview" V3
    two_zones_of_2_14 "two-zones-2.14.3" V2
    resources_that_global_refuses "refused-by-global-3.0-preview" V3
    reverse_requests_to_2_14 "reverse-requests-2.14.3" V2
}

#[test]
fn empty_ends_of_2_14() {
    replay("empty-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn empty_ends_of_3_0() {
    replay("empty-3.0-preview", Way::Recorded, Release::V3Bare);
}

#[test]
fn resources_that_a_zone_refuses() {
    replay("refused-by-zone-3.0-preview", Way::Recorded, Release::V2);
}

#[test]
fn resources_that_global_refuses() {
    replay("refused-by-global-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn two_zones_of_2_14() {
    replay("two-zones-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn two_zones_of_3_0() {
    replay("two-zones-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn reverse_requests_to_2_14() {
    replay("reverse-requests-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn reverse_requests_to_3_0() {
    replay("reverse-requests-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn too_large_for_2_14() {
    replay("too-large-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn too_large_for_3_0() {
    replay("too-large-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn probes_of_a_2_14_global() {
    replay("hand-driven-zone+global-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn probes_of_a_3_0_global() {
    replay("hand-driven-zone+global-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn a_bad_zone_name() {
    replay("bad-zone-name-3.0-preview", Way::Recorded, Release::V3);
}

#[test]
fn a_half_closed_stream_of_2_14() {
    replay("half-closed-stream-2.14.3", Way::Recorded, Release::V2);
}

#[test]
fn a_half_closed_stream_of_3_0() {
    replay("half-closed-stream-3.0-preview", Way::Recorded, Release::V3);
}
