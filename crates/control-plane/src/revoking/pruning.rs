//! Revocations go when all that they name has ended.
//!
//! Of one token it is known when that is, if the ledger has it. All tokens of a zone, a key or a family have ended for
//! certain only when the keys are gone that may have signed them, and a key that was deleted by mistake is put back: so
//! these stay for a while after that.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use store::{Batch, Precondition, ResourceStore, StoreError, Write};
use tokens::KeyId;
use tokio::time::sleep;
use tracing::info;

use crate::{
    clock::Clock,
    cluster::{Cluster, Epoch},
    keys::Keys,
    records::{self, revocation::Revocation},
    tasks::Tasks,
};

/// How often revocations are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// For how long after its end a token may still be taken, at least: clocks differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);
/// For how long a revocation stays after the keys of what it names are gone.
const KEYS_GONE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is to be done with a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Keep,
    /// It is noted since when its keys are gone, or that they are back.
    Note(Option<Timestamp>),
    /// It goes.
    Delete,
}

/// Looks while this instance leads, until the program stops: what one instance writes counts for all. `leeway` is for how long
/// after its end a token is taken here.
pub(crate) async fn run(
    store: Arc<dyn ResourceStore>,
    keys: Keys,
    leeway: Duration,
    cluster: Cluster,
    clock: Clock,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let leeway = SignedDuration::try_from(leeway).unwrap_or(SignedDuration::MAX).max(LEEWAY);
    loop {
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = sleep(LOOK) => {}
        }
        let Some(epoch) = cluster.leads() else { continue };
        if let Err(problem) = prune(&*store, &keys, leeway, epoch, clock.now()).await {
            info!(problem = %problem, "revocations that have ended were not pruned, which is tried again");
        }
    }
}

