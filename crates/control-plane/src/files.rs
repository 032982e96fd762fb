//! Reads the small files that settings name: regular files only, and no more of them than they may hold. [`whole`] writes.
//!
//! A path can lead to anything. A pipe would be waited for without end when it is opened, and a file of gigabytes would
//! be read into memory. So a file is opened without waiting, looked at through its handle, and read up to a limit. What
//! another user owns or may write decides nothing here: a key, a certificate or a folder is trusted by its owner and mode,
//! not by its name.

pub(crate) mod whole;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;
use zeroize::{Zeroize as _, Zeroizing};

/// The most a file with a token holds, in bytes.
pub(crate) const TOKEN: u64 = 64 * 1024;
/// The most a file with certificates, a key, or the configuration holds, in bytes.
pub(crate) const LARGEST: u64 = 1024 * 1024;

/// Reads a file of at most `most` bytes. What was read is wiped when dropped, because it may be a secret.
///
/// # Errors
/// What the system says; that it is no regular file; that it is larger.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"));
    if size > most {
        return Err(too_large());
    }
    // With room for all at once, as it is: a vector that grows leaves copies behind.
    let room = usize::try_from(size.saturating_add(1)).unwrap_or_default();
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    // A file may grow while it is read, and some of the kernel's say that they are empty.
    file.take(most.saturating_add(1)).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= most) { Ok(content) } else { Err(too_large()) }
}

/// Reads a text of at most `most` bytes.
///
/// # Errors
/// As [`read`]; that it is no UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut content = read(path, most)?;
    String::from_utf8(std::mem::take(&mut *content)).map_err(|error| {
        let wrong = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        error.into_bytes().zeroize();
        wrong
    })
}

/// Opens a regular file and nothing else.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    match distrust(found.uid(), found.mode()) {
        None => Ok(file),
        Some(reason) => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
    }
}

/// Checks that a folder, if it is there, is of this user or of root. Others may be able to put files into it (`/tmp`, an
/// empty folder that an orchestrator mounts): each file is looked at when it is read.
///
/// # Errors
/// What the system says; whose it is.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause),
    };
    match distrust(found.uid(), 0) {
        None => Ok(()),
        Some(reason) => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
    }
}

const EVERYBODY_WRITES: u32 = 0o002;

/// Says why what has this owner and mode is not trusted. Root's is: secrets are mounted so, and root may do anything.
fn distrust(owner: u32, mode: u32) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if owner != us && owner != 0 {
        return Some(format!("it belongs to user {owner}, and this program runs as user {us}: give it to user {us}"));
    }
    (mode & EVERYBODY_WRITES != 0)
        .then(|| format!("everybody may write to it (mode {:03o}): take that away with `chmod o-w`", mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Nobody: a user that runs no tests.
    const ANOTHER: u32 = 65534;

    #[test]
    fn what_another_user_owns_or_may_write_is_not_trusted() {
        let us = rustix::process::geteuid().as_raw();
        assert_eq!((distrust(us, 0o644), distrust(0, 0o640), distrust(us, 0o664)), (None, None, None));
        assert!(distrust(ANOTHER, 0o600).is_some_and(|reason| reason.contains("belongs to user 65534")));
        assert!(distrust(us, 0o666).is_some_and(|reason| reason.contains("mode 666")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kuma-cp.key");
        fs::write(&path, "content").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o606)).unwrap();
        assert_eq!(read(&path, TOKEN).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path, TOKEN).is_ok());
        assert!(check_folder(folder.path()).is_ok() && check_folder(&folder.path().join("missing")).is_ok());
        if std::os::unix::fs::chown(&path, Some(ANOTHER), None).is_err() {
            eprintln!("SKIPPED: a file cannot be given to another user here (are you root?)");
            return;
        }
        assert!(read(&path, TOKEN).unwrap_err().to_string().contains("belongs to user 65534"));
        std::os::unix::fs::chown(folder.path(), Some(ANOTHER), None).unwrap();
        assert!(check_folder(folder.path()).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (content, read_it) in [("", true), ("1234567", true), ("12345678", true), ("123456789", false)] {
            fs::write(&path, content).unwrap();
            match read(&path, 8) {
                Ok(read) => assert!(read_it && *read == content.as_bytes()),
                Err(error) => assert!(!read_it && error.to_string() == "it is larger than 8 bytes", "{error}"),
            }
        }
        File::create(&path).unwrap().set_len(2 << 30).unwrap();
        assert_eq!(read(&path, TOKEN).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
            assert_eq!(read(path, TOKEN).unwrap_err().to_string(), "it is no regular file", "{}", path.display());
        }
        let link = folder.path().join("link");
        fs::write(folder.path().join("file"), "content").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(read_text(&link, TOKEN).unwrap(), "content", "mounted secrets are links");
        fs::write(folder.path().join("file"), b"\xff").unwrap();
        assert_eq!(read_text(&link, TOKEN).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
