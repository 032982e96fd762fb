//! What is known of tokens that were shown before, shared by all connections: a reconnect or a ping costs no second check of
//! a signature.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokens::{KeyRing, Rejection, SignedUser, SignedZone, VerifiedUser, VerifiedZone, Want};

/// How many tokens are remembered: one for each of more zones than a global has, about a kilobyte each.
const MOST: usize = 8192;

/// The verdicts on tokens of one kind.
pub(crate) struct Verdicts<S>(Mutex<tokens::Verdicts<S>>);

impl<S> Default for Verdicts<S> {
    fn default() -> Self {
        Self(Mutex::new(tokens::Verdicts::new(MOST)))
    }
}

impl<S> Verdicts<S> {
    /// Nothing is left half done by who panics with the lock.
    fn lock(&self) -> MutexGuard<'_, tokens::Verdicts<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdicts<SignedZone> {
    /// Says what [`tokens::verify`] says.
    pub(crate) fn zone(
        &self,
        raw: &str,
        ring: &KeyRing,
        now: Timestamp,
        want: &Want<'_>,
    ) -> Result<VerifiedZone, Rejection> {
        if let Some(verdict) = self.lock().zone(raw, ring, now, want) {
            return verdict;
        }
        let signed = SignedZone::check(raw, ring, want)?;
        self.lock().remember(raw, ring, signed.clone());
        signed.judge(ring, now, want)
    }
}

impl Verdicts<SignedUser> {
    /// Says what [`tokens::verify_user`] says.
    pub(crate) fn user(
        &self,
        raw: &str,
        ring: &KeyRing,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<VerifiedUser, Rejection> {
        if let Some(verdict) = self.lock().user(raw, ring, now, leeway) {
            return verdict;
        }
        let signed = SignedUser::check(raw, ring)?;
        self.lock().remember(raw, ring, signed.clone());
        signed.judge(ring, now, leeway)
    }
}

#[cfg(test)]
mod tests {
    use model::ZoneName;
    use tokens::{Accept, Scope, SecretEntry};
    use uuid::Uuid;

    use super::*;

    const LEEWAY: Duration = Duration::ZERO;

    /// A ring of one key for every family.
    fn ring(generation: u64, key: &[u8]) -> KeyRing {
        let secrets = ["control-plane-signing-key-0001", "zone-token-signing-key-1", "user-token-signing-key-1"]
            .map(|name| SecretEntry { mesh: "", name, data: Some(key) });
        KeyRing::build(generation, &secrets).0
    }

    #[test]
    fn what_is_shown_again_is_known_until_the_keys_change() {
        let (now, hour) = (Timestamp::UNIX_EPOCH, Duration::from_secs(3600));
        let (key, other) = (tokens::generate_signing_key(), tokens::generate_signing_key());
        let (first, second) = (ring(1, key.reveal().as_bytes()), ring(2, other.reveal().as_bytes()));
        let west = ZoneName::parse("west").unwrap();
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
        let zone = tokens::issue_zone(&first, &west, Some(&[Scope::Cp]), hour, now, Uuid::nil()).unwrap();
        let user = tokens::issue_user(&first, "john", None, hour, now, Uuid::nil()).unwrap();
        let (zones, users) = (Verdicts::default(), Verdicts::default());
        for round in 0..3 {
            assert_eq!(zones.lock().zone(zone.reveal(), &first, now, &want).is_some(), round > 0);
            assert_eq!(users.lock().user(user.reveal(), &first, now, LEEWAY).is_some(), round > 0);
            assert_eq!(zones.zone(zone.reveal(), &first, now, &want).unwrap().zone(), &west);
            assert_eq!(users.user(user.reveal(), &first, now, LEEWAY).unwrap().name(), "john");
        }
        assert_eq!((zones.lock().len(), users.lock().len()), (1, 1));
        for wrong in ["", "a.b.c", user.reveal()] {
            assert!(zones.zone(wrong, &first, now, &want).is_err());
        }
        assert!(users.user(zone.reveal(), &first, now, LEEWAY).is_err());
        assert_eq!((zones.lock().len(), users.lock().len()), (1, 1), "what is not good is not remembered");
        assert_eq!(zones.zone(zone.reveal(), &second, now, &want).unwrap_err(), Rejection::BadSignature);
        assert_eq!(users.user(user.reveal(), &second, now, LEEWAY).unwrap_err(), Rejection::BadSignature);
        assert_eq!(zones.zone(zone.reveal(), &first, now + hour, &want).unwrap_err().reason(), "expired");
    }
}
