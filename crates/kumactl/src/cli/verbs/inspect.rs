//! Commands that show what the control plane knows: fixed ones, and one for each kind of policy.

use clap::{
    ArgMatches, Args, Command, FromArgMatches, Subcommand,
    error::{Error, ErrorKind},
};
use model::Kind;

use super::{get::One, output::Output};
use crate::{
    cli::words::Name,
    csv::{List, Pairs},
};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) form: Output,
    #[command(subcommand)]
    pub(crate) view: View,
}

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum View {
    #[command(about = "Inspect Dataplane.")]
    Dataplane(Dataplane),
    #[command(about = "Inspect Dataplanes.")]
    Dataplanes(Dataplanes),
    #[command(flatten)]
    Policy(Policy),
    #[command(about = "Inspect Meshes.")]
    Meshes,
    #[command(
        about = "Inspect a token: what it says, and whether the control plane would accept it.",
        after_help = "  $ kumactl inspect token < token\n  $ kumactl inspect token --file token --offline"
    )]
    Token(Token),
    #[command(about = "Inspect Zones.")]
    Zones,
}

#[derive(Debug, Args)]
pub(crate) struct Dataplane {
    #[command(flatten)]
    pub(crate) proxy: Name,
    /// mesh to use
    #[arg(long, short, default_value = "default")]
    pub(crate) mesh: String,
    /// what to show: policies, config-dump, stats, clusters or config
    #[arg(long = "type", default_value = "policies")]
    pub(crate) what: String,
    /// include EDS when dumping envoy config
    #[arg(long)]
    pub(crate) include_eds: bool,
    /// when computing XDS config the CP takes into account policies with 'kuma.io/effect: shadow' label
    #[arg(long)]
    pub(crate) shadow: bool,
    /// what to show beside the configuration: diff
    #[arg(long)]
    pub(crate) include: Vec<List>,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// path to the file with the token; without it the token is read from standard input
    #[arg(long, short, default_value = "")]
    pub(crate) file: String,
    /// decode the token and send it nowhere
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dataplanes {
    /// mesh to use
    #[arg(long, short, default_value = "default")]
    pub(crate) mesh: String,
    /// filter by tag in format of key=value. You can provide many tags
    #[arg(long)]
    pub(crate) tag: Vec<Pairs>,
    /// filter gateway dataplanes
    #[arg(long)]
    pub(crate) gateway: bool,
    /// filter ingress dataplanes
    #[arg(long)]
    pub(crate) ingress: bool,
}

/// One policy, of any kind.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) kind: Kind,
    pub(crate) flags: One,
}

impl Policy {
    /// Returns the kinds with the names of their commands.
    fn kinds() -> impl Iterator<Item = (Kind, &'static str)> {
        // Gateways are no policies, and 2.14 inspects them like one.
        let inspected = |kind: &Kind| kind.policy.is_some() || kind.name == "MeshGateway";
        Kind::all().filter(inspected).filter_map(|kind| Some((kind, *kind.singular.first()?)))
    }
}

impl Subcommand for Policy {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(
            Self::kinds()
                .map(|(kind, name)| One::augment_args(Command::new(name)).about(format!("Inspect {}.", kind.name))),
        )
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Self::kinds().any(|(_, known)| known == name)
    }
}

impl FromArgMatches for Policy {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let (name, flags) = matches.subcommand().ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        let found = Self::kinds().find(|(_, known)| *known == name);
        let (kind, _) = found.ok_or_else(|| Error::new(ErrorKind::InvalidSubcommand))?;
        Ok(Self { kind, flags: One::from_arg_matches(flags)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
