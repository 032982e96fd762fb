//! Files that hold secrets: written whole or not at all, with their mode set also when they exist already.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use uuid::Uuid;

/// Writes the file atomically: a new file with this mode takes the place of the old one.
pub(crate) fn write_private(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // Writing through a link changes what it points to, and leaves the link alone.
    let target = fs::canonicalize(path).unwrap_or_else(|_error| path.to_path_buf());
    if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
        // A device or a pipe cannot be replaced.
        return OpenOptions::new().write(true).open(&target)?.write_all(content);
    }
    let mut name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
    name.push(format!(".{}", Uuid::new_v4().simple()));
    let draft = target.with_file_name(name);
    let written = write_new(&draft, content, mode).and_then(|()| fs::rename(&draft, &target));
    if written.is_err() {
        // The draft may hold a secret; a second failure has nothing to add to the first.
        drop(fs::remove_file(&draft));
    }
    written
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The mask of the process may have taken bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Words an error the way people know it from other programs: `no such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn existing_file_gets_the_mode_and_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new", 0o400).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o400));
        write_private(&path, b"newer", 0o600).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("newer", 0o600));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_private(&link, b"new", 0o600).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn missing_folder_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_private(&folder.path().join("no/key.pem"), b"x", 0o400).unwrap_err();
        assert_eq!(reason(&error), "no such file or directory");
    }
}
