//! Secrets whose name says that they are signing keys must be keys.
//!
//! A name with a serial decides which key signs. The peer stores anything under such a name, and then cannot sign;
//! and two names with one serial (`-2`, `-0002`) make it a matter of luck which of them verifies.

use model::{Key, Kind, secret};
use store::{Importance, Query, StoreError, Write};
use tokens::{Half, KeyName, KeyProblem, SecretName};

use super::{Operation, WriteError, Writes};
use crate::zones::rsa_alone;

/// How many zones a warning names.
const ZONES_NAMED: usize = 10;
/// How long the name of a resource may be, in bytes.
const LONGEST_NAME: usize = 253;

const NO_DATA: &str = "must not be empty: base64 of what the secret holds; to empty a list or to take a key away, \
                       delete the secret";

/// What is shown to somebody without data must not take the key away when it is written back.
const KEY_NOT_SHOWN: &str = "is missing, and the key that is there stays as it is: signing keys are shown without data to who is not in \
                             access.static.viewSigningKeys, and what is shown so cannot be written; leave the secret out, \
                             or export it as somebody who may see it";

const NO_LIST: &str = "no list of revoked tokens is read under this name here: they are called \
                       control-plane-token-revocations, zone-token-revocations, user-token-revocations and \
                       dataplane-token-revocations-<mesh>, and are GlobalSecrets (the last one may be a Secret of its mesh)";

impl Writes {
    /// Refuses a secret without data, a signing key that cannot be used, one whose serial another key has, and a list of
    /// revoked ids that names none or holds what can be none.
    pub(super) async fn check_secret(&self, key: &Key, spec: &[u8]) -> Result<(), WriteError> {
        if !is_secret(key) {
            return Ok(());
        }
        // A secret under another member (`value`, `date`) has none: taken in silence, it would take all revocations back.
        let Some(data) = secret::decode(spec).filter(|data| !data.is_empty()) else {
            let is_hidden = secret::decode(spec).is_none() && tokens::names_private_half(&key.mesh, &key.name);
            let reason = if is_hidden { KEY_NOT_SHOWN } else { NO_DATA };
            return Err(WriteError::one(Operation::Check, "data", reason.to_owned()));
        };
        let is_list = is_list(key);
        if !is_list && tokens::looks_like_revocation_list(&key.name) {
            return Err(WriteError::one(Operation::Check, "name", NO_LIST.to_owned()));
        }
        let name = signing_key(key);
        if !is_list && name.is_none() {
            return Ok(());
        }
        if let Err(problem) = tokens::check_key(&key.mesh, &key.name, &data) {
            let field = if matches!(problem, KeyProblem::NoSerial { .. }) { "name" } else { "data" };
            return Err(WriteError::one(Operation::Check, field, problem.to_string()));
        }
        let Some(name) = name else { return Ok(()) };
        let query = if key.kind == Kind::SECRET { Query::in_mesh(key.kind, &key.mesh) } else { Query::all(key.kind) };
        let others = self.store.list(&query).await;
        let others = others.map_err(|source| WriteError::Store { operation: Operation::Find, source })?;
        let mut others = others.items.iter().map(|stored| &stored.resource.key);
        match others.find(|other| other.name != key.name && signing_key(other).as_ref() == Some(&name)) {
            None => Ok(()),
            Some(other) => Err(same_serial(&name, other)),
        }
    }
}

impl Writes {
    /// What the author of a signing key should know: which connected zones do not get it, because real ones read RSA alone.
    pub(super) async fn unread_in_zones(&self, key: &Key, spec: &[u8]) -> Result<Option<String>, WriteError> {
        let data = secret::decode(spec).unwrap_or_default();
        if !self.rules.sends_keys || !is_secret(key) || !tokens::only_ours_read(&key.mesh, &key.name, &data) {
            return Ok(None);
        }
        let zones = rsa_alone::zones(&*self.store).await;
        let zones = zones.map_err(|source| WriteError::Store { operation: Operation::Find, source })?;
        let (named, more) = zones.split_at_checked(ZONES_NAMED).unwrap_or((&zones, &[]));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        Ok((!named.is_empty()).then(|| {
            format!(
                "connected zones read RSA keys alone, do not get this key and refuse what it signs: {}{more}",
                named.join(", ")
            )
        }))
    }
}

/// Keys and lists of revoked ids are written on a full disk, too: whoever filled it must not keep what they have.
pub(super) fn importance(key: &Key) -> Importance {
    if is_list(key) || signing_key(key).is_some() { Importance::Safety } else { Importance::Usual }
}

/// The conditions under which a secret is written: none of the other names of its signing key is there.
///
/// Whoever looked for one before and found none may not be the only one who did, here or on another control plane with the
/// same store. Of two that write at once, one is refused by the store.
pub(super) fn conditions(key: &Key) -> impl Iterator<Item = Write> {
    let names = signing_key(key).into_iter().flat_map(|name| name.spellings(LONGEST_NAME));
    names.filter(|name| *name != key.name).map(|name| Write::absence_of(Key { name, ..key.clone() }))
}

/// Says why the store refused to write a secret, if it did for the sake of these conditions.
pub(super) fn refused(operation: Operation, key: &Key, source: StoreError) -> WriteError {
    match (signing_key(key), source) {
        (Some(name), StoreError::AlreadyExists { key: other }) if other != *key => same_serial(&name, &other),
        (_, source) => WriteError::Store { operation, source },
    }
}

fn same_serial(name: &KeyName, other: &Key) -> WriteError {
    let serial = name.serial.unwrap_or_default();
    let reason = format!("the serial {serial} is that of {:?} already", other.name);
    WriteError::one(Operation::Check, "name", reason)
}

fn is_secret(key: &Key) -> bool {
    key.kind == Kind::SECRET || key.kind == Kind::GLOBAL_SECRET
}

/// Returns whether ids of revoked tokens are read from this resource.
fn is_list(key: &Key) -> bool {
    is_secret(key) && matches!(SecretName::parse(&key.mesh, &key.name), Some(SecretName::Revocations(_)))
}

/// Returns what the name of a secret says, if it says that a signing key is in it and such keys are looked for there.
fn signing_key(key: &Key) -> Option<KeyName> {
    KeyName::parse(&key.mesh, &key.name).filter(|name| is_secret(key) && name.half == Half::Private)
}

#[cfg(test)]
mod tests;
