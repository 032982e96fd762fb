//! Commands that show resources: two for each kind, so they come from the table of kinds.

use clap::{
    ArgMatches, Args, Command, FromArgMatches, Subcommand,
    error::{Error, ErrorKind},
};
use model::Kind;

use super::output::Output;
use crate::cli::words::Name;

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) form: Output,
    #[command(subcommand)]
    pub(crate) wanted: Wanted,
}

/// What to show: one resource of a kind, a list, or what is no resource.
#[derive(Debug)]
pub(crate) enum Wanted {
    One(Kind, One),
    Many(Kind, Many),
    Tokens(Tokens),
    Revocations,
}

/// The name of the command about issued tokens.
const TOKENS: &str = "tokens";
/// The name of the command about tokens that were taken back.
const REVOCATIONS: &str = "revocations";

/// The flags of the command about issued tokens.
#[derive(Debug, Args)]
pub(crate) struct Tokens {
    /// show tokens of this family: control-plane-token, zone-token, user-token or dataplane-token
    #[arg(long, default_value = "")]
    pub(crate) family: String,
    /// show dataplane tokens of this mesh; goes with --family dataplane-token
    #[arg(long, short, default_value = "")]
    pub(crate) mesh: String,
    /// show tokens for this zone
    #[arg(long, default_value = "")]
    pub(crate) zone: String,
    /// show tokens that the signing key with this serial number signed
    #[arg(long, default_value = "")]
    pub(crate) key: String,
    /// show tokens that never end
    #[arg(long)]
    pub(crate) without_end: bool,
}

/// The flags of a command about one resource.
#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    pub(crate) resource: Name,
    /// mesh to use
    #[arg(long, short, default_value = "default")]
    pub(crate) mesh: String,
}

/// The flags of a command about a list.
#[derive(Debug, Args)]
pub(crate) struct Many {
    /// mesh to use
    #[arg(long, short, default_value = "default")]
    pub(crate) mesh: String,
    /// maximum number of elements to return
    #[arg(long, value_parser = size)]
    pub(crate) size: Option<i64>,
    /// the offset that indicates starting element of the resources list to retrieve
    #[arg(long, default_value = "")]
    pub(crate) offset: String,
}

fn size(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_error| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

impl Subcommand for Wanted {
    fn augment_subcommands(command: Command) -> Command {
        let tokens = Tokens::augment_args(Command::new(TOKENS)).about("Show issued tokens.");
        let revocations = Command::new(REVOCATIONS).about("Show which tokens were revoked.");
        Kind::all()
            .fold(command, |command, kind| {
                let ([singular, other_singular @ ..], [plural, other_plural @ ..]) = (kind.singular, kind.plural)
                else {
                    return command;
                };
                let one = One::augment_args(Command::new(*singular))
                    .about(format!("Show a single {} resource.", kind.name))
                    .visible_aliases(other_singular.iter().copied());
                let many = Many::augment_args(Command::new(*plural))
                    .about(format!("Show {}.", kind.name))
                    .visible_aliases(other_plural.iter().copied());
                command.subcommand(one).subcommand(many)
            })
            .subcommand(tokens)
            .subcommand(revocations)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        [TOKENS, REVOCATIONS].contains(&name)
            || Kind::all().any(|kind| kind.singular.contains(&name) || kind.plural.contains(&name))
    }
}

impl FromArgMatches for Wanted {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let (name, flags) = matches.subcommand().ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        if name == TOKENS {
            return Ok(Self::Tokens(Tokens::from_arg_matches(flags)?));
        }
        if name == REVOCATIONS {
            return Ok(Self::Revocations);
        }
        let named = |names: &[&str]| names.first() == Some(&name);
        if let Some(kind) = Kind::all().find(|kind| named(kind.singular)) {
            return Ok(Self::One(kind, One::from_arg_matches(flags)?));
        }
        match Kind::all().find(|kind| named(kind.plural)) {
            Some(kind) => Ok(Self::Many(kind, Many::from_arg_matches(flags)?)),
            None => Err(Error::new(ErrorKind::InvalidSubcommand)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
