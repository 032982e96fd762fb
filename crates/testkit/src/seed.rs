//! Chance that can be repeated: a seed from the environment or the test's own, printed, and a small generator.

/// Returns the seed of this run: that of `ARCTOS_SEED`, or the usual one. Prints it, so that a failure can be repeated.
pub fn seed(usual: u64) -> u64 {
    let given = std::env::var_os("ARCTOS_SEED").and_then(|value| value.to_str()?.parse().ok());
    let seed = given.unwrap_or(usual);
    eprintln!("ARCTOS_SEED={seed}");
    seed
}

/// Returns how much of something a test does: what a variable of the environment says, or the usual amount.
pub fn amount(variable: &str, usual: usize) -> usize {
    let given = std::env::var_os(variable).and_then(|value| value.to_str()?.parse().ok());
    given.unwrap_or(usual)
}

/// A generator of numbers (SplitMix64): the same seed gives the same numbers. No good for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Returns the generator of one use of a seed; other uses of the same seed get other numbers.
    pub fn of(seed: u64, usage: &str) -> Self {
        let mixed = usage.bytes().fold(seed, |mixed, byte| Self(mixed ^ u64::from(byte)).next());
        Self(mixed)
    }

    /// Returns a number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns whether something happens that happens `thousandths` times in a thousand.
    pub fn happens(&mut self, thousandths: u64) -> bool {
        self.below(1000) < thousandths
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_seed_repeats_itself_and_no_other_use_of_it() {
        let numbers = |seed, usage: &str| {
            let mut chance = Chance::of(seed, usage);
            [chance.below(1_000_000), chance.below(1_000_000), chance.below(1_000_000)]
        };
        assert_eq!(numbers(1, "a"), numbers(1, "a"));
        assert_ne!(numbers(1, "a"), numbers(1, "b"));
        assert_ne!(numbers(1, "a"), numbers(2, "a"));
    }

    #[test]
    fn what_happens_rarely_happens_about_as_often() {
        let mut chance = Chance::of(7, "rare");
        let happened = (0..10_000).filter(|_| chance.happens(20)).count();
        assert!((100..300).contains(&happened), "{happened} of 10,000 instead of 200");
    }
}
