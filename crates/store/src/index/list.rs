//! Lists: which resources match, and which page of them.

use model::{Key, labels};

use super::Index;
use crate::{Page, Query, Stored};

impl Index {
    /// Returns a page of what matches, sorted by mesh and name.
    pub(crate) fn list(&self, query: &Query) -> Page {
        let from = Key::in_mesh(query.kind, query.mesh.clone().unwrap_or_default(), "");
        let mut page = Page { items: Vec::new(), total: 0 };
        let limit = query.limit.unwrap_or(usize::MAX);
        let rows: Box<dyn Iterator<Item = &Stored>> = match query.labels.get(labels::ZONE) {
            Some(zone) => Box::new(self.rows_of_zone(zone, &from)),
            None => Box::new(self.rows_from(&from)),
        };
        for stored in rows {
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
