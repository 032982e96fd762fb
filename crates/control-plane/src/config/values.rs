//! The values of all settings, each with where it came from.

use std::{collections::BTreeMap, fmt, time::Duration};

use model::text;
use serde_json::{Map, Value};

use super::settings::{Form, SETTINGS, Setting};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default.
    Default,
    /// A key of the file.
    File {
        /// The file.
        file: String,
        /// The key as it stands there.
        key: String,
    },
    /// A variable of the environment.
    Environment {
        /// The variable.
        variable: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, key } => write!(f, "file {file}, key {key}"),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
        }
    }
}

/// All values, as texts that were checked to be of their form.
#[derive(Debug)]
pub(super) struct Values {
    all: BTreeMap<&'static str, (String, Source)>,
    /// The paths that were read, for the test that asks each setting for its reader.
    #[cfg(test)]
    read: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

impl Default for Values {
    fn default() -> Self {
        let default = |setting: &Setting| (setting.path, (setting.default.to_owned(), Source::Default));
        Self {
            all: SETTINGS.iter().map(default).collect(),
            #[cfg(test)]
            read: std::cell::RefCell::default(),
        }
    }
}

impl Values {
    /// Sets a value, or says why it is none of the setting's form.
    pub(super) fn set(&mut self, setting: &Setting, text: &str, source: Source) -> Result<(), String> {
        let text = text.trim();
        let allowed = match setting.form {
            Form::Text | Form::Keys | Form::Lists => None,
            // An empty text is an empty list; commas alone are a mistake, and nobody can tell which.
            Form::List => (!text.is_empty() && items(text).next().is_none())
                .then_some("the list names nothing; leave it empty if that is meant"),
            Form::Flag => (!matches!(text, "true" | "false")).then_some("allowed are `true` and `false`"),
            Form::Number => text.parse::<u32>().is_err().then_some("it must be a whole number from 0 on"),
            Form::Duration => {
                let parsed = model::duration::parse(text).ok().filter(|duration| !duration.is_negative());
                parsed.is_none().then_some("it must be a duration like `10s` or `1h30m`, not negative")
            }
        };
        if let Some(allowed) = allowed {
            return Err(format!("{source}: {} is `{}`: {allowed}", setting.path, clip(text)));
        }
        self.all.insert(setting.path, (text.to_owned(), source));
        Ok(())
    }

    /// Replaces a value that has another spelling.
    pub(super) fn replace(&mut self, path: &'static str, text: &str) {
        if let Some((value, _)) = self.all.get_mut(path) {
            text.clone_into(value);
        }
    }

    pub(super) fn text(&self, path: &str) -> &str {
        #[cfg(test)]
        self.read.borrow_mut().insert(path.to_owned());
        self.peek(path)
    }

    fn peek(&self, path: &str) -> &str {
        self.all.get(path).map_or("", |(text, _)| text.as_str())
    }

    /// The paths that were read so far.
    #[cfg(test)]
    pub(super) fn read(&self) -> std::collections::BTreeSet<String> {
        self.read.borrow().clone()
    }

    pub(super) fn source(&self, path: &str) -> Source {
        self.all.get(path).map_or(Source::Default, |(_, source)| source.clone())
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.text(path) == "true"
    }

    pub(super) fn number(&self, path: &str) -> u32 {
        self.text(path).parse().unwrap_or(0)
    }

    pub(super) fn duration(&self, path: &str) -> Duration {
        let parsed = model::duration::parse(self.text(path)).ok();
        parsed.and_then(|duration| Duration::try_from(duration).ok()).unwrap_or_default()
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        items(self.text(path)).map(str::to_owned).collect()
    }

    /// Everything as the nested document of a file, secrets masked, durations in Go's spelling.
    pub(super) fn shown(&self) -> Value {
        let mut document = Map::new();
        for setting in SETTINGS {
            let text = self.peek(setting.path);
            let value = match setting.form {
                Form::Text if is_secret(setting.path) && !text.is_empty() => Value::from("*****"),
                // The peer leaves out the address of a global that there is none of.
                Form::Text if setting.path == "multizone.zone.globalAddress" && text.is_empty() => continue,
                Form::Text => Value::from(text),
                Form::Flag => Value::from(text == "true"),
                Form::Number => Value::from(text.parse().unwrap_or(0_u32)),
                Form::Duration => {
                    Value::from(model::duration::parse(text).map(model::duration::format).unwrap_or_default())
                }
                Form::List => Value::from(items(text).collect::<Vec<_>>()),
                Form::Keys => serde_json::from_str(text).unwrap_or_else(|_none| Value::Array(Vec::new())),
                Form::Lists => serde_json::from_str(text).unwrap_or_else(|_none| Value::Object(Map::new())),
            };
            insert(&mut document, setting.path, value);
        }
        Value::Object(document)
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn is_secret(path: &str) -> bool {
    path.ends_with("assword") || path.ends_with("tokenInline") || path == "store.sealing.key"
}

fn insert(document: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            document.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let section = document.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(section) = section {
                insert(section, rest, value);
            }
        }
    }
}

/// Values are shown shortened: they end in error texts.
pub(super) fn clip(value: &str) -> String {
    text::clip(value, 200)
}
