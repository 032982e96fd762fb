//! The key ring: all keys that verify now, and the ids that are revoked.
//!
//! A ring is built anew from all secrets whenever one of them changes, and never changes afterwards. Keys are parsed
//! here once, not with each token. It holds no bytes of a secret, only the keys of the provider made of them.
//!
//! All keys verify. Of those of a family that are in the phase to sign ([`Phase::Signing`], which all are unless somebody
//! says otherwise) the one with the highest serial signs.

mod slot;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;

use self::slot::{Candidate, Slot};
use crate::{
    key::{Key, KeyProblem, PublicKey},
    name::{Family, Half, KeyId, SecretName, parse_serial},
    phase::{Phase, Phases},
    revocation::{
        Revocations,
        rule::{RevocationRule, TokenFacts},
    },
    signer::OutsideKey,
    static_keys::StaticKeys,
};

/// A secret as the store has it: mesh (empty for a global secret), name and decoded data.
#[derive(Clone, Copy)]
pub struct SecretEntry<'a> {
    /// The mesh, or empty.
    pub mesh: &'a str,
    /// The name.
    pub name: &'a str,
    /// The bytes; `None` if they are not there or cannot be read, which is not the same as empty.
    pub data: Option<&'a [u8]>,
}

/// All that a ring is built from.
#[derive(Clone, Default)]
pub struct RingSources<'a> {
    /// All secrets that exist; those with other names than keys and lists have are passed over.
    pub secrets: &'a [SecretEntry<'a>],
    /// How far keys have come; all are in the phase to sign unless this says otherwise.
    pub phases: Phases,
    /// What is revoked beside what lists among the secrets name.
    pub rules: Vec<RevocationRule>,
    /// Families of which nobody knows what is revoked, and why: the name of what cannot be read. None of their tokens is
    /// accepted.
    pub closed: Vec<(Family, String)>,
}

/// Something among the secrets that a human must mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingProblem {
    /// Two secrets have one serial: none of them verifies or signs.
    #[error("signing keys {names:?} have the same serial number {}, so none of them is used; delete all but one", .id.serial)]
    SharedSerial {
        /// The key that both would be.
        id: KeyId,
        /// The names.
        names: Vec<String>,
    },
    /// A secret with the name of a key holds none.
    #[error("secret {name:?} cannot be used: {problem}")]
    BadKey {
        /// The mesh, or empty.
        mesh: String,
        /// The name.
        name: String,
        /// What is wrong.
        problem: KeyProblem,
    },
    /// A list of revoked ids cannot be read: nothing of its family is accepted.
    #[error("list of revoked tokens {name:?} cannot be read, so no token of its kind is accepted")]
    UnreadableRevocations {
        /// The family.
        family: Family,
        /// The mesh, or empty.
        mesh: String,
        /// The name.
        name: String,
    },
}

/// All keys that verify now, plus revocations.
pub struct KeyRing {
    generation: u64,
    slots: BTreeMap<KeyId, Slot>,
    revocations: BTreeMap<Family, Revocations>,
    settings: Arc<StaticKeys>,
    retired: BTreeSet<KeyId>,
    untold: BTreeSet<KeyId>,
}

/// Why a ring has no key for an id.
pub(crate) enum NoKey {
    /// There is no secret for it.
    Absent,
    /// There is none any more: a rotation took it away.
    Retired,
    /// The settings have none, and say that secrets verify nothing of this family.
    NotInSettings,
    /// There is one, and it cannot be used.
    Broken { name: String, problem: KeyProblem },
}

