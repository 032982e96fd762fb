//! The UNIX socket of a connector: one connector a path, and nobody but its user, and the group if the umask says so, connects.
//!
//! Whoever connects is the zone. So the socket is made in a folder that nobody else can enter, gets its mode there, and is
//! moved to its place: there is no moment at which others reach it. A lock beside it is held for as long as the connector runs,
//! since of two that look at an old socket at the same moment the second would take away the socket of the first. The lock
//! file stays: removing it would let two connectors lock two files of the same name.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::fs::OFlags;
use socket2::{Domain, SockAddr, Socket, Type};
use tracing::warn;
use uuid::Uuid;

/// The lock of a socket; free when this is dropped, and when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Held(File);

/// Closing alone is not enough: a child process that is just being started has the file open for a moment, too.
impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            warn!(%error, "the lock of the socket was not freed");
        }
    }
}

/// Listens on a UNIX socket. One that an earlier connector left is replaced; anything else in its place is not.
///
/// # Errors
/// That another connector is there, or something else; what the system says.
pub(super) fn listen(path: &Path) -> anyhow::Result<(UnixListener, Held)> {
    let shown = path.display();
    open(path).with_context(|| format!("cannot listen on `{shown}` for the zone"))
}

fn open(path: &Path) -> anyhow::Result<(UnixListener, Held)> {
    let held = hold(path)?;
    if is_old_socket(path)? {
        warn!(path = %path.display(), "the socket of an earlier connector is replaced");
    }
    let listener = place(path).context("its folder must be there and writable for this user")?;
    Ok((listener, held))
}

/// Takes the lock of a socket.
fn hold(path: &Path) -> anyhow::Result<Held> {
    let lock = beside(path, ".lock");
    let shown = lock.display();
    let file = open_lock(&lock)
        .with_context(|| format!("open `{shown}`: its folder must be there and writable for this user"))?;
    match file.try_lock() {
        Ok(()) => Ok(Held(file)),
        Err(TryLockError::WouldBlock) => bail!("another connector runs there, or is starting: it has `{shown}`"),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock `{shown}`")),
    }
}

/// Opens a lock file without following a link in its place, and without waiting for the other end of a pipe.
fn open_lock(lock: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(lock)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// Whether there is a socket on which nobody listens.
fn is_old_socket(path: &Path) -> anyhow::Result<bool> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !found.file_type().is_socket() {
        bail!("there is something that is no socket");
    }
    match try_connect(path) {
        // A queue that is full is one of somebody who listens.
        Ok(()) => bail!("somebody listens there, is another connector running?"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            bail!("somebody listens there, is another connector running?")
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(error) => {
            bail!(
                "there is a socket, and whether somebody listens cannot be told ({error}); remove it if it is nobody's"
            )
        }
    }
}

/// Connects without waiting.
fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Makes the socket out of everybody's reach, and moves it to its place.
fn place(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it is no place for a socket"))?;
    let private = Private::inside(folder)?;
    let made = private.0.join(SOCKET);
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(mode(fs::symlink_metadata(&made)?.mode())))?;
    fs::rename(&made, path)?;
    Ok(listener)
}

/// The mode of a socket that was made with this one: its user may connect, its group if the umask lets it, and nobody else.
fn mode(made: u32) -> u32 {
    // Who may write to a socket connects.
    if made & 0o020 == 0 { 0o600 } else { 0o660 }
}

/// The name of a socket in its private folder: short, since a path of a socket has room for some hundred bytes.
const SOCKET: &str = "s";

/// A folder that nobody else can enter; gone when this is dropped.
struct Private(PathBuf);

impl Private {
    fn inside(folder: &Path) -> io::Result<Self> {
        let name: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();
        let path = folder.join(format!(".{name}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // The socket, where it did not get to its place.
        let _moved = fs::remove_file(self.0.join(SOCKET));
        if let Err(error) = fs::remove_dir(&self.0) {
            warn!(path = %self.0.display(), %error, "an empty folder is left behind");
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
