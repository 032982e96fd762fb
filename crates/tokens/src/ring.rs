//! The key ring: all keys that verify now, plus revocations, built from secrets.

use std::collections::{BTreeMap, btree_map::Entry};

use thiserror::Error;

use crate::{
    key::{self, ControlPlaneKey, Family, Fingerprint, KeyId, KeyProblem, RsaKey},
    revocations::Revocations,
};

/// One secret as the store has it, its data decoded.
#[derive(Clone, Copy)]
pub struct SecretEntry<'a> {
    /// The mesh; empty for a GlobalSecret.
    pub mesh: &'a str,
    /// The name.
    pub name: &'a str,
    /// The data, after base64.
    pub data: &'a [u8],
}

/// Why a secret that should verify tokens does not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RingProblem {
    /// The data or the name is unusable.
    #[error("secret `{name}`: {problem}")]
    Unusable {
        /// The secret.
        name: String,
        /// What is wrong.
        problem: KeyProblem,
    },
    /// Two secrets have one serial: nobody can tell which one a token means, so neither verifies.
    #[error("secrets `{first}` and `{second}` have the same serial: neither is used, delete one of them")]
    SameSerial {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A revocation list that is no text: all tokens of its family are refused until it can be read.
    #[error("revocation list `{name}` cannot be read: all tokens of its kind are refused")]
    UnreadableRevocations {
        /// The secret.
        name: String,
    },
}

/// All keys that verify now, plus revocations. Has no way to be printed.
pub struct KeyRing {
    generation: u64,
    control_plane: BTreeMap<u64, Slot<ControlPlaneKey>>,
    rsa: BTreeMap<Family, BTreeMap<u64, Slot<RsaKey>>>,
    /// Public keys that verify and cannot sign, by `kid`.
    public: BTreeMap<Family, BTreeMap<String, Vec<u8>>>,
    revocations: BTreeMap<Family, Revocations>,
}

/// A serial that has a secret: its key, or nothing if that is unusable or ambiguous.
struct Slot<K> {
    name: String,
    key: Option<K>,
}

