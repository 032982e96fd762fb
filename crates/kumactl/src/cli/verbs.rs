//! The commands with their flags (contract: rest-and-cli 4): a struct for the flags of a command, an enum for a choice of
//! commands. Comments on flags are their help texts, word for word.

mod config;
mod documents;
mod generate;
mod get;
mod inspect;
mod output;
mod revoke;
pub(crate) mod rotate;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use model::duration;

pub(crate) use config::{Add, Config, ControlPlanes};
pub(crate) use documents::{Apply, Delete, Export};
pub(crate) use generate::{
    ControlPlaneToken, DataplaneToken, Generate, OfflineKey, SigningKey, TlsCertificate, UserToken, ZONE_SCOPES,
    ZoneToken,
};
pub(crate) use get::{Get, Many, One, Tokens, Wanted};
pub(crate) use inspect::{Dataplane, Dataplanes, Inspect, Policy, Token, View};
pub(crate) use output::Output;
pub(crate) use revoke::{Revoke, RevokeToken};

/// Everything that stands behind the program's name.
#[derive(Debug, Parser)]
#[command(name = "kumactl", about = "Management tool for a multi-zone control plane.")]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The flags that every command has.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// path to the configuration file to use
    #[arg(long, global = true, default_value = "")]
    pub(crate) config_file: String,
    /// control plane of the configuration to use for this call
    #[arg(long, global = true, default_value = "")]
    pub(crate) context: String,
    /// log level: one of off|info|debug
    #[arg(long, global = true, default_value = "off")]
    pub(crate) log_level: String,
    /// send the token and the headers of the settings to another machine without TLS (insecure); given to `config
    /// control-planes add`, it is kept
    #[arg(long, global = true)]
    pub(crate) allow_plaintext_token: bool,
    /// if set no config file and config directory will be created
    #[arg(long, global = true)]
    pub(crate) no_config: bool,
    /// the timeout for api calls, connection time and reading the answer included; 0 means no timeout
    #[arg(long, global = true, default_value = "1m0s", value_parser = duration::parse)]
    pub(crate) api_timeout: SignedDuration,
    /// help for this command
    #[arg(long, short, global = true)]
    pub(crate) help: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(
        about = "Create or modify resources.",
        after_help = "  $ kumactl apply -f resource.yaml\n  $ cat resource.yaml | kumactl apply -f -\n  $ kumactl apply --var key=$(kumactl generate signing-key) -f secret.yaml"
    )]
    Apply(Apply),
    #[command(subcommand, about = "Output shell completion code for bash, fish or zsh.")]
    Completion(Shell),
    #[command(subcommand, about = "Manage kumactl config.")]
    Config(Config),
    #[command(
        about = "Delete a resource, or those of files; or take a revocation of tokens back.",
        after_help = "  $ kumactl delete mesh demo\n  $ kumactl delete -f resource.yaml\n  $ kumactl delete revocation 5766e443-ef30-4916-afbd-a680d244fc16"
    )]
    Delete(Delete),
    #[command(
        about = "Show what troubles the control plane, or soon will.",
        after_help = "  $ kumactl doctor\n  $ kumactl doctor -o json"
    )]
    Doctor(Output),
    #[command(about = "Export all resources of the control plane.")]
    Export(Export),
    #[command(subcommand, about = "Generate resources, tokens, keys and certificates.")]
    Generate(Generate),
    #[command(about = "Show Kuma resources.")]
    Get(Get),
    /// Answered while the words are read.
    #[command(about = "Help about any command")]
    Help,
    #[command(about = "Inspect resources.")]
    Inspect(Inspect),
    #[command(subcommand, about = "Revoke tokens.")]
    Revoke(Revoke),
    #[command(subcommand, about = "Rotate signing keys.")]
    Rotate(rotate::Rotate),
    #[command(about = "Print version.")]
    Version(Version),
}

/// For which shell to complete.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Shell {
    #[command(about = "Output shell completion code for bash.")]
    Bash,
    #[command(about = "Output shell completion code for fish.")]
    Fish,
    #[command(about = "Output shell completion code for zsh.")]
    Zsh,
}

#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print detailed version
    #[arg(long, short = 'a')]
    pub(crate) detailed: bool,
}
