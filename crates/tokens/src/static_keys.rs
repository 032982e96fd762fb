//! Keys that the settings name: public halves of keys that are kept elsewhere, for tokens that are signed offline.
//!
//! They are searched before the secrets, and what a key does that signs outside of the store is said here too ([`OutsideKey`]):
//! of a family with one, nothing else signs. Their `kid` is any name, not a serial: inside
//! the program each has a number from the top of the range instead, which no secret has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use aws_lc_rs::digest;

use crate::{
    jws,
    key::{Key, PublicKey},
    name::{FIRST_OF_SETTINGS, Family, KeyId},
    signer::OutsideKey,
    static_key_problem::StaticKeyProblem,
};

/// From here on stand the numbers of keys that sign outside, which come from their names: a file that is replaced changes none
/// of the others.
const FIRST_OUTSIDE: u64 = FIRST_OF_SETTINGS + 0x8000;
const OUTSIDE: u64 = 0x8000;

/// The keys of the settings, and which families are verified with them alone.
#[derive(Clone, Default)]
pub struct StaticKeys {
    keys: Vec<StaticKey>,
    /// What signs for a family outside of the store.
    outside: BTreeMap<Family, (KeyId, OutsideKey)>,
    /// By the word for their keys: a setting means all meshes.
    without_secrets: BTreeSet<&'static str>,
}

#[derive(Clone)]
struct StaticKey {
    id: KeyId,
    kid: String,
    key: Arc<Key>,
}

impl StaticKeys {
    /// Adds the public half of a key that signs tokens of this family.
    pub fn add(&mut self, family: Family, kid: &str, data: &[u8]) -> Result<(), StaticKeyProblem> {
        let known = self.by_kid(&family, kid).is_some();
        let kid = kid.to_owned();
        if !jws::is_kid(&kid) {
            return Err(StaticKeyProblem::Kid { kid });
        }
        if known {
            return Err(StaticKeyProblem::SharedKid { kid });
        }
        let serial = FIRST_OF_SETTINGS.saturating_add(u64::try_from(self.keys.len()).unwrap_or(u64::MAX));
        match PublicKey::parse(data) {
            Ok(public) => {
                self.keys.push(StaticKey { id: KeyId { family, serial }, kid, key: Arc::new(Key::Public(public)) })
            }
            Err(problem) => return Err(StaticKeyProblem::Key { kid, problem }),
        }
        Ok(())
    }

    /// Has a key sign the tokens of this family that is not in the store. Its public half may stand among the others under the same
    /// name.
    pub fn sign_with(&mut self, family: Family, outside: OutsideKey) -> Result<(), StaticKeyProblem> {
        if self.outside.contains_key(&family) {
            return Err(StaticKeyProblem::SharedFamily { family: family.token_word() });
        }
        let kid = outside.kid().to_owned();
        let id = match self.by_kid(&family, &kid) {
            Some((id, key)) => {
                let prints = key.fingerprint().zip(outside.key().fingerprint());
                if !prints.is_some_and(|(left, right)| left.is(right)) {
                    return Err(StaticKeyProblem::SharedKid { kid });
                }
                id.clone()
            }
            None => {
                let id = KeyId { family: family.clone(), serial: self.number_of(&kid) };
                self.keys.push(StaticKey { id: id.clone(), kid, key: Arc::clone(outside.key()) });
                id
            }
        };
        self.outside.insert(family, (id, outside));
        Ok(())
    }

    /// A number that no other key has; as a rule the same one for the same name.
    fn number_of(&self, kid: &str) -> u64 {
        let print = digest::digest(&digest::SHA256, kid.as_bytes());
        let start = print.as_ref().iter().take(2).fold(0, |number, byte| number << 8 | u64::from(*byte)) % OUTSIDE;
        let taken: BTreeSet<u64> = self.keys.iter().map(|key| key.id.serial).collect();
        let mut numbers = (0..OUTSIDE).map(|step| FIRST_OUTSIDE + (start + step) % OUTSIDE);
        numbers.find(|number| !taken.contains(number)).unwrap_or(u64::MAX)
    }

    /// What signs for a family outside of the store.
    pub(crate) fn outside(&self, family: &Family) -> Option<(&KeyId, &OutsideKey)> {
        self.outside.get(family).map(|(id, key)| (id, key))
    }

    /// Has the tokens of this family verified with keys of the settings alone; one mesh stands for all.
    pub fn without_secrets(&mut self, family: &Family) {
        self.without_secrets.insert(family.key_word());
    }

    /// Whether the secrets of this family verify.
    pub(crate) fn use_secrets(&self, family: &Family) -> bool {
        !self.without_secrets.contains(family.key_word())
    }

    /// The key that a token asks for.
    pub(crate) fn by_kid(&self, family: &Family, kid: &str) -> Option<(&KeyId, &Key)> {
        let mut of_family = self.keys.iter().filter(|one| one.id.family == *family);
        of_family.find(|one| one.kid == kid).map(|one| (&one.id, &*one.key))
    }

