//! Who is there, as far as looks at the database tell. Pure.
//!
//! What counts is for how long somebody was not heard by the clock of whoever looks: clocks of machines are set, and while the
//! database was away nobody was heard.

use std::{collections::BTreeMap, time::Duration};

use store::Present;
use tokio::time::Instant;

/// All that were heard, and since when not again.
pub(super) struct View {
    /// After so long without a look nothing is known of what was missed.
    longest_pause: Duration,
    heard: BTreeMap<String, Heard>,
    last_look: Option<Instant>,
}

struct Heard {
    present: Present,
    since: Instant,
}

impl View {
    /// Nobody was looked at yet.
    pub(super) fn new(longest_pause: Duration) -> Self {
        Self { longest_pause, heard: BTreeMap::new(), last_look: None }
    }

    /// Takes over what a look showed.
    pub(super) fn look(&mut self, present: Vec<Present>, now: Instant) {
        let goes_on = self.last_look.is_some_and(|last| now.duration_since(last) <= self.longest_pause);
        let before = std::mem::take(&mut self.heard);
        for present in present {
            let known = before.get(&present.said.name).filter(|known| goes_on && known.present.beat == present.beat);
            let since = known.map_or(now, |known| known.since);
            self.heard.insert(present.said.name.clone(), Heard { present, since });
        }
        self.last_look = Some(now);
    }

    /// Those that were heard within this time.
    pub(super) fn there(&self, within: Duration, now: Instant) -> impl Iterator<Item = &Present> {
        let is_there = move |heard: &&Heard| now.duration_since(heard.since) < within;
        self.heard.values().filter(is_there).map(|heard| &heard.present)
    }

    /// Those that were not.
    pub(super) fn gone(&self, within: Duration, now: Instant) -> impl Iterator<Item = &Present> {
        let is_gone = move |heard: &&Heard| now.duration_since(heard.since) >= within;
        self.heard.values().filter(is_gone).map(|heard| &heard.present)
    }
}

#[cfg(test)]
mod tests {
    use store::{Said, Version};

    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A view, and looks at it: when, and who was heard how often by then.
    struct Looks {
        view: View,
        start: Instant,
    }

    impl Looks {
        fn new() -> Self {
            Self { view: View::new(seconds(5)), start: Instant::now() }
        }

        fn at(&mut self, second: u64, beats: &[(&str, i64)]) -> String {
            let said = |name: &str| Said { name: name.to_owned(), inter_cp: None, keys: Version(0) };
            let present = beats.iter().map(|(name, beat)| Present { said: said(name), beat: *beat }).collect();
            let now = self.start + seconds(second);
            self.view.look(present, now);
            let gone: Vec<_> = self.view.gone(LEASE, now).map(|one| format!("-{}", one.said.name)).collect();
            let there = self.view.there(LEASE, now).map(|one| one.said.name.clone());
            there.chain(gone).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn who_is_not_heard_for_the_lease_is_gone_and_comes_back_when_it_is_heard() {
        let mut looks = Looks::new();
        for second in 0..15 {
            assert_eq!(looks.at(second, &[("a", second as i64), ("b", 1)]), "a b", "{second}");
        }
        assert_eq!(looks.at(15, &[("a", 15), ("b", 1)]), "a -b");
        assert_eq!(looks.at(16, &[("a", 16), ("b", 2)]), "a b");
        assert_eq!(looks.at(17, &[("a", 16)]), "a", "it left");
    }

    #[test]
    fn who_could_not_look_says_of_nobody_that_he_is_gone() {
        let mut looks = Looks::new();
        assert_eq!(looks.at(0, &[("a", 1)]), "a");
        assert_eq!(looks.at(60, &[("a", 1)]), "a", "the database was away");
        for second in 61..75 {
            assert_eq!(looks.at(second, &[("a", 1)]), "a", "{second}");
        }
        assert_eq!(looks.at(75, &[("a", 1)]), "-a");
    }

    #[test]
    fn a_clock_that_is_set_back_takes_nobody_away() {
        let mut looks = Looks::new();
        assert_eq!(looks.at(0, &[("a", 9)]), "a");
        assert_eq!(looks.at(5, &[("a", 3)]), "a");
        for second in 6..20 {
            assert_eq!(looks.at(second, &[("a", 3)]), "a", "{second}");
        }
        assert_eq!(looks.at(20, &[("a", 3)]), "-a");
    }
}
