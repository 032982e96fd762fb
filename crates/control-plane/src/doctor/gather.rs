//! Gathers what the checks look at.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use model::{Key, Kind, ZoneName, insight, reserved, secret};
use prost::Message as _;
use store::{Query, ResourceStore};
use thiserror::Error;
use tokens::{Family, KeyRing, rotation::Status};
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneInsight};

use super::{
    Finding, examine,
    facts::{Certificate, Facts, KeyFacts, Refusal, RotationFacts, SignerFacts, StandsOn, TokenFacts, ZoneFacts},
};
use crate::{
    access::{Denied, Permit},
    clock::Clock,
    config::GlobalKds,
    keys::Keys,
    ledger::{Entry, Known, Ledger},
    observe::readiness::Readiness,
    rotation::{NotMade, Rotations},
    signers::{SignerState, Signers},
    tls::Certificates,
    zones::insight::Insights,
};

/// Where the facts come from.
pub(crate) struct Sources {
    pub(crate) store: Arc<dyn ResourceStore>,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) ledger: Ledger,
    pub(crate) certificates: Certificates,
    pub(crate) settings: Arc<GlobalKds>,
    /// Whether secrets may lie in the store as they are.
    pub(crate) is_plain: bool,
    /// On a global: what is known of its zones, and the rotations of its keys.
    pub(crate) global: Option<(Insights, Rotations)>,
    /// What signs outside of the store.
    pub(crate) signers: Signers,
    /// Where the connection to a global control plane is told of.
    pub(crate) readiness: Readiness,
}

/// Looks at a control plane. Cheap to clone.
#[derive(Clone)]
pub struct Doctor(Arc<Sources>);

/// Why nothing could be looked at.
#[derive(Debug, Error)]
pub(crate) enum NotExamined {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The store did not say.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The rotations cannot be told.
    #[error(transparent)]
    Rotations(#[from] NotMade),
}

impl Doctor {
    /// Returns what looks at these sources when it is asked.
    pub(crate) fn new(sources: Sources) -> Self {
        Self(Arc::new(sources))
    }

    /// Looks at everything, for somebody who may read what signs.
    pub(crate) async fn examine(&self, permit: &Permit) -> Result<Vec<Finding>, NotExamined> {
        permit.read(Kind::GLOBAL_SECRET)?;
        let sources = &*self.0;
        let now = sources.clock.now();
        let (zones, unreadable_insights) = self.zones().await?;
        let mut unreadable = unreadable_insights;
        let rotations = match &sources.global {
            None => Vec::new(),
            Some((_, rotations)) => rotations.statuses(permit).await?,
        };
        unreadable.extend(rotations.iter().filter_map(|status| status.problem.clone()));
        let tokens = sources.ledger.all();
        let ring = sources.keys.ring();
        // What is revoked, or signed with a key that is gone, is good for nothing.
        let is_good = |known: &&Known| {
            let entry = &known.entry;
            entry.expires_at.is_none_or(|ends| ends > now)
                && (entry.key.is_of_settings() || ring.serials(entry.family()).contains(&entry.key.serial))
                && !ring.revokes(&entry.facts())
        };
        let (strangers, admin_token_refused) = (self.strangers(&zones), self.admin_token_refused(&ring).await?);
        let plain_secrets = if sources.is_plain { self.secrets().await? } else { 0 };
        let facts = Facts {
            now,
            is_global: sources.global.is_some(),
            auth: sources.settings.auth.kind,
            mode: sources.settings.auth.mode,
            leeway: sources.settings.auth.leeway,
            legacy_tokens_until: sources.settings.auth.legacy_tokens_until,
            keys: self.key_facts(),
            signers: sources.signers.states().into_iter().map(signer).collect(),
            zones,
            strangers,
            tokens: tokens.iter().filter(is_good).map(|known| token(&known.entry)).collect(),
            rotations: rotations.iter().filter(|status| status.from.is_some()).map(rotation).collect(),
            certificates: certificates(&sources.certificates),
            unusable: self.unusable().into_iter().chain(unreadable).collect(),
            admin_token_refused,
            store_behind_for: sources.store.freshness().borrow().behind_since().map(|since| since.elapsed()),
            no_global: sources.readiness.troubles().remove("global"),
            plain_secrets,
        };
        Ok(examine(&facts))
    }

