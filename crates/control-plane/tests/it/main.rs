//! Integration tests of the control plane.

mod rest_access;
mod rest_replay;
mod rest_rules;
