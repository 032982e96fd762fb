//! The words that a command takes without a flag.
//!
//! Clap reads any number of them: faults of flags are told before a wrong number of words, so [`super::parse`] counts
//! them afterwards, and nobody gets a command with too few.

use clap::{Arg, ArgAction, ArgMatches, Args, Command};

/// Shown by completions.
const WORDS: &str = "arguments";

/// The word of a command about one thing.
#[derive(Debug, Args)]
pub(crate) struct Name {
    #[arg(id = WORDS, value_names = ["NAME"], num_args = 0.., hide = true)]
    words: Vec<String>,
}

impl Name {
    pub(crate) fn name(&self) -> &str {
        word(&self.words, 0)
    }
}

/// The word of a command about one family of signing keys.
#[derive(Debug, Args)]
pub(crate) struct Family {
    #[arg(id = WORDS, value_names = ["FAMILY"], num_args = 0.., hide = true)]
    words: Vec<String>,
}

impl Family {
    pub(crate) fn name(&self) -> &str {
        word(&self.words, 0)
    }
}

/// The same for a command that is about all of them without it.
#[derive(Debug, Args)]
pub(crate) struct AnyFamily {
    #[arg(id = WORDS, value_names = ["[FAMILY]"], num_args = 0.., hide = true)]
    words: Vec<String>,
}

impl AnyFamily {
    /// Empty: all.
    pub(crate) fn name(&self) -> &str {
        word(&self.words, 0)
    }
}

/// The words of a command about one thing of any type.
#[derive(Debug, Args)]
pub(crate) struct TypeAndName {
    #[arg(id = WORDS, value_names = ["TYPE", "NAME"], num_args = 0.., hide = true)]
    words: Vec<String>,
}

impl TypeAndName {
    pub(crate) fn type_name(&self) -> &str {
        word(&self.words, 0)
    }

    pub(crate) fn name(&self) -> &str {
        word(&self.words, 1)
    }
}

fn word(words: &[String], place: usize) -> &str {
    words.get(place).map_or("", String::as_str)
}

/// Returns what catches the words of a command that takes none.
pub(super) fn any() -> Arg {
    Arg::new(WORDS).num_args(0..).action(ArgAction::Append).hide(true)
}

/// Returns the names of the words that a command takes.
pub(super) fn names(command: &Command) -> Vec<&str> {
    let names = command.get_positionals().filter_map(Arg::get_value_names).flatten();
    names.map(|name| name.as_str()).collect()
}

/// Returns the words that the innermost command was given.
pub(super) fn given(matches: &ArgMatches) -> Vec<String> {
    match matches.subcommand() {
        Some((_, inner)) => given(inner),
        None => matches.get_many(WORDS).into_iter().flatten().cloned().collect(),
    }
}
