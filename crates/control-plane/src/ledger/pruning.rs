//! Deletes the entries of tokens that ended long ago. Those of tokens without an end stay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use store::{Batch, Precondition, StoreError, Write};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Entry, Ledger};
use crate::{
    clock::Clock,
    cluster::{Cluster, Epoch},
    records::{self, Record as _},
    tasks::Tasks,
};

/// For how long the entry of a token that ended is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How many ended tokens of one owner are kept at most, the last ones: who renews every minute fills no ledger.
const MOST_OF_ONE: usize = 100;
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(3600);
/// How many entries one batch deletes.
const AT_ONCE: usize = 500;

impl Ledger {
    /// Looks whenever this instance begins to lead and every hour then, until the program stops: all instances have the same
    /// entries, and one is enough to delete them.
    pub(crate) async fn prune(self, cluster: Cluster, clock: Clock, tasks: Tasks) -> anyhow::Result<()> {
        let mut leading = cluster.leading();
        loop {
            let epoch = *leading.borrow_and_update();
            if let Some(epoch) = epoch {
                match prune(&self, epoch, clock.now()).await {
                    Ok(0) | Err(StoreError::Deposed { .. }) => {}
                    Ok(entries) => info!(entries, "entries of tokens that ended were taken out of the ledger"),
                    Err(problem) => {
                        warn!(%problem, "entries of tokens that ended stay in the ledger until the next look");
                    }
                }
            }
            tokio::select! {
                () = tasks.stopping() => return Ok(()),
                changed = leading.changed() => changed?,
                () = sleep(LOOK) => {}
            }
        }
    }
}

async fn prune(ledger: &Ledger, epoch: Epoch, now: Timestamp) -> Result<usize, StoreError> {
    let entries: Vec<Arc<Entry>> = ledger.all().into_iter().map(|known| known.entry).collect();
    let overdue = overdue(&entries, now);
    for some in overdue.chunks(AT_ONCE) {
        // Somebody may have struck it meanwhile.
        let delete = |entry: &&Arc<Entry>| Write::Delete {
            key: records::key::<Entry>(&entry.rest()),
            expect: Precondition::Any,
        };
        ledger.0.store.apply(Batch::of(some.iter().map(delete).collect()).fenced(epoch)).await?;
    }
    Ok(overdue.len())
}

/// The entries whose time is over.
fn overdue(entries: &[Arc<Entry>], now: Timestamp) -> Vec<&Arc<Entry>> {
    let mut ended: BTreeMap<_, Vec<(Timestamp, &Arc<Entry>)>> = BTreeMap::new();
    for entry in entries {
        if let Some(end) = entry.expires_at.filter(|end| *end < now) {
            ended.entry(entry.owner()).or_default().push((end, entry));
        }
    }
    let mut overdue = Vec::new();
    for (_, mut of_one) in ended {
        of_one.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        let over =
            |(place, (end, _)): &(usize, (Timestamp, _))| *place >= MOST_OF_ONE || now.duration_since(*end) > KEPT;
        overdue.extend(of_one.into_iter().enumerate().filter(over).map(|(_, (_, entry))| entry));
    }
    overdue
}

#[cfg(test)]
mod tests {
    use tokens::{Algorithm, Family, KeyId};

    use super::*;
    use crate::ledger::How;

    fn now() -> Timestamp {
        "2026-11-01T00:00:00Z".parse().unwrap()
    }

    fn entry(id: &str, ended_days_ago: Option<i64>) -> Arc<Entry> {
        let end = |days| now() - SignedDuration::from_hours(days * 24);
        Arc::new(Entry {
            id: id.to_owned(),
            key: KeyId { family: Family::Zone, serial: 1 },
            algorithm: Algorithm::Rs256,
            zone: Some("west".to_owned()),
            name: None,
            scope: None,
            issued_at: Timestamp::UNIX_EPOCH,
            iat: None,
            expires_at: ended_days_ago.map(end),
            by: "john".to_owned(),
            how: How::Command,
            first_seen: None,
        })
    }

    fn gone(entries: &[Arc<Entry>]) -> Vec<&str> {
        overdue(entries, now()).into_iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn what_ended_30_days_ago_goes_and_what_has_no_end_stays() {
        let cases = [("none", None), ("31", Some(31)), ("30", Some(30)), ("0", Some(0)), ("future", Some(-1))];
        let entries = cases.map(|(id, days)| entry(id, days));
        assert_eq!(gone(&entries), ["31"]);
    }

    #[test]
    fn of_one_owner_only_the_last_ended_ones_stay() {
        let mut entries: Vec<_> = (0..MOST_OF_ONE).map(|n| entry(&format!("new{n}"), Some(1))).collect();
        entries.insert(0, entry("old", Some(2)));
        let mut other = Entry::clone(&entry("other", Some(3)));
        other.zone = Some("east".to_owned());
        entries.extend([Arc::new(other), entry("none", None), entry("future", Some(-9))]);
        assert_eq!(gone(&entries), ["old"]);
    }
}
