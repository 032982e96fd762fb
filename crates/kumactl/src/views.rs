//! What several commands read and show of the API's views and lists.

pub(crate) mod cells;
pub(crate) mod pages;
pub(crate) mod subscriptions;

use crate::client::{Ask, Method};

/// Asks for a view.
pub(crate) fn ask(route: &str) -> Ask<'_> {
    Ask::other(Method::Get, route)
}
