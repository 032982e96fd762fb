//! Databases of PostgreSQL for the control planes of a world, one each: a control plane that starts again finds its own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use testkit::postgres::{Database, database};

/// A database for each control plane that was started.
pub(crate) struct Databases(Mutex<BTreeMap<String, Database>>);

impl Databases {
    /// Returns the first one, for the global; none where there is no PostgreSQL, which is said.
    pub(super) fn start() -> Option<Self> {
        let first = database()?;
        Some(Self(Mutex::new([("global".to_owned(), first)].into())))
    }

    /// The settings of a control plane that keeps its resources in its database.
    pub(super) fn settings(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut databases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || database().expect("there was a PostgreSQL a moment ago");
        databases.entry(name.to_owned()).or_insert_with(new).place().settings()
    }
}
