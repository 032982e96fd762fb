//! Who was refused under the name of a zone that is not known here: kept in memory since this control plane started, so that
//! the zone that never got in can be found. Nobody verified these names, so only so many are kept, the latest.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use model::{ZoneName, text::of_peer};

use super::Insights;

/// So many names are kept.
const NAMES: usize = 1000;

/// Who was refused, and why the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The zone that it says it is.
    pub name: ZoneName,
    /// The reason in one word.
    pub reason: String,
    /// What it heard.
    pub text: String,
    /// When.
    pub last: Timestamp,
}

#[derive(Default)]
pub(super) struct Strangers(Mutex<BTreeMap<ZoneName, Stranger>>);

impl Strangers {
    pub(super) fn refused(&self, name: &ZoneName, reason: &str, text: &str, now: Timestamp) {
        let stranger = Stranger { name: name.clone(), reason: reason.to_owned(), text: of_peer(text), last: now };
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.clone(), stranger);
        if names.len() > NAMES {
            let oldest = names.values().min_by_key(|stranger| stranger.last).map(|stranger| stranger.name.clone());
            oldest.map(|oldest| names.remove(&oldest));
        }
    }
}

impl Insights {
    /// Those who were refused under names that were no zones then.
    pub fn strangers(&self) -> Vec<Stranger> {
        self.shared.strangers.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_are_kept() {
        let strangers = Strangers::default();
        let at = |second: usize| Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
        let name = |number: usize| ZoneName::parse(&format!("z{number}")).unwrap();
        for number in 0..=NAMES {
            strangers.refused(&name(number), "missing", &"é".repeat(100_000), at(number));
        }
        let kept = strangers.0.lock().unwrap();
        assert_eq!(kept.len(), NAMES);
        assert!(!kept.contains_key(&name(0)) && kept.contains_key(&name(NAMES)));
        assert!(kept.values().all(|stranger| stranger.text.len() < 3000));
    }
}
