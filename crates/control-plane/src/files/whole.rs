//! Writes files that are there whole or not at all, for their owner alone, and durable when they are there.
//!
//! What is written goes into a file beside, which takes the name in the end. A crash leaves what was before, and a file with
//! the number of a process in its name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Writes a file in the place of what is there, if something is; makes its folder.
pub(crate) fn put<E: From<io::Error>>(path: &Path, write: impl FnOnce(&mut File) -> Result<(), E>) -> Result<(), E> {
    settled(path, write, |beside| fs::rename(beside, path))
}

/// Writes a file where nothing is; makes its folder.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], and nothing is written.
pub(crate) fn put_new<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    settled(path, write, |beside| {
        // A link is made only where nothing is; a renamed file would take the place of what came meanwhile.
        let linked = fs::hard_link(beside, path);
        fs::remove_file(beside)?;
        linked
    })
}

fn settled<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), E> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = path.as_os_str().to_owned();
    // Two programs that start at once do not write into one file.
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let _left_behind = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let done = write(&mut file).and_then(|()| {
        file.sync_all()?;
        name(&beside)?;
        Ok(File::open(folder)?.sync_all()?)
    });
    if done.is_err() {
        let _nothing_there = fs::remove_file(&beside);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_whole_for_its_owner_alone_and_so_is_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, path) = (folder.path().join("made"), folder.path().join("made/file"));
        for text in ["one", "two"] {
            put(&path, |file| file.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&path)), (0o700, 0o600));
        let failed = put(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(failed.is_err());
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(&inner)), ("two", vec!["file".to_owned()]));
    }

    #[test]
    fn a_new_file_takes_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        put_new(&path, |file| file.write_all(b"one")).unwrap();
        let refused = put_new(&path, |file| file.write_all(b"two")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        // Also of what came while it was written.
        let other = folder.path().join("other");
        let late = put_new(&other, |file| {
            fs::write(&other, "mine")?;
            file.write_all(b"two")
        });
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
        assert_eq!(names(folder.path()).len(), 2);
    }
}
