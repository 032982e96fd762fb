//! Taking tokens back, without HTTP: one by its id, or all that a zone has, a key signed or a family knows, up to a time.
//!
//! ```text
//! permit + order ─► may they? ─► whom it hits ─► a record, written for safety ─► in the ring ─► sessions end
//! ```
//!
//! The documented lists of ids are secrets, and nothing here touches them: both count. A record goes when it is taken back,
//! or when all that it names has ended ([`pruning`]).
//!
//! Tokens are judged by when they were issued. Their claim `iat` is set back a little; of those that the ledger knows the
//! time is known better, and those that only seem to be older than they are get spared by name.

mod order;
pub(crate) mod pruning;
mod reach;

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use model::{Key, Kind};
use store::{Batch, Precondition, ResourceStore, StoreError};
use thiserror::Error;
use tokens::{Family, Phase, RevocationRule, Revoked, TokenFacts, VerifiedUser};
use tracing::info;
use uuid::Uuid;

pub(crate) use self::order::{NoOrder, Order, Which};
use self::reach::{Reach, judge_by_the_ledger};
use crate::{
    access::{Denied, Permit},
    clock::Clock,
    keys::Keys,
    ledger::{Entry, Ledger},
    observe::shown,
    records::{
        self, Record as _,
        revocation::{self, Revocation},
    },
};

/// Which tokens are shown to this control plane: a revocation where nobody shows them would be a promise without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judges {
    /// All: a global one.
    All,
    /// Those of its own users: a zone, whose other tokens are those of its global control plane.
    OwnUsers,
    /// All but those of zones that connect: a zone on its own.
    NoZones,
}

impl Judges {
    /// Says where tokens of this family are revoked, if not here.
    fn elsewhere(self, family: &Family) -> Option<Elsewhere> {
        let word = family.token_word();
        match (self, family) {
            (Self::OwnUsers, Family::ControlPlane | Family::Zone | Family::Dataplane { .. }) => {
                Some(Elsewhere::OnGlobal { family: word })
            }
            (Self::NoZones, Family::ControlPlane) => Some(Elsewhere::Nowhere { family: word }),
            (Self::All | Self::OwnUsers | Self::NoZones, _) => None,
        }
    }
}

/// Why tokens of a family are not revoked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Elsewhere {
    /// The global control plane does that.
    #[error(
        "this is the control plane of a zone, and a {family} is revoked on its global control plane: nothing was revoked, ask \
         there (`kumactl --context`, `kumactl config control-planes switch`)"
    )]
    OnGlobal {
        /// The word for the tokens.
        family: &'static str,
    },
    /// Nobody does that.
    #[error("no zone connects to this control plane, so nobody shows it a {family}: nothing was revoked")]
    Nowhere {
        /// The word for the tokens.
        family: &'static str,
    },
}

/// Takes tokens back for callers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Revoker {
    judges: Judges,
    store: Arc<dyn ResourceStore>,
    keys: Keys,
    ledger: Ledger,
    clock: Clock,
}

/// A revocation that was written, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The record.
    pub(crate) revocation: Revocation,
    /// How many tokens that were handed out, and were good until then, it revokes.
    pub(crate) affected: usize,
    /// Whether the token that it names by id is in the ledger.
    pub(crate) in_ledger: bool,
    /// What whoever did it should know.
    pub(crate) notes: Vec<Note>,
}

/// What whoever revoked something should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Note {
    /// The id is not that of a token that was handed out here.
    #[error(
        "no token of this id is in the ledger: it was issued elsewhere or before there was one, or the id is mistyped; it is \
         revoked all the same"
    )]
    NotInLedger,
    /// The caller has revoked themselves.
    #[error(
        "the token of this very request is revoked with it: the next request needs another one, and where none is left an \
         administrator on the machine of the control plane, or its admin token made anew (delete the global secret \
         admin-user-token and start again)"
    )]
    OwnToken,
    /// Users of other control planes have other tokens.
    #[error("it counts on the control plane of this zone alone: every other one has users' tokens of its own")]
    HereAlone,
    /// It is written, and this control plane has not read it yet.
    #[error("it is written and not yet in force on this control plane, whose store is behind or busy")]
    NotYetInForce,
}

