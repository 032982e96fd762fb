//! The fold over the events of a watch, written once: what a reader knows, and what changed for it.

use std::{collections::BTreeMap, mem};

use model::Key;

use crate::{Event, Stored};

/// What a watch told so far: whole pictures only. A picture that is still being told, or that is begun anew before it was
/// told to its end, changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    known: BTreeMap<Key, Stored>,
    /// The picture that is being told.
    next: Option<BTreeMap<Key, Stored>>,
    /// How many were told to their end.
    whole: usize,
}

/// What is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New, or other than before.
    Set {
        /// What was there.
        was: Option<Stored>,
        /// What is there.
        now: Stored,
    },
    /// Gone.
    Gone {
        /// What was there.
        was: Stored,
    },
}

impl Change {
    /// Which resource.
    pub fn key(&self) -> &Key {
        let (Self::Set { now: stored, .. } | Self::Gone { was: stored }) = self;
        &stored.resource.key
    }
}

impl Picture {
    /// Takes over an event and returns what it changed. The end of a picture changes what differs from the one before it,
    /// and nothing else.
    pub fn take(&mut self, event: Event) -> Vec<Change> {
        match event {
            Event::Init => self.next = Some(BTreeMap::new()),
            Event::InitApply(stored) => {
                if let Some(next) = &mut self.next {
                    next.insert(stored.resource.key.clone(), stored);
                }
            }
            // An end without a beginning is no picture, least of all an empty one.
            Event::InitDone => return self.next.take().map(|next| self.swap(next)).unwrap_or_default(),
            Event::Apply(now) => {
                let was = self.known.insert(now.resource.key.clone(), now.clone());
                // A batch that writes the same twice tells it twice.
                return if was.as_ref() == Some(&now) { Vec::new() } else { vec![Change::Set { was, now }] };
            }
            Event::Delete { key, .. } => {
                return self.known.remove(&key).map(|was| Change::Gone { was }).into_iter().collect();
            }
        }
        Vec::new()
    }

    /// Whether a first picture was told to its end.
    pub fn is_whole(&self) -> bool {
        self.whole > 0
    }

    /// How many pictures were told to their end: with the second one the watch started anew.
    pub fn times_whole(&self) -> usize {
        self.whole
    }

    /// Whether another picture is being told.
    pub fn is_being_told(&self) -> bool {
        self.next.is_some()
    }

    /// Returns one resource.
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.known.get(key)
    }

    /// Returns everything that is known, sorted by kind, mesh and name.
    pub fn stored(&self) -> impl Iterator<Item = &Stored> {
        self.known.values()
    }

    /// Swaps in a whole picture. What is gone is told first: a name that moves is free before it is taken.
    fn swap(&mut self, next: BTreeMap<Key, Stored>) -> Vec<Change> {
        self.whole += 1;
        let before = mem::replace(&mut self.known, next);
        let mut changes: Vec<Change> = Vec::new();
        for now in self.known.values() {
            let was = before.get(&now.resource.key);
            if was != Some(now) {
                changes.push(Change::Set { was: was.cloned(), now: now.clone() });
            }
        }
        let gone = before.into_iter().filter(|(key, _)| !self.known.contains_key(key));
        gone.map(|(_, was)| Change::Gone { was }).chain(changes).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use model::{Kind, Labels, Resource};

    use super::*;
    use crate::Version;

    fn zone(name: &str, version: u64) -> Stored {
        let resource = Resource {
            key: Key::global(Kind::ZONE, name),
            labels: Labels::new(),
            spec: "{}".into(),
            status: None,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        };
        Stored { resource: Arc::new(resource), version: Version(version) }
    }

    fn told(picture: &mut Picture, zones: &[(&str, u64)]) -> Vec<String> {
        let rows = zones.iter().map(|(name, version)| Event::InitApply(zone(name, *version)));
        let events = std::iter::once(Event::Init).chain(rows).chain([Event::InitDone]);
        events.flat_map(|event| picture.take(event)).map(|change| short(&change)).collect()
    }

    fn short(change: &Change) -> String {
        let sign = match change {
            Change::Set { was: None, .. } => '+',
            Change::Set { was: Some(_), .. } => '=',
            Change::Gone { .. } => '-',
        };
        format!("{sign}{}", change.key().name)
    }

    fn known(picture: &Picture) -> Vec<&str> {
        picture.stored().map(|stored| stored.resource.key.name.as_str()).collect()
    }

    #[test]
    fn another_picture_changes_what_differs_and_nothing_else() {
        let mut picture = Picture::default();
        assert_eq!(told(&mut picture, &[("a", 1), ("b", 2), ("c", 3)]), ["+a", "+b", "+c"]);
        assert_eq!(told(&mut picture, &[("a", 1), ("c", 4), ("d", 5)]), ["-b", "=c", "+d"]);
        assert_eq!(known(&picture), ["a", "c", "d"]);
        assert_eq!(told(&mut picture, &[]), ["-a", "-c", "-d"]);
        assert!(picture.is_whole(), "an empty picture is one");
    }

    #[test]
    fn what_is_not_told_to_its_end_is_no_picture() {
        let mut picture = Picture::default();
        assert_eq!(picture.take(Event::InitDone), [], "an end without a beginning");
        assert!(!picture.is_whole());
        told(&mut picture, &[("a", 1)]);
        // A watch that is cut off and begins again.
        for event in [Event::Init, Event::InitApply(zone("b", 2))] {
            assert_eq!(picture.take(event), []);
            assert!(picture.is_being_told());
            assert_eq!(known(&picture), ["a"]);
        }
        assert_eq!(told(&mut picture, &[("a", 1), ("c", 3)]), ["+c"], "`b` was never told to its end");
        assert!(!picture.is_being_told());
    }

    #[test]
    fn single_events_say_what_was_there() {
        let mut picture = Picture::default();
        told(&mut picture, &[("a", 1)]);
        let (old, new) = (zone("a", 1), zone("a", 2));
        let changed = picture.take(Event::Apply(new.clone()));
        assert_eq!(changed, [Change::Set { was: Some(old), now: new.clone() }]);
        assert_eq!(picture.take(Event::Apply(new.clone())), [], "that was told before");
        let delete = |name: &str| Event::Delete { key: Key::global(Kind::ZONE, name), version: Version(3) };
        assert_eq!(picture.take(delete("a")), [Change::Gone { was: new }]);
        assert_eq!(picture.take(delete("a")), [], "what nobody knew is not gone");
    }
}
