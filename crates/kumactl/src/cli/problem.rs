//! Words what clap found wrong the way kumactl's users know it.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{walk::Way, words};

/// What a clap error means for the user.
pub(super) enum Problem {
    /// Nothing is wrong: help was asked for.
    Help,
    /// Wrong words: shown with the usage.
    Words(String),
    /// Required flags are missing: shown alone.
    Missing(String),
}

/// Returns what to tell about this error.
pub(super) fn describe(error: &clap::Error, way: &Way<'_>) -> Problem {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        Some(_) | None => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Problem::Help,
        ErrorKind::MissingRequiredArgument => {
            let mut names: Vec<String> = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(texts)) => {
                    texts.iter().map(|text| format!("{:?}", long_name(text))).collect()
                }
                Some(_) | None => Vec::new(),
            };
            names.sort();
            Problem::Missing(format!("required flag(s) {} not set", names.join(", ")))
        }
        ErrorKind::UnknownArgument => Problem::Words(match argument.strip_prefix("--") {
            Some(name) => format!("unknown flag: --{}", name.split('=').next().unwrap_or(name)),
            None => format!("unknown shorthand flag: '{}' in {argument}", argument.chars().nth(1).unwrap_or_default()),
        }),
        ErrorKind::InvalidValue
        | ErrorKind::ValueValidation
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues => {
            let name = long_name(&argument);
            let value = text(ContextKind::InvalidValue);
            let short = way.long(name).and_then(clap::Arg::get_short);
            let reason = error.source().map(ToString::to_string);
            Problem::Words(match (reason, short) {
                (None, None) if value.is_empty() => format!("flag needs an argument: --{name}"),
                (None, Some(letter)) if value.is_empty() => format!("flag needs an argument: '{letter}' in -{letter}"),
                (reason, Some(letter)) => {
                    format!(
                        "invalid argument {value:?} for \"-{letter}, --{name}\" flag: {}",
                        reason.unwrap_or_default()
                    )
                }
                (reason, None) => {
                    format!("invalid argument {value:?} for \"--{name}\" flag: {}", reason.unwrap_or_default())
                }
            })
        }
        _ => Problem::Words(error.to_string().trim_start_matches("error: ").trim_end().to_owned()),
    }
}

/// Returns what is wrong with the number of arguments.
pub(super) fn arity(way: &Way<'_>, arguments: &[String], names_files: bool) -> Option<String> {
    let names = if names_files { Vec::new() } else { words::names(way.command) };
    let (wanted, given) = (names.len(), arguments.len());
    let least = names.iter().filter(|name| !name.starts_with('[')).count();
    match (wanted, arguments.first()) {
        (wanted, _) if (least..wanted).contains(&given) => None,
        (wanted, Some(_)) if least < wanted && given > wanted => {
            Some(format!("accepts between {least} and {wanted} arg(s), received {given}"))
        }
        (0, None) => None,
        (0, Some(word)) => Some(format!("unknown command {word:?} for \"kumactl {}\"", way.path.join(" "))),
        (wanted, _) if wanted == given => None,
        (wanted, _) => Some(format!("accepts {wanted} arg(s), received {given}")),
    }
}

/// `--name <string>` or `-f, --file` becomes `name`, `file`.
fn long_name(argument: &str) -> &str {
    let name = argument.split_once("--").map_or(argument, |(_, name)| name);
    name.split([' ', '=', '[']).next().unwrap_or(name)
}
