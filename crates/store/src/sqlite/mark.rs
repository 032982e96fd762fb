//! A mark beside a store that says whether it ever held anything: an empty store in its place is new, or lost.
//!
//! ```text
//! .new    opened, never written to      a start that was killed: begin again
//! .made   something was written once    without anything in it, the store was lost
//! ```
//!
//! One is renamed to the other, so one of them is there whatever happens, and neither needs space.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::{
    OpenError,
    sides::{self, MADE, NEW},
};

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

/// Says that a store is about to be made, before anything of it is there.
pub(super) fn begin(path: &Path) -> Result<(), OpenError> {
    sides::open(&sides::beside(path, NEW), OpenOptions::new().append(true)).map(drop)
}

/// Says of a store that nobody has open that it holds something.
pub(super) fn say_used(path: &Path) {
    let _marked = Mark::of(path, false);
}

/// The mark of an open store.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    /// Nothing is in the store yet.
    is_new: bool,
}

impl Mark {
    /// Marks the store at `path` as what it was found to be.
    pub(super) fn of(path: &Path, is_empty: bool) -> Self {
        let mark = Self { path: path.to_owned(), is_new: is_empty };
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
        if let Err(cause) = &done {
            let cause = model::causes::on_one_line(cause);
            warn!(file = %to.display(), error = %cause, "nothing says that there is a store, should it get lost");
        }
        done.is_ok()
    }
}
