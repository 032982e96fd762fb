//! Which keys the zones of other instances have confirmed to have: a rotation goes on only when all zones have the next key,
//! wherever they are connected. Asked again and again while a key waits for that, and not at other times.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::StatusCode;
use model::{Key, Kind, ZoneName};
use tokens::{KeyRing, Phase};
use tokio::sync::watch;
use tracing::debug;

use crate::{
    inter_cp::{Others, Reply},
    tasks::Tasks,
    zones::confirmed::{Confirmed, Secrets},
};

/// Where instances ask each other for it.
pub(super) const PATH: &str = "/confirmed";
const INTERVAL: Duration = Duration::from_secs(5);
/// An instance that has not told by then has told nothing.
const DEADLINE: Duration = Duration::from_secs(5);

/// Mesh and name of each secret, by zone; those without a mesh are global ones.
type Told = BTreeMap<String, Vec<(String, String)>>;

/// What came to this instance.
pub(super) fn answer(confirmed: &Confirmed) -> Reply {
    let told = confirmed.here().into_iter().map(|(zone, secrets)| {
        let secrets = secrets.into_iter().map(|secret| (secret.mesh, secret.name)).collect();
        (zone.as_str().to_owned(), secrets)
    });
    let told: Told = told.collect();
    Reply::new(StatusCode::OK, serde_json::to_vec(&told).unwrap_or_default())
}

fn read(told: &[u8]) -> Option<Secrets> {
    let told: Told = serde_json::from_slice(told).ok()?;
    let secret = |(mesh, name): (String, String)| match mesh.is_empty() {
        true => Key::global(Kind::GLOBAL_SECRET, &name),
        false => Key::in_mesh(Kind::SECRET, &mesh, &name),
    };
    let zones = told.into_iter().filter_map(|(zone, secrets)| {
        let zone = ZoneName::parse(&zone).ok()?;
        Some((zone, secrets.into_iter().map(secret).collect()))
    });
    Some(zones.collect())
}

/// Asks the others while a key waits, until the program stops.
pub(super) async fn follow(
    others: Others,
    ring: watch::Receiver<Arc<KeyRing>>,
    confirmed: Confirmed,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let told = async { if is_waiting(&ring.borrow().clone()) { ask(&others).await } else { BTreeMap::new() } };
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            told = told => confirmed.told(told),
        }
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Whether there is a key that does not sign yet because others have to have it first.
fn is_waiting(ring: &KeyRing) -> bool {
    ring.families().iter().any(|family| ring.keys_of(family).any(|(_, phase)| phase == Phase::Staged))
}

async fn ask(others: &Others) -> BTreeMap<String, Secrets> {
    let mut all = BTreeMap::new();
    for (instance, answer) in others.ask_all(PATH, DEADLINE).await {
        match answer {
            Ok(Reply { status: StatusCode::OK, body }) => {
                all.extend(read(&body).map(|secrets| (instance, secrets)));
            }
            Ok(Reply { status, .. }) => debug!(instance, %status, "an instance does not tell what its zones confirmed"),
            Err(reason) => debug!(instance, %reason, "an instance does not tell what its zones confirmed"),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use tokens::{KeyId, Phases, RingSources, SecretEntry};

    use super::*;

    #[test]
    fn what_one_instance_tells_another_one_reads() {
        let secrets = [
            Key::global(Kind::GLOBAL_SECRET, "zone-token-signing-public-key-2"),
            Key::in_mesh(Kind::SECRET, "default", "dataplane-token-signing-key-default-2"),
        ];
        let west = ZoneName::parse("west").unwrap();
        let told: Told = BTreeMap::from([(
            "west".to_owned(),
            secrets.iter().map(|key| (key.mesh.clone(), key.name.clone())).collect(),
        )]);
        let read = read(&serde_json::to_vec(&told).unwrap()).unwrap();
        assert_eq!(read, BTreeMap::from([(west, secrets.into())]));
        assert_eq!(answer(&Confirmed::default()), Reply::new(StatusCode::OK, "{}"));
        assert_eq!(super::read(b"[]"), None);
    }

    #[test]
    fn nobody_is_asked_without_a_key_that_waits() {
        let names = ["zone-token-signing-key-1", "zone-token-signing-key-2"];
        let data = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
        let secrets = names.map(|name| SecretEntry { mesh: "", name, data: Some(data) });
        let ring = |phases: Phases| {
            KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() }).0
        };
        let (active, staged) = (ring(Phases::default()), |family: &tokens::Family| {
            ring(Phases::from_iter([(KeyId { family: family.clone(), serial: 2 }, Phase::Staged)]))
        });
        let family = tokens::Family::Zone;
        assert!(active.families().contains(&family), "the ring has the keys");
        assert!(!is_waiting(&active));
        assert!(is_waiting(&staged(&family)));
    }
}