/// Looks at all revocations that can be read: one that cannot be is in nobody's way.
async fn prune(
    store: &dyn ResourceStore,
    keys: &Keys,
    leeway: SignedDuration,
    epoch: Epoch,
    now: Timestamp,
) -> anyhow::Result<()> {
    // Nobody knows here which keys are gone.
    let Ok(ring) = keys.to_admit() else { return Ok(()) };
    for stored in records::stored::<Revocation>(store).await? {
        let Ok(mut revocation) = records::read::<Revocation>(&stored.resource) else { continue };
        let there: Vec<KeyId> = ring.keys_of(&revocation.rule.family).map(|(key, _phase)| key).collect();
        let expect = Precondition::Version(stored.version);
        let write = match next(&revocation, &there, leeway, now) {
            Next::Keep => continue,
            Next::Note(keys_gone) => {
                revocation.keys_gone = keys_gone;
                records::write(&revocation, expect, now)?
            }
            Next::Delete => Write::Delete { key: stored.resource.key.clone(), expect },
        };
        let deletes = matches!(write, Write::Delete { .. });
        match store.apply(Batch::of(vec![write]).fenced(epoch)).await {
            Ok(_) if deletes => info!(
                revocation = %revocation.id, what = %revocation, "revocation pruned: all that it names has ended"
            ),
            // Somebody else was quicker, or took it back.
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    Ok(())
}

/// Says what is to be done with a revocation, given the keys of its family that are there.
fn next(revocation: &Revocation, there: &[KeyId], leeway: SignedDuration, now: Timestamp) -> Next {
    let is_over = |end: Timestamp, after: SignedDuration| now.duration_since(end) >= after;
    if revocation.until.is_some_and(|until| is_over(until, leeway)) {
        return Next::Delete;
    }
    // Of a key of the settings nobody knows since when it is there, so it may have signed what is named.
    let may_have_signed = |keys: &BTreeSet<u64>, key: &KeyId| key.is_of_settings() || keys.contains(&key.serial);
    let gone = match &revocation.rule.keys {
        Some(keys) if !keys.is_empty() => !there.iter().any(|key| may_have_signed(keys, key)),
        Some(_) | None => false,
    };
    match (gone, revocation.keys_gone) {
        (true, Some(since)) if is_over(since, KEYS_GONE) => Next::Delete,
        (true, None) => Next::Note(Some(now)),
        (false, Some(_)) => Next::Note(None),
        (true, Some(_)) | (false, None) => Next::Keep,
    }
}

#[cfg(test)]
mod tests {
    use model::{Key, Kind, Labels, Resource, secret};
    use store::testing::Database;
    use tokens::{Family, RevocationRule, Revoked};
    use uuid::Uuid;

    use super::*;
    use crate::records::Record as _;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    fn revocation(until: Option<Timestamp>, keys: &[u64]) -> Revocation {
        let (family, before) = (Family::ControlPlane, Some(now()));
        let keys = Some(keys.iter().copied().collect());
        Revocation {
            id: Uuid::nil(),
            rule: RevocationRule { family, what: Revoked::All, before, spared: BTreeSet::new(), keys },
            reason: None,
            by: "john".to_owned(),
            at: now(),
            until,
            keys_gone: None,
        }
    }

    fn check(revocation: &Revocation, there: &[KeyId], after: SignedDuration, expected: Next) {
        assert_eq!(next(revocation, there, LEEWAY, now() + after), expected, "{revocation:?} {there:?} {after}");
    }

    fn key(serial: u64) -> KeyId {
        KeyId { family: Family::ControlPlane, serial }
    }

    #[test]
    fn one_token_is_forgotten_when_it_has_ended_and_nobody_takes_it_any_more() {
        let hour = SignedDuration::from_hours(1);
        let of_one = revocation(Some(now() + hour), &[1]);
        check(&of_one, &[key(1)], hour, Next::Keep);
        check(&of_one, &[key(1)], hour + LEEWAY - SignedDuration::from_millis(1), Next::Keep);
        check(&of_one, &[key(1)], hour + LEEWAY, Next::Delete);
    }

    #[test]
    fn what_names_many_stays_until_their_keys_are_gone_for_a_while() {
        let of_many = revocation(None, &[1, 2]);
        check(&of_many, &[key(1), key(3)], DAY * 10_000, Next::Keep);
        check(&of_many, &[key(3)], DAY, Next::Note(Some(now() + DAY)));
        check(&of_many, &[], DAY, Next::Note(Some(now() + DAY)));
        check(&of_many, &[key(u64::MAX)], DAY, Next::Keep);
        let noted = Revocation { keys_gone: Some(now()), ..of_many };
        check(&noted, &[key(3)], DAY * 30 - SignedDuration::from_secs(1), Next::Keep);
        check(&noted, &[key(3)], DAY * 30, Next::Delete);
        check(&noted, &[key(2)], DAY * 30, Next::Note(None));
        for unknown in [revocation(None, &[]), {
            let mut any = revocation(None, &[]);
            any.rule.keys = None;
            any
        }] {
            check(&unknown, &[], DAY * 10_000, Next::Keep);
        }
    }

    fn resource(key: Key, spec: bytes::Bytes) -> Resource {
        Resource { key, labels: Labels::new(), spec, status: None, owner: None, created: now(), modified: now() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_prunes_what_has_ended_and_nothing_else() {
        let here = Database::new().instance();
        let store: Arc<dyn ResourceStore> = Arc::new(here.clone());
        let secret = secret::encode(b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=");
        let signing = Key::global(Kind::GLOBAL_SECRET, "control-plane-signing-key-0001");
        store.put(resource(signing, secret), Precondition::Absent).await.unwrap();
        let minutes = |minutes: i64| Some(now() + SignedDuration::from_mins(minutes));
        let mut names = Vec::new();
        for (number, until) in [(1u128, minutes(2)), (2, minutes(1000)), (3, None)] {
            let revocation = Revocation { id: Uuid::from_u128(number), ..revocation(until, &[1]) };
            names.push(records::key::<Revocation>(&revocation.rest()).name);
            let write = records::write(&revocation, Precondition::Absent, now()).unwrap();
            store.apply(Batch::of(vec![write])).await.unwrap();
        }
        let damaged = Key::global(Kind::RECORD, "revocation.user-token.x");
        store.put(resource(damaged.clone(), bytes::Bytes::from_static(b"{")), Precondition::Absent).await.unwrap();
        names.push(damaged.name);
        let (tasks, clock) = (Tasks::new(), Clock::starting_at(now()));
        let keys = Keys::start(&store, &tasks).await.unwrap();
        assert!(keys.in_force(&names[0]).await);
        let leeway = Duration::from_secs(1);
        let cluster = Cluster::alone("cp");
        let pruning = run(Arc::clone(&store), keys.clone(), leeway, cluster, clock, tasks.clone());
        tasks.spawn("pruning", crate::tasks::OnError::StopProgram, pruning);
        // Two minutes, and the least leeway.
        sleep(Duration::from_secs(2 * 60 + 29)).await;
        assert!(keys.in_force(&names[0]).await);
        sleep(Duration::from_secs(61)).await;
        assert!(keys.no_longer_in_force(&names[0]).await);
        let left: Vec<String> = records::stored::<Revocation>(&*store)
            .await
            .unwrap()
            .iter()
            .map(|stored| stored.resource.key.name.clone())
            .collect();
        assert_eq!(left, names[1..]);
        tasks.stop();
    }
}
