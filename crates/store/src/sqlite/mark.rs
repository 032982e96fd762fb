//! A mark beside a store that says whether it ever held anything: an empty store in its place is new, or lost.
//!
//! ```text
//! .new    opened, never written to      a start that was killed: begin again
//! .made   something was written once    without anything in it, the store was lost
//! ```
//!
//! One is renamed to the other, so one of them is there whatever happens, and neither needs space. Where there is some, the
//! mark names the cluster of the store: the file of another one in its place is noticed.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::{
    OpenError,
    sides::{self, MADE, NEW},
};

/// The name of a cluster is shorter.
const LONGEST: u64 = 1024;

/// What is known of a store at a place, whether it is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// No store was ever opened there.
    Nothing,
    /// One was made, and nothing was ever written to it.
    Begun,
    /// There was one: without its file, or without anything in it, it is lost.
    Used,
}

/// Returns what is known of a store at `path`.
#[must_use]
pub fn before(path: &Path) -> Before {
    let is_there = |ending| sides::is_there(&sides::beside(path, ending));
    if is_there(MADE) {
        Before::Used
    } else if is_there(NEW) {
        Before::Begun
    } else if sides::has_traces(path) {
        // a store of before there were marks
        Before::Used
    } else {
        Before::Nothing
    }
}

/// The cluster of the store that was at `path`, if its mark says so.
#[must_use]
pub fn cluster_before(path: &Path) -> Option<String> {
    let file = sides::open_as_it_is(&sides::beside(path, MADE), OpenOptions::new().read(true)).ok()?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    // What was cut off names nobody.
    text.strip_suffix('\n').filter(|cluster| !cluster.is_empty()).map(str::to_owned)
}

/// Says that a store is about to be made, before anything of it is there.
pub(super) fn begin(path: &Path) -> Result<(), OpenError> {
    sides::open(&sides::beside(path, NEW), OpenOptions::new().append(true)).map(drop)
}

/// Says of a store that nobody has open that it holds something, of whichever cluster.
pub(super) fn say_used(path: &Path) {
    let _marked = Mark::of(path, false, Some(""));
}

/// The mark of an open store.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    /// Nothing is in the store yet.
    is_new: bool,
    /// Whose store it is, if that is known.
    cluster: Option<String>,
}

impl Mark {
    /// Marks the store at `path` as what it was found to be.
    pub(super) fn of(path: &Path, is_empty: bool, cluster: Option<&str>) -> Self {
        let mark = Self { path: path.to_owned(), is_new: is_empty, cluster: cluster.map(str::to_owned) };
        let (from, to) = if is_empty { (MADE, NEW) } else { (NEW, MADE) };
        mark.turn(from, to);
        mark
    }

    /// Whether nothing was in the store when it was last asked.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Says that the store holds something now.
    pub(super) fn used(&mut self) {
        // tried again with the next write if it fails
        self.is_new = !self.turn(NEW, MADE);
    }

    fn turn(&self, from: &str, to: &str) -> bool {
        let (from, to) = (sides::beside(&self.path, from), sides::beside(&self.path, to));
        let done = if sides::is_there(&from) {
            fs::rename(&from, &to).map_err(|cause| OpenError::Io { path: from, cause })
        } else {
            sides::open(&to, OpenOptions::new().append(true)).map(drop)
        };
        let done = done.and_then(|()| self.name(&to));
        if let Err(cause) = &done {
            let cause = model::causes::on_one_line(cause);
            warn!(file = %to.display(), error = %cause, "nothing says that there is a store, should it get lost");
        }
        done.is_ok()
    }

    /// Writes the cluster into a mark, if another one is there.
    fn name(&self, mark: &Path) -> Result<(), OpenError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let wanted = if cluster.is_empty() { String::new() } else { format!("{cluster}\n") };
        let mut file = sides::open(mark, OpenOptions::new().read(true).write(true))?;
        let mut found = String::new();
        let read = (&file).take(LONGEST).read_to_string(&mut found);
        if read.is_ok() && found == wanted {
            return Ok(());
        }
        // A disk that is full takes no name: the mark says that there is a store all the same.
        let written = file.set_len(0).and_then(|()| {
            file.rewind()?;
            file.write_all(wanted.as_bytes())
        });
        if let Err(cause) = written {
            warn!(file = %mark.display(), error = %cause, "nothing says of which cluster the store is");
        }
        Ok(())
    }
}
