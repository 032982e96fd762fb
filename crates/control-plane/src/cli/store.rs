//! `kuma-cp store`: what is done with a store besides serving it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use store::{sealing::Renew, sqlite::Present};

use crate::{
    app::{self, Restore},
    config::{Config, StoreType},
};

#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// Prints a new key that seals the secrets of a store (store.sealing.keyFile).
    GenerateKey,
    /// Seals the store with another key. Whoever works with a file is stopped, with a database control planes go on; a run
    /// that was interrupted is run again.
    Reseal {
        #[command(flatten)]
        settings: Settings,
        /// The file with the new key.
        #[arg(long)]
        new_key_file: PathBuf,
        /// Seals all secrets anew, too, so that nothing of before helps to open them: for a key that somebody else has.
        #[arg(long)]
        data_keys: bool,
    },
    /// Writes all that the control plane has into one file, while it runs.
    Backup {
        #[command(flatten)]
        settings: Settings,
        /// The file to write.
        #[arg(long)]
        to: PathBuf,
        /// Overwrites the file if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Puts all that the control plane has into a store of another kind, by the settings of that one. It is stopped.
    Copy {
        #[command(flatten)]
        settings: Settings,
        /// The other kind.
        #[arg(long, value_enum)]
        to: Kind,
        /// Puts it in the place of what is there.
        #[arg(long)]
        overwrite: bool,
    },
    /// Makes what is in a backup all that the control plane has. The control plane is stopped.
    Restore {
        #[command(flatten)]
        settings: Settings,
        /// The backup.
        #[arg(long)]
        from: PathBuf,
        /// Says what is in the backup and writes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Puts it in the place of what is there.
        #[arg(long)]
        overwrite: bool,
        /// The key that sealed the backup, if it is not the one of the settings.
        #[arg(long)]
        key_file: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

#[derive(Args)]
pub(super) struct Settings {
    /// The configuration file of the control plane.
    #[arg(short, long)]
    config_file: Option<PathBuf>,
}

impl Settings {
    fn load(&self) -> anyhow::Result<Config> {
        let (config, _remarks) = Config::load(self.config_file.as_deref())?;
        Ok(config)
    }
}

/// Runs one and returns what to print.
pub(super) fn run(command: StoreCommand) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(done(command))
}

async fn done(command: StoreCommand) -> anyhow::Result<String> {
    let said = match command {
        StoreCommand::GenerateKey => return Ok(app::generate_key()?.reveal().to_owned()),
        StoreCommand::Reseal { settings, new_key_file, data_keys } => {
            let renew = if data_keys { Renew::DataKeys } else { Renew::KeyAlone };
            app::reseal(&settings.load()?, &new_key_file, renew).await?
        }
        StoreCommand::Backup { settings, to, force } => app::backup(&settings.load()?, &to, force).await?,
        StoreCommand::Copy { settings, to, overwrite } => {
            let to = match to {
                Kind::Sqlite => StoreType::Sqlite,
                Kind::Postgres => StoreType::Postgres,
            };
            app::copy(&settings.load()?, to, present(overwrite)).await?
        }
        StoreCommand::Restore { settings, from, dry_run, overwrite, key_file } => {
            let present = present(overwrite);
            app::restore(&settings.load()?, &Restore { from, dry_run, present, key_file }).await?
        }
    };
    Ok(format!("{}\n", said.trim_end()))
}

fn present(overwrite: bool) -> Present {
    if overwrite { Present::Overwrite } else { Present::Keep }
}
