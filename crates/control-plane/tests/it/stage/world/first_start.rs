//! What the first start of a global makes, made once for all tests of this process: four RSA keys take longer than
//! everything else that most tests do. What the first start makes is tried with programs, in empty folders.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::OnceLock};

use testkit::program::ControlPlane;

use crate::stage::inside;

type Files = Vec<(String, Vec<u8>)>;

/// Makes a work folder as a global leaves it that was started once.
pub(super) fn copy_to(work: &Path) {
    static FILES: OnceLock<Files> = OnceLock::new();
    fs::create_dir(work).unwrap();
    for (name, content) in FILES.get_or_init(make) {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(work.join(name)).unwrap();
        file.write_all(content).unwrap();
    }
}

fn make() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().to_str().unwrap();
    let mut global = ControlPlane::inside(inside::begin, &[("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", work)]);
    assert!(global.terminate().success(), "{}", global.text());
    let mut files = Files::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // A start makes them anew: who has the store, and space for a full disk.
        if !name.ends_with(".lock") && !name.ends_with(".reserve") {
            files.push((name, fs::read(entry.path()).unwrap()));
        }
    }
    files
}
