//! The names that this instance had in its former lives, in its work folder: what they left open in a store that others use,
//! too, is ended at the next start.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::store_files::store_file;
use crate::{
    config::{Config, StoreType},
    files::{self, whole},
    zones::insight::Others,
};

const ENDING: &str = "lives";
/// One that started so often since has no subscription that is still open.
const MOST: usize = 32;

/// The file of one control plane, if its store is one that others use.
pub(super) struct Lives(Option<PathBuf>);

impl Lives {
    pub(super) fn of(config: &Config) -> Self {
        // Memory and a locked file are of one program at a time.
        let is_shared = config.store == StoreType::Postgres;
        Self(is_shared.then(|| config.work_dir.join(store_file(config)).with_extension(ENDING)))
    }

    /// Who else works with the store.
    pub(super) fn others(&self) -> Others {
        match &self.0 {
            None => Others::Nobody,
            Some(path) => Others::Alive { former: names(path).into_iter().collect::<BTreeSet<_>>() },
        }
    }

    /// Remembers a life that begins.
    pub(super) fn begin(&self, name: &str) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut names = names(path);
        names.push(name.to_owned());
        let latest = names.iter().skip(names.len().saturating_sub(MOST));
        let text: String = latest.flat_map(|name| [name.as_str(), "\n"]).collect();
        whole::put(path, |file| file.write_all(text.as_bytes()))
    }
}

/// Without the file nothing is known of them.
fn names(path: &Path) -> Vec<String> {
    let text = files::read_text(path, files::TOKEN).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lives_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let lives = || Lives(Some(folder.path().join("work/global.lives")));
        assert!(matches!(lives().others(), Others::Alive { former } if former.is_empty()));
        for number in 0..MOST + 2 {
            lives().begin(&format!("cp-{number}")).unwrap();
        }
        let Others::Alive { former } = lives().others() else { panic!("others may be there") };
        assert_eq!(former.len(), MOST);
        assert!(former.contains(&format!("cp-{}", MOST + 1)) && !former.contains("cp-1"));
    }

    #[test]
    fn a_store_of_one_program_needs_none() {
        assert!(matches!(Lives(None).others(), Others::Nobody));
        Lives(None).begin("cp").unwrap();
    }
}