impl KeyRing {
    /// Builds a ring. What cannot be used is left out and told; it never verifies by accident.
    pub fn build(generation: u64, secrets: &[SecretEntry<'_>]) -> (Self, Vec<RingProblem>) {
        let mut ring = Self {
            generation,
            control_plane: BTreeMap::new(),
            rsa: BTreeMap::new(),
            public: BTreeMap::new(),
            revocations: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        for secret in secrets {
            if let Some(family) = revocation_family(secret) {
                let list = Revocations::read(secret.data);
                if list == Revocations::Unreadable {
                    problems.push(RingProblem::UnreadableRevocations { name: secret.name.to_owned() });
                }
                ring.revocations.entry(family).or_default().merge(list);
                continue;
            }
            match key::key_name(secret.name) {
                Some((family, serial)) if belongs(&family, secret.mesh) => ring.add(family, serial, secret, &mut problems),
                Some(_) => {}
                None => {
                    if let Err(problem @ KeyProblem::NoSerial { .. }) = key::check_key(secret.name, secret.data) {
                        problems.push(RingProblem::Unusable { name: secret.name.to_owned(), problem });
                    }
                }
            }
        }
        (ring, problems)
    }

    fn add(&mut self, family: Family, serial: u64, secret: &SecretEntry<'_>, problems: &mut Vec<RingProblem>) {
        let name = secret.name;
        match family {
            Family::ControlPlane => {
                insert(&mut self.control_plane, serial, name, ControlPlaneKey::read(secret.data), problems);
            }
            family => insert(self.rsa.entry(family).or_default(), serial, name, RsaKey::read(secret.data), problems),
        }
    }

    /// Adds a public key of a configuration: verifies tokens with this `kid`, signs nothing.
    pub fn add_public(&mut self, family: Family, kid: &str, key: &[u8]) -> Result<(), KeyProblem> {
        let key = key::read_public(key).ok_or(KeyProblem::NotRsa)?;
        self.public.entry(family).or_default().insert(kid.to_owned(), key);
        Ok(())
    }

    /// The generation: grows with every change of a key or revocation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The serials of a family that verify now.
    pub fn serials(&self, family: &Family) -> Vec<u64> {
        match family {
            Family::ControlPlane => usable(&self.control_plane),
            family => self.rsa.get(family).map(usable).unwrap_or_default(),
        }
    }

    pub(crate) fn control_plane(&self, serial: u64) -> Option<&ControlPlaneKey> {
        self.control_plane.get(&serial)?.key.as_ref()
    }

    pub(crate) fn rsa(&self, family: &Family, serial: u64) -> Option<&RsaKey> {
        self.rsa.get(family)?.get(&serial)?.key.as_ref()
    }

    pub(crate) fn public(&self, family: &Family, kid: &str) -> Option<&[u8]> {
        self.public.get(family)?.get(kid).map(Vec::as_slice)
    }

    /// The key that signs: the highest serial. The inner `None` is a newest key that cannot be used.
    pub(crate) fn newest_control_plane(&self) -> Option<(u64, Option<&ControlPlaneKey>)> {
        self.control_plane.last_key_value().map(|(serial, slot)| (*serial, slot.key.as_ref()))
    }

    /// The same for a family of RSA keys.
    pub(crate) fn newest_rsa(&self, family: &Family) -> Option<(u64, Option<&RsaKey>)> {
        self.rsa.get(family)?.last_key_value().map(|(serial, slot)| (*serial, slot.key.as_ref()))
    }

    /// The name of the secret that holds a key.
    pub(crate) fn secret_name(&self, id: &KeyId) -> String {
        let name = match &id.family {
            Family::ControlPlane => self.control_plane.get(&id.serial).map(|slot| &slot.name),
            family => self.rsa.get(family).and_then(|keys| keys.get(&id.serial)).map(|slot| &slot.name),
        };
        name.cloned().unwrap_or_else(|| id.to_string())
    }

    pub(crate) fn fingerprint(&self, id: &KeyId) -> Option<Fingerprint> {
        match &id.family {
            Family::ControlPlane => self.control_plane(id.serial).map(|key| key.fingerprint),
            family => self.rsa(family, id.serial).map(|key| key.fingerprint),
        }
    }

    pub(crate) fn revokes(&self, family: &Family, id: Option<&str>) -> bool {
        self.revocations.get(family).is_some_and(|list| list.revokes(id))
    }
}

fn insert<K>(
    keys: &mut BTreeMap<u64, Slot<K>>,
    serial: u64,
    name: &str,
    key: Result<K, KeyProblem>,
    problems: &mut Vec<RingProblem>,
) {
    match keys.entry(serial) {
        Entry::Occupied(mut taken) => {
            problems.push(RingProblem::SameSerial { first: taken.get().name.clone(), second: name.to_owned() });
            taken.get_mut().key = None;
        }
        Entry::Vacant(free) => {
            let key = key.map_err(|problem| problems.push(RingProblem::Unusable { name: name.to_owned(), problem })).ok();
            free.insert(Slot { name: name.to_owned(), key });
        }
    }
}

fn usable<K>(keys: &BTreeMap<u64, Slot<K>>) -> Vec<u64> {
    keys.iter().filter(|(_, slot)| slot.key.is_some()).map(|(serial, _)| *serial).collect()
}

/// Dataplane keys live in their mesh, all others are GlobalSecrets.
fn belongs(family: &Family, mesh: &str) -> bool {
    match family {
        Family::Dataplane { mesh: named } => named == mesh,
        Family::ControlPlane | Family::Zone | Family::User => mesh.is_empty(),
    }
}

/// The family whose tokens a list revokes. Lists of dataplane tokens count in their mesh and as GlobalSecret.
fn revocation_family(secret: &SecretEntry<'_>) -> Option<Family> {
    if let Some(mesh) = secret.name.strip_prefix("dataplane-token-revocations-") {
        return (secret.mesh.is_empty() || secret.mesh == mesh).then(|| Family::Dataplane { mesh: mesh.to_owned() });
    }
    let family = match secret.name {
        "control-plane-token-revocations" => Family::ControlPlane,
        "zone-token-revocations" => Family::Zone,
        "user-token-revocations" => Family::User,
        _ => return None,
    };
    secret.mesh.is_empty().then_some(family)
}
