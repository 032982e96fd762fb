//! What is known of keys that sign outside: which there are, and how it went when they were asked last.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family as Labelled},
    registry::Registry,
};
use tokens::{Family, SigningProblem};
use tracing::{debug, error, info};

/// One that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignerState {
    /// Whose tokens.
    pub(crate) family: Family,
    /// What it is: `file`, `command`, `pkcs11`.
    pub(crate) by: &'static str,
    /// What its tokens call it.
    pub(crate) kid: String,
    /// Why it signed nothing when it was asked last, if it did not.
    pub(crate) problem: Option<String>,
}

/// The metrics. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct SigningMetrics {
    failures: Labelled<OfFamily, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFamily {
    family: &'static str,
    mesh: String,
}

impl SigningMetrics {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let what = "How often a key outside of the store signed nothing, so that no token was issued";
        registry.register("token_signing_failures", what, metrics.failures.clone());
        metrics
    }
}

pub(super) struct States {
    known: Mutex<BTreeMap<Family, SignerState>>,
    metrics: SigningMetrics,
}

impl States {
    pub(super) fn of(metrics: SigningMetrics) -> Self {
        Self { known: Mutex::default(), metrics }
    }

    /// There is a signer, or another one.
    pub(super) fn know(&self, family: &Family, by: &'static str, kid: &str) {
        let state = SignerState { family: family.clone(), by, kid: kid.to_owned(), problem: None };
        self.lock().insert(family.clone(), state);
        // Seen before it is above zero.
        drop(self.metrics.failures.get_or_create(&of(family)));
    }

    pub(super) fn failed(&self, family: &Family, kid: &str, problem: &SigningProblem) {
        let mesh = family.mesh().unwrap_or_default();
        let reason = problem.to_string();
        self.metrics.failures.get_or_create(&of(family)).inc();
        // Thousands of zones may ask for their next token meanwhile: a metric counts them.
        if self.is_news(family, &reason) {
            error!(family = family.token_word(), mesh, kid, reason, "a key outside of the store signed nothing");
        } else {
            debug!(family = family.token_word(), mesh, kid, reason, "a key outside of the store signed nothing again");
        }
    }

    /// Keeps why it signed nothing; returns whether that is another reason than the last time, or the first one.
    fn is_news(&self, family: &Family, reason: &str) -> bool {
        let mut known = self.lock();
        let Some(state) = known.get_mut(family) else { return true };
        state.problem.replace(reason.to_owned()).as_deref() != Some(reason)
    }

    pub(super) fn signed(&self, family: &Family) {
        let before = self.lock().get_mut(family).and_then(|state| state.problem.take());
        if before.is_some() {
            let mesh = family.mesh().unwrap_or_default();
            info!(family = family.token_word(), mesh, "a key outside of the store signs again");
        }
    }

    pub(super) fn all(&self) -> Vec<SignerState> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Family, SignerState>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(family: &Family) -> OfFamily {
    OfFamily { family: family.token_word(), mesh: family.mesh().unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_signs_nothing_is_told_once_for_each_reason_and_anew_after_it_signed() {
        let (states, family) = (States::of(SigningMetrics::default()), Family::Zone);
        states.know(&family, "command", "kms");
        for (reason, is_news) in [("late", true), ("late", false), ("gone", true), ("late", true)] {
            assert_eq!(states.is_news(&family, reason), is_news, "{reason}");
        }
        states.signed(&family);
        assert!(states.is_news(&family, "late"));
        states.know(&family, "file", "another");
        assert!(states.is_news(&family, "late"), "of another key");
    }
}
