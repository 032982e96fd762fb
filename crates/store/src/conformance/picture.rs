//! A reader of a watch: keeps the picture, checks the order of what it is told.

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt};
use model::Key;

use crate::{Event, Stored, Watch};

/// What a watcher knows from its events alone. Panics on events that come in an order that no watcher expects.
#[derive(Debug, Default)]
pub struct Picture {
    known: BTreeMap<Key, Stored>,
    next: Option<BTreeMap<Key, Stored>>,
    starts: usize,
}

impl Picture {
    /// Takes over one event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Init => {
                self.starts += 1;
                self.next = Some(BTreeMap::new());
            }
            Event::InitApply(stored) => {
                let Some(next) = &mut self.next else { panic!("InitApply without Init") };
                let again = next.insert(stored.resource.key.clone(), stored);
                assert_eq!(again, None, "told twice in one picture");
            }
            Event::InitDone => {
                let Some(next) = self.next.take() else { panic!("InitDone without Init") };
                self.known = next;
            }
            Event::Apply(stored) => {
                self.check_live();
                let old = self.known.insert(stored.resource.key.clone(), stored.clone());
                assert!(old.is_none_or(|old| old.version <= stored.version), "a version went back: {stored:?}");
            }
            Event::Delete { key, version } => {
                self.check_live();
                let Some(old) = self.known.remove(&key) else { panic!("deleted, but never told: {key}") };
                assert!(old.version <= version, "a version went back: {key}");
            }
        }
    }

    /// Takes what the watch has ready; returns whether it had something.
    pub fn take_ready(&mut self, watch: &mut Watch) -> bool {
        match watch.next().now_or_never() {
            Some(Some(event)) => {
                self.take(event);
                true
            }
            Some(None) => panic!("the watch ended while the store lives"),
            None => false,
        }
    }

    /// Takes all that the watch has ready.
    pub fn catch_up(&mut self, watch: &mut Watch) {
        while self.take_ready(watch) {}
    }

    /// Returns what is known.
    pub fn known(&self) -> Vec<Stored> {
        self.known.values().cloned().collect()
    }

    /// Returns how often the watch started with a picture.
    pub fn starts(&self) -> usize {
        self.starts
    }

    fn check_live(&self) {
        assert!(self.starts > 0 && self.next.is_none(), "a live event outside of the live part");
    }
}