    /// How many secrets there are.
    async fn secrets(&self) -> Result<usize, store::StoreError> {
        let mut count = 0;
        for kind in Kind::all().filter(|kind| kind.is_secret()) {
            count += self.0.store.list(&Query { limit: Some(0), ..Query::all(kind) }).await?.total;
        }
        Ok(count)
    }

    fn key_facts(&self) -> Vec<KeyFacts> {
        let ring = self.0.keys.ring();
        let mut facts = Vec::new();
        for family in ring.families() {
            let signs = ring.signs(&family).filter(|_| ring.signs_outside(&family).is_none());
            let name = keys_of(&family);
            facts.extend(ring.serials(&family).into_iter().map(|serial| KeyFacts {
                family: name.clone(),
                serial,
                signs: signs == Some(serial),
            }));
        }
        facts
    }

    /// What cannot be read or used, with what to do.
    fn unusable(&self) -> Vec<String> {
        let told = self.0.keys.unreadable().map(|told| told.borrow().clone());
        let unreadable = told.iter().flat_map(|all| all.iter()).map(ToString::to_string);
        let ring = self.0.keys.ring();
        let keys = ring.unusable().map(|(name, problem)| format!("secret {name:?} cannot be used: {problem}"));
        let entries =
            self.0.ledger.unreadable().into_iter().map(|name| format!("record {name:?} of the ledger cannot be read"));
        keys.collect::<Vec<_>>().into_iter().chain(unreadable).chain(entries).collect()
    }

    /// Who was refused and is no zone that is known.
    fn strangers(&self, zones: &[ZoneFacts]) -> Vec<(String, Refusal)> {
        let told = self.0.global.iter().flat_map(|(insights, _)| insights.strangers());
        told.filter(|stranger| !zones.iter().any(|zone| zone.name == stranger.name.as_str()))
            .map(|stranger| {
                let refusal = Refusal { at: stranger.last, reason: stranger.reason.to_owned(), text: stranger.text };
                (stranger.name.to_string(), refusal)
            })
            .collect()
    }

    /// Why the token that the control plane keeps for its administrator opens nothing, if that is so.
    async fn admin_token_refused(&self, ring: &KeyRing) -> Result<Option<String>, store::StoreError> {
        let key = Key::global(Kind::GLOBAL_SECRET, reserved::ADMIN_TOKEN);
        let Some(stored) = self.0.store.get(&key).await? else { return Ok(None) };
        // What cannot be read is told of with the other secrets.
        let Some(data) = secret::decode(&stored.resource.spec) else { return Ok(None) };
        let Ok(text) = std::str::from_utf8(&data) else { return Ok(Some("it is no text".to_owned())) };
        let verdict = tokens::verify_user(text.trim(), ring, self.0.clock.now(), Duration::ZERO);
        Ok(verdict.err().map(|why| why.to_string()))
    }

