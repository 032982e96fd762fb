//! From words to a command: finds the command, reads its flags, and says what is wrong in the recorded texts.
//!
//! ```text
//! words ── walk (which command) ── clap (its flags) ── verbs (structs) ──► commands
//!                                    ▲
//!            verbs ── tree ──────────┘            usage, problem: the texts
//! ```
//!
//! The commands with their flags are structs and enums ([`verbs`]), from which the tree of commands is made; clap reads
//! the flags of a command, the way to the command is ours: a group with an unknown word shows its help, as every
//! kumactl does.

mod problem;
mod tree;
mod usage;
pub(crate) mod verbs;
mod walk;
mod words;

use clap::FromArgMatches;

pub(crate) use tree::root;

use verbs::{Line, Verb};

use crate::failure::Failure;

/// What the words ask for.
#[derive(Debug)]
pub(crate) enum Call {
    /// A help text, for standard output.
    Help(String),
    /// A command.
    Command(Box<Line>),
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: &[String]) -> Result<Call, Failure> {
    let mut root = root();
    root.build();
    let way = walk::find(&root, words);
    let usage = || usage::usage(&way);
    if way.path.first().is_some_and(|name| name == "help") {
        let topic: Vec<String> = words.iter().filter(|word| *word != "help").cloned().collect();
        return Ok(Call::Help(usage::help(&walk::find(&root, &topic))));
    }
    if way.is_group() {
        if let Some(flag) = way.unknown_flag(words) {
            return Err(Failure::Usage { text: flag, usage: usage() });
        }
        return match &way.unknown {
            Some(word) if way.path.is_empty() && !walk::wants_help(words) => Err(Failure::Refused(format!(
                "unknown command {word:?} for \"kumactl\"\nRun 'kumactl --help' for usage."
            ))),
            Some(word) if way.command.get_name() == "inspect" && !walk::wants_help(words) => Err(Failure::Usage {
                text: format!("unknown command {word:?} for \"kumactl inspect\""),
                usage: usage(),
            }),
            Some(_) | None => Ok(Call::Help(usage::help(&way))),
        };
    }
    let matches = root.clone().try_get_matches_from(std::iter::once("kumactl").chain(words.iter().map(String::as_str)));
    let matches = match matches {
        Ok(matches) => matches,
        Err(error) => match problem::describe(&error, &way) {
            problem::Problem::Help => return Ok(Call::Help(usage::help(&way))),
            problem::Problem::Missing(_) if walk::wants_help(words) => return Ok(Call::Help(usage::help(&way))),
            problem::Problem::Words(text) => return Err(Failure::Usage { text, usage: usage() }),
            problem::Problem::Missing(text) => {
                // A wrong number of arguments is told before missing flags.
                return Err(match problem::arity(&way, &walk::arguments(&way, words), false) {
                    Some(text) => Failure::Usage { text, usage: usage() },
                    None => Failure::Refused(text),
                });
            }
        },
    };
    let line = Line::from_arg_matches(&matches).map_err(|error| Failure::Refused(error.to_string()))?;
    if line.globals.help {
        return Ok(Call::Help(usage::help(&way)));
    }
    // Files say what is deleted, or words do.
    let names_files = matches!(&line.verb, Verb::Delete(delete) if delete.names_files());
    if let Some(text) = problem::arity(&way, &words::given(&matches), names_files) {
        return Err(Failure::Usage { text, usage: usage() });
    }
    let level = &line.globals.log_level;
    if !["off", "info", "debug"].contains(&level.as_str()) {
        return Err(Failure::Usage { text: format!("unknown log level {level:?}"), usage: usage() });
    }
    Ok(Call::Command(Box::new(line)))
}

#[cfg(test)]
mod tests {
    use clap::Command;
    use model::Kind;

    use super::{
        verbs::{Config, Get, Inspect, View, Wanted},
        *,
    };

