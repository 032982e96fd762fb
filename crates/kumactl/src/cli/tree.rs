//! The tree of commands for clap, built from the structs of [`super::verbs`] and brought into the form that kumactl's
//! users know: no flags and commands that clap adds by itself, `--flag` and `--flag=false` for switches, and values
//! named after their type.

use std::any::TypeId;

use clap::{
    Arg, ArgAction, Command, CommandFactory,
    builder::{Resettable, ValueParser},
};
use jiff::SignedDuration;

use super::{verbs::Line, words};
use crate::csv::{List, Pairs};

/// Returns the whole tree.
pub(crate) fn root() -> Command {
    dressed(Line::command())
}

fn dressed(command: Command) -> Command {
    let command = command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .mut_args(|arg| if arg.is_positional() { arg } else { flag(arg) })
        .mut_subcommands(dressed);
    // Words below a group name a command, and `help` is answered before any flag is read.
    let has_no_words = command.has_subcommands() || command.get_name() == "help";
    if has_no_words || command.get_positionals().next().is_some() { command } else { command.arg(words::any()) }
}

fn flag(arg: Arg) -> Arg {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        switch(arg)
    } else {
        let kind = kind(arg.get_value_parser());
        arg.allow_hyphen_values(true).value_name(kind)
    }
}

/// `--flag` and `--flag=false`, but never `--flag false`.
fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .value_name(Resettable::Reset)
        .value_parser(clap::value_parser!(bool))
}

/// The word for a value in help texts.
fn kind(parser: &ValueParser) -> &'static str {
    let of = |one: TypeId| parser.type_id() == one;
    if of(TypeId::of::<SignedDuration>()) {
        "duration"
    } else if of(TypeId::of::<i64>()) {
        "int"
    } else if of(TypeId::of::<List>()) {
        "strings"
    } else if of(TypeId::of::<Pairs>()) {
        "stringToString"
    } else {
        "string"
    }
}
