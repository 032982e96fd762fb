//! The server program `kuma-cp`: global and zone control planes assembled from the same parts.

mod about;
pub mod access;
pub mod app;
mod backup;
pub mod bootstrap;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod doctor;
mod files;
mod inter_cp;
pub mod issuing;
mod kds;
pub mod keys;
pub mod ledger;
mod limits;
pub mod observe;
mod records;
pub mod rest;
mod revoking;
pub mod rotation;
pub mod tasks;
pub mod tls;
mod verdicts;
pub mod writes;
pub mod zones;
