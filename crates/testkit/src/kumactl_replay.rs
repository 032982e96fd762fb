//! Plays recorded runs of `kumactl` against our program, and tells where it differs.
//!
//! ```text
//! lines() -> Player::new(exe, folder) -> address("127.0.0.1:5681", real) -> play(&line) -> Vec<Difference>
//! ```
//!
//! A player has one home folder for all runs, as the recorder had. Recorded addresses are exchanged for real ones in
//! the arguments and in the settings file, and back in everything that comes out.

mod differences;
mod mask;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::captures;

pub use differences::Differences;
pub use mask::mask;

/// One recorded run.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// The words after the program's name.
    pub args: Vec<String>,
    /// What it read from standard input.
    pub stdin: String,
    /// What it wrote.
    pub stdout: String,
    /// What it told.
    pub stderr: String,
    /// How it ended.
    pub exit: i32,
    /// Against what it ran.
    pub state: String,
    /// Files after the run: path, mode, content.
    pub files: Vec<(String, String, String)>,
    /// The name under which its output is kept.
    pub saves: Option<String>,
    /// What the server saw.
    pub requests: Vec<Value>,
    /// It belongs to the short list.
    pub is_core: bool,
    /// The recording holds the beginning of the output only.
    pub is_cut: bool,
}

/// One thing that is not as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the line.
    pub line: usize,
    /// `exit`, `stdout`, `stderr` or a file's path.
    pub what: String,
    /// As recorded, masked.
    pub recorded: String,
    /// What came, masked.
    pub came: String,
}

