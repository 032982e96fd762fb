//! The global secrets of a control plane: which are there, and making those that are missing.

use std::time::Duration;

use jiff::Timestamp;
use model::{duration::TEN_YEARS, reserved::ADMIN_TOKEN, secret};
use store::{Precondition, Stored};
use tokens::{Algorithm, Family, Half, IssueError, KeyName, KeyRing, Rejection, RingSources, SecretEntry, rotation};
use tracing::warn;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    BootstrapError,
    authority::{self, Authority},
};
use crate::{
    issuing::{By, Order, Signed, new_signing_key},
    ledger::{self, How},
};

/// User and group of the one who may do everything.
const ADMIN: &str = "mesh-system:admin";
/// Who asked for the token of that one: nobody did.
const AT_THE_START: &str = "mesh-system:bootstrap";

/// One secret, its data decoded.
struct Entry {
    name: String,
    data: Zeroizing<Vec<u8>>,
    /// What the secret must be in the store for this entry to be written.
    expect: Precondition,
}

/// The global secrets that are there, and those that are to be written.
pub(super) struct Secrets {
    there: Vec<Entry>,
    new: Vec<Entry>,
    /// The tokens among the new ones, for the ledger.
    tokens: Vec<ledger::Entry>,
}

impl Secrets {
    pub(super) fn of(stored: &[Stored]) -> Self {
        let there = stored.iter().map(|Stored { resource, version }| {
            // What cannot be read is there all the same, and is not written over.
            Entry {
                name: resource.key.name.clone(),
                data: secret::decode(&resource.spec).unwrap_or_default(),
                expect: Precondition::Version(*version),
            }
        });
        Self { there: there.collect(), new: Vec::new(), tokens: Vec::new() }
    }

    /// Makes the first key of a family that has none.
    pub(super) async fn add_key(&mut self, family: &Family) -> Result<(), BootstrapError> {
        let is_one = |entry: &Entry| {
            KeyName::parse("", &entry.name)
                .is_some_and(|key| key.family == *family && key.half == Half::Private && key.serial.is_some())
        };
        if self.there.iter().any(is_one) {
            return Ok(());
        }
        let key = new_signing_key().await?;
        self.add(tokens::signing_key_name(family, 1), key.reveal().as_bytes());
        Ok(())
    }

    /// Makes the token of the admin, signed by the newest key of user tokens, when there is none that can be used.
    ///
    /// `rotations` is what is known of rotations of these keys: one that is held ready does not sign.
    pub(super) fn add_admin_token(&mut self, rotations: &rotation::State, now: Timestamp) -> Result<(), IssueError> {
        let entries: Vec<SecretEntry<'_>> = self
            .there
            .iter()
            .chain(&self.new)
            .map(|entry| SecretEntry { mesh: "", name: &entry.name, data: Some(&entry.data) })
            .collect();
        let names =
            entries.iter().filter_map(|entry| KeyName::parse("", entry.name)).filter(|name| name.half == Half::Private);
        let serials = names.filter(|name| name.family == Family::User).filter_map(|name| name.serial).collect();
        let phases = rotations.phases(&Family::User, &serials).into_iter().collect();
        let (ring, _) = KeyRing::build_of(0, RingSources { secrets: &entries, phases, ..RingSources::default() });
        let stored = self.there.iter().find(|entry| entry.name == ADMIN_TOKEN);
        let expect = stored.map_or(Precondition::Absent, |entry| entry.expect);
        if stored.is_some_and(|entry| !is_dead(&entry.data, &ring, now)) {
            return Ok(());
        }
        let (name, groups) = (ADMIN.to_owned(), Some(vec![ADMIN.to_owned()]));
        let order = Order::User { name, groups, valid_for: TEN_YEARS };
        let by = By { whom: AT_THE_START.to_owned(), how: How::Command };
        let Signed { token, entry } = order.signed(&ring, &by, now, Uuid::new_v4())?;
        let data = Zeroizing::new(token.reveal().as_bytes().to_vec());
        self.new.push(Entry { name: ADMIN_TOKEN.to_owned(), data, expect });
        self.tokens.push(entry);
        Ok(())
    }

    pub(super) fn add_authority(&mut self, authority: &Authority, now: Timestamp) -> Result<(), BootstrapError> {
        if !self.has(authority.secret) {
            let pem = authority::make(authority, now).map_err(|source| BootstrapError::Authority { source })?;
            self.add(authority.secret.to_owned(), pem.as_bytes());
        }
        Ok(())
    }

    /// The tokens among what is to be written; their entries are written together with them.
    pub(super) fn tokens(&self) -> &[ledger::Entry] {
        &self.tokens
    }

    /// Returns the secrets to write.
    pub(super) fn into_new(self) -> impl Iterator<Item = (String, Zeroizing<Vec<u8>>, Precondition)> {
        self.new.into_iter().map(|entry| (entry.name, entry.data, entry.expect))
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.there.iter().any(|entry| entry.name == name)
    }

    fn add(&mut self, name: String, data: &[u8]) {
        self.new.push(Entry { name, data: Zeroizing::new(data.to_vec()), expect: Precondition::Absent });
    }
}

/// Returns whether a stored admin token is refused for a reason that a new token mends: its key was replaced or
/// deleted, or its time is over. A revoked one stays, because somebody meant it: whoever wants another deletes the
/// secret. So does what is no token of ours, which an operator may have put there.
fn is_dead(stored: &[u8], ring: &KeyRing, now: Timestamp) -> bool {
    let Ok(token) = std::str::from_utf8(stored) else {
        warn!("the global secret `admin-user-token` is not text and was left as it is: delete it to get a new one");
        return false;
    };
    let Err(reason) = tokens::verify_user(token.trim(), ring, now, Duration::ZERO) else {
        return false;
    };
    let dead = match &reason {
        Rejection::UnknownKey { .. } | Rejection::BadSignature | Rejection::Expired { .. } => true,
        // The key was replaced by one for another algorithm.
        Rejection::UnsupportedAlgorithm { found, .. } => {
            found.parse().is_ok_and(|algorithm: Algorithm| algorithm != Algorithm::Hs256)
        }
        _ => false,
    };
    if !dead {
        warn!(
            %reason,
            "the token in the global secret `admin-user-token` is refused and was left as it is: delete the secret and start again to get a new one"
        );
    }
    dead
}
