//! Signing keys, revocations and tokens as an operator changes them, and what is to come of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use tokens::{KeyRing, SecretEntry};

pub(super) const LEEWAY: Duration = Duration::from_secs(30);

pub(super) fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).unwrap()
}

/// One token and what the oracle knows of it.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) raw: String,
    pub(super) zone: &'static str,
    pub(super) serial: u64,
    pub(super) id: String,
    pub(super) expires: Timestamp,
}

/// The secrets as an operator changes them.
#[derive(Clone)]
pub(super) struct Operator {
    pub(super) keys: BTreeMap<u64, Vec<u8>>,
    pub(super) revoked: BTreeSet<String>,
    pub(super) generation: u64,
    pub(super) now: Timestamp,
}

/// Bytes that look random, other ones for each number.
pub(super) fn key_of_test(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..40).map(|_| next()).collect()
}

impl Operator {
    /// One with a single key, and nothing revoked.
    pub(super) fn at(now: Timestamp) -> Self {
        Self { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now }
    }

    pub(super) fn ring(&self) -> Arc<KeyRing> {
        let names: Vec<_> = self.keys.keys().map(|serial| format!("control-plane-signing-key-{serial:04}")).collect();
        let list = self.revoked.iter().cloned().collect::<Vec<_>>().join(",");
        let mut secrets: Vec<_> = names
            .iter()
            .zip(self.keys.values())
            .map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) })
            .collect();
        secrets.push(SecretEntry { mesh: "", name: "control-plane-token-revocations", data: Some(list.as_bytes()) });
        let (ring, problems) = KeyRing::build(self.generation, &secrets);
        assert!(problems.is_empty());
        Arc::new(ring)
    }

    pub(super) fn good(&self, token: &Issued) -> bool {
        self.keys.contains_key(&token.serial) && !self.revoked.contains(&token.id) && self.in_time(token)
    }

    pub(super) fn in_time(&self, token: &Issued) -> bool {
        self.now < token.expires + SignedDuration::try_from(LEEWAY).unwrap()
    }

    pub(super) fn issue(&self, zone_name: &'static str, valid_for: u64) -> Option<Issued> {
        let serial = *self.keys.keys().next_back()?;
        let valid = Duration::from_secs(valid_for);
        let token =
            tokens::issue_control_plane(&self.ring(), &zone(zone_name), Some(valid), self.now, uuid::Uuid::new_v4())
                .unwrap();
        Some(Issued {
            raw: token.reveal().to_owned(),
            zone: zone_name,
            serial,
            id: token.id().to_owned(),
            expires: token.expires_at().unwrap(),
        })
    }
}
