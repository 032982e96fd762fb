//! Integration tests of the control plane.

mod rest_replay;
