//! Forms of output: a table for people, YAML and JSON for programs.

pub(crate) mod age;
pub(crate) mod table;
pub(crate) mod visible;

use model::document::{META, escape_html};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// The form that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Table,
    /// YAML with sorted keys.
    Yaml,
    Json,
}

impl Form {
    /// Reads `-o`.
    pub(crate) fn of(name: &str) -> Result<Self, Failure> {
        match name {
            "table" => Ok(Self::Table),
            "yaml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            other => Err(Failure::Refused(format!("unknown output format {other:?}"))),
        }
    }
}

/// Writes JSON with two blanks a level, `<`, `>` and `&` escaped.
pub(crate) fn json(value: &Value) -> String {
    // A value that was parsed can always be written.
    visible::json(&escape_html(&serde_json::to_string_pretty(value).unwrap_or_default())) + "\n"
}

/// Writes one resource as YAML: the meta members, then, for kinds without a member `spec`, what they hold.
pub(crate) fn yaml_of_resource(value: &Value, is_inlined: bool) -> String {
    let Some(members) = value.as_object().filter(|_| is_inlined) else {
        return model::yaml::to_string(value);
    };
    let (meta, rest): (Map<String, Value>, Map<String, Value>) =
        members.clone().into_iter().partition(|(name, _)| META.contains(&name.as_str()));
    let mut text = model::yaml::to_string(&Value::Object(meta));
    if !rest.is_empty() {
        text += &model::yaml::to_string(&Value::Object(rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inlined_resource_shows_its_meta_first() {
        let secret = json!({"type": "Secret", "name": "s", "data": "x", "creationTime": "2026-01-01T00:00:00Z"});
        let expected = "creationTime: \"2026-01-01T00:00:00Z\"\nname: s\ntype: Secret\ndata: x\n";
        assert_eq!(yaml_of_resource(&secret, true), expected);
        assert_eq!(yaml_of_resource(&json!({"type": "Mesh", "name": "m"}), true), "name: m\ntype: Mesh\n");
    }

    #[test]
    fn other_resource_is_sorted_as_a_whole() {
        let policy = json!({"type": "T", "name": "x1", "spec": {"b": 1, "a": 2}, "status": {}});
        assert_eq!(yaml_of_resource(&policy, false), "name: x1\nspec:\n  a: 2\n  b: 1\nstatus: {}\ntype: T\n");
    }

    #[test]
    fn json_escapes_what_html_reads() {
        assert_eq!(json(&json!({"a": "<&>"})), "{\n  \"a\": \"\\u003c\\u0026\\u003e\"\n}\n");
    }
}
