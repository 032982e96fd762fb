//! Property tests of which each run has a seed of its own: a failing run is replayed by one command, without the others.

use std::fmt::Debug;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestRunner},
};

/// The seed of the first run, and how many there are; other ones by `ARCTOS_SEED` and `ARCTOS_RUNS`.
const SEED: u64 = 20_261_124;
const RUNS: u64 = 1000;

/// Checks what each seed in a row makes of the strategy. What fails is made smaller, and named with its seed.
pub(crate) fn each_seed<S: Strategy>(test: &str, strategy: &S, check: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let given = |name: &str| -> Option<u64> { std::env::var_os(name)?.to_str()?.parse().ok() };
    let first = given("ARCTOS_SEED").unwrap_or(SEED);
    for run in 0..given("ARCTOS_RUNS").unwrap_or(RUNS) {
        let seed = first.wrapping_add(run);
        let config = Config {
            cases: 1,
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            max_shrink_iters: 1000,
            ..Config::default()
        };
        let result = TestRunner::new(config).run(strategy, |value| {
            check(value);
            Ok(())
        });
        if let Err(failed) = result {
            let again = format!("ARCTOS_SEED={seed} ARCTOS_RUNS=1 cargo test -p sync --test it {test}");
            panic!("{failed}\nthe same run again:\n  {again}");
        }
    }
}
