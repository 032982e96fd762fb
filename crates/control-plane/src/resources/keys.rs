//! Secrets whose name says that they are signing keys must be keys.
//!
//! A name with a serial decides which key signs. The peer stores anything under such a name, and then cannot sign;
//! and two names with one serial (`-2`, `-0002`) make it a matter of luck which of them verifies.

use model::{Key, Kind, secret};
use store::{Importance, Query};
use tokens::{Family, KeyProblem};
use tokio::sync::MutexGuard;

use super::{Operation, Resources, WriteError};

const NO_DATA: &str = "must not be empty: base64 of what the secret holds; to empty a list or to take a key away, \
                       delete the secret";

const NO_LIST: &str = "no list of revoked tokens is read under this name here: they are called \
                       control-plane-token-revocations, zone-token-revocations, user-token-revocations and \
                       dataplane-token-revocations-<mesh>, and are GlobalSecrets (the last one may be a Secret of its mesh)";

impl Resources {
    /// Waits for other writes of signing keys to end, if this is one.
    pub(super) async fn alone_with_keys(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        if is_key_name(key) { Some(self.key_writes.lock().await) } else { None }
    }

    /// Refuses a secret without data, a signing key that cannot be used, one whose serial another key has, and a list of
    /// revoked ids that names none or holds what can be none.
    pub(super) async fn check_secret(&self, key: &Key, spec: &[u8]) -> Result<(), WriteError> {
        if key.kind != Kind::SECRET && key.kind != Kind::GLOBAL_SECRET {
            return Ok(());
        }
        // A secret under another member (`value`, `date`) has none: taken in silence, it would take all revocations back.
        let Some(data) = secret::decode(spec).filter(|data| !data.is_empty()) else {
            return Err(WriteError::one(Operation::Check, "data", NO_DATA.to_owned()));
        };
        let is_list = tokens::is_revocation_list(&key.mesh, &key.name);
        if !is_list && tokens::looks_like_revocation_list(&key.name) {
            return Err(WriteError::one(Operation::Check, "name", NO_LIST.to_owned()));
        }
        if !is_list && !is_key_name(key) {
            return Ok(());
        }
        if let Err(problem) = tokens::check_key(&key.name, &data) {
            let field = if matches!(problem, KeyProblem::NoSerial { .. }) { "name" } else { "data" };
            return Err(WriteError::one(Operation::Check, field, problem.to_string()));
        }
        let Some(id) = tokens::key_name(&key.name) else { return Ok(()) };
        let query = if key.kind == Kind::SECRET { Query::in_mesh(key.kind, &key.mesh) } else { Query::all(key.kind) };
        let others = self.store.list(&query).await;
        let others = others.map_err(|source| WriteError::Store { operation: Operation::Find, source })?;
        let mut others = others.items.iter().map(|stored| &stored.resource.key);
        match others.find(|other| other.name != key.name && tokens::key_name(&other.name).as_ref() == Some(&id)) {
            None => Ok(()),
            Some(other) => {
                let reason = format!("the serial {} is that of {:?} already", id.1, other.name);
                Err(WriteError::one(Operation::Check, "name", reason))
            }
        }
    }
}

/// Keys and lists of revoked ids are written on a full disk, too: whoever filled it must not keep what they have.
pub(super) fn importance(key: &Key) -> Importance {
    let is_secret = key.kind == Kind::SECRET || key.kind == Kind::GLOBAL_SECRET;
    if (is_secret && tokens::is_revocation_list(&key.mesh, &key.name)) || is_key_name(key) {
        Importance::Safety
    } else {
        Importance::Usual
    }
}

/// Returns whether the name of a secret says that it is a signing key, in the place where such keys are looked for.
fn is_key_name(key: &Key) -> bool {
    if key.kind == Kind::GLOBAL_SECRET {
        return [Family::ControlPlane, Family::Zone, Family::User].iter().any(|family| begins_with(key, family));
    }
    key.kind == Kind::SECRET
        && match tokens::key_name(&key.name) {
            Some((Family::Dataplane { mesh }, _)) => mesh == key.mesh,
            Some(_) => false,
            // No serial: a key of this mesh all the same, and a bad one.
            None => begins_with(key, &Family::Dataplane { mesh: key.mesh.clone() }),
        }
}

fn begins_with(key: &Key, family: &Family) -> bool {
    key.name.strip_prefix(&family.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_count_where_keys_are_looked_for() {
        let check = |key: Key, expected: bool| assert_eq!(is_key_name(&key), expected, "{key}");
        let global = |name: &str| Key::global(Kind::GLOBAL_SECRET, name);
        for name in ["control-plane-signing-key-0001", "zone-token-signing-key", "user-token-signing-key-x"] {
            check(global(name), true);
        }
        check(global("user-token-revocations"), false);
        check(global("zone-token-signing-public-key-1"), false);
        check(global("dataplane-token-signing-key-default-1"), false);
        let secret = |name: &str| Key::in_mesh(Kind::SECRET, "default", name);
        check(secret("dataplane-token-signing-key-default-1"), true);
        check(secret("dataplane-token-signing-key-default"), true);
        check(secret("dataplane-token-signing-key-other-1"), false);
        check(secret("user-token-signing-key-1"), false);
    }
}