/// Why nothing was revoked, or taken back.
#[derive(Debug, Error)]
pub(crate) enum NotRevoked {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Nobody shows such tokens here.
    #[error(transparent)]
    Elsewhere(Elsewhere),
    /// There is no such mesh.
    #[error("there is no mesh {mesh:?}")]
    NoMesh {
        /// The one that was named.
        mesh: String,
    },
    /// There is no such key.
    #[error("{}", no_key(*.serial, .there))]
    NoKey {
        /// The one that was named.
        serial: u64,
        /// Those that are there.
        there: BTreeSet<u64>,
    },
    /// Tokens that are not issued yet cannot be revoked.
    #[error("must not be in the future; here it is {now}")]
    Future {
        /// What time it is.
        now: Timestamp,
    },
    /// There is no such revocation.
    #[error("there is no such revocation")]
    NotFound,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be written as a record.
    #[error("the revocation cannot be written as a record")]
    NoRecord(#[from] serde_json::Error),
}

fn no_key(serial: u64, there: &BTreeSet<u64>) -> String {
    let there: Vec<String> = there.iter().map(ToString::to_string).collect();
    match there.as_slice() {
        [] => format!("there is no signing key {serial} of this family, nor any other"),
        _ => format!("there is no signing key {serial} of this family; there are: {}", there.join(", ")),
    }
}

impl Revoker {
    pub(crate) fn new(judges: Judges, store: Arc<dyn ResourceStore>, keys: Keys, ledger: Ledger, clock: Clock) -> Self {
        Self { judges, store, keys, ledger, clock }
    }

    /// Revokes. When this returns it is durable and, unless a note says otherwise, in force on this control plane.
    pub(crate) async fn revoke(&self, permit: &Permit, order: Order) -> Result<Done, NotRevoked> {
        permit.write(secrets_of(&order.family))?;
        if let Some(elsewhere) = self.judges.elsewhere(&order.family) {
            return Err(NotRevoked::Elsewhere(elsewhere));
        }
        self.check_mesh(&order.family).await?;
        let (ring, now) = (self.keys.ring(), self.clock.now());
        let there = || ring.keys_of(&order.family).filter(|(key, _)| !key.is_of_settings());
        let before = match order.which {
            Which::Id(_) => None,
            Which::IssuedBefore(before) if before > now => return Err(NotRevoked::Future { now }),
            Which::IssuedBefore(before) => Some(before),
            Which::Key(serial) if !there().any(|(key, _)| key.serial == serial) => {
                return Err(NotRevoked::NoKey { serial, there: there().map(|(key, _)| key.serial).collect() });
            }
            Which::Key(_) | Which::Zone(_) => Some(ring.next_before(&order.family, now)),
        };
        // A key that is staged has signed nothing yet. While nobody knows here which keys there are, it may be any.
        let used = there().filter(|(_, phase)| *phase != Phase::Staged).map(|(key, _)| key.serial);
        let keys = self.keys.to_admit().is_ok().then(|| used.collect());
        let what = order.what();
        let mut rule = RevocationRule { family: order.family, what, before, spared: BTreeSet::new(), keys };
        let known = self.ledger.all();
        let entries: Vec<&Entry> = known.iter().map(|known| &*known.entry).collect();
        judge_by_the_ledger(&mut rule, &entries);
        let reach = Reach::of(&rule, &entries, &ring, now);
        let mut notes = Vec::new();
        if matches!(rule.what, Revoked::Id(_)) && !reach.in_ledger {
            notes.push(Note::NotInLedger);
        }
        if permit.caller().token().is_some_and(|own| rule.revokes(&facts_of(&own))) {
            notes.push(Note::OwnToken);
        }
        let (id, by) = (Uuid::new_v4(), permit.caller().name().to_owned());
        let (reason, until) = (order.reason, reach.until);
        if self.judges == Judges::OwnUsers {
            notes.push(Note::HereAlone);
        }
        let revocation = Revocation { id, rule, reason, by, at: now, until, keys_gone: None };
        let write = records::write(&revocation, Precondition::Absent, now)?;
        self.store.apply(Batch::for_safety(vec![write])).await?;
        info!(
            caller = %shown::name(&permit.caller().to_string()), revocation = %id, what = %revocation,
            reason = &*shown::name(revocation.reason.as_deref().unwrap_or_default()), tokens = reach.affected,
            "tokens revoked"
        );
        let record = records::key::<Revocation>(&revocation.rest());
        if !self.keys.in_force(&record.name).await {
            notes.push(Note::NotYetInForce);
        }
        Ok(Done { revocation, affected: reach.affected, in_ledger: reach.in_ledger, notes })
    }

