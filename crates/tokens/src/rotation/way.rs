//! Who is in the way of a step: who would be cut off by it, and who is not known not to be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    evidence::{Evidence, Handed, Instance, Left, LeftWith, SKEW, StandsOn, Zone},
    state::{Rotation, Stage},
    text,
};
use crate::{Family, algorithm::Algorithm};

/// Somebody in the way of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// What it is.
    pub kind: BlockerKind,
    /// The name of the zone or instance, the id of the token.
    pub name: String,
    /// The key that it is on, if that is known.
    pub key: Option<u64>,
    /// When it was seen last.
    #[serde(with = "text::option")]
    pub last_seen: Option<Timestamp>,
    /// Why it is in the way, and what helps.
    pub reason: String,
    /// It gets out of the way by itself, if all goes well. Known where it was judged, and not told.
    #[serde(skip)]
    pub by_itself: bool,
}

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockerKind {
    /// A zone.
    Zone,
    /// An instance of the global control plane.
    Instance,
    /// A token that was handed out.
    Token,
}

impl BlockerKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Instance => "instance",
            Self::Token => "token",
        }
    }
}

impl Blocker {
    /// Who it is, in words.
    pub fn who(&self) -> String {
        format!("{} `{}` {}", self.kind.word(), self.name, self.reason)
    }

    /// Whether it is known to be on the key, and not only not known not to be.
    pub(super) fn is_certain(&self) -> bool {
        self.key.is_some()
    }
}

impl Evidence {
    /// Who is in the way of the next step of a rotation.
    pub fn in_the_way(&self, rotation: &Rotation) -> Vec<Blocker> {
        let Rotation { from, to, .. } = *rotation;
        match rotation.stage {
            Stage::Staged => {
                let instances = self.instances.iter().filter_map(|instance| lacks(instance, to));
                instances.chain(self.signing_beside(rotation)).chain(self.unconfirmed(to)).collect()
            }
            Stage::Signing => self.not_signing_with(rotation).chain(self.signing_beside(rotation)).collect(),
            // The instances again: one that does not sign with the key that stays may make more of the other. A key beside
            // the two may sign: nobody needs the one that goes for that.
            Stage::Draining => self.not_signing_with(rotation).chain(self.on(from)).collect(),
        }
    }

    /// The key that signs now and has no part in a rotation: it was made by hand since that began.
    pub fn beside(&self, rotation: &Rotation) -> Option<u64> {
        self.instances.iter().find_map(|instance| self.is_beside(instance, rotation.from, rotation.to))
    }

    fn is_beside(&self, instance: &Instance, from: u64, to: u64) -> Option<u64> {
        instance.signs.filter(|signs| *signs != from && *signs != to && self.keys.contains_key(signs))
    }

    fn signing_beside(&self, rotation: &Rotation) -> impl Iterator<Item = Blocker> {
        let Rotation { from, to, .. } = *rotation;
        let mesh = self.family.mesh().map(|mesh| format!(" --mesh {mesh}")).unwrap_or_default();
        let family = self.family.key_word();
        self.instances.iter().filter_map(move |instance| {
            let key = self.is_beside(instance, from, to)?;
            let reason = format!(
                "signs with key {key}, which was made by hand beside this rotation: delete that key if nobody has a token \
                 of it, or end this rotation with `kumactl rotate rollback {family}{mesh}` and go on with key {key}"
            );
            Some(of_instance(instance, Some(key), reason, false))
        })
    }

    /// Who would be cut off, or may be, if this key were gone.
    pub fn on(&self, key: u64) -> impl Iterator<Item = Blocker> {
        let zones = self.zones.iter().filter_map(move |zone| self.zone_on(zone, key));
        let tokens = self.tokens.iter().filter_map(move |token| self.token_of(token, key));
        zones.chain(tokens).chain(self.unreadable.iter().map(|name| unreadable(name)))
    }

    /// Which zones cannot read a key of this algorithm that they have to verify with.
    pub(super) fn cannot_read(&self, algorithm: Algorithm) -> Vec<Blocker> {
        if algorithm == Algorithm::Rs256 || !verified_in_zones(&self.family) {
            return Vec::new();
        }
        let zones = self.zones.iter().filter(|zone| zone.reads_rsa_alone && zone.counts(self));
        let reason = || format!("reads RSA keys alone, and would refuse what a key for {algorithm} signs");
        zones.map(|zone| self.of_zone(zone, None, reason(), false)).collect()
    }

    /// The zones that are connected and have not confirmed a key that they have to verify with.
    fn unconfirmed(&self, key: u64) -> impl Iterator<Item = Blocker> {
        let zones = self.zones.iter().filter(|_| verified_in_zones(&self.family));
        let zones = zones.filter(move |zone| zone.live && !zone.confirmed.contains(&key));
        let reason = move || format!("is connected and has not confirmed that it has key {key}");
        zones.map(move |zone| self.of_zone(zone, None, reason(), true))
    }

    /// The instances that sign with the other key of a rotation than this one, or with none.
    fn not_signing_with(&self, rotation: &Rotation) -> impl Iterator<Item = Blocker> {
        let Rotation { from, to: key, .. } = *rotation;
        let others = self.instances.iter().filter(move |instance| instance.signs != Some(key));
        others.filter(move |instance| self.is_beside(instance, from, key).is_none()).map(move |instance| {
            let reason = match instance.signs {
                Some(other) => format!("signs with key {other}, not with key {key}"),
                None => format!("does not sign with key {key}"),
            };
            of_instance(instance, instance.signs, reason, true)
        })
    }

