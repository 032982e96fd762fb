//! Space that is kept back on the disk of a store: when the disk is full, deletes, revocations and new keys still work.
//!
//! A file of zeros beside the store holds the space. It is given up when a write that must not fail finds none, and taken
//! back when there is enough again. Other writes are refused a little before the disk is full, so that what must not fail
//! rarely needs it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use super::{sides, space::Space};

/// Less is not worth a file.
const LEAST: u64 = 128 * 1024;
const BLOCK: usize = 64 * 1024;

/// The space that is kept back for one store.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    /// How many bytes are kept back now.
    held: u64,
    /// Refused writes are told once until there is space again.
    low: bool,
}

impl Reserve {
    /// The reserve of the store at `path`, held if a run before left it.
    pub(super) fn beside(path: &Path) -> Self {
        let path = sides::beside(path, sides::RESERVE);
        let held = fs::symlink_metadata(&path).map_or(0, |found| if found.is_file() { found.len() } else { 0 });
        Self { path, held, low: false }
    }

    /// Frees the space. Returns whether there was any.
    pub(super) fn give_up(&mut self) -> bool {
        if self.held == 0 {
            return false;
        }
        self.held = 0;
        match fs::remove_file(&self.path) {
            Ok(()) => {
                warn!(file = %self.path.display(), "the disk is full: what was kept back is used, make space");
                true
            }
            Err(cause) => {
                warn!(file = %self.path.display(), error = %cause, "what was kept back cannot be used");
                false
            }
        }
    }

    /// Takes space: all that is wanted if there is enough for it and for others, half of what is free otherwise, so that
    /// what became free is not all gone when somebody else fills the disk again.
    pub(super) fn take(&mut self) {
        let Some(space) = self.space() else { return };
        let wanted = space.reserve();
        if self.held >= wanted {
            return;
        }
        let part = space.free / 2;
        let bytes = if space.free + self.held >= 2 * wanted + space.low_water() {
            wanted
        } else if self.held == 0 && part >= LEAST {
            part.min(wanted)
        } else {
            return;
        };
        match self.fill(bytes) {
            Ok(()) => self.held = bytes,
            Err(cause) => {
                self.held = 0;
                let _nothing_to_remove = fs::remove_file(&self.path);
                warn!(file = %self.path.display(), error = %cause, "no space can be kept back for a full disk");
            }
        }
    }

    /// Says why writes of no importance are refused now, if they are. `inside` tells how many bytes of the store's file
    /// are free: what was deleted makes room there, and the file gets no smaller.
    pub(super) fn refusal(&mut self, inside: impl FnOnce() -> u64) -> Option<String> {
        let space = self.space()?;
        // What was given up is not for others.
        let kept_free = space.low_water() + space.reserve().saturating_sub(self.held);
        let low = space.free < kept_free && space.free + inside() < kept_free;
        let was_low = std::mem::replace(&mut self.low, low);
        match (was_low, self.low) {
            (false, true) => {
                warn!(free = space.free, "the disk is nearly full: only deletes, keys and revocations are written");
            }
            (true, false) => info!(free = space.free, "there is space again, everything is written"),
            (true, true) | (false, false) => {}
        }
        self.low.then(|| {
            format!("the disk is nearly full ({} bytes are free): delete something, or make space", space.free)
        })
    }

    fn space(&self) -> Option<Space> {
        Space::beside(&self.path)
    }

    /// Written, not only promised: a hole in a file keeps nothing.
    fn fill(&self, bytes: u64) -> io::Result<()> {
        let mut file = sides::open(&self.path, OpenOptions::new().write(true)).map_err(io::Error::other)?;
        file.set_len(0)?;
        let block = [0x5a; BLOCK];
        let mut left = bytes;
        while left > 0 {
            let part = block.get(..usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)).unwrap_or_default();
            file.write_all(part)?;
            left -= part.len() as u64;
        }
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_small_disk_is_not_all_kept_back() {
        let check = |total: u64, reserve: u64, low_water: u64| {
            let space = Space { total, free: 0 };
            assert_eq!((space.reserve(), space.low_water()), (reserve, low_water), "{total}");
        };
        check(12 << 20, 1_572_864, 251_658);
        check(1 << 30, 4 << 20, 4 << 20);
        check(0, 0, 0);
    }

    #[test]
    fn what_is_kept_back_is_there_until_it_is_given_up() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("store.db");
        let mut reserve = Reserve::beside(&path);
        assert!(!reserve.give_up(), "nothing is kept back yet");
        reserve.take();
        assert_eq!(fs::metadata(&reserve.path).unwrap().len(), Space::beside(&reserve.path).unwrap().reserve());
        let mut next_run = Reserve::beside(&path);
        assert!(next_run.give_up());
        assert!(!next_run.path.exists() && !next_run.give_up());
        next_run.take();
        assert!(next_run.held > 0);
    }

    #[test]
    fn what_a_link_leads_to_is_not_filled() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("store.db");
        let mut reserve = Reserve::beside(&path);
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &reserve.path).unwrap();
        assert_eq!(Reserve::beside(&path).held, 0);
        reserve.take();
        assert_eq!(reserve.held, 0);
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
}
