//! What a record says of the phases of keys.

use std::collections::BTreeSet;

use super::state::{Stage, State};
use crate::{Family, KeyId, Phase};

impl State {
    /// The phases of the keys of a family, given the serials that private keys have.
    ///
    /// A record one of whose keys was deleted by hand says nothing of the other: it signs, as the only one there is.
    pub fn phases(&self, family: &Family, keys: &BTreeSet<u64>) -> Vec<(KeyId, Phase)> {
        let Some(rotation) = &self.rotation else { return Vec::new() };
        if !keys.contains(&rotation.from) || !keys.contains(&rotation.to) {
            return Vec::new();
        }
        let id = |serial| KeyId { family: family.clone(), serial };
        match rotation.stage {
            Stage::Staged => vec![(id(rotation.to), Phase::Staged)],
            Stage::Signing | Stage::Draining => {
                vec![(id(rotation.from), Phase::Retiring), (id(rotation.to), Phase::Signing)]
            }
        }
    }
}