    fn zone_on(&self, zone: &Zone, key: u64) -> Option<Blocker> {
        if !zone.counts(self) {
            return None;
        }
        let known = match zone.stands_on {
            StandsOn::Key(on) if on == key => Some(key),
            StandsOn::Unknown => None,
            StandsOn::Key(_) | StandsOn::Other => return None,
        };
        if let (Some(key), Some(left)) = (known, &zone.left) {
            return Some(self.of_zone(zone, known, self.has_left(zone, key, left), false));
        }
        let by_itself = known.is_some() && zone.renews && !zone.next_is_revoked;
        let reason = match (known, zone.live, zone.renews) {
            (Some(key), _, true) if zone.next_is_revoked => format!(
                "has a token of key {key} and cannot renew it: without an end the next one is the same as one that is \
                 revoked. Give it one with an end, `kumactl generate control-plane-token --zone {} --valid-for 8760h`",
                zone.name
            ),
            (Some(key), true, true) => format!("is connected with a token of key {key}, which it has still to renew"),
            (Some(key), true, false) => {
                format!("is connected with a token of key {key} and does not renew it: give it a new one")
            }
            (Some(key), false, true) => {
                format!("was last connected with a token of key {key}, and renews it when it comes back")
            }
            (Some(key), false, false) => format!(
                "was last connected with a token of key {key} and does not renew it: give it a new one, \
                 or delete the zone if it does not come back"
            ),
            (None, ..) => "is on a key that is not known: let it connect again, \
                           or delete the zone if it does not come back"
                .to_owned(),
        };
        Some(self.of_zone(zone, known, reason, by_itself))
    }

    /// What is said of an older token that a zone may come back with.
    fn has_left(&self, zone: &Zone, key: u64, left: &Left) -> String {
        let (token, family) = (&left.token, self.family.token_word());
        match &left.with {
            LeftWith::Instance(instance) => format!(
                "has another instance, `{instance}`, that left with a token of key {key} and did not come back with a newer \
                 one: give it a new one, or, if it is gone for good and nobody else has its token, revoke that with \
                 `kumactl revoke token --family {family} --id {token}`"
            ),
            LeftWith::File => format!(
                "has its newer token in memory alone, and comes back with one of key {key} when it starts again: let it \
                 write its token file, or put a new token there, `kumactl generate {family} --zone {}`",
                zone.name
            ),
        }
    }

    /// Whoever has an open stream is seen now, however long ago it came.
    fn of_zone(&self, zone: &Zone, key: Option<u64>, reason: String, by_itself: bool) -> Blocker {
        let last_seen = if zone.live { Some(self.now) } else { zone.last_seen };
        Blocker { kind: BlockerKind::Zone, name: zone.name.clone(), key, last_seen, reason, by_itself }
    }

    fn token_of(&self, token: &Handed, key: u64) -> Option<Blocker> {
        let good = self.is_good(token.ends);
        let of_zones = token.watched && (token.seen || self.replaced(token));
        if token.key != key || !good || of_zones {
            return None;
        }
        let whose = token.zone.as_ref().map(|zone| format!(" for zone `{zone}`")).unwrap_or_default();
        let used = if token.watched { "was not used yet" } else { "is used where it is not seen" };
        let end = token.ends.map_or_else(|| "has no end".to_owned(), |ends| format!("ends {ends}"));
        let reason =
            format!("was issued{whose} with key {key}, {used} and {end}: issue another one and revoke this one");
        let (kind, name) = (BlockerKind::Token, token.id.clone());
        Some(Blocker { kind, name, key: Some(key), last_seen: None, reason, by_itself: false })
    }

    /// Whether an answer with this token was lost: the zone asked again, and was let in with what it got then.
    fn replaced(&self, token: &Handed) -> bool {
        let came_later = |zone: &Zone| {
            token.zone.as_ref() == Some(&zone.name)
                && zone.issued.is_some_and(|issued| issued.duration_since(token.issued) > SKEW)
        };
        // By more than clocks are apart: it is not the other one that is still on its way.
        token.renewal && self.zones.iter().any(came_later)
    }
}

/// Whether zones verify what the keys of a family sign, so that they must have a key before it signs.
fn verified_in_zones(family: &Family) -> bool {
    matches!(family, Family::Zone | Family::Dataplane { .. })
}

fn lacks(instance: &Instance, key: u64) -> Option<Blocker> {
    let reason = || format!("does not verify with key {key} yet");
    (!instance.verifies.contains(&key)).then(|| of_instance(instance, None, reason(), true))
}

fn unreadable(name: &str) -> Blocker {
    let reason = "cannot be read, so it may be about a token of this key".to_owned();
    Blocker { kind: BlockerKind::Token, name: name.to_owned(), key: None, last_seen: None, reason, by_itself: false }
}

fn of_instance(instance: &Instance, key: Option<u64>, reason: String, by_itself: bool) -> Blocker {
    let (name, last_seen) = (instance.name.clone(), instance.last_seen);
    Blocker { kind: BlockerKind::Instance, name, key, last_seen, reason, by_itself }
}
