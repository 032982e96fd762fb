//! When a token is renewed, and when its end is warned of. Pure.
//!
//! A token says how long it lives and when that began, by the clock of whoever issued it. Of one that was issued just now
//! the clock here is believed only as far as tokens are set back; of others there is nothing better.

use std::time::Duration;

use jiff::Timestamp;
use tokens::Outline;
use tokio::time::Instant;

/// The part of its life after which a token is renewed.
const RENEWED_AT: f64 = 2.0 / 3.0;
/// The part of its life after which somebody should know that it was not.
const WARNED_AT: f64 = 0.8;
/// Renewals are spread by so much of the time until then, to both sides.
const SPREAD: f64 = 0.05;
/// How far tokens are set back when they are issued.
const SET_BACK: Duration = Duration::from_secs(5);
/// However short its life is, a token is used for so long.
const SHORTEST_USE: Duration = Duration::from_secs(1);

/// When what is due for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) renew_at: Instant,
    pub(super) warn_at: Instant,
}

/// Where a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issued {
    /// Global gave it a moment ago.
    JustNow,
    /// Somebody got it some time.
    SomeTime,
}

impl Schedule {
    /// Returns what is due for a token; none if it does not end. `chance` is between 0 and 1.
    pub(super) fn of(token: &Outline, issued: Issued, now: Timestamp, at: Instant, chance: f64) -> Option<Self> {
        let expires_at = token.expires_at?;
        let begins_at = token.begins_at.unwrap_or(now);
        let life = Duration::try_from(expires_at.duration_since(begins_at)).unwrap_or_default();
        let age = Duration::try_from(now.duration_since(begins_at)).unwrap_or_default();
        let age = match issued {
            Issued::JustNow => age.min(SET_BACK.max(life / 6)),
            Issued::SomeTime => age,
        };
        let after = |part: f64| at + life.mul_f64(part).saturating_sub(age);
        let spread = 1.0 + SPREAD * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        Some(Self { renew_at: after(RENEWED_AT * spread).max(at + SHORTEST_USE), warn_at: after(WARNED_AT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: i64 = 1_000_000;

    fn token(life: i64) -> Outline {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        Outline { id: String::new(), zone: None, key: None, begins_at: at(BEGIN), expires_at: at(BEGIN + life) }
    }

    /// After how many seconds a token is renewed and warned of that began to live `age` seconds ago by the clock here.
    fn due(token: &Outline, issued: Issued, age: i64, chance: f64) -> Option<(u64, u64)> {
        let (now, at) = (Timestamp::from_second(BEGIN + age).unwrap(), Instant::now());
        let Schedule { renew_at, warn_at } = Schedule::of(token, issued, now, at, chance)?;
        let after = |due: Instant| (due - at).as_secs_f64().round() as u64;
        Some((after(renew_at), after(warn_at)))
    }

    #[test]
    fn a_token_is_renewed_at_two_thirds_of_its_life_with_a_spread() {
        let hour = token(3600);
        for (chance, seconds) in [(0.0, 2280), (0.5, 2400), (1.0, 2520)] {
            assert_eq!(due(&hour, Issued::SomeTime, 0, chance), Some((seconds, 2880)), "{chance}");
        }
        assert_eq!(due(&hour, Issued::SomeTime, 600, 0.5), Some((1800, 2280)));
        assert_eq!(due(&hour, Issued::SomeTime, 3000, 0.5), Some((1, 0)), "it is late");
        assert_eq!(due(&hour, Issued::SomeTime, -600, 0.5), Some((2400, 2880)), "no clock makes it younger than new");
    }

    #[test]
    fn a_clock_that_is_wrong_makes_no_loop_and_no_delay() {
        // A minute that is set back by five seconds.
        let minute = token(65);
        assert_eq!(due(&minute, Issued::JustNow, 5, 0.5), Some((38, 47)));
        for ahead in [12, 3600] {
            assert_eq!(due(&minute, Issued::JustNow, ahead, 0.5).unwrap().0, 33, "{ahead}");
        }
        assert_eq!(due(&minute, Issued::JustNow, -3600, 0.5).unwrap().0, 43);
        assert_eq!(due(&token(6), Issued::JustNow, 5, 0.5).unwrap().0, 1);
    }

    #[test]
    fn what_has_no_end_is_not_due() {
        let mut endless = token(60);
        endless.expires_at = None;
        assert_eq!(due(&endless, Issued::SomeTime, 0, 0.5), None);
        // Of one without a beginning only the rest is known.
        let mut headless = token(3600);
        headless.begins_at = None;
        assert_eq!(due(&headless, Issued::SomeTime, 600, 0.5), Some((2000, 2400)));
    }
}
