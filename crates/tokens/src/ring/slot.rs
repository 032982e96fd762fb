//! The secrets of one serial, and the key that they hold.

use super::NoKey;
use crate::{
    key::{Key, KeyProblem},
    phase::Phase,
};

/// A secret that may hold the key of a serial.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) is_public: bool,
    pub(super) key: Result<Key, KeyProblem>,
}

pub(super) struct Slot {
    pub(super) phase: Phase,
    /// The secrets; more than one if the private key is not the one that verifies.
    pub(super) names: Vec<String>,
    pub(super) key: Result<Key, KeyProblem>,
}

impl Slot {
    /// Takes the secrets of one serial.
    ///
    /// A private key beside a public one is no conflict. Either they are the halves of one key; or this control plane made
    /// the private one before it joined a global, whose public key came later: tokens are that one's from then on, and
    /// nothing is signed with a serial that others know otherwise.
    pub(super) fn of(mut candidates: Vec<Candidate>, phase: Phase) -> Self {
        candidates.sort_by(|left, right| (left.is_public, &left.name).cmp(&(right.is_public, &right.name)));
        let names: Vec<String> = candidates.iter().map(|candidate| candidate.name.clone()).collect();
        let shared = || KeyProblem::SharedSerial { names: names.clone() };
        let key = match (candidates.pop(), candidates.pop(), candidates.pop()) {
            (Some(only), None, _) => only.key,
            (Some(public), Some(private), None) if public.is_public && !private.is_public => {
                match (private.key, public.key) {
                    (Ok(private), Ok(public)) => {
                        let prints = private.fingerprint().zip(public.fingerprint());
                        let halves = prints.is_some_and(|(left, right)| left.is(right));
                        if halves {
                            return Self { phase, names: names.into_iter().take(1).collect(), key: Ok(private) };
                        }
                        Ok(public)
                    }
                    (Err(_), _) | (_, Err(_)) => Err(shared()),
                }
            }
            _ => Err(shared()),
        };
        Self { phase, names, key }
    }

    pub(super) fn usable(&self) -> Result<&Key, NoKey> {
        self.key.as_ref().map_err(|problem| self.unusable(problem))
    }

    pub(super) fn unusable(&self, problem: &KeyProblem) -> NoKey {
        NoKey::Broken { name: self.names.join(", "), problem: problem.clone() }
    }
}
