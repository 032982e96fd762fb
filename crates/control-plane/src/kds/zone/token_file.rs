//! Puts a new token into the file of the old one: whole or not at all, with its mode and owner.
//!
//! The new file is written beside the one that a path leads to, through symbolic links, and takes its place. What was put
//! there by somebody else in the meantime stays. All of this blocks.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::Access;
use thiserror::Error;
use uuid::Uuid;

use super::token::Token;
use crate::files;

/// Why a file does not hold the new token.
#[derive(Debug, Error)]
pub(super) enum NotReplaced {
    /// It holds neither the old nor the new one: somebody wrote another one, which counts.
    #[error("somebody else wrote another token into the file")]
    Changed,
    /// It cannot be written.
    #[error("`{}` cannot be written: {cause}", path.display())]
    Unwritable { path: PathBuf, cause: io::Error },
}

/// Says why a file could not be replaced; looks only, and writes nothing.
pub(super) fn check(path: &Path) -> Result<(), NotReplaced> {
    Target::of(path).and_then(|target| target.check()).map_err(|cause| unwritable(path, cause))
}

/// Replaces the token in a file.
pub(super) fn replace(path: &Path, old: &Token, new: &Token) -> Result<(), NotReplaced> {
    let failed = |cause| unwritable(path, cause);
    let target = Target::of(path).map_err(failed)?;
    target.check().map_err(failed)?;
    let mut content = new.reveal().as_bytes().to_vec();
    content.push(b'\n');
    let beside = Beside::create(&target, &content);
    // A copy of a secret; the file has it now.
    zeroize::Zeroize::zeroize(&mut content);
    let beside = beside.map_err(failed)?;
    // As late as can be: nobody can hold a file against whoever renames another one over it.
    let text = files::read(&target.path, files::TOKEN).map_err(failed)?;
    let held = std::str::from_utf8(&text).ok().and_then(Token::new);
    if held.as_ref() != Some(old) {
        return Err(NotReplaced::Changed);
    }
    beside.take_the_place_of(&target).map_err(failed)
}

fn unwritable(path: &Path, cause: io::Error) -> NotReplaced {
    NotReplaced::Unwritable { path: path.to_owned(), cause }
}

/// The file that a path leads to.
struct Target {
    path: PathBuf,
    folder: PathBuf,
    found: Metadata,
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let found = fs::metadata(&path)?;
        let folder = path.parent().ok_or(io::ErrorKind::NotADirectory)?.to_owned();
        Ok(Self { path, folder, found })
    }

    fn check(&self) -> io::Result<()> {
        let us = rustix::process::geteuid();
        if !us.is_root() && self.found.uid() != us.as_raw() {
            let owner = self.found.uid();
            let text = format!("it belongs to user {owner}, and this program runs as user {us}", us = us.as_raw());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        rustix::fs::access(&self.folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(
                error.kind(),
                format!("no file can be made in the folder `{}`: {error}", self.folder.display()),
            )
        })
    }
}

/// A file that is about to take the place of another one; gone if it does not come to that.
struct Beside {
    path: PathBuf,
    in_place: bool,
}

impl Beside {
    fn create(target: &Target, content: &[u8]) -> io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.path.file_name().unwrap_or_default());
        name.push(format!(".{}", Uuid::new_v4().simple()));
        let path = target.folder.join(name);
        // For nobody else until all of it is right.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let beside = Self { path, in_place: false };
        file.write_all(content)?;
        own_as(&file, &target.found)?;
        file.sync_all()?;
        Ok(beside)
    }

    fn take_the_place_of(mut self, target: &Target) -> io::Result<()> {
        fs::rename(&self.path, &target.path)?;
        self.in_place = true;
        // The new name is there; that it outlives a loss of power is all that can fail now, and the old one is good then.
        let _outlives_a_crash = File::open(&target.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.in_place {
            let _may_be_gone = fs::remove_file(&self.path);
        }
    }
}

/// Gives a file the owner and the mode of another one: in this order, for a new owner takes bits of the mode away.
fn own_as(file: &File, other: &Metadata) -> io::Result<()> {
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) != (other.uid(), other.gid()) {
        fchown(file, Some(other.uid()), Some(other.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(other.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_token_has_the_mode_and_owner_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for mode in [0o600, 0o640, 0o400] {
            fs::write(&path, "old\n").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            replace(&path, &token("old"), &token("new")).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
            assert_eq!(names(folder.path()), ["token"]);
            fs::remove_file(&path).unwrap();
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a file cannot be given to another user here (are you root?)");
            return;
        }
        // Another group is enough: a file of another user is not read at all.
        fs::write(&path, "old").unwrap();
        fchown(File::open(&path).unwrap(), Some(0), Some(65534)).unwrap();
        replace(&path, &token("old"), &token("new")).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid()), (0, 65534));
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_01_01");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("token"), "old").unwrap();
        symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        symlink("..data/token", folder.path().join("token")).unwrap();
        replace(&folder.path().join("token"), &token("old"), &token("new")).unwrap();
        assert_eq!(fs::read_to_string(data.join("token")).unwrap(), "new\n");
        assert_eq!(fs::read_link(folder.path().join("token")).unwrap(), Path::new("..data/token"));
        assert_eq!(names(folder.path()), ["..2026_01_01", "..data", "token"]);
        assert_eq!(names(&data), ["token"]);
    }

    #[test]
    fn what_somebody_else_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for other in ["other", "", "old new"] {
            fs::write(&path, other).unwrap();
            assert!(matches!(replace(&path, &token("old"), &token("new")), Err(NotReplaced::Changed)));
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
            assert_eq!(names(folder.path()), ["token"]);
        }
    }

    #[test]
    fn what_cannot_be_written_is_said_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing");
        assert!(matches!(check(&path), Err(NotReplaced::Unwritable { .. })));
        // Nobody can make a file there, root neither.
        let proc = Path::new("/proc/self/comm");
        let error = replace(proc, &token("old"), &token("new")).unwrap_err().to_string();
        assert!(error.starts_with("`/proc/self/comm` cannot be written: "), "{error}");
        if rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: root may write everywhere");
            return;
        }
        let path = folder.path().join("token");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).unwrap();
        let error = check(&path).unwrap_err().to_string();
        assert!(error.contains("no file can be made in the folder"), "{error}");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(check(&path).is_ok());
    }
}
