//! Who would have been refused while authentication was in shadow: counted in memory since this control plane started, for
//! those who want to know what would happen if it were enforced.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use model::{ZoneName, text::of_peer};

use super::{Insights, Written, auth};

/// So many zones are remembered: names that nobody verified must not decide how much is kept.
const ZONES: usize = 10_000;

/// For which reason a zone would have been refused, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldBeRefused {
    /// The zone that it says it is.
    pub zone: ZoneName,
    /// The reason in one word.
    pub reason: &'static str,
    /// What it would have heard the last time.
    pub text: String,
    /// When it was so for the first time.
    pub first: Timestamp,
    /// When it was so for the last time.
    pub last: Timestamp,
    /// How often it was so: calls, and streams whose token got bad.
    pub times: u64,
}

/// By zone and reason, of which there are few.
#[derive(Default)]
pub(super) struct Shadowed(Mutex<BTreeMap<ZoneName, BTreeMap<&'static str, WouldBeRefused>>>);

impl Shadowed {
    fn note(&self, zone: &ZoneName, reason: &'static str, text: &str, now: Timestamp) {
        let mut zones = self.lock();
        if zones.len() >= ZONES && !zones.contains_key(zone) {
            return;
        }
        let reasons = zones.entry(zone.clone()).or_default();
        let first =
            || WouldBeRefused { zone: zone.clone(), reason, text: String::new(), first: now, last: now, times: 0 };
        let known = reasons.entry(reason).or_insert_with(first);
        known.text = of_peer(text);
        known.last = now;
        known.times += 1;
    }

    pub(super) fn forget(&self, zone: &ZoneName) {
        self.lock().remove(zone);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, BTreeMap<&'static str, WouldBeRefused>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Insights {
    /// Notes that somebody who says to be this zone would have been refused, were it not in shadow. It shows in the status of
    /// zones that are known here: a name alone makes nothing new.
    pub fn would_be_refused(&self, zone: &ZoneName, reason: &'static str, text: &str) {
        let now = self.shared.clock.now();
        self.shared.shadowed.note(zone, reason, text, now);
        if self.lock().contains_key(zone) {
            // Not at once, as what is refused: whoever comes with a bad token must not decide how much is written.
            self.change_live(zone, Written::Later, |live| {
                auth::would_be_refused(&mut live.insight, reason, text, now);
                live.troubled = true;
            });
        }
    }

    /// Shows in the status of a zone that became known what it would have been refused for before.
    pub fn show_would_be_refused(&self, zone: &ZoneName) {
        let known = self.shared.shadowed.lock().get(zone).cloned().unwrap_or_default();
        for WouldBeRefused { reason, text, last, .. } in known.into_values() {
            self.change(zone, Written::Soon, |insight| auth::would_be_refused(insight, reason, &text, last));
        }
    }

    /// Who would have been refused since this control plane started.
    pub fn all_would_be_refused(&self) -> Vec<WouldBeRefused> {
        self.shared.shadowed.lock().values().flat_map(|reasons| reasons.values().cloned()).collect()
    }
}
