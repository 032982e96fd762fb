//! Seals all secrets of a file anew, for another key. All of it or nothing.

use std::{path::Path, sync::Arc};

use tracing::info;

use super::{
    OpenError,
    error::failed,
    journal::JournalFile,
    lock, place,
    wiping::{self, wipe},
};
use crate::{
    Missing,
    sealing::{Renew, Sealer, SealerError, Sealing},
};

/// Seals everything in a file that nobody works with for a new sealer in place of the present one. All of it or nothing.
pub fn reseal(path: &Path, sealing: &Arc<Sealing>, sealer: Arc<dyn Sealer>, renew: Renew) -> Result<(), OpenError> {
    place::prepare(path, Missing::Refuse)?;
    let _held = lock::hold(path)?;
    let (mut file, index) = JournalFile::open(path, Missing::Refuse, sealing, None)?;
    let refused = |cause: SealerError| OpenError::Sealed { path: path.to_owned(), cause };
    let (next, mut keys) = sealing.handed_to(sealer).map_err(refused)?;
    let mut secrets = Vec::new();
    if renew == Renew::DataKeys {
        keys = vec![next.new_data_key().map_err(refused)?];
        next.take_in(&keys).map_err(refused)?;
        secrets = index.secrets(&next);
    }
    wiping::write(file.connection(), &next, &secrets, Some(&keys)).map_err(|cause| failed(path, cause))?;
    info!(path = %path.display(), rows = secrets.len(), "the secrets of the store are sealed with another key");
    wipe(file.connection());
    Ok(())
}
