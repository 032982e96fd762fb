//! Finds the command that the words name, before anything is checked.

use clap::{Arg, Command};

/// The way from the root to a command.
pub(super) struct Way<'a> {
    /// The names on the way, without the program's own.
    pub(super) path: Vec<String>,
    /// The command at the end.
    pub(super) command: &'a Command,
    /// All commands on the way, the root first.
    pub(super) commands: Vec<&'a Command>,
    /// The first word that is no flag and no command.
    pub(super) unknown: Option<String>,
}

/// Follows the words as far as they name commands. Flags may stand anywhere between them.
pub(super) fn find<'a>(root: &'a Command, words: &[String]) -> Way<'a> {
    let mut way = Way { path: Vec::new(), command: root, commands: vec![root], unknown: None };
    let mut rest = words.iter();
    while let Some(word) = next_plain(&way, &mut rest) {
        let Some(command) = way.command.find_subcommand(word) else {
            way.unknown = Some(word.clone());
            break;
        };
        way.path.push(command.get_name().to_owned());
        way.command = command;
        way.commands.push(command);
    }
    way
}

/// Returns the words without flags after those that name the command.
pub(super) fn arguments(way: &Way<'_>, words: &[String]) -> Vec<String> {
    let mut rest = words.iter();
    std::iter::from_fn(|| next_plain(way, &mut rest)).skip(way.path.len()).cloned().collect()
}

/// Returns the next word that is neither a flag nor the value of one.
fn next_plain<'w>(way: &Way<'_>, words: &mut std::slice::Iter<'w, String>) -> Option<&'w String> {
    loop {
        let word = words.next()?;
        match flag(word) {
            Word::Plain => return Some(word),
            Word::End => return words.next(),
            Word::Long(name) => {
                if !word.contains('=') && way.long(name).is_some_and(takes_value) {
                    words.next();
                }
            }
            Word::Short(letter) => {
                if word.len() == 2 && way.short(letter).is_some_and(takes_value) {
                    words.next();
                }
            }
        }
    }
}

/// Returns whether the words ask for help.
pub(super) fn wants_help(words: &[String]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "-h" || word == "--help")
}

impl Way<'_> {
    /// Returns whether the command only holds others.
    pub(super) fn is_group(&self) -> bool {
        self.command.has_subcommands()
    }

    /// Returns what is wrong with the first flag that nobody on the way knows.
    pub(super) fn unknown_flag(&self, words: &[String]) -> Option<String> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match flag(word) {
                Word::End => return None,
                Word::Plain => {}
                Word::Long(name) => match self.long(name) {
                    None => return Some(format!("unknown flag: --{name}")),
                    Some(arg) if takes_value(arg) && !word.contains('=') => drop(words.next()),
                    Some(_) => {}
                },
                Word::Short(letter) => match self.short(letter) {
                    None => return Some(format!("unknown shorthand flag: '{letter}' in {word}")),
                    Some(arg) if takes_value(arg) && word.len() == 2 => drop(words.next()),
                    Some(_) => {}
                },
            }
        }
        None
    }

    /// Returns the flag with this long name.
    pub(super) fn long(&self, name: &str) -> Option<&Arg> {
        self.flags().find(|arg| arg.get_long() == Some(name))
    }

    fn short(&self, letter: char) -> Option<&Arg> {
        self.flags().find(|arg| arg.get_short() == Some(letter))
    }

    fn flags(&self) -> impl Iterator<Item = &Arg> {
        self.commands.iter().flat_map(|command| command.get_arguments())
    }
}

enum Word<'a> {
    End,
    Long(&'a str),
    Short(char),
    Plain,
}

fn flag(word: &str) -> Word<'_> {
    if word == "--" {
        return Word::End;
    }
    if let Some(name) = word.strip_prefix("--") {
        return Word::Long(name.split_once('=').map_or(name, |(name, _)| name));
    }
    match word.strip_prefix('-').and_then(|rest| rest.chars().next()) {
        Some(letter) => Word::Short(letter),
        None => Word::Plain,
    }
}

fn takes_value(arg: &Arg) -> bool {
    !arg.is_require_equals_set()
}
