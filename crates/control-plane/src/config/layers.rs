//! Lays the file over the defaults and the environment over the file, through every name a setting ever had.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    settings::{Effect, FORMER, Form, ONLY_IN_2X, SETTINGS, Setting},
    values::{Source, Values, clip},
};

/// In these sections of a file an unknown key is a mistake that must not pass.
const STRICT_SECTIONS: &[&str] =
    &["mode", "general", "store", "apiServer", "multizone", "access", "diagnostics", "kmesh"];
/// The same for variables with these prefixes.
const STRICT_PREFIXES: &[&str] = &["KUMA_MULTIZONE_", "KUMA_STORE_", "KMESH_"];
/// A file of a few kilobytes is usual; nothing of a megabyte is a configuration.
const LARGEST_FILE: usize = 1024 * 1024;

/// One value under the name it was given.
struct Given {
    text: String,
    source: Source,
    /// The name is of an earlier generation.
    former: bool,
}

/// Returns the values and what is worth a line in the log, or every problem.
pub(super) fn merge(
    file: Option<(&str, &str)>,
    environment: &[(String, String)],
) -> Result<(Values, Vec<String>), Vec<String>> {
    let mut merging = Merging::default();
    if let Some((name, text)) = file {
        merging.file(name, text);
    }
    merging.environment(environment);
    merging.finish()
}

#[derive(Default)]
struct Merging {
    values: Values,
    remarks: Vec<String>,
    problems: Vec<String>,
    without_effect: Vec<String>,
    unknown: Vec<String>,
}

impl Merging {
    fn file(&mut self, name: &str, text: &str) {
        if text.len() > LARGEST_FILE {
            self.problems.push(format!("file {name}: it is larger than {LARGEST_FILE} bytes"));
            return;
        }
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return;
        }
        let document: Value = match serde_saphyr::from_str(text) {
            Ok(document) => document,
            Err(error) => {
                self.problems.push(format!("file {name}: it is no YAML: {}", clip(&error.to_string())));
                return;
            }
        };
        let mut flat = Vec::new();
        match &document {
            Value::Object(_) => flatten("", &document, &mut flat),
            Value::Null => {}
            _ => self.problems.push(format!("file {name}: it must hold keys and values")),
        }
        let mut given: BTreeMap<&'static str, Vec<Given>> = BTreeMap::new();
        for (key, value) in flat {
            let source = Source::File { file: name.to_owned(), key: key.clone() };
            match find_path(&key) {
                Found::Setting(setting, former) => match text_of(setting, &value) {
                    Ok(text) => given.entry(setting.path).or_default().push(Given { text, source, former }),
                    Err(allowed) => self.problems.push(format!("{source}: {allowed}")),
                },
                Found::Without => self.without_effect.push(key),
                Found::Refused(why) => self.problems.push(format!("{source}: {why}")),
                Found::Unknown => {
                    let section = key.split('.').next().unwrap_or_default();
                    if STRICT_SECTIONS.contains(&section) {
                        self.problems.push(format!("{source}: there is no such key{}", nearest(&key)));
                    } else {
                        self.unknown.push(key);
                    }
                }
            }
        }
        self.lay(given);
    }

    fn environment(&mut self, environment: &[(String, String)]) {
        let mut given: BTreeMap<&'static str, Vec<Given>> = BTreeMap::new();
        for (variable, text) in environment {
            if !variable.starts_with("KUMA_") && !variable.starts_with("KMESH_") {
                continue;
            }
            let source = Source::Environment { variable: variable.clone() };
            match find_variable(variable) {
                Found::Setting(setting, former) => {
                    given.entry(setting.path).or_default().push(Given { text: text.clone(), source, former });
                }
                Found::Without => self.without_effect.push(variable.clone()),
                Found::Refused(why) => self.problems.push(format!("{source}: {why}")),
                Found::Unknown => {
                    if STRICT_PREFIXES.iter().any(|prefix| variable.starts_with(prefix)) {
                        self.problems.push(format!("{source}: there is no such setting{}", nearest(variable)));
                    } else {
                        self.unknown.push(variable.clone());
                    }
                }
            }
        }
        self.lay(given);
    }

    /// Lays one layer over what is there: several names of one setting must agree.
    fn lay(&mut self, given: BTreeMap<&'static str, Vec<Given>>) {
        for (path, mut names) in given {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.path == path) else { continue };
            names.sort_by_key(|one| one.former);
            for one in names.iter().filter(|one| one.former) {
                self.remarks.push(format!(
                    "{} has a new name, {}; the old one works too",
                    one.source,
                    new_name(setting, &one.source)
                ));
            }
            let Some((first, rest)) = names.split_first() else { continue };
            if let Some(other) = rest.iter().find(|other| other.text.trim() != first.text.trim()) {
                self.problems.push(format!(
                    "{} and {} both set {path} and have different values: remove one of them",
                    first.source, other.source
                ));
                continue;
            }
            if let Err(problem) = self.values.set(setting, &first.text, first.source.clone()) {
                self.problems.push(problem);
                continue;
            }
            if first.text.trim() == setting.default {
                continue;
            }
            match setting.effect {
                Effect::Works => {}
                Effect::Nothing => self.without_effect.push(path.to_owned()),
                Effect::Refuses(why) => {
                    self.problems.push(format!("{}: {path} is `{}`: {why}", first.source, clip(first.text.trim())));
                }
            }
        }
    }

    fn finish(mut self) -> Result<(Values, Vec<String>), Vec<String>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        if !self.without_effect.is_empty() {
            self.remarks.push(format!(
                "settings of parts that are not here have no effect: {}",
                self.without_effect.join(", ")
            ));
        }
        if !self.unknown.is_empty() {
            self.remarks.push(format!("unknown settings are ignored: {}", self.unknown.join(", ")));
        }
        Ok((self.values, self.remarks))
    }
}

