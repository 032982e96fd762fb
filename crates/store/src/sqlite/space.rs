//! How full the disk of a store is, and how much of it is kept back.

use std::path::Path;

/// How much is kept back at most: some thousand deletes, and the checkpoint that makes room for more.
const MOST: u64 = 4 * 1024 * 1024;

/// Space on a disk, and how much of it is free for everybody, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is free.
    pub free: u64,
}

impl Space {
    /// Looks at the disk that a file is on, or would be; nothing if the system does not say.
    pub fn beside(file: &Path) -> Option<Self> {
        let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or_else(|| Path::new("."));
        let found = rustix::fs::statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some(Self { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    /// How much a store keeps back on a disk of this size: not all of a small one.
    pub fn reserve(self) -> u64 {
        (self.total / 8).min(MOST)
    }

    /// Below this a store refuses writes of no importance.
    pub fn low_water(self) -> u64 {
        (self.total / 50).min(MOST)
    }
}
