//! Help and usage texts, in the layout that kumactl's users know.

use clap::{Arg, Command};

use super::{walk::Way, words};

/// Returns the full help of a command.
pub(super) fn help(way: &Way<'_>) -> String {
    let about = way.command.get_about().map(ToString::to_string).unwrap_or_default();
    format!("{about}\n\n{}", usage(way))
}

/// Returns how a command is used, without its description.
pub(super) fn usage(way: &Way<'_>) -> String {
    let command = way.command;
    let name = std::iter::once("kumactl").chain(way.path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let mut text = String::from("Usage:\n");
    if !way.is_group() || command.get_name() == "inspect" {
        text += &format!("  {name}{}{} [flags]\n", before_flags(command), words(command));
    }
    if way.is_group() {
        text += &format!("  {name} [command]\n");
    }
    let aliases: Vec<_> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        text += &format!("\nAliases:\n  {}, {}\n", command.get_name(), aliases.join(", "));
    }
    if let Some(examples) = command.get_after_help() {
        text += &format!("\nExamples:\n{examples}\n");
    }
    let commands: Vec<_> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !commands.is_empty() {
        let width = commands.iter().map(|command| command.get_name().len()).max().unwrap_or_default().max(11);
        text += "\nAvailable Commands:\n";
        for command in commands {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            text += &format!("  {:width$} {about}\n", command.get_name());
        }
    }
    let (inherited, own): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(|arg| !arg.is_hide_set()).partition(|arg| is_inherited(way, arg));
    text += &block("Flags", &own);
    text += &block("Global Flags", &inherited);
    if way.is_group() {
        text += &format!("\nUse \"{name} [command] --help\" for more information about a command.\n");
    }
    text
}

fn words(command: &Command) -> String {
    words::names(command).iter().map(|name| format!(" {name}")).collect()
}

fn before_flags(command: &Command) -> &'static str {
    if command.get_name() == "tls-certificate" { " --type=server|client --hostname=HOST1[,HOST2...]" } else { "" }
}

fn is_inherited(way: &Way<'_>, arg: &Arg) -> bool {
    let above = way.commands.split_last().map_or(&[][..], |(_, above)| above);
    arg.get_id() != "help"
        && above.iter().any(|command| command.get_arguments().any(|other| other.get_id() == arg.get_id()))
}

fn block(title: &str, flags: &[&Arg]) -> String {
    let mut lines: Vec<(String, String)> = flags.iter().map(|arg| line(arg)).collect();
    if lines.is_empty() {
        return String::new();
    }
    lines.sort_by(|(left, _), (right, _)| left.get(6..).cmp(&right.get(6..)));
    let width = lines.iter().map(|(flag, _)| flag.len()).max().unwrap_or_default();
    let lines: String = lines.into_iter().map(|(flag, about)| format!("{flag:width$}   {about}\n")).collect();
    format!("\n{title}:\n{lines}")
}

fn line(arg: &Arg) -> (String, String) {
    let short = arg.get_short().map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let kind = if arg.is_require_equals_set() {
        String::new()
    } else {
        arg.get_value_names().and_then(<[_]>::first).map(|name| format!(" {name}")).unwrap_or_default()
    };
    let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default = match arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned()) {
        // A switch is off, and a text empty: nobody needs to be told.
        _ if arg.is_require_equals_set() => String::new(),
        Some(value) if value.is_empty() => String::new(),
        Some(value) if kind == " string" => format!(" (default {value:?})"),
        Some(value) => format!(" (default {value})"),
        None => String::new(),
    };
    (format!("  {short}--{}{kind}", arg.get_long().unwrap_or_default()), format!("{about}{default}"))
}