enum Found {
    /// A setting; whether its name is of an earlier generation.
    Setting(&'static Setting, bool),
    /// A setting of 2.x without effect here.
    Without,
    Refused(&'static str),
    Unknown,
}

fn by_path(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.path == path)
}

fn find_path(key: &str) -> Found {
    if let Some(setting) = by_path(key) {
        return Found::Setting(setting, false);
    }
    if key.contains(".konnect.") {
        return Found::Refused(KONNECT);
    }
    if let Some(setting) = former(key) {
        return Found::Setting(setting, true);
    }
    if let Some(rest) = key.strip_prefix("multizone.remote.")
        && let Some(setting) = by_path(&format!("multizone.zone.{rest}"))
    {
        return Found::Setting(setting, true);
    }
    if ONLY_IN_2X.iter().any(|(path, _)| *path == key) || key.starts_with("runtime.kubernetes.") {
        return Found::Without;
    }
    Found::Unknown
}

fn find_variable(variable: &str) -> Found {
    let by_variable =
        |name: &str| SETTINGS.iter().find(|setting| !setting.variable.is_empty() && setting.variable == name);
    if let Some(setting) = by_variable(variable) {
        return Found::Setting(setting, false);
    }
    if variable.contains("_KONNECT_") {
        return Found::Refused(KONNECT);
    }
    if let Some(setting) = former(variable) {
        return Found::Setting(setting, true);
    }
    if let Some(rest) = variable.strip_prefix("KUMA_MULTIZONE_REMOTE_")
        && let Some(setting) = by_variable(&format!("KUMA_MULTIZONE_ZONE_{rest}"))
    {
        return Found::Setting(setting, true);
    }
    if ONLY_IN_2X.iter().any(|(_, name)| *name == variable) || variable.starts_with("KUMA_RUNTIME_KUBERNETES_") {
        return Found::Without;
    }
    Found::Unknown
}

const KONNECT: &str = "Konnect is a service of Kong's and does not exist here";

fn former(name: &str) -> Option<&'static Setting> {
    FORMER.iter().find(|(old, _)| *old == name).and_then(|(_, path)| by_path(path))
}

fn new_name<'a>(setting: &'a Setting, source: &Source) -> &'a str {
    match source {
        Source::Environment { .. } if !setting.variable.is_empty() => setting.variable,
        Source::Environment { .. } | Source::File { .. } | Source::Default => setting.path,
    }
}

/// How many letters a name may be off to be taken for a slip.
const SLIP: usize = 2;

/// A hint for a name that is off by its case, its separators or a letter or two.
fn nearest(name: &str) -> String {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let wanted = plain(name);
    let known =
        SETTINGS.iter().flat_map(|setting| [setting.path, setting.variable]).chain(FORMER.iter().map(|(old, _)| *old));
    known
        .filter(|known| !known.is_empty())
        .map(|known| (distance(&plain(known), &wanted), known))
        .filter(|(distance, _)| *distance <= SLIP)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"))
}

/// How many letters have to be put in, left out or changed to make one text of the other; a lower bound if that is many.
fn distance(one: &str, other: &str) -> usize {
    let lengths = one.len().abs_diff(other.len());
    if lengths > SLIP {
        return lengths;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut left = at + 1;
        let mut next = vec![left];
        for ((wanted, diagonal), above) in other.bytes().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != wanted)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Every leaf of a document with its path. Lists are leaves; so are empty sections, which say nothing.
fn flatten(prefix: &str, value: &Value, flat: &mut Vec<(String, Value)>) {
    match value {
        // Not a section: names with their lists, or somebody forgot that keys are a list.
        Value::Object(_) if by_path(prefix).is_some_and(|setting| matches!(setting.form, Form::Keys | Form::Lists)) => {
            flat.push((prefix.to_owned(), value.clone()));
        }
        Value::Object(members) => {
            for (name, value) in members {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&path, value, flat);
            }
        }
        Value::Null => {}
        leaf => flat.push((prefix.to_owned(), leaf.clone())),
    }
}

fn text_of(setting: &Setting, value: &Value) -> Result<String, String> {
    match (value, setting.form) {
        (Value::Array(items), Form::List) => {
            let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            Ok(texts.ok_or("it must be a list of texts")?.join(","))
        }
        (Value::Array(keys), Form::Keys) if keys.is_empty() => Ok(String::new()),
        (Value::Array(_), Form::Keys) => Ok(value.to_string()),
        (Value::String(_) | Value::Object(_), Form::Keys) => Err(format!("{} must be a list of keys", setting.path)),
        (Value::Object(names), Form::Lists) if names.is_empty() => Ok(String::new()),
        (Value::Object(_), Form::Lists) => Ok(value.to_string()),
        (Value::Array(_) | Value::String(_) | Value::Bool(_) | Value::Number(_), Form::Lists) => {
            Err(format!("{} must be names, each with a list of texts", setting.path))
        }
        (Value::Array(_) | Value::Object(_), _) => Err(format!("{} must be one value", setting.path)),
        (Value::String(text), _) => Ok(text.clone()),
        (Value::Bool(_) | Value::Number(_), Form::List | Form::Keys) => {
            Err(format!("{} must be a list of texts", setting.path))
        }
        (Value::Bool(flag), _) => Ok(flag.to_string()),
        (Value::Number(number), _) => Ok(number.to_string()),
        (Value::Null, _) => Ok(String::new()),
    }
}
