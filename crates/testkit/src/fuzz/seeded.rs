//! The engine of ordinary runs: every input follows from one number.

use std::{
    fmt::Debug,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use bolero::{
    Engine, Test,
    bolero_engine::{driver::Options, input::Bytes, panic},
};
use rand::{SeedableRng as _, rngs::StdRng};

use super::{Inputs, mutate::Mutator};

/// The seed of a normal run; another one by the environment.
const SEED: u64 = 20_261_124;
/// On a slow machine a target makes fewer inputs: all targets together must not take minutes.
const LIMIT: Duration = Duration::from_secs(10);

/// A longer input is not shown.
const SHOWN: usize = 10_000;

/// Feeds a target with its seeds and with what follows from them.
pub(super) struct Seeded {
    name: String,
    inputs: Inputs,
}

impl Seeded {
    pub(super) fn new(name: &str, inputs: Inputs) -> Self {
        Self { name: name.to_owned(), inputs }
    }

    fn try_one<T: Test>(&self, test: &mut T, input: &[u8], options: &Options, what: &str)
    where
        T::Value: Debug,
    {
        panic::set_hook();
        panic::forward_panic(false);
        let outcome = test.test(&mut Bytes::new(input, options));
        let Err(error) = outcome else {
            panic::forward_panic(true);
            return;
        };
        let smaller = test.shrink(input.to_vec(), None, options);
        panic::forward_panic(true);
        let file = std::env::temp_dir().join(format!("{}.input", super::file_name(&self.name)));
        let kept = match fs::write(&file, input) {
            Ok(()) => format!("ARCTOS_INPUT={} tries it again", file.display()),
            Err(error) => format!("it could not be kept: {error}"),
        };
        if let Some(smaller) = smaller.map(|smaller| smaller.to_string()).filter(|shown| shown.len() < SHOWN) {
            eprintln!("a smaller input that fails:\n{smaller}");
        }
        panic!("{}: {what} of {} bytes fails ({kept}): {error}", self.name, input.len());
    }
}

impl<T: Test> Engine<T> for Seeded
where
    T::Value: Debug,
{
    type Output = ();

    fn run(self, mut test: T, options: Options) {
        let given = |name: &str| std::env::var(name).ok();
        if let Some(file) = given("ARCTOS_INPUT").map(PathBuf::from) {
            let input = fs::read(&file).expect("the file that ARCTOS_INPUT names");
            return self.try_one(&mut test, &input, &options, "the file");
        }
        let seed = given("ARCTOS_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
        let asked = given("ARCTOS_RUNS").and_then(|runs| runs.parse().ok());
        let runs: usize = asked.unwrap_or(self.inputs.runs);
        eprintln!(
            "ARCTOS_SEED={seed} ARCTOS_RUNS={runs}: {} seeds, then inputs made of them",
            self.inputs.seeds().count()
        );
        let start = Instant::now();
        for (index, input) in self.inputs.seeds().enumerate() {
            self.try_one(&mut test, input, &options, &format!("seed {index}"));
        }
        let mut random = StdRng::seed_from_u64(seed ^ hash(&self.name));
        let mutator = Mutator::new(&self.inputs);
        for run in 0..runs {
            if asked.is_none() && start.elapsed() > LIMIT {
                eprintln!("stopped after {run} inputs, {LIMIT:?} are over");
                break;
            }
            let input = mutator.input(&mut random);
            self.try_one(&mut test, &input, &options, &format!("input {run} of ARCTOS_SEED={seed}"));
        }
    }
}

/// Different targets get different inputs from one seed.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use bolero::{BorrowedInput, ByteSliceGenerator, TestTarget};

    use super::{super::Form, *};

    fn run(inputs: Inputs, check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
        let target: TestTarget<ByteSliceGenerator, Seeded, BorrowedInput> =
            TestTarget::new(Seeded::new("testkit::a_fault", inputs));
        target.for_each(check);
    }

    #[test]
    fn what_holds_for_every_input_passes() {
        run(Inputs::new(Form::Bytes).runs(100), |bytes| assert!(bytes.len() < usize::MAX));
    }

    #[test]
    #[should_panic = "seed 1 of 3 bytes fails"]
    fn a_fault_in_a_seed_is_found() {
        run(Inputs::new(Form::Text).made(["good", "bad"]), |bytes| assert_ne!(bytes, b"bad"));
    }

    #[test]
    #[should_panic = "of ARCTOS_SEED="]
    fn a_fault_behind_a_mutation_is_found() {
        let message = super::super::protobuf::joined([&[0x0a, 4, b'M', b'e', b's', b'h'][..]]);
        run(Inputs::new(Form::Messages).made([message]), |bytes| {
            let messages = super::super::protobuf::split(bytes);
            assert!(!messages.iter().any(|one| *one == [0x0a, 3, b'M', b's', b'h']), "a byte is lost, the lengths fit");
        });
    }
}
