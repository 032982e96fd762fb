//! Which secrets connected zones have confirmed to have: a key may sign what zones verify only after they have it.
//!
//! Kept for each stream to a zone, and gone with it. A stream on which a zone rejected secrets confirms no more: which of them
//! it kept is its secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{Key, Kind, ZoneName};

use super::registry::StreamId;

/// What zones have confirmed. Cheap to clone.
#[derive(Clone, Default)]
pub struct Confirmed(Arc<Mutex<BTreeMap<ZoneName, Streams>>>);

/// The streams to one zone.
type Streams = BTreeMap<StreamId, Stream>;

struct Stream {
    /// By kind; `None` of one that the zone rejected something of.
    secrets: BTreeMap<Kind, Option<BTreeSet<Key>>>,
}

/// A stream to a zone; what it confirmed is forgotten when this is dropped.
pub struct Confirming {
    confirmed: Confirmed,
    zone: ZoneName,
    stream: StreamId,
}

impl Confirmed {
    /// Takes note of a stream on which nothing was confirmed yet.
    pub fn open(&self, stream: StreamId, zone: &ZoneName) -> Confirming {
        let nothing = Stream { secrets: BTreeMap::new() };
        self.lock().entry(zone.clone()).or_default().insert(stream, nothing);
        Confirming { confirmed: self.clone(), zone: zone.clone(), stream }
    }

    /// Whether all streams to a zone, and at least one, have confirmed a secret.
    pub fn has(&self, zone: &ZoneName, secret: &Key) -> bool {
        let zones = self.lock();
        let confirmed = |stream: &Stream| {
            let secrets = stream.secrets.get(&secret.kind).and_then(Option::as_ref);
            secrets.is_some_and(|secrets| secrets.contains(secret))
        };
        zones.get(zone).is_some_and(|streams| streams.values().all(confirmed))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, Streams>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Confirming {
    /// The zone has these secrets of a kind, and no others.
    pub fn confirmed(&self, kind: Kind, secrets: BTreeSet<Key>) {
        self.of_stream(|stream| {
            if let Some(known) = stream.secrets.entry(kind).or_insert_with(|| Some(BTreeSet::new())) {
                *known = secrets;
            }
        });
    }

    /// The zone rejected some of a kind.
    pub fn rejected(&self, kind: Kind) {
        self.of_stream(|stream| {
            stream.secrets.insert(kind, None);
        });
    }

    fn of_stream(&self, change: impl FnOnce(&mut Stream)) {
        if let Some(stream) =
            self.confirmed.lock().get_mut(&self.zone).and_then(|streams| streams.get_mut(&self.stream))
        {
            change(stream);
        }
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        let mut zones = self.confirmed.lock();
        // Who has no stream has confirmed nothing, not everything.
        if let Some(streams) = zones.get_mut(&self.zone)
            && streams.remove(&self.stream).is_some()
            && streams.is_empty()
        {
            zones.remove(&self.zone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> ZoneName {
        ZoneName::parse(name).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::global(Kind::GLOBAL_SECRET, name)
    }

    #[test]
    fn every_stream_to_a_zone_confirms_for_itself() {
        let confirmed = Confirmed::default();
        assert!(!confirmed.has(&zone("west"), &key("a")), "nobody is connected");
        let first = confirmed.open(StreamId::of(1), &zone("west"));
        let other = confirmed.open(StreamId::of(2), &zone("east"));
        other.confirmed(Kind::GLOBAL_SECRET, [key("a")].into());
        assert!(!confirmed.has(&zone("west"), &key("a")));
        first.confirmed(Kind::GLOBAL_SECRET, [key("a"), key("b")].into());
        assert!(confirmed.has(&zone("west"), &key("a")) && confirmed.has(&zone("west"), &key("b")));
        first.confirmed(Kind::GLOBAL_SECRET, [key("b")].into());
        assert!(!confirmed.has(&zone("west"), &key("a")), "it was taken away again");
        let second = confirmed.open(StreamId::of(3), &zone("west"));
        assert!(!confirmed.has(&zone("west"), &key("b")), "another stream to the zone has not confirmed it");
        drop(second);
        assert!(confirmed.has(&zone("west"), &key("b")));
        drop(first);
        assert!(!confirmed.has(&zone("west"), &key("b")));
    }

    #[test]
    fn what_a_zone_rejected_is_not_confirmed_by_what_it_takes_later() {
        let confirmed = Confirmed::default();
        let stream = confirmed.open(StreamId::of(1), &zone("west"));
        stream.confirmed(Kind::GLOBAL_SECRET, [key("a")].into());
        stream.rejected(Kind::GLOBAL_SECRET);
        stream.confirmed(Kind::GLOBAL_SECRET, [key("a")].into());
        assert!(!confirmed.has(&zone("west"), &key("a")));
    }
}