/// Returns the recorded runs of this version (`3.0-preview`, `2.14.3`), or `None` where there are no recordings.
pub fn lines(version: &str) -> Option<Vec<Line>> {
    let path = captures::folder()?.join("rest").join(version).join("kumactl.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    Some(values.enumerate().map(|(index, value)| Line::of(index + 1, &value)).collect())
}

impl Line {
    /// Returns whether the run asks for what only a real control plane has, or cannot be played at all.
    pub fn needs_control_plane(&self) -> bool {
        let words: Vec<&str> = self.args.iter().map(String::as_str).collect();
        if self.state == "zones of many ages, next page at offset 9" || self.number == 273 {
            // Ages of seconds; and a server that was changed between two lines.
            return true;
        }
        if self.state.starts_with("no server") || self.has_canned_server() {
            // The built-in address has the fixed port.
            return words.contains(&"--no-config");
        }
        if words.starts_with(&["generate", "control-plane-token"]) {
            return true;
        }
        if self.stdout.starts_with("Usage:") || self.stderr.contains("required flag(s)") {
            return false;
        }
        match words.as_slice() {
            ["config", "control-planes", _, "--name", "https", ..] => true,
            ["config", ..] | ["version"] | ["nope"] | ["get"] | ["get", "nothing"] => false,
            ["--config-file", ..] | ["--api-timeout", ..] | ["delete", "nope", ..] | ["get", .., "-o", "xml"] => false,
            ["apply", rest @ ..] => {
                let is_refused = self.stderr.contains("resource[") || self.stderr.contains("passed to apply");
                !(is_refused || rest.contains(&"--dry-run"))
            }
            ["generate", "signing-key" | "public-key" | "tls-certificate", ..] | ["generate", .., "--kid", _] => false,
            _ => true,
        }
    }

    /// Returns whether the run is against a server of a few fixed answers, not against a control plane or nothing.
    pub fn has_canned_server(&self) -> bool {
        !["no server", "global", "federated"].iter().any(|state| self.state.starts_with(state))
    }

    fn of(number: usize, value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let flag = |name: &str| value[name].as_bool().unwrap_or_default();
        let file = |(path, file): (&String, &Value)| {
            let member = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
            (path.clone(), member("mode"), member("content"))
        };
        Self {
            number,
            args: value["args"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            stdin: text("stdin"),
            stdout: text("stdout"),
            stderr: text("stderr"),
            exit: value["exit"].as_i64().and_then(|exit| exit.try_into().ok()).unwrap_or(-1),
            state: text("serverState"),
            files: value["files"].as_object().into_iter().flatten().map(file).collect(),
            saves: value["saves"].as_object().and_then(|saves| saves.keys().next().cloned()),
            requests: value["requestsSeen"].as_array().cloned().unwrap_or_default(),
            is_core: flag("core"),
            is_cut: flag("cut"),
        }
    }
}

/// Plays runs, one after the other.
#[derive(Debug)]
pub struct Player {
    exe: PathBuf,
    folder: PathBuf,
    addresses: Vec<(String, String)>,
    saved: BTreeMap<String, String>,
}

impl Player {
    /// Returns a player of this program with the files that the recorder had, in an empty folder.
    pub fn new(exe: impl Into<PathBuf>, folder: &Path) -> Self {
        let put = |path: &str, text: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            fs::write(path, text).expect("write a file");
        };
        put(
            "t1.yaml",
            "type: MeshTimeout\nmesh: default\nname: t1\nspec:\n  targetRef:\n    kind: Mesh\n  to:\n  - targetRef:\n      kind: Mesh\n    default:\n      connectionTimeout: 2s\n",
        );
        for (path, name) in [("a.yaml", "dira"), ("b.yml", "dirb"), ("d.txt", "dird"), ("sub/e.yaml", "dire")] {
            put(&format!("dir/{path}"), &format!("type: Mesh\nname: {name}\n"));
        }
        put("dir/c.JSON", "{\"type\": \"Mesh\", \"name\": \"dirc\"}\n");
        fs::create_dir_all(folder.join("empty")).expect("make a folder");
        fs::create_dir_all(folder.join("home")).expect("make a folder");
        put("junk.pem", "junk\n");
        Self { exe: exe.into(), folder: folder.to_owned(), addresses: Vec::new(), saved: BTreeMap::new() }
    }

    /// From now on the recorded address (`127.0.0.1:5681`) stands for the real one.
    pub fn address(&mut self, recorded: &str, real: impl Into<String>) {
        self.addresses.retain(|(known, _)| known != recorded);
        self.addresses.push((recorded.to_owned(), real.into()));
    }

    /// Gives a text the name that stands in recorded arguments: `admin`.
    pub fn save(&mut self, name: &str, text: impl Into<String>) {
        self.saved.insert(name.to_owned(), text.into());
    }

    /// Runs the program as recorded and returns what is not as recorded.
    pub fn play(&mut self, line: &Line) -> Vec<Difference> {
        let settings = self.folder.join("home/.kumactl/config");
        self.exchange(&settings, |text| self.real(text));
        let args = line.args.iter().map(|word| self.real(&self.filled(word)));
        let mut child = Command::new(&self.exe)
            .args(args)
            .env_clear()
            .env("HOME", self.folder.join("home"))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", self.exe.display()));
        // A run that does not read its input closes it early.
        drop(child.stdin.take().expect("stdin is piped").write_all(line.stdin.as_bytes()));
        let output = child.wait_with_output().expect("wait for kumactl");
        self.exchange(&settings, |text| self.recorded(text));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = self.recorded(&String::from_utf8_lossy(&output.stderr));
        if let Some(name) = &line.saves {
            if name == "pem" {
                fs::write(self.folder.join("key.pem"), &stdout).expect("write key.pem");
            }
            self.saved.insert(name.clone(), stdout.clone());
        }
        let mut differences = Vec::new();
        let mut compare = |what: &str, recorded: String, came: String| {
            if recorded != came {
                differences.push(Difference { line: line.number, what: what.to_owned(), recorded, came });
            }
        };
        compare("exit", line.exit.to_string(), output.status.code().unwrap_or(-1).to_string());
        compare("stderr", mask(&line.stderr), mask(&stderr));
        let stdout = self.recorded(&stdout);
        if line.is_cut {
            for part in line.stdout.split("...").map(str::trim).filter(|part| !part.is_empty()) {
                let found = if stdout.contains(part) { part.to_owned() } else { stdout.clone() };
                compare("stdout", part.to_owned(), found);
            }
        } else {
            compare("stdout", mask(&line.stdout), mask(&stdout));
        }
        for (path, mode, content) in &line.files {
            let real = self.folder.join(path);
            let came = fs::read_to_string(&real).unwrap_or_default();
            let came_mode =
                fs::metadata(&real).map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or_default();
            compare(
                path,
                format!("{mode} {}", mask(content)),
                format!("{came_mode:o} {}", mask(&self.recorded(&came))),
            );
        }
        differences
    }

    fn filled(&self, word: &str) -> String {
        self.saved.iter().fold(word.to_owned(), |word, (name, text)| word.replace(&format!("{{{{{name}}}}}"), text))
    }

    fn real(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (recorded, real)| text.replace(recorded, real))
    }

    fn recorded(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (recorded, real)| text.replace(real, recorded))
    }

    fn exchange(&self, path: &Path, change: impl Fn(&str) -> String) {
        if let Ok(text) = fs::read_to_string(path) {
            fs::write(path, change(&text)).expect("write the settings");
        }
    }
}
