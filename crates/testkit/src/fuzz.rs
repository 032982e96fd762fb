//! Fuzz targets: bolero targets that are ordinary tests on a stable toolchain.
//!
//! ```text
//! cargo test:      seeds (recorded messages) once each ─► then mutations of them and input from nothing ─► check
//! cargo bolero:    whatever the coverage-guided engine comes up with, from the corpus that the seeds were written to
//! ```
//!
//! An ordinary run is the same every time: it follows from `ARCTOS_SEED`, which it prints. `ARCTOS_RUNS` says how many
//! inputs it makes; `ARCTOS_INPUT` names a file that is tried alone; `ARCTOS_CORPUS` names a folder into which the seeds
//! are written instead of a run, for `scripts/fuzz`.

#[cfg(not(fuzzing))]
mod mutate;
pub mod protobuf;
mod recorded;
#[cfg(not(fuzzing))]
mod seeded;
#[cfg(not(fuzzing))]
mod words;

#[doc(hidden)]
pub use bolero;
pub use recorded::{Direction, messages, streams};

use std::{fs, panic::AssertUnwindSafe, path::Path};

use bolero::{ByteSliceGenerator, DefaultEngine, TestTarget};

/// Bytes that a target is called with as the engine made them.
pub type Target = TestTarget<ByteSliceGenerator, DefaultEngine, bolero::BorrowedInput>;

/// What the bytes of a target are, so that mutations reach behind the first length that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Just bytes.
    Bytes,
    /// Text: JSON, YAML, names.
    Text,
    /// One protobuf message.
    Message,
    /// Protobuf messages, each behind its length ([`protobuf::joined`]).
    Messages,
}

/// What an ordinary run of a target is fed with.
#[derive(Clone, Debug)]
pub struct Inputs {
    form: Form,
    recorded: Vec<Vec<u8>>,
    made: Vec<Vec<u8>>,
    words: Vec<String>,
    runs: usize,
}

impl Inputs {
    /// Returns inputs of a form without seeds.
    pub fn new(form: Form) -> Self {
        Self { form, recorded: Vec::new(), made: Vec::new(), words: Vec::new(), runs: 5_000 }
    }

    /// Adds what real peers sent: each is tried as it is, and mutations of it.
    #[must_use]
    pub fn recorded(mut self, seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.recorded.extend(seeds);
        self
    }

    /// Adds seeds that a test made. As many inputs are made of these few as of all that was recorded.
    #[must_use]
    pub fn made(mut self, seeds: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.made.extend(seeds.into_iter().map(Into::into));
        self
    }

    fn seeds(&self) -> impl Iterator<Item = &[u8]> {
        self.recorded.iter().chain(&self.made).map(Vec::as_slice)
    }

    /// Adds words that mean something to the code under test.
    #[must_use]
    pub fn words<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.words.extend(words.into_iter().map(str::to_owned));
        self
    }

    /// Says how many inputs an ordinary run makes beside the seeds.
    #[must_use]
    pub fn runs(mut self, runs: usize) -> Self {
        self.runs = runs;
        self
    }
}

/// Runs a fuzz target in a test: `fuzz!(inputs, |bytes| { … })`. What goes wrong panics.
#[macro_export]
macro_rules! fuzz {
    ($inputs:expr, $check:expr) => {{
        fn here() {}
        // Returns when cargo-bolero only wants to know which targets there are.
        let target = $crate::fuzz::bolero::check!();
        let name = $crate::fuzz::name(env!("CARGO_PKG_NAME"), ::core::any::type_name_of_val(&here));
        $crate::fuzz::run(target, &name, $inputs, $check)
    }};
}

/// The name of a target: its package, and what cargo-bolero calls its test. `path` is that of a function inside it.
#[doc(hidden)]
pub fn name(package: &str, path: &str) -> String {
    let (_crate, test) = path.trim_end_matches("::here").split_once("::").expect("a path inside a crate");
    format!("{package} {test}")
}

/// Runs a target.
#[doc(hidden)]
pub fn run(target: Target, name: &str, inputs: Inputs, check: impl Fn(&[u8])) {
    if let Some(folder) = std::env::var_os("ARCTOS_CORPUS") {
        return write_corpus(&Path::new(&folder).join(file_name(name)), inputs.seeds());
    }
    // Nothing of a check outlives the panic that ends it.
    let check = AssertUnwindSafe(check);
    let check = move |bytes: &[u8]| {
        let check = &check;
        (check.0)(bytes);
    };
    engine(target, name, inputs, check);
}

#[cfg(fuzzing)]
fn engine(target: Target, _name: &str, _inputs: Inputs, check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    target.for_each(check);
}

#[cfg(not(fuzzing))]
fn engine(_target: Target, name: &str, inputs: Inputs, check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let target: TestTarget<ByteSliceGenerator, seeded::Seeded, bolero::BorrowedInput> =
        TestTarget::new(seeded::Seeded::new(name, inputs));
    target.for_each(check);
}

/// A name as one part of a path: `control-plane.kds.fuzz.requests.the_test`.
fn file_name(name: &str) -> String {
    name.replace("::", ".").replace(' ', ".")
}

fn write_corpus<'a>(folder: &Path, seeds: impl Iterator<Item = &'a [u8]>) {
    fs::create_dir_all(folder).expect("a folder for the corpus");
    for (index, seed) in seeds.enumerate() {
        fs::write(folder.join(format!("seed-{index:05}")), seed).expect("a file of the corpus");
    }
}
