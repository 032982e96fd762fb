//! Lists: which resources match, and which page of them.

use model::Key;

use super::Index;
use crate::{Page, Query, Stored};

impl Index {
    /// Returns a page of what matches, sorted by mesh and name.
    pub(crate) fn list(&self, query: &Query) -> Page {
        let from = Key::in_mesh(query.kind, query.mesh.clone().unwrap_or_default(), "");
        let mut page = Page { items: Vec::new(), total: 0 };
        let limit = query.limit.unwrap_or(usize::MAX);
        for stored in self.rows_from(&from) {
            // rows are sorted by mesh
            if query.mesh.as_ref().is_some_and(|mesh| *mesh != stored.resource.key.mesh) {
                break;
            }
            if !matches(query, stored) {
                continue;
            }
            if page.total >= query.offset && page.items.len() < limit {
                page.items.push(stored.clone());
            }
            page.total += 1;
        }
        page
    }
}

fn matches(query: &Query, stored: &Stored) -> bool {
    let resource = &stored.resource;
    query.name_contains.as_ref().is_none_or(|part| resource.key.name.contains(part))
        && query.labels.iter().all(|(key, value)| resource.labels.get(key) == Some(value))
}
