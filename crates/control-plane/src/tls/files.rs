//! Tells when files may have changed: their stamps are looked at once a second.
//!
//! By the clock and not by notices of the system: those come for a folder as a whole, where the store writes all day, and
//! mounted secrets and network folders have none. What a link leads to is looked at, so that the link that Kubernetes
//! turns when a mounted secret changes is noticed. A change only means "look again"; the reader compares content.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

/// How often stamps are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after a change files are read, so that a pair written one after the other is read as a pair.
const SETTLE: Duration = Duration::from_millis(200);

/// Resolves whenever some files may have changed.
pub(crate) struct FileChanges {
    files: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
    looks: Interval,
    /// A file system may have coarse stamps: files are read again after so long in any case.
    at_least: Duration,
    last: Instant,
    changed: bool,
}

/// What differs when the content of a file does, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let found = fs::metadata(file)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl FileChanges {
    /// Watches `files`; looks again at least as often as `at_least` says.
    pub(crate) fn of<P: AsRef<Path>>(files: &[P], at_least: Duration) -> Self {
        let files: Vec<PathBuf> = files.iter().map(|file| file.as_ref().to_path_buf()).collect();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = stamps(&files);
        Self { files, seen, looks, at_least, last: Instant::now(), changed: false }
    }

    /// Waits until it is worth looking again. Cancel safe.
    pub(crate) async fn next(&mut self) {
        while !self.changed {
            self.looks.tick().await;
            if self.last.elapsed() >= self.at_least {
                self.last = Instant::now();
                self.seen = stamps(&self.files);
                return;
            }
            self.changed = self.seen != stamps(&self.files);
        }
        sleep(SETTLE).await;
        self.last = Instant::now();
        // What is written from now on is another change.
        self.seen = stamps(&self.files);
        self.changed = false;
    }
}

/// The stamps of files; `None` where there is no file.
fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELDOM: Duration = Duration::from_secs(3600);

    /// Whether the next look is worth it because of a change, and not of the clock.
    async fn noticed(changes: &mut FileChanges) -> bool {
        let start = Instant::now();
        changes.next().await;
        start.elapsed() < Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_looked_at_by_the_clock_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = FileChanges::of(&[folder.path().join("a")], Duration::from_secs(10));
        let start = Instant::now();
        changes.next().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_written_replaced_or_removed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let mut changes = FileChanges::of(&[&file], SELDOM);
        fs::write(&file, "one").unwrap();
        assert!(noticed(&mut changes).await, "made");
        fs::write(&file, "three").unwrap();
        assert!(noticed(&mut changes).await, "written");
        fs::write(folder.path().join("b"), "threx").unwrap();
        fs::rename(folder.path().join("b"), &file).unwrap();
        assert!(noticed(&mut changes).await, "replaced by one of the same size");
        fs::remove_file(&file).unwrap();
        assert!(noticed(&mut changes).await, "removed");
        assert!(!noticed(&mut changes).await, "nothing more");
    }

    #[tokio::test(start_paused = true)]
    async fn the_link_of_a_mounted_secret_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for generation in ["1", "2"] {
            fs::create_dir(path(generation)).unwrap();
            fs::write(path(generation).join("tls.crt"), generation).unwrap();
        }
        std::os::unix::fs::symlink(path("1"), path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/tls.crt", path("tls.crt")).unwrap();
        let mut changes = FileChanges::of(&[path("tls.crt")], SELDOM);
        std::os::unix::fs::symlink(path("2"), path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert!(noticed(&mut changes).await);
    }

    #[tokio::test(start_paused = true)]
    async fn other_files_of_the_folder_are_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = FileChanges::of(&[folder.path().join("tls.crt")], SELDOM);
        fs::write(folder.path().join("global.db-wal"), "").unwrap();
        assert!(!noticed(&mut changes).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_not_lost_when_the_wait_for_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let mut changes = FileChanges::of(&[&file], SELDOM);
        fs::write(&file, "one").unwrap();
        // Seen, and dropped before the files have settled.
        assert!(tokio::time::timeout(Duration::from_millis(100), changes.next()).await.is_err());
        assert!(noticed(&mut changes).await);
    }
}
