//! The next token of a zone: which one it gets, and how often one is signed for it.
//!
//! A zone may ask again, because it did not hear the answer: what it got for a token is remembered for a part of its life and
//! given again. That bounds what is signed, too. A token that is due, or whose key drains, is renewed once in that time; one
//! that is neither may be renewed as well, but a zone gets only a few of those, so that nobody walks from one to the next
//! without end. The two are counted apart: who stole a token and walks cannot keep the zone from its own next one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use thiserror::Error;
use tokens::{Accept, KeyRing, Token, VerifiedZone, Want};
use tokio::sync::{Mutex, oneshot};

use crate::{
    clock::Clock,
    config,
    issuing::{Issuer, NotIssued, Reason},
    tasks::{OnError, Tasks},
    zones::caller::TokenIdentity,
};

/// How far tokens are set back when they are issued.
const SET_BACK: SignedDuration = SignedDuration::from_secs(5);
/// No token is given for a shorter time.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// How long an answer is given again at the least, where tokens live long enough.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(1);
/// How many answers of a sort are remembered for a zone; it gets no more while they are.
const ANSWERS: usize = 8;

/// Why a zone gets no next token.
#[derive(Debug, Error)]
pub(crate) enum NotRenewed {
    #[error("renewing tokens is switched off on the global control plane (multizone.global.kds.auth.renewal.enabled)")]
    Off,
    #[error("this token was signed elsewhere, with a key of the settings: it is renewed where it was made")]
    MadeElsewhere,
    #[error(
        "the global control plane takes tokens of the keys of its settings alone (validator.useSecrets: false), and would refuse \
         the next one"
    )]
    RefusedHere,
    #[error("a token without end is renewed only while its key is being retired")]
    WithoutEnd,
    #[error("the token does not say when it was issued, so nobody knows how long the next one should be good")]
    WithoutBeginning,
    #[error("this zone got {ANSWERS} new tokens a short time ago and uses none of them; try again later")]
    TooMany,
    #[error("the control plane is stopping")]
    Stopping,
    #[error(transparent)]
    NotIssued(#[from] NotIssued),
}

/// Gives zones their next tokens.
pub(crate) struct Renewals {
    issuer: Issuer,
    clock: Clock,
    settings: config::Renewal,
    tasks: Tasks,
    zones: SyncMutex<BTreeMap<ZoneName, Answers>>,
}

type Answers = Arc<Mutex<Vec<Answer>>>;

/// What was given for a token.
struct Answer {
    former: TokenIdentity,
    sort: Sort,
    /// Until when it is given again.
    until: Timestamp,
    token: Arc<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Its time had come.
    Due,
    /// Nothing made it necessary.
    Early,
}

/// What the next token is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    valid_for: Option<Duration>,
    reason: Reason,
    sort: Sort,
    remembered: SignedDuration,
}

impl Renewals {
    pub(crate) fn new(issuer: Issuer, clock: Clock, settings: config::Renewal, tasks: Tasks) -> Self {
        Self { issuer, clock, settings, tasks, zones: SyncMutex::default() }
    }

    /// Returns the next token for the zone that proved itself with one and this ring.
    pub(super) async fn next(
        self: &Arc<Self>,
        proof: VerifiedZone,
        former: TokenIdentity,
        ring: Arc<KeyRing>,
    ) -> Result<Arc<Token>, NotRenewed> {
        let (answer, answered) = oneshot::channel();
        let renewals = Arc::clone(self);
        // A task of its own: a caller that goes away must not make that what was signed is forgotten.
        self.tasks.spawn("token-renewal", OnError::Log, async move {
            let _caller_may_be_gone = answer.send(renewals.renew(&proof, former, &ring).await);
            Ok(())
        });
        answered.await.unwrap_or(Err(NotRenewed::Stopping))
    }

