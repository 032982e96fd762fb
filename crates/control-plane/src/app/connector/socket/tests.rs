//! Who may listen, and who may connect.

use std::os::unix::net::UnixDatagram;

use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    (folder, path)
}

fn refused(path: &Path, part: &str) {
    let why = format!("{:#}", listen(path).unwrap_err());
    assert!(why.contains(part), "{why}");
}

#[test]
fn a_socket_is_replaced_if_nobody_listens_and_no_other() {
    let (folder, path) = folder();
    drop(UnixListener::bind(&path).unwrap());
    drop(listen(&path).unwrap());
    drop(listen(&path).unwrap());
    let somebody = folder.path().join("somebody");
    let _listens = UnixListener::bind(&somebody).unwrap();
    refused(&somebody, "somebody listens there");
    let other = folder.path().join("datagrams");
    let _used = UnixDatagram::bind(&other).unwrap();
    refused(&other, "cannot be told");
    assert!(other.exists());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    refused(&file, "no socket");
    refused(&folder.path().join("no/folder"), "its folder must be there");
}

#[test]
fn a_second_connector_is_refused_also_at_the_moment_when_the_first_one_has_no_socket_yet() {
    let (_folder, path) = folder();
    let first = listen(&path).unwrap();
    fs::remove_file(&path).unwrap();
    refused(&path, "another connector runs there, or is starting");
    drop(first);
    listen(&path).unwrap();
}

#[test]
fn whoever_listens_and_is_busy_is_not_waited_for() {
    let (_folder, path) = folder();
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let waiting: Vec<Socket> = std::iter::from_fn(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&SockAddr::unix(&path).unwrap()).is_ok().then_some(socket)
    })
    .collect();
    assert!(!waiting.is_empty());
    refused(&path, "somebody listens there");
}

#[test]
fn others_never_connect_and_the_group_where_the_umask_lets_it() {
    let (folder, path) = folder();
    let (_listener, _held) = listen(&path).unwrap();
    let found = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(found(&path) & 0o717, 0o600, "{:o}", found(&path));
    assert_eq!(found(&beside(&path, ".lock")) & 0o177, 0);
    assert_eq!([0o777, 0o775, 0o770, 0o755, 0o700, 0].map(mode), [0o660, 0o660, 0o660, 0o600, 0o600, 0o600]);
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["socket", "socket.lock"]);
}

#[test]
fn a_link_in_the_place_of_the_lock_is_not_followed() {
    let (folder, path) = folder();
    let elsewhere = folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, beside(&path, ".lock")).unwrap();
    refused(&path, "socket.lock");
    assert!(!elsewhere.exists());
}
