//! The command line of `kuma-cp` (contract: rest-and-cli 5.1).

mod store;

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    about, app,
    config::{Config, StoreType},
    observe::log::{self, Log, Target, Verbosity},
};

#[derive(Parser)]
#[command(
    name = "kuma-cp",
    about = "Universal control plane: global, zone, connector or gateway",
    disable_version_flag = true
)]
struct Cli {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct LogOptions {
    /// How much is logged.
    #[arg(long, global = true, value_enum, default_value = "info")]
    log_level: LogLevel,
    /// Log into this file instead of standard error.
    #[arg(long, global = true, default_value = "")]
    log_output_path: String,
    /// How many old log files are kept. With 100 MB each, ten fit a disk.
    #[arg(long, global = true, default_value_t = 10)]
    log_max_retained_files: usize,
    /// At how many megabytes a new log file begins.
    #[arg(long, global = true, default_value_t = 100)]
    log_max_size: u64,
    /// After how many days old log files are removed; kept for its name, the number of files decides.
    #[arg(long, global = true, default_value_t = 30)]
    log_max_age: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Off,
    Info,
    Debug,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a control plane.
    Run {
        /// The configuration file.
        #[arg(short, long)]
        config_file: Option<PathBuf>,
        /// Starts with an empty store where the one of before is missing or empty: with other keys.
        #[arg(long)]
        fresh: bool,
    },
    /// Does something with the store besides serving it.
    Store {
        #[command(subcommand)]
        command: store::StoreCommand,
    },
    /// Migrates the schema of the store.
    Migrate {
        #[command(subcommand)]
        direction: Migrate,
    },
    /// Prints the version.
    Version {
        /// With everything that is known of the build.
        #[arg(short = 'a', long)]
        detailed: bool,
    },
}

#[derive(Subcommand)]
enum Migrate {
    /// Takes the steps that the database lacks; older programs refuse it from then on.
    Up {
        /// The configuration file.
        #[arg(short, long)]
        config_file: Option<PathBuf>,
    },
}

/// Parses the arguments and runs; returns the exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _broken_pipe = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Version { detailed } => {
            let _broken_pipe = std::io::stdout().write_all(version(detailed).as_bytes());
            ExitCode::SUCCESS
        }
        Command::Store { command } => said(&cli.log, || store::run(command)),
        Command::Run { config_file, fresh } => match control_plane(config_file.as_deref(), fresh, &cli.log) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let text = format!("{error:#}");
                log::failed_start(&text);
                let _broken_pipe = writeln!(std::io::stderr(), "Error: {text}");
                ExitCode::FAILURE
            }
        },
        Command::Migrate { direction: Migrate::Up { config_file } } => {
            said(&cli.log, || Ok(migrate(config_file.as_deref())? + "\n"))
        }
    }
}

fn migrate(config_file: Option<&Path>) -> anyhow::Result<String> {
    let (config, _remarks) = Config::load(config_file)?;
    match config.store {
        StoreType::Postgres => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(app::migrate(&config))
        }
        StoreType::Sqlite => {
            anyhow::bail!("a store in a file is migrated when a newer program starts, nothing is to be done")
        }
        StoreType::Memory => anyhow::bail!("migrations are not supported for Memory resource store"),
    }
}

/// Prints what a command says that does one thing and ends.
fn said(options: &LogOptions, run: impl FnOnce() -> anyhow::Result<String>) -> ExitCode {
    match start_log(options).and_then(|_log| run()) {
        Ok(text) => {
            let _broken_pipe = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _broken_pipe = writeln!(std::io::stderr(), "Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn control_plane(config_file: Option<&Path>, fresh: bool, options: &LogOptions) -> anyhow::Result<()> {
    let (mut config, remarks) = Config::load(config_file)?;
    config.fresh = fresh;
    let log = start_log(options)?;
    for remark in remarks {
        tracing::warn!(target: "kuma-cp.config", "{}", remark.0);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(app::run(config, log))
}

fn start_log(options: &LogOptions) -> anyhow::Result<Log> {
    let verbosity = match options.log_level {
        LogLevel::Off => Verbosity::Off,
        LogLevel::Info => Verbosity::Info,
        LogLevel::Debug => Verbosity::Debug,
    };
    if options.log_output_path.is_empty() {
        return Log::start(Target::Stderr, verbosity);
    }
    let path = std::path::absolute(&options.log_output_path)?;
    let _broken_pipe = writeln!(std::io::stdout(), "kuma-cp: logs will be stored in \"{}\"", path.display());
    Log::start(
        Target::File { path, max_size: options.log_max_size, max_retained: options.log_max_retained_files },
        verbosity,
    )
}

fn version(detailed: bool) -> String {
    if !detailed {
        return format!("{}: {} (compatible with Kuma {})\n", about::PRODUCT, about::VERSION, about::BASED_ON_KUMA);
    }
    format!(
        "Product:       {}\nVersion:       {}\nGit Tag:       v{}\nGit Commit:    {}\nBased on Kuma: {}\n",
        about::PRODUCT,
        about::VERSION,
        about::VERSION,
        about::COMMIT,
        about::BASED_ON_KUMA
    )
}
