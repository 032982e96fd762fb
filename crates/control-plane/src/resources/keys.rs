//! Secrets whose name says that they are signing keys must be keys.
//!
//! A name with a serial decides which key signs. The peer stores anything under such a name, and then cannot sign;
//! and two names with one serial (`-2`, `-0002`) make it a matter of luck which of them verifies.

use model::{Key, Kind, proto};
use serde_json::Value;
use store::Query;
use tokens::Family;
use tokio::sync::MutexGuard;

use super::{Operation, Resources, WriteError};

impl Resources {
    /// Waits for other writes of signing keys to end, if this is one.
    pub(super) async fn alone_with_keys(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        match serial_of(key) {
            Some(_) => Some(self.key_writes.lock().await),
            None => None,
        }
    }

    /// Refuses a signing key that cannot be used, and one whose serial another key has.
    pub(super) async fn check_signing_key(&self, key: &Key, spec: &[u8]) -> Result<(), WriteError> {
        let Some((family, serial)) = serial_of(key) else { return Ok(()) };
        let data = secret_data(spec);
        if let Err(problem) = tokens::check_key(&key.name, &data) {
            return Err(WriteError::one(Operation::Check, "data", problem.to_string()));
        }
        let query =
            if key.kind == Kind::SECRET { Query::in_mesh(key.kind, &key.mesh) } else { Query::all(key.kind) };
        let others = self.store.list(&query).await;
        let others = others.map_err(|source| WriteError::Store { operation: Operation::Find, source })?;
        let same = others.items.iter().map(|stored| &stored.resource.key).find(|other| {
            other.name != key.name
                && serial_of(other).is_some_and(|(of, number)| of == family && number == serial)
        });
        match same {
            None => Ok(()),
            Some(other) => {
                let reason = format!("the serial {serial} is that of {:?} already", other.name);
                Err(WriteError::one(Operation::Check, "name", reason))
            }
        }
    }
}

/// The family and serial of a secret that its name makes a signing key, where that name means something.
fn serial_of(key: &Key) -> Option<(Family, u64)> {
    let (family, serial) = tokens::key_name(&key.name)?;
    let of_mesh = match &family {
        Family::Dataplane { mesh } => Some(mesh == &key.mesh),
        Family::ControlPlane | Family::Zone | Family::User => None,
    };
    let counts = (key.kind == Kind::SECRET && of_mesh == Some(true))
        || (key.kind == Kind::GLOBAL_SECRET && of_mesh.is_none());
    counts.then_some((family, serial))
}

fn secret_data(spec: &[u8]) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let fields = proto::spec_to_json(Kind::SECRET, spec).unwrap_or_default();
    let text = fields.get("data").and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(text).unwrap_or_default()
}
