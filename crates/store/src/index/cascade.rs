//! What goes when a resource goes: what it owns, transitively, and with a mesh everything in it.

use std::{collections::HashSet, sync::Arc};

use model::{Key, Kind};

use super::Index;

/// A step of the walk over a tree that may have cycles.
enum Step {
    /// Look at what depends on the resource.
    Enter(Arc<Key>),
    /// Everything that depends on the resource is told.
    Leave(Arc<Key>),
}

impl Index {
    /// Returns the key and all that goes with it, the dependent before what it depends on: whoever follows the
    /// deletions one by one never holds a resource without its owner.
    pub(super) fn cascade(&self, root: &Key) -> Vec<Arc<Key>> {
        let mut seen = HashSet::new();
        let mut gone = Vec::new();
        let mut steps = vec![Step::Enter(Arc::new(root.clone()))];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(key) => {
                    if !seen.insert(Arc::clone(&key)) {
                        continue;
                    }
                    let dependents = self.dependents(&key);
                    steps.push(Step::Leave(key));
                    // the walk takes from the end
                    steps.extend(dependents.into_iter().rev().map(Step::Enter));
                }
                Step::Leave(key) => gone.push(key),
            }
        }
        gone
    }

    fn dependents(&self, key: &Key) -> Vec<Arc<Key>> {
        let members = if key.kind == Kind::MESH { self.members.get(&key.name) } else { None };
        members.into_iter().chain(self.owned.get(key)).flatten().cloned().collect()
    }
}
