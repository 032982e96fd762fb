//! The flags of one command, typed. Values were checked when they were read, so that nothing can fail here.

use clap::ArgMatches;
use jiff::SignedDuration;
use model::duration;

use crate::csv;

/// The name under which the words without a flag are kept.
pub(crate) const ARGUMENTS: &str = "arguments";

/// The flags and arguments of the command that was asked for.
#[derive(Debug)]
pub(crate) struct Flags(ArgMatches);

impl Flags {
    /// Takes the flags of the innermost command.
    pub(super) fn of(matches: ArgMatches) -> Self {
        let mut matches = matches;
        while let Some((_, inner)) = matches.remove_subcommand() {
            matches = inner;
        }
        Self(matches)
    }

    /// Returns the value, or an empty text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.try_get_one::<String>(name).ok().flatten().map_or("", String::as_str)
    }

    /// Returns the value, if it is not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Returns whether the switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.0.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or_default()
    }

    /// Returns the duration, zero if there is none.
    pub(crate) fn duration(&self, name: &str) -> SignedDuration {
        duration::parse(self.text(name)).unwrap_or_default()
    }

    /// Returns all elements of a list flag.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.all(name).iter().flat_map(|text| csv::elements(text)).collect()
    }

    /// Returns all pairs of a flag `key=value`, in the order they were given.
    pub(crate) fn pairs(&self, name: &str) -> Vec<(String, String)> {
        self.all(name).iter().filter_map(|text| csv::pairs(text).ok()).flatten().collect()
    }

    /// Returns the words without a flag.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.all(ARGUMENTS)
    }

    /// Returns the word at this place, or an empty text.
    pub(crate) fn argument(&self, place: usize) -> String {
        self.arguments().into_iter().nth(place).unwrap_or_default()
    }

    /// Returns all values of a flag that may stand several times, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.try_get_many::<String>(name).ok().flatten().into_iter().flatten().cloned().collect()
    }
}
