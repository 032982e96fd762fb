//! Which secrets connected zones have confirmed to have: a key may sign what zones verify only after they have it.
//!
//! Kept for each stream to a zone, and gone with it. A stream on which a zone rejected secrets confirms no more: which of them
//! it kept is its secret. What came to other instances of this control plane is told by these.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{Key, Kind, ZoneName};

use super::registry::StreamId;

/// What zones have confirmed. Cheap to clone.
#[derive(Clone, Default)]
pub struct Confirmed {
    here: Arc<Mutex<BTreeMap<ZoneName, Streams>>>,
    /// By the instance that told it.
    elsewhere: Arc<Mutex<BTreeMap<String, Secrets>>>,
}

/// What each zone with streams to an instance has confirmed on all of them.
pub type Secrets = BTreeMap<ZoneName, BTreeSet<Key>>;

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
        let here = self.lock().get(zone).map(|streams| streams.values().all(|stream| stream.has(secret)));
        let elsewhere = self.elsewhere();
        let there = elsewhere.values().filter_map(|zones| zones.get(zone)).map(|secrets| secrets.contains(secret));
        here.into_iter().chain(there).reduce(|one, other| one && other).unwrap_or_default()
    }

    /// What was confirmed here.
    pub fn here(&self) -> Secrets {
        let zones = self.lock();
        let secrets = zones.iter().map(|(zone, streams)| {
            let of_all = |secret: &&Key| streams.values().all(|stream| stream.has(secret));
            let first =
                streams.values().next().into_iter().flat_map(|stream| stream.secrets.values().flatten().flatten());
            (zone.clone(), first.filter(of_all).cloned().collect())
        });
        secrets.collect()
    }

    /// Takes over what other instances told, in place of what they told before. Who is not among them tells nothing.
    pub fn told(&self, elsewhere: BTreeMap<String, Secrets>) {
        *self.elsewhere() = elsewhere;
    }

    fn elsewhere(&self) -> MutexGuard<'_, BTreeMap<String, Secrets>> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, Streams>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn has(&self, secret: &Key) -> bool {
        let secrets = self.secrets.get(&secret.kind).and_then(Option::as_ref);
        secrets.is_some_and(|secrets| secrets.contains(secret))
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
    fn what_other_instances_tell_counts_as_what_is_here() {
        let confirmed = Confirmed::default();
        let of = |secrets: &[&str]| BTreeMap::from([(zone("west"), secrets.iter().map(|name| key(name)).collect())]);
        let told = |told: &[(&str, &[&str])]| {
            confirmed.told(told.iter().map(|(instance, secrets)| ((*instance).to_owned(), of(secrets))).collect());
        };
        told(&[("b", &["a"])]);
        assert!(confirmed.has(&zone("west"), &key("a")) && !confirmed.has(&zone("west"), &key("b")));
        assert!(!confirmed.has(&zone("east"), &key("a")));
        told(&[("b", &["a"]), ("c", &[])]);
        assert!(!confirmed.has(&zone("west"), &key("a")), "another stream to the zone has not confirmed it");
        told(&[]);
        assert!(!confirmed.has(&zone("west"), &key("a")), "who told it tells nothing any more");
        told(&[("b", &["a"])]);
        let here = confirmed.open(StreamId::of(1), &zone("west"));
        assert!(!confirmed.has(&zone("west"), &key("a")));
        here.confirmed(Kind::GLOBAL_SECRET, [key("a"), key("b")].into());
        assert!(confirmed.has(&zone("west"), &key("a")) && !confirmed.has(&zone("west"), &key("b")));
    }

    #[test]
    fn others_are_told_what_every_stream_here_confirmed() {
        let confirmed = Confirmed::default();
        let first = confirmed.open(StreamId::of(1), &zone("west"));
        let second = confirmed.open(StreamId::of(2), &zone("west"));
        first.confirmed(Kind::GLOBAL_SECRET, [key("a"), key("b")].into());
        assert_eq!(confirmed.here(), BTreeMap::from([(zone("west"), [].into())]));
        second.confirmed(Kind::GLOBAL_SECRET, [key("b"), key("c")].into());
        assert_eq!(confirmed.here(), BTreeMap::from([(zone("west"), [key("b")].into())]));
        second.rejected(Kind::GLOBAL_SECRET);
        assert_eq!(confirmed.here(), BTreeMap::from([(zone("west"), [].into())]));
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
