//! What stands in files that are watched: the last good content, read again when the files change.
//!
//! New content that is no good is never used, and told once: the old one stays in force.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{TlsError, files::FileChanges, pem};
use crate::tasks::{OnError, Tasks};

/// Files are read again this often even if they look unchanged.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Some files, and what is made of them.
pub(super) trait Source: Send + Sync + 'static {
    /// What the files hold.
    type Content: Send + Sync;

    /// The name of the task that watches the files.
    const TASK: &'static str;

    /// Returns the files, which are read together.
    fn files(&self) -> Vec<&Path>;

    /// Makes something of what the files say, in the order of [`Source::files`].
    fn parse(&self, texts: &[Zeroizing<Vec<u8>>]) -> Result<Self::Content, TlsError>;

    /// Logs that this content is in force from now on.
    fn tell_replaced(&self, content: &Self::Content);

    /// Logs why the new content is not used.
    fn tell_kept(&self, reason: &TlsError);
}

/// The content of files that is in force.
pub(super) struct Reloaded<S: Source> {
    source: S,
    current: ArcSwap<S::Content>,
    /// What was read last, good or bad: the same fault is told once.
    last_read: Mutex<Seen>,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(String),
}

/// What reading the files again did.
#[derive(Debug)]
pub(crate) enum Reload {
    /// The files say what they said when they were read last.
    Same,
    /// New handshakes use the new content.
    Replaced,
    /// The new content is no good; the old one stays in force.
    Kept,
}

impl<S: Source> Reloaded<S> {
    /// Reads the files, which must be good.
    pub(super) fn load(source: S) -> Result<Arc<Self>, TlsError> {
        let (seen, content) = read(&source);
        let current = ArcSwap::from_pointee(content?);
        Ok(Arc::new(Self { source, current, last_read: Mutex::new(seen) }))
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// Returns what is in force now.
    pub(super) fn current(&self) -> Arc<S::Content> {
        self.current.load_full()
    }

    /// Starts the task that reads the files again when they change.
    pub(super) fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let reloaded = Arc::clone(self);
        let owner = tasks.clone();
        let mut changes = FileChanges::of(&self.source.files(), LOOK_AT_LEAST_EVERY);
        tasks.spawn(S::TASK, OnError::Log, async move {
            loop {
                tokio::select! {
                    () = owner.stopping() => return Ok(()),
                    () = changes.next() => { reloaded.reload(); }
                }
            }
        });
    }

    /// Reads the files again now; logs what that did.
    pub(super) fn reload(&self) -> Reload {
        let (seen, content) = read(&self.source);
        {
            let mut last = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == seen {
                return Reload::Same;
            }
            *last = seen;
        }
        match content {
            Ok(content) => {
                let content = Arc::new(content);
                self.current.store(Arc::clone(&content));
                self.source.tell_replaced(&content);
                Reload::Replaced
            }
            Err(error) => {
                self.source.tell_kept(&error);
                Reload::Kept
            }
        }
    }
}

/// Reads all files; tells what was seen apart from whether it is any good.
fn read<S: Source>(source: &S) -> (Seen, Result<S::Content, TlsError>) {
    let texts: Result<Vec<_>, _> = source.files().into_iter().map(pem::read).collect();
    let texts = match texts {
        Ok(texts) => texts,
        Err(error) => return (Seen::Unreadable(error.chain()), Err(error)),
    };
    let mut hash = Sha256::new();
    for text in &texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    (Seen::Content(hash.finalize().into()), source.parse(&texts))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, sync::mpsc};

    use super::*;

    /// Two files that are good when they say the same.
    struct Same {
        files: [PathBuf; 2],
        told: mpsc::Sender<String>,
    }

    impl Source for Same {
        type Content = Vec<u8>;
        const TASK: &'static str = "same";

        fn files(&self) -> Vec<&Path> {
            self.files.iter().map(PathBuf::as_path).collect()
        }

        fn parse(&self, texts: &[Zeroizing<Vec<u8>>]) -> Result<Vec<u8>, TlsError> {
            if texts[0] == texts[1] { Ok(texts[0].to_vec()) } else { Err(TlsError::NoSystemRoots) }
        }

        fn tell_replaced(&self, content: &Vec<u8>) {
            self.told.send(String::from_utf8(content.clone()).unwrap()).unwrap();
        }

        fn tell_kept(&self, _reason: &TlsError) {
            self.told.send("kept".to_owned()).unwrap();
        }
    }

    #[test]
    fn good_content_replaces_the_old_and_a_fault_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| folder.path().join(name));
        let write = |texts: [&str; 2]| files.iter().zip(texts).for_each(|(file, text)| fs::write(file, text).unwrap());
        let (told, heard) = mpsc::channel();
        write(["one", "one"]);
        let reloaded = Reloaded::load(Same { files: files.clone(), told }).map_err(|error| error.chain()).unwrap();
        let check = |expected: &[&str], in_force: &str| {
            for _ in 0..2 {
                reloaded.reload();
            }
            assert_eq!(heard.try_iter().collect::<Vec<_>>(), expected);
            assert_eq!(*reloaded.current(), in_force.as_bytes());
        };
        check(&[], "one");
        write(["two", "one"]);
        check(&["kept"], "one");
        write(["onet", "wo"]);
        check(&["kept"], "one");
        write(["two", "two"]);
        check(&["two"], "two");
        fs::remove_file(&files[1]).unwrap();
        check(&["kept"], "two");
        write(["two", "two"]);
        check(&["two"], "two");
    }
}
