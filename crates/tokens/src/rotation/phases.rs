//! What a record says of the phases of keys.

use std::collections::BTreeSet;

use super::state::{Stage, State};
use crate::{Family, KeyId, Phase};

impl State {
    /// The phases of the keys of a family, given the serials that private keys have.
    ///
    /// A record one of whose keys was deleted by hand says nothing of the other: it signs, as the only one there is. Of keys that
    /// were made by hand between the two none signs in place of the one that signs again on the way back.
    pub fn phases(&self, family: &Family, keys: &BTreeSet<u64>) -> Vec<(KeyId, Phase)> {
        let Some(rotation) = &self.rotation else { return Vec::new() };
        if !keys.contains(&rotation.from) || !keys.contains(&rotation.to) {
            return Vec::new();
        }
        let id = |serial| KeyId { family: family.clone(), serial };
        match rotation.stage {
            Stage::Staged => vec![(id(rotation.to), Phase::Staged)],
            Stage::Signing | Stage::Draining => {
                let between = keys.iter().filter(|key| rotation.to < **key && **key < rotation.from);
                let retiring = std::iter::once(rotation.from).chain(between.copied());
                retiring.map(|key| (id(key), Phase::Retiring)).chain([(id(rotation.to), Phase::Signing)]).collect()
            }
        }
    }
}
