//! Reads the small files that settings name: regular files only, and no more of them than they may hold.
//!
//! A path can lead to anything. A pipe would be waited for without end when it is opened, and a file of gigabytes would
//! be read into memory. So a file is opened without waiting, looked at through its handle, and read up to a limit.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
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
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