    async fn zones(&self) -> Result<(Vec<ZoneFacts>, Vec<String>), store::StoreError> {
        let Some((insights, _)) = &self.0.global else { return Ok((Vec::new(), Vec::new())) };
        let mut unreadable = Vec::new();
        let mut known: BTreeMap<String, ZoneInsight> = BTreeMap::new();
        for stored in self.0.store.list(&Query::all(Kind::ZONE_INSIGHT)).await?.items {
            let name = stored.resource.key.name.clone();
            match ZoneInsight::decode(stored.resource.spec.clone()) {
                Ok(insight) => drop(known.insert(name, insight)),
                Err(problem) => unreadable.push(format!("what is known of zone {name:?} cannot be read: {problem}")),
            }
        }
        let mut shadowed: BTreeMap<ZoneName, Refusal> = BTreeMap::new();
        for would_be in insights.all_would_be_refused() {
            let refusal = Refusal { at: would_be.last, reason: would_be.reason.to_owned(), text: would_be.text };
            let newest = shadowed.entry(would_be.zone).or_insert_with(|| refusal.clone());
            if newest.at < refusal.at {
                *newest = refusal;
            }
        }
        let zones = self.0.store.list(&Query::all(Kind::ZONE)).await?;
        let mut facts: Vec<ZoneFacts> = zones
            .items
            .iter()
            .map(|stored| zone(&stored.resource.key.name, known.get(&stored.resource.key.name)))
            .collect();
        for (name, refusal) in shadowed {
            // Whoever showed a better token since then would be let in.
            match facts.iter_mut().find(|zone| zone.name == name.as_str()) {
                Some(zone) => {
                    let since = zone.stands_on.as_ref().map(|on| on.since);
                    zone.would_be_refused =
                        Some(refusal).filter(|refusal| since.is_none_or(|since| since < refusal.at));
                }
                None => facts.push(ZoneFacts { would_be_refused: Some(refusal), ..zone(name.as_str(), None) }),
            }
        }
        Ok((facts, unreadable))
    }
}

fn zone(name: &str, known: Option<&ZoneInsight>) -> ZoneFacts {
    let subscriptions = known.map(|known| known.subscriptions.as_slice()).unwrap_or_default();
    let refused = known.and_then(|known| known.last_refusal.as_ref());
    let health = known.and_then(|known| known.health_check.as_ref());
    ZoneFacts {
        name: name.to_owned(),
        online: insight::online(subscriptions),
        stands_on: newest(subscriptions),
        refused: refused.and_then(|refused| {
            Some(Refusal {
                at: moment(refused.time.as_ref())?,
                reason: refused.reason.clone(),
                text: refused.detail.clone(),
            })
        }),
        would_be_refused: None,
        clock_ahead: health.and_then(|health| {
            let ahead = health.clock_ahead.as_ref()?;
            Some(SignedDuration::new(ahead.seconds, ahead.nanos))
        }),
    }
}

/// What the zone stands on now, or stood on last.
fn newest(subscriptions: &[KdsSubscription]) -> Option<StandsOn> {
    let open = |one: &&KdsSubscription| one.disconnect_time.is_none();
    let with_auth = || subscriptions.iter().rev().filter(|one| one.auth.is_some());
    let auth = with_auth().find(open).or_else(|| with_auth().next())?.auth.as_ref()?;
    Some(StandsOn {
        family: auth.family.clone(),
        key: auth.key.clone(),
        token_id: auth.token_id.clone(),
        expires_at: moment(auth.expires_at.as_ref()),
        renews: auth.renews.clone(),
        since: moment(auth.since.as_ref()).unwrap_or_default(),
    })
}

fn moment(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

fn token(entry: &Entry) -> TokenFacts {
    let of = match (&entry.zone, &entry.name) {
        (Some(zone), _) => format!("zone {zone}"),
        (None, Some(name)) => format!("{} {name}", entry.family().token_word()),
        (None, None) => entry.family().token_word().to_owned(),
    };
    TokenFacts { id: entry.id.clone(), of, ends: entry.expires_at.is_some() }
}

/// The word for keys, with the mesh behind a blank where there is one.
fn keys_of(family: &Family) -> String {
    let mesh = family.mesh().map(|mesh| format!(" {mesh}")).unwrap_or_default();
    format!("{}{mesh}", family.key_word())
}

fn signer(state: SignerState) -> SignerFacts {
    let SignerState { family, by, kid, problem } = state;
    SignerFacts { family: keys_of(&family), kid, by, problem }
}

fn rotation(status: &Status) -> RotationFacts {
    let mesh = status.mesh.as_ref().map(|mesh| format!(" {mesh}")).unwrap_or_default();
    RotationFacts {
        family: format!("{}{mesh}", status.family),
        phase: status.phase.clone(),
        stopped: status.stopped.as_ref().map(|stopped| stopped.reason.clone()),
        blockers: status.blockers.iter().map(|blocker| blocker.who()).collect(),
        needs_a_hand: status.blockers.iter().any(|blocker| !blocker.by_itself),
        beside: status.signs.filter(|signs| Some(*signs) != status.from && Some(*signs) != status.to),
    }
}

fn certificates(shown: &Certificates) -> Vec<Certificate> {
    shown.ends().into_iter().map(|(file, ends)| Certificate { file: file.display().to_string(), ends }).collect()
}
