//! The key ring as it is now: rebuilt from the store whenever a secret changes, published to all who verify.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use model::{Key, Kind, SpecForm};
use prost::Message as _;
use store::{Event, Kinds, ResourceStore, Stored, Watch};
use tokens::{KeyRing, SecretEntry};
use tokio::sync::watch;
use tracing::{error, info};
use wire::kuma::system::v1alpha1::Secret;
use zeroize::Zeroizing;

use crate::tasks::{OnError, Tasks};

/// A handle on the current ring. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    ring: watch::Receiver<Arc<KeyRing>>,
}

impl Keys {
    /// Reads the secrets and keeps the ring up to date from then on. Returns when the first ring is complete.
    pub async fn start(store: &Arc<dyn ResourceStore>, tasks: &Tasks) -> Self {
        let mut watch = store.watch(Kinds::Only(vec![Kind::SECRET, Kind::GLOBAL_SECRET]));
        let mut secrets = Secrets::default();
        while !secrets.complete {
            match watch.next().await {
                Some(event) => secrets.take(event),
                None => break,
            }
        }
        let (sender, ring) = watch::channel(Arc::new(secrets.ring(1)));
        tasks.spawn("keys", OnError::StopProgram, follow(watch, secrets, sender, tasks.clone()));
        Self { ring }
    }

    /// The ring that verifies now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.borrow())
    }

    /// Tells when the ring changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.ring.clone()
    }
}

async fn follow(
    mut watch: Watch,
    mut secrets: Secrets,
    sender: watch::Sender<Arc<KeyRing>>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let mut generation = 1;
    loop {
        let event = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            event = watch.next() => event,
        };
        let Some(event) = event else { anyhow::bail!("the store's watch of secrets ended") };
        let before = secrets.revision;
        secrets.take(event);
        // What is ready together makes one ring: each one parses every key.
        while let Some(Some(event)) = watch.next().now_or_never() {
            secrets.take(event);
        }
        if secrets.complete && secrets.revision != before {
            generation += 1;
            sender.send_replace(Arc::new(secrets.ring(generation)));
            info!(target: "keys", generation, "key ring rebuilt");
        }
    }
}

/// The secrets that make rings: those the `tokens` crate reads, by their store key.
#[derive(Default)]
struct Secrets {
    current: BTreeMap<Key, Bytes>,
    next: BTreeMap<Key, Bytes>,
    complete: bool,
    /// Grows with every change of a secret that matters to rings.
    revision: u64,
}

impl Secrets {
    fn take(&mut self, event: Event) {
        match event {
            Event::Init => self.next.clear(),
            Event::InitApply(stored) => {
                let (key, spec) = parts(&stored);
                self.next.insert(key, spec);
            }
            Event::InitDone => {
                self.current = std::mem::take(&mut self.next);
                self.complete = true;
                self.revision += 1;
            }
            Event::Apply(stored) => {
                let (key, spec) = parts(&stored);
                if self.current.insert(key.clone(), spec.clone()) != Some(spec) && matters(&key) {
                    self.revision += 1;
                }
            }
            Event::Delete { key, .. } => {
                if self.current.remove(&key).is_some() && matters(&key) {
                    self.revision += 1;
                }
            }
        }
    }

    fn ring(&self, generation: u64) -> KeyRing {
        let decoded: Vec<_> = self.current.iter().map(|(key, spec)| (key, secret_data(spec))).collect();
        let entries: Vec<_> = decoded
            .iter()
            .map(|(key, data)| SecretEntry {
                mesh: &key.mesh,
                name: &key.name,
                data: data.as_ref().map(|data| data.as_slice()),
            })
            .collect();
        let (ring, problems) = KeyRing::build(generation, &entries);
        for problem in problems {
            error!(target: "keys", problem = %problem, "a secret that verifies tokens cannot be used");
        }
        ring
    }
}

fn parts(stored: &Stored) -> (Key, Bytes) {
    (stored.resource.key.clone(), stored.resource.spec.clone())
}

/// Whether a change of the secret can change a verdict.
fn matters(key: &Key) -> bool {
    key.name.contains("-signing-key") || key.name.contains("-revocations") || key.name.contains("-signing-public-key")
}

/// The data of a Secret or GlobalSecret spec; `None` if it has none or is no message: what is not there must not be read
/// as an empty list or an empty key.
pub fn secret_data(spec: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    debug_assert!(matches!(Kind::SECRET.spec, SpecForm::Proto(_)), "secrets travel in protobuf");
    Secret::decode(spec).ok().and_then(|secret| secret.data).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use model::ZoneName;
    use tokens::{Accept, Want};

    use super::*;

    #[test]
    fn a_stored_list_that_cannot_be_decoded_is_unreadable_and_not_empty() {
        let key = |name: &str| Key::global(Kind::GLOBAL_SECRET, name);
        let spec = |data: Option<&[u8]>| Bytes::from(Secret { data: data.map(<[u8]>::to_vec) }.encode_to_vec());
        let (west, now) = (ZoneName::parse("west").unwrap(), Timestamp::UNIX_EPOCH);
        let signing = spec(Some(b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E="));
        let mut secrets = Secrets::default();
        secrets.current.insert(key("control-plane-signing-key-0001"), signing);
        let valid_for = Some(Duration::from_secs(60));
        let token = tokens::issue_control_plane(&secrets.ring(1), &west, valid_for, now, uuid::Uuid::nil()).unwrap();
        let mut accepted = |list: Option<Bytes>| {
            secrets.current.extend(list.map(|list| (key("control-plane-token-revocations"), list)));
            let want = Want { zone: "west", accept: Accept::CpToken, leeway: Duration::ZERO };
            tokens::verify(token.reveal(), &secrets.ring(1), now, &want).is_ok()
        };
        assert!(accepted(None) && accepted(Some(spec(Some(b"another-id")))));
        for unreadable in [spec(None), Bytes::from_static(b"\xff\xff"), Bytes::new()] {
            assert!(!accepted(Some(unreadable)), "nobody is let in by a list that nobody can read");
        }
    }
}
