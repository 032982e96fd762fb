//! Integration tests of the control plane.

#[cfg(test)]
mod rest_access;
#[cfg(test)]
mod rest_log;
#[cfg(test)]
mod rest_replay;
#[cfg(test)]
mod rest_rules;