    async fn renew(
        &self,
        proof: &VerifiedZone,
        former: TokenIdentity,
        ring: &KeyRing,
    ) -> Result<Arc<Token>, NotRenewed> {
        let now = self.clock.now();
        let plan = Plan::of(proof, ring, self.settings, now)?;
        let answers = self.answers(proof.zone(), now);
        // One after the other for each zone: who asks twice at once gets the same.
        let mut answers = answers.lock().await;
        answers.retain(|answer| answer.until > now && (answer.former != former || answer.is_good(proof, ring, now)));
        if let Some(answer) = answers.iter().find(|answer| answer.former == former) {
            return Ok(Arc::clone(&answer.token));
        }
        if answers.iter().filter(|answer| answer.sort == plan.sort).count() >= ANSWERS {
            return Err(NotRenewed::TooMany);
        }
        let token = Arc::new(self.issuer.renew(proof, plan.valid_for, plan.reason).await?);
        let until = now.saturating_add(plan.remembered).unwrap_or(now);
        answers.push(Answer { former, sort: plan.sort, until, token: Arc::clone(&token) });
        Ok(token)
    }

    /// What is remembered for a zone; what is of no use any more for the others is forgotten.
    fn answers(&self, zone: &ZoneName, now: Timestamp) -> Answers {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.retain(|_, answers| {
            let is_in_use = Arc::strong_count(answers) > 1;
            is_in_use || answers.try_lock().is_ok_and(|answers| answers.iter().any(|answer| answer.until > now))
        });
        Arc::clone(zones.entry(zone.clone()).or_default())
    }
}

/// Whether a key of the settings signed that does not sign here. Whoever has that key may be forgotten with it: nothing of
/// ours takes its place.
pub(super) fn made_elsewhere(proof: &VerifiedZone, ring: &KeyRing) -> bool {
    let key = proof.key();
    key.is_of_settings() && ring.signs_outside(&key.family) != Some(proof.kid())
}

impl Plan {
    fn of(proof: &VerifiedZone, ring: &KeyRing, settings: config::Renewal, now: Timestamp) -> Result<Self, NotRenewed> {
        if !settings.enabled {
            return Err(NotRenewed::Off);
        }
        if made_elsewhere(proof, ring) {
            return Err(NotRenewed::MadeElsewhere);
        }
        let family = &proof.key().family;
        if ring.signs_outside(family).is_none()
            && ring.signs(family).is_some_and(|signs| !ring.serials(family).contains(&signs))
        {
            return Err(NotRenewed::RefusedHere);
        }
        let drains = ring.drains(proof.key());
        let reason = if drains { Reason::KeyDrains } else { Reason::Due };
        let Some(expires_at) = proof.token_expires_at() else {
            let plan = Self { valid_for: None, reason, sort: Sort::Due, remembered: REMEMBERED };
            return if drains { Ok(plan) } else { Err(NotRenewed::WithoutEnd) };
        };
        let issued_at = proof.issued_at().ok_or(NotRenewed::WithoutBeginning)?;
        let life = expires_at.duration_since(issued_at);
        let is_due = drains || now.duration_since(issued_at) >= life / 2;
        // As long from beginning to end, so that no chain of tokens grows or shrinks.
        let valid_for = Duration::try_from((life - SET_BACK).max(SHORTEST)).unwrap_or_default();
        let most = Some(settings.max_life).filter(|most| !most.is_zero());
        Ok(Self {
            valid_for: Some(most.map_or(valid_for, |most| valid_for.min(most))),
            reason,
            sort: if is_due { Sort::Due } else { Sort::Early },
            remembered: (life / 10).max(REMEMBERED).min(life / 6),
        })
    }
}

impl Answer {
    /// Whether it would be accepted, and would not have to be renewed in turn.
    fn is_good(&self, proof: &VerifiedZone, ring: &KeyRing, now: Timestamp) -> bool {
        let want = Want {
            zone: proof.zone().as_str(),
            accept: Accept::CpToken,
            leeway: Duration::from_secs(1),
            legacy_until: None,
        };
        !ring.drains(self.token.key()) && tokens::verify(self.token.reveal(), ring, now, &want).is_ok()
    }
}

#[cfg(test)]
mod tests;