    fn call(words: &str) -> Result<Call, Failure> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn verb(words: &str) -> Verb {
        match call(words).unwrap() {
            Call::Command(line) => line.verb,
            Call::Help(text) => panic!("help: {text}"),
        }
    }

    fn usage_error(words: &str, expected: &str, usage_line: &str) {
        match call(words) {
            Err(Failure::Usage { text, usage }) => {
                assert_eq!(text, expected, "{words}");
                let shown = usage.lines().nth(1).unwrap_or_default();
                assert_eq!(shown, format!("  {usage_line}"), "{words}");
            }
            other => panic!("{words}: {other:?}"),
        }
    }

    fn refused(words: &str, expected: &str) {
        match call(words) {
            Err(Failure::Refused(text)) => assert_eq!(text, expected, "{words}"),
            other => panic!("{words}: {other:?}"),
        }
    }

    fn help(words: &str, usage_line: &str) {
        match call(words) {
            Ok(Call::Help(text)) => assert!(text.contains(&format!("Usage:\n  {usage_line}\n")), "{words}: {text}"),
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn tree_is_consistent() {
        root().debug_assert();
    }

    #[test]
    fn commands_are_found_by_name_and_alias() {
        let check_list = |words: &str, expected: Kind| match verb(words) {
            Verb::Get(Get { wanted: Wanted::Many(kind, _), .. }) => assert_eq!(kind, expected, "{words}"),
            other => panic!("{words}: {other:?}"),
        };
        check_list("get meshes", Kind::MESH);
        check_list("get global-secrets", Kind::GLOBAL_SECRET);
        check_list("--no-config -h=false get meshes", Kind::MESH);
        check_list("get -o yaml meshes", Kind::MESH);
        assert!(matches!(verb("--config-file get config view"), Verb::Config(Config::View)));
        for kind in ["MeshGateway", "TrafficPermission", "MeshTimeout"] {
            let expected = Kind::by_name(kind).unwrap();
            let Verb::Inspect(Inspect { view: View::Policy(policy), .. }) =
                verb(&format!("inspect {} x", expected.singular[0]))
            else {
                panic!("{kind}")
            };
            assert_eq!((policy.kind, policy.flags.resource.name()), (expected, "x"));
        }
    }

    #[test]
    fn every_command_of_the_tree_has_its_struct() {
        fn leaves(command: &Command, way: &[String], found: &mut Vec<Vec<String>>) {
            for inner in command.get_subcommands() {
                let way = [way, &[inner.get_name().to_owned()]].concat();
                if inner.has_subcommands() { leaves(inner, &way, found) } else { found.push(way) }
            }
        }
        let mut ways = Vec::new();
        leaves(&root(), &[], &mut ways);
        assert!(ways.len() > 100, "{}", ways.len());
        for mut way in ways.into_iter().filter(|way| *way != ["help"]) {
            let root = root();
            let mut command = &root;
            for name in &way {
                command = command.find_subcommand(name).unwrap();
            }
            let required = command.get_arguments().filter(|arg| arg.is_required_set());
            let values: Vec<String> = required.map(|arg| format!("--{}=1h", arg.get_long().unwrap())).collect();
            let words = words::names(command).len();
            way.extend(values);
            way.extend(vec!["w".to_owned(); words]);
            assert!(matches!(parse(&way), Ok(Call::Command(_))), "{way:?}: {:?}", parse(&way));
        }
    }

    #[test]
    fn last_of_several_values_counts() {
        let Verb::Get(Get { form, wanted: Wanted::Many(_, flags) }) = verb("get meshes -o yaml -o json --size -1")
        else {
            panic!()
        };
        assert_eq!((form.output.as_str(), flags.size), ("json", Some(-1)));
    }

    #[test]
    fn all_files_count() {
        let Verb::Apply(flags) = verb("apply -f a -f b,c -f -") else { panic!() };
        assert_eq!(flags.file, ["a", "b,c", "-"]);
    }

    #[test]
    fn groups_show_help_for_unknown_words() {
        help("get", "kumactl get [command]");
        help("get nothing", "kumactl get [command]");
        help("completion tcsh", "kumactl completion [command]");
        help("inspect", "kumactl inspect [flags]\n  kumactl inspect [command]");
        help("get meshes --help", "kumactl get meshes [flags]");
        help("help get", "kumactl get [command]");
        help("", "kumactl [command]");
        help("apply -h", "kumactl apply [flags]");
    }

    #[test]
    fn unknown_words_and_flags_are_wrong_usage() {
        refused("nope", "unknown command \"nope\" for \"kumactl\"\nRun 'kumactl --help' for usage.");
        usage_error("--nope", "unknown flag: --nope", "kumactl [command]");
        usage_error("get nothing --nope", "unknown flag: --nope", "kumactl get [command]");
        usage_error("get zones --nope", "unknown flag: --nope", "kumactl get zones [flags]");
        usage_error("get zones -x", "unknown shorthand flag: 'x' in -x", "kumactl get zones [flags]");
        usage_error(
            "inspect nothing",
            "unknown command \"nothing\" for \"kumactl inspect\"",
            "kumactl inspect [flags]",
        );
        usage_error(
            "apply -f t1.yaml extra",
            "unknown command \"extra\" for \"kumactl apply\"",
            "kumactl apply [flags]",
        );
        usage_error("--log-level loud get meshes", "unknown log level \"loud\"", "kumactl get meshes [flags]");
    }

    #[test]
    fn number_of_arguments_is_checked_first() {
        usage_error("get mesh", "accepts 1 arg(s), received 0", "kumactl get mesh NAME [flags]");
        usage_error("delete mesh", "accepts 2 arg(s), received 1", "kumactl delete TYPE NAME [flags]");
        usage_error("delete", "accepts 2 arg(s), received 0", "kumactl delete TYPE NAME [flags]");
        let Verb::Delete(flags) = verb("delete -f a.yaml -f b.yaml") else { panic!() };
        assert!(flags.names_files());
        usage_error(
            "delete -f a.yaml mesh demo",
            "unknown command \"mesh\" for \"kumactl delete\"",
            "kumactl delete TYPE NAME [flags]",
        );
    }

    #[test]
    fn missing_flags_are_listed_in_order() {
        refused("config control-planes add", "required flag(s) \"address\", \"name\" not set");
        refused("config control-planes add --name g", "required flag(s) \"address\" not set");
        refused("apply", "required flag(s) \"file\" not set");
        refused("generate zone-token --zone east", "required flag(s) \"valid-for\" not set");
        refused("generate control-plane-token", "required flag(s) \"zone\" not set");
    }

    #[test]
    fn values_that_do_not_parse_name_their_flag() {
        usage_error(
            "get global-secrets --size abc",
            "invalid argument \"abc\" for \"--size\" flag: strconv.ParseInt: parsing \"abc\": invalid syntax",
            "kumactl get globalsecrets [flags]",
        );
        usage_error(
            "apply -v novalue -f -",
            "invalid argument \"novalue\" for \"-v, --var\" flag: novalue must be formatted as key=value",
            "kumactl apply [flags]",
        );
        usage_error(
            "generate zone-token --zone east --valid-for 1d",
            "invalid argument \"1d\" for \"--valid-for\" flag: time: unknown unit \"d\" in duration \"1d\"",
            "kumactl generate zone-token [flags]",
        );
        usage_error(
            "--api-timeout soon get meshes",
            "invalid argument \"soon\" for \"--api-timeout\" flag: time: invalid duration \"soon\"",
            "kumactl get meshes [flags]",
        );
        usage_error("get meshes --size", "flag needs an argument: --size", "kumactl get meshes [flags]");
        usage_error("apply -f", "flag needs an argument: 'f' in -f", "kumactl apply [flags]");
    }
}
