//! Tells when files may have changed: by the system's notices, and by the clock where those do not work.
//!
//! The folders are watched, not the files: editors, `rename` and mounted Kubernetes secrets replace files and would
//! leave a watch on the old one. A notice only means "look again"; the reader compares content.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval, sleep},
};
use tracing::debug;

/// How long after the first notice files are read, so that a pair written one after the other is read as a pair.
const SETTLE: Duration = Duration::from_millis(200);

/// Resolves whenever some files may have changed.
pub struct FileChanges {
    /// Kept alive: dropping it ends the notices.
    _watcher: Option<RecommendedWatcher>,
    notices: mpsc::Receiver<()>,
    ticks: Interval,
    noticed: bool,
}

impl FileChanges {
    /// Watches `files`; looks again at least as often as `at_least` says.
    pub fn of<P: AsRef<Path>>(files: &[P], at_least: Duration) -> Self {
        // One place is enough: a notice says that something changed, not what.
        let (sender, notices) = mpsc::channel(1);
        let watcher = watch_folders(files, sender)
            .inspect_err(|cause| debug!(error = %cause, "no change notices for files, reading them by the clock"))
            .ok();
        let mut ticks = interval(at_least);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        Self { _watcher: watcher, notices, ticks, noticed: false }
    }

    /// Waits until it is worth looking again. Cancel safe.
    pub async fn next(&mut self) {
        if !self.noticed {
            tokio::select! {
                Some(()) = self.notices.recv() => self.noticed = true,
                _ = self.ticks.tick() => return,
            }
        }
        sleep(SETTLE).await;
        // Notices that came meanwhile tell of what is read now.
        while self.notices.try_recv().is_ok() {}
        self.noticed = false;
    }
}

fn watch_folders<P: AsRef<Path>>(files: &[P], sender: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let names: BTreeSet<OsString> =
        files.iter().filter_map(|file| file.as_ref().file_name().map(OsString::from)).collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let worth_it = match &event {
            Ok(event) => changes_content(event.kind) && event.paths.iter().any(|path| is_ours(path, &names)),
            // The watch lost notices, or broke: look.
            Err(_) => true,
        };
        if worth_it {
            // A full channel already says "look again".
            sender.try_send(()).ok();
        }
    })?;
    let folders: BTreeSet<PathBuf> = files.iter().map(|file| folder_of(file.as_ref())).collect();
    for folder in folders {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Reading a file gives notices too; they must not lead to reading it again.
fn changes_content(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Our files, or the link `..data` that Kubernetes turns when a mounted secret changes.
fn is_ours(path: &Path, names: &BTreeSet<OsString>) -> bool {
    path.file_name().is_none_or(|name| names.contains(name) || name.as_encoded_bytes().starts_with(b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_are_looked_at_by_the_clock_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = FileChanges::of(&[folder.path().join("a")], Duration::from_secs(10));
        let start = tokio::time::Instant::now();
        changes.next().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_replaced_file_is_noticed_long_before_the_clock_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "one").unwrap();
        let mut changes = FileChanges::of(&[&file], Duration::from_secs(3600));
        std::fs::write(folder.path().join("b"), "two").unwrap();
        std::fs::rename(folder.path().join("b"), &file).unwrap();
        tokio::time::timeout(Duration::from_secs(30), changes.next()).await.expect("a notice");
    }

    #[test]
    fn other_files_of_the_folder_are_not_ours() {
        let names = BTreeSet::from([OsString::from("tls.crt")]);
        assert!(is_ours(Path::new("/certs/tls.crt"), &names));
        assert!(is_ours(Path::new("/certs/..data"), &names));
        assert!(!is_ours(Path::new("/certs/global.db-wal"), &names));
    }

    #[test]
    fn reading_is_no_change() {
        assert!(!changes_content(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(changes_content(EventKind::Access(AccessKind::Close(AccessMode::Write))));
    }
}
