//! Numbered steps from an empty database to the schema that this program writes: what all databases decide alike.
//!
//! ```text
//! which tables ──► empty | ours | a Kuma's | something else's
//! ours         ──► version ──► newer: refused | the same | lacks steps: one script, one transaction
//! ```
//!
//! A released step is never changed: databases that took it are out there. What changes is a step more. When the steps are
//! taken, and what is done before, is the database's.

/// The table that says how many steps were taken; one row.
pub(crate) const VERSION_TABLE: &str = "schema_version";
/// Reads it.
pub(crate) const READ_VERSION: &str = "SELECT version FROM schema_version";
/// Everything of a Kuma has this table, nothing of ours.
const TABLE_OF_KUMA: &str = "schema_migrations";

/// What a database holds, by the names of its tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Nothing.
    None,
    /// What a program like this one made.
    Ours,
    /// What a Kuma stored.
    OfKuma,
    /// Something else: the first of its tables, in words.
    Foreign(String),
}

impl Tables {
    /// Judges by the names of all tables; one of `ours` is enough.
    pub(crate) fn of(names: &[String], ours: &[&str]) -> Self {
        if names.is_empty() {
            return Self::None;
        }
        let has = |name: &str| names.iter().any(|found| found == name);
        if ours.iter().any(|name| has(name)) {
            return Self::Ours;
        }
        if has(TABLE_OF_KUMA) {
            return Self::OfKuma;
        }
        Self::Foreign(names.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
    }
}

/// Checks what table `table` says; the error says what is wrong with it.
pub(crate) fn version<N>(found: Option<N>, table: &str) -> Result<N, String>
where
    N: Copy + Default + PartialOrd + std::fmt::Display,
{
    match found {
        Some(found) if found > N::default() => Ok(found),
        Some(found) => Err(format!("no schema version {found} ever was")),
        None => Err(format!("table `{table}` has no schema version")),
    }
}

/// What a database lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Nothing.
    Nothing,
    /// These steps, as one script.
    Steps(String),
    /// Nothing, and it took steps that are not known here.
    Newer,
}

/// Compares how many steps a database took with those that there are.
pub(crate) fn lacking(steps: &[&str], taken: usize) -> Lacking {
    match steps.get(taken..) {
        None => Lacking::Newer,
        Some([]) => Lacking::Nothing,
        // Neither a comment at the end of one nor a statement without an end goes on in the next.
        Some(lacking) => Lacking::Steps(lacking.join("\n;\n")),
    }
}

/// The script that says how many steps were taken.
pub(crate) fn set_version(steps: &[&str]) -> String {
    format!("DELETE FROM {VERSION_TABLE}; INSERT INTO {VERSION_TABLE} (version) VALUES ({});", steps.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    /// Checks that each step of a database is the file of its number.
    pub(crate) fn check_files(folder: &str, steps: &[&str]) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), steps.len());
        for (number, (file, step)) in files.iter().zip(steps).enumerate() {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(&format!("{:04}_", number + 1)), "{name}");
            assert_eq!(std::fs::read_to_string(file).unwrap(), *step, "{name}");
        }
    }

    #[test]
    fn a_database_is_judged_by_its_tables() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Tables::of(&names, &[VERSION_TABLE, "meta"])
        };
        assert_eq!(of(&[]), Tables::None);
        assert_eq!(of(&["meta", "x"]), Tables::Ours);
        assert_eq!(of(&["resources", "schema_migrations"]), Tables::OfKuma);
        assert_eq!(of(&["a", "b", "c", "d"]), Tables::Foreign("`a`, `b`, `c`".to_owned()));
    }

    #[test]
    fn a_database_takes_the_steps_that_it_lacks() {
        assert_eq!(lacking(&["a", "b"], 0), Lacking::Steps("a\n;\nb".to_owned()));
        assert_eq!(lacking(&["a", "b"], 1), Lacking::Steps("b".to_owned()));
        assert_eq!(lacking(&["a", "b"], 2), Lacking::Nothing);
        assert_eq!(lacking(&["a", "b"], 3), Lacking::Newer);
    }

    #[test]
    fn a_version_that_never_was_is_told() {
        assert_eq!(version(Some(1), "t"), Ok(1));
        assert!(version(Some(0), "t").unwrap_err().contains("no schema version 0 ever was"));
        assert!(version::<i32>(None, "t").unwrap_err().contains("`t` has no schema version"));
    }
}