    async fn check_mesh(&self, family: &Family) -> Result<(), NotRevoked> {
        let Some(mesh) = family.mesh() else { return Ok(()) };
        let found = self.store.get(&Key::global(Kind::MESH, mesh)).await?;
        found.map(drop).ok_or_else(|| NotRevoked::NoMesh { mesh: mesh.to_owned() })
    }

    /// All revocations that can be read, the oldest first, and the names of the others.
    pub(crate) async fn all(&self, permit: &Permit) -> Result<(Vec<Revocation>, Vec<String>), NotRevoked> {
        permit.read(Kind::GLOBAL_SECRET)?;
        let (mut all, mut unreadable) = (Vec::new(), Vec::new());
        for stored in records::stored::<Revocation>(&*self.store).await? {
            match records::read::<Revocation>(&stored.resource) {
                Ok(revocation) => all.push(revocation),
                Err(_) => unreadable.push(stored.resource.key.name.clone()),
            }
        }
        all.sort_by_key(|revocation| (revocation.at, revocation.id));
        Ok((all, unreadable))
    }

    /// Takes a revocation back, also one that cannot be read: what it named is good again, as far as nothing else speaks
    /// against it.
    pub(crate) async fn take_back(&self, permit: &Permit, id: &str) -> Result<Vec<Note>, NotRevoked> {
        permit.write(Kind::GLOBAL_SECRET)?;
        let all = records::stored::<Revocation>(&*self.store).await?;
        let has_id = |key: &Key| key.name.rsplit('.').next() == Some(id);
        let key = all.iter().map(|stored| &stored.resource.key).find(|key| has_id(key));
        let key = key.ok_or(NotRevoked::NotFound)?;
        if let Some(family) = revocation::family_in(&key.name) {
            permit.write(secrets_of(&family))?;
        }
        self.store.delete(key, Precondition::Present).await.map_err(|refusal| match refusal {
            StoreError::NotFound { .. } => NotRevoked::NotFound,
            other => other.into(),
        })?;
        info!(
            caller = %shown::name(&permit.caller().to_string()), revocation = &*shown::name(&key.name),
            "revocation taken back"
        );
        let is_over = self.keys.no_longer_in_force(&key.name).await;
        Ok(if is_over { Vec::new() } else { vec![Note::NotYetInForce] })
    }
}

/// The kind of the secrets that hold the keys of a family: whoever may write them decides about its tokens.
fn secrets_of(family: &Family) -> Kind {
    match family {
        Family::ControlPlane | Family::Zone | Family::User => Kind::GLOBAL_SECRET,
        Family::Dataplane { .. } => Kind::SECRET,
    }
}

fn facts_of(user: &VerifiedUser) -> TokenFacts<'_> {
    TokenFacts { key: user.key(), id: user.id(), zone: None, issued_at: user.issued_at() }
}
