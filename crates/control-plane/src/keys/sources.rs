//! What a ring is built of: keys of the settings, keys and lists among the secrets, revocations and rotations among the
//! records.
//!
//! What cannot be read is never taken for something that is not there. A list or a record that could be read before stays
//! in force as it was then: somebody meant what it said, and a damaged row must neither give a revoked token back nor cut
//! off everybody else. Where nothing was read before, nobody knows whom it names, and no token of its family is accepted; or,
//! where it is a rotation, nobody knows which key signs, and none does.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use model::{Key, secret};
use store::{Event, Picture, Stored, Version};
use tokens::{Family, KeyProblem, KeyRing, RevocationRule, RingSources, SecretEntry, SecretName, StaticKeys};
use tracing::{error, info};
use zeroize::Zeroizing;

use crate::records::{
    self,
    revocation::{self, Revocation},
    rotation::{self, Rotations},
};

/// Whose tokens are not judged by a revocation of which nobody knows the family. Dataplane tokens are verified elsewhere.
const FAMILIES: [Family; 3] = [Family::ControlPlane, Family::Zone, Family::User];

const NONE_ACCEPTED: &str = "no token of its kind is accepted";

/// Something that cannot be read, and what is done without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What it is; bounded, for metrics.
    pub sort: Sort,
    /// Its name, and its mesh.
    pub name: String,
    /// What stands in for it.
    pub instead: Instead,
    version: Version,
}

/// The sorts of what may be unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A list of revoked ids, which is a secret.
    List,
    /// The record of a revocation.
    Revocation,
    /// The record of the rotations of a family.
    Rotation,
}

/// What stands in for something that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// What it said before.
    LastGood,
    /// Nothing: no token of its family is accepted, or none is signed.
    Nothing,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::List, Self::Revocation, Self::Rotation];

    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "revocation-list",
            Self::Revocation => "revocation-record",
            Self::Rotation => "rotation-record",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, without, mend) = match self.sort {
            Sort::List => ("list of revoked tokens", NONE_ACCEPTED, "write the secret anew"),
            Sort::Revocation => ("revocation", NONE_ACCEPTED, "revoke again what it named, and take it back"),
            Sort::Rotation => (
                "rotation",
                "nothing is signed with the keys of its family",
                "restore it from a backup, or drop it with `kumactl rotate rollback FAMILY --force`",
            ),
        };
        let instead = match self.instead {
            Instead::LastGood => "as it was before it stays in force while this control plane runs",
            Instead::Nothing => without,
        };
        write!(f, "{what} {:?} cannot be read: {instead}; {mend}", self.name)
    }
}

/// Builds rings, and keeps what could be read last of what they are built of.
#[derive(Default)]
pub(super) struct Sources {
    settings: Arc<StaticKeys>,
    lists: BTreeMap<Key, Zeroizing<Vec<u8>>>,
    rules: BTreeMap<Key, RevocationRule>,
    rotations: BTreeMap<Key, Stored>,
    unreadable: Vec<Unreadable>,
}

impl Sources {
    /// Returns what builds rings with the keys of the settings in each.
    pub(super) fn beside(settings: Arc<StaticKeys>) -> Self {
        Self { settings, ..Self::default() }
    }

    /// From now on these are the keys of the settings.
    pub(super) fn now_beside(&mut self, settings: Arc<StaticKeys>) {
        self.settings = settings;
    }

    /// Builds the ring of what is stored. What cannot be read is logged when it is found.
    pub(super) fn ring(&mut self, generation: u64, stored: &Picture) -> KeyRing {
        self.lists.retain(|key, _| stored.get(key).is_some());
        self.rules.retain(|key, _| stored.get(key).is_some());
        self.rotations.retain(|key, _| stored.get(key).is_some());
        let mut unreadable = Vec::new();
        let secrets = self.secrets(stored, &mut unreadable);
        let (rules, closed) = self.rules(stored, &mut unreadable);
        let rotations = self.rotations(stored, &mut unreadable);
        let entries: Vec<_> = secrets
            .iter()
            .map(|(key, data)| SecretEntry {
                mesh: &key.mesh,
                name: &key.name,
                data: data.as_ref().map(|data| data.as_slice()),
            })
            .collect();
        let sources = RingSources { secrets: &entries, phases: rotation::phases(&rotations), rules, closed };
        let (ring, problems) = KeyRing::build_of(generation, sources);
        for problem in problems {
            error!(problem = %problem, "a secret that verifies tokens cannot be used");
        }
        self.tell(unreadable);
        let ring = ring
            .with_untold(rotation::untold(&rotations))
            .with_retired(rotation::retired(&rotations))
            .with_static_keys(Arc::clone(&self.settings));
        for (name, problem) in
            ring.unusable().filter(|(_, problem)| matches!(problem, KeyProblem::NamedInSettings { .. }))
        {
            error!(name, problem = %problem, "a secret that signs tokens cannot be used");
        }
        ring
    }

