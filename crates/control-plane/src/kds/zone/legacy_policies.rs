//! Policies of a 2.x global that say more than a 3.0 zone reads (contract: kds 11.5).
//!
//! A real 3.0 zone drops `from` and `targetRef.proxyTypes` without a word, and the policy then applies to other traffic or
//! to other proxies than it was written for. Here they are kept as they came, and named until they are gone.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use model::Kind;
use sync::{Plan, WireName, fields_of_2x};
use tracing::warn;

use crate::observe::readiness::Readiness;

/// So many are named; the rest is counted.
const NAMED: usize = 10;

/// The policies found so far.
pub(crate) struct LegacyPolicies {
    readiness: Readiness,
    found: Mutex<BTreeMap<(Kind, WireName), &'static str>>,
}

impl LegacyPolicies {
    /// Returns a record that tells `/ready` what it finds.
    pub(crate) fn new(readiness: Readiness) -> Self {
        Self { readiness, found: Mutex::default() }
    }

    /// Forgets all: another instance of the zone hears what global sends.
    pub(super) fn forget(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.readiness.trouble("policies", None);
    }

    /// Looks at what a response brings.
    pub(super) fn note(&self, plan: &Plan) {
        if plan.kind.policy.is_none() {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let before = found.clone();
        if plan.initial {
            found.retain(|(kind, name), _| *kind != plan.kind || plan.named_before.contains(name));
        }
        for name in &plan.removed {
            found.remove(&(plan.kind, name.clone()));
        }
        for received in &plan.resources {
            let key = (plan.kind, received.name.clone());
            match fields_of_2x(&received.spec) {
                Some(fields) => found.insert(key, fields),
                None => found.remove(&key),
            };
        }
        if *found == before {
            return;
        }
        let text = said(&found);
        if let Some(text) = &text {
            warn!(policies = %text, "policies of global use fields that 3.0 does not read: they would apply to other traffic or other proxies than they were written for; replace them");
        }
        self.readiness.trouble("policies", text.map(|text| format!("fields that 3.0 does not read: {text}")));
    }
}

fn said(found: &BTreeMap<(Kind, WireName), &'static str>) -> Option<String> {
    let named = found
        .iter()
        .take(NAMED)
        .map(|((kind, name), fields)| format!("{} {} in mesh {} ({fields})", kind.name, name.name, name.mesh));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if found.len() > NAMED {
        text.push_str(&format!(" and {} more", found.len() - NAMED));
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use sync::Received;

    use super::*;

    fn plan(initial: bool, resources: &[(&str, &str)], removed: &[&str]) -> Plan {
        let received = |(name, spec): &(&str, &str)| Received {
            name: WireName::parse(name),
            labels: model::Labels::new(),
            spec: (*spec).to_owned().into(),
            status: None,
        };
        Plan {
            kind: Kind::by_name("MeshTimeout").unwrap(),
            initial,
            resources: resources.iter().map(received).collect(),
            removed: removed.iter().map(|name| WireName::parse(name)).collect(),
            invalid: Vec::new(),
            named_before: Default::default(),
        }
    }

    #[test]
    fn a_policy_that_would_lose_its_meaning_is_named_until_it_is_gone() {
        let readiness = Readiness::default();
        let policies = LegacyPolicies::new(readiness.clone());
        let told = || readiness.troubles().get("policies").cloned();
        let from = r#"{"from":[{"targetRef":{"kind":"Mesh"}}],"to":[]}"#;
        policies.note(&plan(true, &[("a.default", from), ("b.default", r#"{"to":[]}"#)], &[]));
        assert!(told().unwrap().ends_with("MeshTimeout a in mesh default (from)"), "{:?}", told());
        policies.note(&plan(false, &[("c.default", from)], &["a.default"]));
        assert!(told().unwrap().ends_with("MeshTimeout c in mesh default (from)"));
        policies.note(&plan(true, &[], &[]));
        assert_eq!(told(), None);
    }
}
