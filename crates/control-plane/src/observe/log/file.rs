//! A log file that starts anew at a size and keeps some of its predecessors.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use anyhow::Context as _;

use store::sqlite::Space;

use super::room::{Notice, Room};

pub(super) struct Rotated {
    path: PathBuf,
    file: File,
    written: u64,
    max_bytes: u64,
    max_retained: usize,
    room: Room,
}

impl Rotated {
    pub(super) fn open(path: PathBuf, max_megabytes: u64, max_retained: usize) -> anyhow::Result<Self> {
        let file =
            options().append(true).open(&path).with_context(|| format!("open the log file `{}`", path.display()))?;
        let written = file.metadata().map_or(0, |metadata| metadata.len());
        let looked_at = path.clone();
        let room = Room::new(move || Space::beside(&looked_at));
        Ok(Self { path, file, written, max_bytes: max_megabytes.max(1) * 1024 * 1024, max_retained, room })
    }

    /// Writes a line, if the disk has room for lines, or a little room for those that are `needed`. `word` makes the line
    /// that says that there is no room, or again. A disk that is full costs log lines and nothing else.
    pub(super) fn write(&mut self, line: &str, needed: bool, word: impl Fn(Notice) -> String) {
        let (notice, has_room) = self.room.admit(line.len(), needed);
        if let Some(notice) = notice {
            self.append(&word(notice));
        }
        if has_room {
            self.append(line);
        }
    }

    fn append(&mut self, line: &str) {
        let length = line.len() as u64;
        if self.written + length > self.max_bytes {
            self.rotate();
        }
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.written += length;
        }
    }

    /// `log` becomes `log.1`, `log.1` becomes `log.2`, and so on; the last one is dropped.
    fn rotate(&mut self) {
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let oldest = (1..=self.max_retained).find(|number| !numbered(*number).exists()).unwrap_or(self.max_retained);
        for number in (1..oldest).rev() {
            let _missing = fs::rename(numbered(number), numbered(number + 1));
        }
        if self.max_retained > 0 {
            let _failed = fs::rename(&self.path, numbered(1));
        }
        if let Ok(file) = options().write(true).truncate(true).open(&self.path) {
            self.file = file;
            self.written = 0;
        }
    }
}

/// A new file is for its owner alone: lines name zones, addresses and users.
fn options() -> OpenOptions {
    let mut options = File::options();
    options.create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_full_file_starts_anew_and_old_ones_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Rotated::open(path.clone(), 1, 2).unwrap();
        let line = "x".repeat(1024 * 1024 - 1) + "\n";
        for _ in 0..5 {
            log.write(&line, true, |_| String::new());
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 1024 * 1024);
        for name in ["log", "log.1", "log.2"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
