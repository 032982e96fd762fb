//! A store that a control plane works with, and whoever else does.

use std::sync::Arc;

use store::{Instances, ResourceStore};

use crate::cluster::Times;

/// A store, and whoever else works with it.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ResourceStore>,
    /// This instance among the others, and how soon they notice what happens to it; nothing where there can be none.
    pub(super) others: Option<(Arc<dyn Instances>, Times)>,
    /// The cluster of a database, which the work folder is to remember.
    pub(super) cluster: Option<String>,
}
