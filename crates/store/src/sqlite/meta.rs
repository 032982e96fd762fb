//! Numbers about a file as a whole: how its table `meta` is read and written.

/// The number of this name.
pub(super) const READ_META: &str = "SELECT value FROM meta WHERE key = ?1";
/// Sets it.
pub(super) const WRITE_META: &str =
    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
