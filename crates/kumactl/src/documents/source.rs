//! Where documents come from: standard input, an address, a file, or the files of a folder.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    client::{self, Proxies},
    failure::Failure,
    files,
};

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads everything from there, files of a folder joined by separators.
pub(super) fn read(from: &str, proxies: &Proxies) -> Result<String, Failure> {
    if from == "-" {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text).map_err(|error| {
            Failure::Refused(format!("error while reading provided file: {}", files::reason(&error)))
        })?;
        return Ok(String::from_utf8_lossy(&text).into_owned());
    }
    if from.starts_with("http://") || from.starts_with("https://") {
        return match client::fetch(from, proxies) {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(_) => Err(Failure::refused("error while retrieving URL")),
            Err(error) => Err(error.within("error with GET http request")),
        };
    }
    let path = Path::new(from);
    let failed = |verb: &str, path: &Path, error: &io::Error| {
        let reason = files::reason(error);
        Failure::Refused(format!("error while reading provided file: {verb} {}: {reason}", path.display()))
    };
    let metadata = fs::metadata(path).map_err(|error| failed("stat", path, &error))?;
    let paths = if metadata.is_dir() {
        documents_in(path).map_err(|error| failed("open", path, &error))?
    } else {
        vec![path.to_path_buf()]
    };
    let texts = paths
        .iter()
        .map(|path| match fs::read(path) {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) => Err(failed("open", path, &error)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("\n---\n"))
}

/// Returns the documents of a folder, sorted by path, without those of folders in it.
fn documents_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        if ENDINGS.contains(&ending.as_str()) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_folder_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("c.JSON", "c"), ("a.yaml", "a"), ("b.yml", "b"), ("d.txt", "d"), (".yaml", "e")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("sub.yaml")).unwrap();
        assert_eq!(read(folder.path().to_str().unwrap(), &Proxies::default()).unwrap(), "a\n---\nb\n---\nc");
    }

    #[test]
    fn empty_folder_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path().to_str().unwrap(), &Proxies::default()).unwrap(), "");
    }

    #[test]
    fn missing_file_is_told() {
        let text = read("no-such-file.yaml", &Proxies::default()).unwrap_err().to_string();
        assert_eq!(text, "error while reading provided file: stat no-such-file.yaml: no such file or directory");
    }
}