impl KeyRing {
    /// Builds a ring of secrets alone.
    pub fn build(generation: u64, secrets: &[SecretEntry<'_>]) -> (Self, Vec<RingProblem>) {
        Self::build_of(generation, RingSources { secrets, ..RingSources::default() })
    }

    /// Builds a ring.
    ///
    /// Phases say which key signs, never which verify: a token that was good stays so in whatever phase its key comes. A
    /// phase of a key that does not exist counts for nothing. Where no key is in the phase to sign, nothing is signed.
    pub fn build_of(generation: u64, sources: RingSources<'_>) -> (Self, Vec<RingProblem>) {
        let RingSources { secrets, phases, rules, closed } = sources;
        let mut ring = Self { generation, ..Self::empty() };
        let mut problems = Vec::new();
        let mut found = BTreeMap::new();
        for secret in secrets {
            ring.add(secret, &mut found, &mut problems);
        }
        for (id, candidates) in found {
            let slot = Slot::of(candidates, phases.of(&id));
            if let Err(KeyProblem::SharedSerial { names }) = &slot.key {
                problems.push(RingProblem::SharedSerial { id: id.clone(), names: names.clone() });
            }
            ring.slots.insert(id, slot);
        }
        for rule in rules {
            ring.revocations.entry(rule.family.clone()).or_default().add_rule(rule);
        }
        for (family, name) in closed {
            ring.revocations.entry(family).or_default().unreadable = Some(name);
        }
        (ring, problems)
    }

    /// A ring that verifies nothing.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            slots: BTreeMap::new(),
            revocations: BTreeMap::new(),
            settings: Arc::default(),
            retired: BTreeSet::new(),
            untold: BTreeSet::new(),
        }
    }

    /// Adds the keys of the settings. They are asked before secrets: a secret with another key under the name of one can be
    /// used no more.
    #[must_use]
    pub fn with_static_keys(mut self, settings: Arc<StaticKeys>) -> Self {
        for (id, slot) in &mut self.slots {
            let kid = id.serial.to_string();
            let (Some((_, of_settings)), Ok(of_secret)) = (settings.by_kid(&id.family, &kid), &slot.key) else {
                continue;
            };
            let prints = of_settings.fingerprint().zip(of_secret.fingerprint());
            if !prints.is_some_and(|(left, right)| left.is(right)) {
                slot.key = Err(KeyProblem::NamedInSettings { kid });
            }
        }
        Self { settings, ..self }
    }

    /// Whether a `kid` is that of a key of the settings: no secret, and no rotation, has to do with its tokens.
    pub fn is_of_settings(&self, family: &Family, kid: &str) -> bool {
        self.settings.by_kid(family, kid).is_some()
    }

    /// Says which keys rotations took away.
    #[must_use]
    pub fn with_retired(self, retired: BTreeSet<KeyId>) -> Self {
        Self { retired, ..self }
    }

    /// Says of which retiring keys nobody is to be told yet: they sign no more, and whoever has a token of them keeps it.
    #[must_use]
    pub fn with_untold(self, untold: BTreeSet<KeyId>) -> Self {
        Self { untold, ..self }
    }

    /// Whether a key is gone because a rotation took it away.
    pub fn is_retired(&self, id: &KeyId) -> bool {
        self.retired.contains(id) && !self.slots.contains_key(id)
    }

    fn add(
        &mut self,
        secret: &SecretEntry<'_>,
        found: &mut BTreeMap<KeyId, Vec<Candidate>>,
        problems: &mut Vec<RingProblem>,
    ) {
        let Some(says) = SecretName::parse(secret.mesh, secret.name) else { return };
        let (mesh, name) = (secret.mesh.to_owned(), secret.name.to_owned());
        let key_name = match says {
            SecretName::Key(key_name) => key_name,
            SecretName::Revocations(family) => {
                if !self.revocations.entry(family.clone()).or_default().add_list(secret.name, secret.data) {
                    problems.push(RingProblem::UnreadableRevocations { family, mesh, name });
                }
                return;
            }
        };
        let key = Key::parse(&key_name, secret.data.unwrap_or_default());
        if let Err(problem) = &key {
            problems.push(RingProblem::BadKey { mesh, name: name.clone(), problem: problem.clone() });
        }
        let is_public = key_name.half == Half::Public;
        if let Some(id) = key_name.id() {
            found.entry(id).or_default().push(Candidate { name, is_public, key });
        }
    }

    /// The number of the state of the secrets that this ring was built from.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The keys of a family, whether they can be used or not, and how far each has come: those of secrets by their serial,
    /// then those of the settings, of which one may sign.
    pub fn keys_of(&self, family: &Family) -> impl Iterator<Item = (KeyId, Phase)> {
        let id = |serial| KeyId { family: family.clone(), serial };
        let of_secrets = self.slots.range(id(0)..=id(u64::MAX)).map(|(id, slot)| (id.clone(), slot.phase));
        let settings: Vec<KeyId> = self.settings.all().map(|(id, _, _)| id.clone()).collect();
        let of_settings = settings.into_iter().filter(|id| id.family == *family);
        let signs = self.settings.outside(family).map(|(id, _)| id.clone());
        of_secrets.chain(of_settings.map(move |id| {
            let phase = if signs.as_ref() == Some(&id) { Phase::Signing } else { Phase::Retiring };
            (id, phase)
        }))
    }

    /// Returns the key that verifies under this id, or why there is none.
    pub(crate) fn key(&self, id: &KeyId) -> Result<&Key, NoKey> {
        if id.is_of_settings() {
            return self.settings.key(id).ok_or(NoKey::NotInSettings);
        }
        if !self.settings.use_secrets(&id.family) {
            return Err(NoKey::NotInSettings);
        }
        let absent = || if self.retired.contains(id) { NoKey::Retired } else { NoKey::Absent };
        self.slots.get(id).ok_or_else(absent)?.usable()
    }

    /// Returns the key that verifies tokens with this `kid`, which settings name before secrets do.
    pub(crate) fn by_kid(&self, family: &Family, kid: &str) -> Result<(KeyId, &Key), NoKey> {
        if let Some((id, key)) = self.settings.by_kid(family, kid) {
            return Ok((id.clone(), key));
        }
        let of_secret = |serial| KeyId { family: family.clone(), serial };
        match parse_serial(kid).map(of_secret) {
            Some(id) => self.key(&id).map(|key| (id, key)),
            None if self.settings.use_secrets(family) => Err(NoKey::Absent),
            None => Err(NoKey::NotInSettings),
        }
    }

    /// Everything that verifies and may be known by everybody: its family, the `kid` of its tokens, the key. Keys of the
    /// settings come first, and hide those of secrets with their `kid`, as they do when a token is verified.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = (&Family, String, &PublicKey)> {
        let of_settings = self.settings.all().map(|(id, kid, key)| (&id.family, kid.to_owned(), key));
        let of_secrets = self.slots.iter().filter_map(|(id, slot)| {
            let (kid, key) = (id.serial.to_string(), slot.usable().ok()?);
            let counts = self.settings.use_secrets(&id.family) && self.settings.by_kid(&id.family, &kid).is_none();
            counts.then_some((&id.family, kid, key))
        });
        of_settings.chain(of_secrets).filter_map(|(family, kid, key)| match family {
            Family::ControlPlane => None,
            Family::Zone | Family::User | Family::Dataplane { .. } => Some((family, kid, key.public()?)),
        })
    }

    /// What signs for a family outside of the store; then no key in it does.
    pub(crate) fn outside(&self, family: &Family) -> Option<(&KeyId, &OutsideKey)> {
        self.settings.outside(family)
    }

    /// The name of the key that signs for a family outside of the store, if the settings say so.
    pub fn signs_outside(&self, family: &Family) -> Option<&str> {
        self.outside(family).map(|(_, key)| key.kid())
    }

    /// Returns the key of the store that signs for a family.
    pub(crate) fn signing_key(&self, family: &Family) -> Result<(&KeyId, &Key), NoKey> {
        let (id, slot) = self.signing(family).ok_or(NoKey::Absent)?;
        match slot.usable()? {
            // The private key under this serial is another one: what it signs would not be verified.
            Key::Public(_) => Err(slot.unusable(&KeyProblem::SharedSerial { names: slot.names.clone() })),
            key => Ok((id, key)),
        }
    }

    /// The serials of all keys of a family that verify, of those that secrets hold.
    pub fn serials(&self, family: &Family) -> BTreeSet<u64> {
        let ids = self.slots.keys().filter(|id| id.family == *family);
        ids.filter(|id| self.key(id).is_ok()).map(|id| id.serial).collect()
    }

    /// The families of which there are keys among the secrets, usable or not.
    pub fn families(&self) -> BTreeSet<Family> {
        self.slots.keys().map(|id| id.family.clone()).collect()
    }

    /// The secrets that should be keys and are none, each with the reason.
    pub fn unusable(&self) -> impl Iterator<Item = (String, &KeyProblem)> {
        self.slots.values().filter_map(|slot| slot.key.as_ref().err().map(|problem| (slot.names.join(", "), problem)))
    }

    /// The serial of the key that signs for a family.
    pub fn signs(&self, family: &Family) -> Option<u64> {
        self.signing_key(family).ok().map(|(id, _)| id.serial)
    }

    /// The highest serial in the phase to sign whose private key is, or should be, here.
    fn signing(&self, family: &Family) -> Option<(&KeyId, &Slot)> {
        let id = |serial| KeyId { family: family.clone(), serial };
        let slots = self.slots.range(id(0)..=id(u64::MAX)).filter(|(_, slot)| slot.phase == Phase::Signing);
        slots.rev().find(|(_, slot)| slot.names.len() > 1 || !matches!(slot.key, Ok(Key::Public(_))))
    }

    /// Whether a key is retiring and another one signs: who has a token of it should get one of the other.
    pub fn drains(&self, id: &KeyId) -> bool {
        let retires = self.slots.get(id).is_some_and(|slot| slot.phase == Phase::Retiring);
        retires && !self.untold.contains(id) && self.signing(&id.family).is_some_and(|(signing, _)| signing != id)
    }

    /// Whether one key of a family is about to take the place of another.
    pub fn rotates(&self, family: &Family) -> bool {
        let id = |serial| KeyId { family: family.clone(), serial };
        self.slots.range(id(0)..=id(u64::MAX)).any(|(_, slot)| slot.phase != Phase::Signing)
    }

    /// Tells if a list or a rule names a token. One that nobody can say it of, because a list cannot be read, is not.
    pub fn revokes(&self, token: &TokenFacts<'_>) -> bool {
        self.revocations(&token.key.family).is_some_and(|revocations| revocations.revokes(token))
    }

    /// Tells if all that revokes a token are rules about everything that was issued before a moment.
    pub fn revokes_by_age_alone(&self, token: &TokenFacts<'_>) -> bool {
        self.revocations(&token.key.family).is_some_and(|revocations| revocations.revokes_by_age_alone(token))
    }

    /// What [`RevocationRule::before`] of a new rule must be to revoke all that was issued until now: the next second, or
    /// a later one if another rule came within this one. An issuer dates a token forward to where rules end.
    pub fn next_before(&self, family: &Family, now: Timestamp) -> Timestamp {
        let none = Revocations::default();
        self.revocations.get(family).unwrap_or(&none).next_before(now)
    }

    /// What is revoked of a family, if anything may be.
    pub(crate) fn revocations(&self, family: &Family) -> Option<&Revocations> {
        self.revocations.get(family)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.slots.keys().map(ToString::to_string).collect();
        f.debug_struct("KeyRing").field("generation", &self.generation).field("keys", &keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
