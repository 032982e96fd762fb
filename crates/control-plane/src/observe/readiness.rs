//! Whether the parts of a control plane are ready, and what troubles it, in plain words.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The readiness of one control plane. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Why each part is not ready that must be; nothing for one that is.
    parts: BTreeMap<&'static str, Option<String>>,
    troubles: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Names a part that must be ready before the control plane is.
    pub fn expect(&self, part: &'static str) {
        self.lock().parts.entry(part).or_insert_with(|| Some("not ready yet".to_owned()));
    }

    /// A part is ready.
    pub fn ready(&self, part: &'static str) {
        self.lock().parts.insert(part, None);
    }

    /// A part is not ready, or no longer.
    pub fn not_ready(&self, part: &'static str, reason: String) {
        self.lock().parts.insert(part, Some(reason));
    }

    /// Says what troubles a part that can be done without for a while, or that nothing does.
    pub fn trouble(&self, part: &'static str, reason: Option<String>) {
        let mut state = self.lock();
        match reason {
            Some(reason) => state.troubles.insert(part, reason),
            None => state.troubles.remove(part),
        };
    }

    /// Whether all parts are ready, and a line for each that is not and for each trouble.
    pub fn report(&self) -> (bool, String) {
        let state = self.lock();
        let waiting: BTreeMap<_, _> =
            state.parts.iter().filter_map(|(part, reason)| Some((part, reason.as_ref()?))).collect();
        // What is missing for a trouble is told once.
        let troubles = state.troubles.iter().filter(|(part, _)| !waiting.contains_key(part));
        let lines = waiting.iter().map(|(part, reason)| (*part, *reason)).chain(troubles);
        (waiting.is_empty(), lines.map(|(part, reason)| format!("{part}: {reason}\n")).collect())
    }

    /// What troubles each part that is in trouble.
    pub fn troubles(&self) -> BTreeMap<&'static str, String> {
        self.lock().troubles.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_part_and_trouble_is_said_all_the_same() {
        let readiness = Readiness::default();
        readiness.expect("rest");
        assert_eq!(readiness.report(), (false, "rest: not ready yet\n".to_owned()));
        readiness.ready("rest");
        readiness.trouble("global", Some("refused this zone".to_owned()));
        assert_eq!(readiness.report(), (true, "global: refused this zone\n".to_owned()));
        readiness.trouble("global", None);
        assert_eq!(readiness.report(), (true, String::new()));
        readiness.trouble("store", Some("behind".to_owned()));
        readiness.not_ready("store", "behind for too long".to_owned());
        assert_eq!(readiness.report(), (false, "store: behind for too long\n".to_owned()), "once");
        readiness.ready("store");
        assert_eq!(readiness.report(), (true, "store: behind\n".to_owned()));
    }
}