    /// The key of this number.
    pub(crate) fn key(&self, id: &KeyId) -> Option<&Key> {
        self.all().find(|(other, _, _)| *other == id).map(|(_, _, key)| key)
    }

    /// All of them: number, name and key.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&KeyId, &str, &Key)> {
        self.keys.iter().map(|one| (&one.id, one.kid.as_str(), &*one.key))
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<String> = self.all().map(|(id, kid, _)| format!("{} {kid}", id.family.token_word())).collect();
        f.debug_struct("StaticKeys").field("kids", &kids).field("without_secrets", &self.without_secrets).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, KeyProblem, generate_key, public_half};

    fn public() -> String {
        public_half(generate_key(Algorithm::EdDsa).reveal()).unwrap()
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_its_name() {
        let mut keys = StaticKeys::default();
        let private = generate_key(Algorithm::EdDsa);
        for bad in [private.reveal(), b"", b"no key", generate_key(Algorithm::Hs256).reveal()] {
            let problem = keys.add(Family::Zone, "a", bad).unwrap_err();
            assert_eq!(problem, StaticKeyProblem::Key { kid: "a".to_owned(), problem: KeyProblem::NotPublic });
        }
        assert_eq!(keys.all().count(), 0);
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            let public = public_half(generate_key(algorithm).reveal()).unwrap();
            assert_eq!(keys.add(Family::Zone, algorithm.as_str(), public.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn a_name_is_one_that_a_token_can_have() {
        let (mut keys, public) = (StaticKeys::default(), public());
        for bad in ["", "a b", "ä", "a/b", &"a".repeat(65)] {
            let problem = keys.add(Family::Zone, bad, public.as_bytes()).unwrap_err();
            assert_eq!(problem, StaticKeyProblem::Kid { kid: bad.to_owned() });
        }
        for good in ["1", "offline-2026_q1.a", &"a".repeat(64)] {
            assert_eq!(keys.add(Family::Zone, good, public.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn debug_shows_names_and_no_key() {
        let mut keys = StaticKeys::default();
        keys.add(Family::Zone, "offline", public().as_bytes()).unwrap();
        assert_eq!(format!("{keys:?}"), r#"StaticKeys { kids: ["zone-token offline"], without_secrets: {} }"#);
    }

    fn outside(kid: &str, key: &crate::SigningKey) -> OutsideKey {
        let signer = crate::PemSigner::read(key.reveal()).unwrap();
        let public = signer.public().unwrap();
        OutsideKey::new(Some(kid), public.as_bytes(), Arc::new(signer)).unwrap()
    }

    #[test]
    fn a_key_that_signs_outside_verifies_as_the_others_do_and_one_signs_for_a_family() {
        let (key, other) = (generate_key(Algorithm::EdDsa), generate_key(Algorithm::Es256));
        let mut keys = StaticKeys::default();
        keys.add(Family::Zone, "a", public_half(key.reveal()).unwrap().as_bytes()).unwrap();
        let listed = keys.by_kid(&Family::Zone, "a").unwrap().0.clone();
        let mut same = keys.clone();
        assert_eq!(same.sign_with(Family::Zone, outside("a", &key)), Ok(()));
        assert_eq!((same.outside(&Family::Zone).unwrap().0, same.all().count()), (&listed, 1), "once, by its number");
        let shared = StaticKeyProblem::SharedKid { kid: "a".to_owned() };
        assert_eq!(keys.sign_with(Family::Zone, outside("a", &other)), Err(shared));
        assert!(keys.outside(&Family::Zone).is_none());
        assert_eq!(keys.sign_with(Family::Zone, outside("b", &other)), Ok(()));
        let again = StaticKeyProblem::SharedFamily { family: "zone-token" };
        assert_eq!(keys.sign_with(Family::Zone, outside("c", &key)), Err(again));
        assert_eq!(keys.sign_with(Family::User, outside("b", &other)), Ok(()), "each family has its own");
        let numbers: BTreeSet<u64> = keys.all().map(|(id, _, _)| id.serial).collect();
        assert!(numbers.len() == 3 && keys.all().all(|(id, _, _)| id.is_of_settings()), "{numbers:?}");
    }

    #[test]
    fn a_name_stands_once_in_its_family() {
        let (mut keys, public) = (StaticKeys::default(), public());
        let mut add = |family| keys.add(family, "1", public.as_bytes());
        let mesh = |mesh: &str| Family::Dataplane { mesh: mesh.to_owned() };
        for family in [Family::Zone, Family::User, mesh("a"), mesh("b")] {
            assert_eq!(add(family.clone()), Ok(()));
            assert_eq!(add(family), Err(StaticKeyProblem::SharedKid { kid: "1".to_owned() }));
        }
        let numbers: BTreeSet<u64> = keys.all().map(|(id, _, _)| id.serial).collect();
        assert_eq!(numbers.len(), 4, "each has a number of its own");
    }
}