    /// What cannot be read now.
    pub(super) fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The revocations that are in force now, by the names of their records.
    pub(super) fn revocations(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(|key| key.name.as_str())
    }

    /// All secrets that the `tokens` crate reads; lists as they were read last.
    fn secrets<'a>(
        &mut self,
        stored: &'a Picture,
        unreadable: &mut Vec<Unreadable>,
    ) -> Vec<(&'a Key, Option<Zeroizing<Vec<u8>>>)> {
        let mut secrets = Vec::new();
        for found in stored.stored() {
            let key = &found.resource.key;
            let Some(name) = secret_name(key) else { continue };
            let mut data = secret::decode(&found.resource.spec);
            if matches!(name, SecretName::Revocations(_)) {
                match &data {
                    Some(data) if is_readable(key, data) => drop(self.lists.insert(key.clone(), data.clone())),
                    _ => {
                        data = self.lists.get(key).cloned();
                        let instead = if data.is_some() { Instead::LastGood } else { Instead::Nothing };
                        unreadable.push(Unreadable::of(Sort::List, key, instead, found.version));
                    }
                }
            }
            secrets.push((key, data));
        }
        secrets
    }

    /// All rules as they were read last, and the families of those that nobody ever read.
    fn rules(
        &mut self,
        stored: &Picture,
        unreadable: &mut Vec<Unreadable>,
    ) -> (Vec<RevocationRule>, Vec<(Family, String)>) {
        let mut closed = Vec::new();
        for found in stored.stored().filter(|found| records::is::<Revocation>(&found.resource.key)) {
            let key = &found.resource.key;
            if let Ok(revocation) = records::read::<Revocation>(&found.resource) {
                self.rules.insert(key.clone(), revocation.rule);
                continue;
            }
            let instead = if self.rules.contains_key(key) { Instead::LastGood } else { Instead::Nothing };
            if instead == Instead::Nothing {
                let of = revocation::family_in(&key.name).map_or_else(|| FAMILIES.to_vec(), |family| vec![family]);
                closed.extend(of.into_iter().map(|family| (family, key.name.clone())));
            }
            unreadable.push(Unreadable::of(Sort::Revocation, key, instead, found.version));
        }
        (self.rules.values().cloned().collect(), closed)
    }

    /// The picture with the rotations as they were read last.
    fn rotations<'a>(&mut self, stored: &'a Picture, unreadable: &mut Vec<Unreadable>) -> Cow<'a, Picture> {
        let mut mended = Cow::Borrowed(stored);
        for found in stored.stored().filter(|found| records::is::<Rotations>(&found.resource.key)) {
            let key = &found.resource.key;
            if records::read::<Rotations>(&found.resource).is_ok() {
                self.rotations.insert(key.clone(), found.clone());
                continue;
            }
            let last = self.rotations.get(key).cloned();
            let instead = if last.is_some() { Instead::LastGood } else { Instead::Nothing };
            unreadable.push(Unreadable::of(Sort::Rotation, key, instead, found.version));
            if let Some(last) = last {
                mended.to_mut().take(Event::Apply(last));
            }
        }
        mended
    }

    /// Logs what is new of it, and what is over.
    fn tell(&mut self, unreadable: Vec<Unreadable>) {
        for news in unreadable.iter().filter(|one| !self.unreadable.contains(one)) {
            error!(problem = %news, "what says which tokens are good cannot be read");
        }
        for over in &self.unreadable {
            if !unreadable.iter().any(|one| one.name == over.name) {
                info!(name = over.name, "what could not be read is readable or gone");
            }
        }
        self.unreadable = unreadable;
    }
}

impl Unreadable {
    fn of(sort: Sort, key: &Key, instead: Instead, version: Version) -> Self {
        let name = if key.mesh.is_empty() { key.name.clone() } else { format!("{}/{}", key.mesh, key.name) };
        Self { sort, name, instead, version }
    }
}

/// What the name of a resource says that tokens are verified with, if it is a secret of that sort.
pub(super) fn secret_name(key: &Key) -> Option<SecretName> {
    let is_secret = key.kind == model::Kind::SECRET || key.kind == model::Kind::GLOBAL_SECRET;
    SecretName::parse(&key.mesh, &key.name).filter(|_| is_secret)
}

fn is_readable(key: &Key, list: &[u8]) -> bool {
    !matches!(tokens::check_key(&key.mesh, &key.name, list), Err(KeyProblem::UnreadableList))
}
