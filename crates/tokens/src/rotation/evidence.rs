//! What is known of who uses which key, and by what measure it is judged. Whoever gathers it leaves nothing out: what
//! cannot be found out is said to be unknown.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::Family;

/// How far the clocks of two instances may be apart: what has ended here may still be good there.
pub(super) const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// All that is known of one family at a moment.
///
/// Gathered in this order: instances, then zones and tokens. An instance that signs with the new key hands out nothing of
/// the old one afterwards, so what comes later than the look at the tokens is none of the old key.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Whose keys these are.
    pub family: Family,
    /// Now.
    pub now: Timestamp,
    /// By what measure.
    pub times: Times,
    /// The private keys that exist, and when they were made.
    pub keys: BTreeMap<u64, Timestamp>,
    /// The serials that secrets of the family have, public halves too.
    pub taken: BTreeSet<u64>,
    /// All instances of the global control plane.
    pub instances: Vec<Instance>,
    /// All zones that exist.
    pub zones: Vec<Zone>,
    /// The tokens of the family that were handed out and are not revoked.
    pub tokens: Vec<Handed>,
    /// The names of entries of the ledger that cannot be read: nobody knows which tokens they are about.
    pub unreadable: Vec<String>,
}

/// How long is long.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A zone that was seen within it counts: it may come back.
    pub recent_zones: SignedDuration,
    /// How long an automatic rotation waits for one more to get out of its way.
    pub patience: SignedDuration,
    /// How long past its end a token is good.
    pub leeway: SignedDuration,
}

/// One instance of the global control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// When it was heard of last.
    pub last_seen: Option<Timestamp>,
    /// The keys of the family that it verifies with.
    pub verifies: BTreeSet<u64>,
    /// The one that it signs with.
    pub signs: Option<u64>,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// It has an open stream.
    pub live: bool,
    /// When it last had one, or pinged.
    pub last_seen: Option<Timestamp>,
    /// What let it in last.
    pub stands_on: StandsOn,
    /// When the token was issued that let it in last.
    pub issued: Option<Timestamp>,
    /// It takes its next token by itself.
    pub renews: bool,
    /// It would, and does not get it: its next one is the same bytes as one that is revoked.
    pub next_is_revoked: bool,
    /// The keys of the family that it confirmed to have what verifies them.
    pub confirmed: BTreeSet<u64>,
    /// It reads RSA keys and no others.
    pub reads_rsa_alone: bool,
    /// This is not about the token that it stands on, but about an older one that it may come back with.
    pub left: Option<Left>,
}

/// A token that a zone may come back with in place of the one that let it in last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Who has it.
    pub with: LeftWith,
    /// Its id.
    pub token: String,
    /// When it ends.
    pub ends: Option<Timestamp>,
}

/// Who has an older token of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftWith {
    /// Another instance of the zone, by its name, that has left.
    Instance(String),
    /// The file or the setting that the zone reads its token from when it starts: it cannot write the newer one there.
    File,
}

/// What let a zone in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StandsOn {
    /// A token of this key of the family.
    Key(u64),
    /// Nothing of this family.
    Other,
    /// It is not known.
    Unknown,
}

/// A token that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its id.
    pub id: String,
    /// The zone that it names.
    pub zone: Option<String>,
    /// The key that signed it.
    pub key: u64,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends.
    pub ends: Option<Timestamp>,
    /// It was used here.
    pub seen: bool,
    /// Whoever uses it uses it here: from then on the zone is what counts, and not the token.
    pub watched: bool,
    /// A zone asked for it to renew another one.
    pub renewal: bool,
}

impl Zone {
    /// Whether it may come back as it was.
    pub(super) fn counts(&self, evidence: &Evidence) -> bool {
        let recent = |seen: Timestamp| evidence.now.duration_since(seen) <= evidence.times.recent_zones;
        let may_come_back = self.left.as_ref().is_none_or(|left| evidence.is_good(left.ends));
        self.live || (self.last_seen.is_some_and(recent) && may_come_back)
    }
}

impl Evidence {
    /// Whether a token with this end may be good somewhere.
    pub(super) fn is_good(&self, ends: Option<Timestamp>) -> bool {
        ends.is_none_or(|ends| self.now.duration_since(ends) < self.times.leeway + SKEW)
    }

    /// How many zones stand on each key, of those that count.
    pub fn zones_by_key(&self) -> BTreeMap<u64, u64> {
        let mut by_key: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for zone in self.zones.iter().filter(|zone| zone.counts(self)) {
            if let StandsOn::Key(key) = zone.stands_on {
                by_key.entry(key).or_default().insert(&zone.name);
            }
        }
        by_key.into_iter().map(|(key, zones)| (key, u64::try_from(zones.len()).unwrap_or(u64::MAX))).collect()
    }
}
