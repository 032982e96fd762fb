//! The four flows once more, with relays between the zones and their global. What is tried stands beside each flow.

use crate::{a_zone_connects, b_a_token_is_issued, c_a_key_is_deleted, d_a_policy_changes, stage::way::Way};

/// Every test of the four flows, on one way.
macro_rules! flows {
    ($way:ident in $module:ident: $($flow:ident::$test:ident)*) => {
        mod $module {
            use super::*;
            $(#[test] fn $test() { $flow::$test(Way::$way); })*
        }
    };
    ($($way:ident in $module:ident)*) => {
        $(flows! {
            $way in $module:
            a_zone_connects::both_directions_sync
            a_zone_connects::kinds_that_flow_across
            b_a_token_is_issued::exactly_the_documented_one
            b_a_token_is_issued::registered_claims
            b_a_token_is_issued::key_and_scope_of_a_zone_token
            b_a_token_is_issued::nonsense
            c_a_key_is_deleted::sessions_of_a_deleted_key
            c_a_key_is_deleted::session_of_a_revoked_token
            c_a_key_is_deleted::session_of_an_expired_token
            d_a_policy_changes::every_zone
            d_a_policy_changes::crash_of_global
        })*
    };
}

flows! {
    Connector in connector
    Gateway in gateway
    Both in connector_and_gateway
}
