//! What the author of a document should know: parts of it that are taken and have no effect.

use crate::Kind;

/// More names than this are counted.
const MOST_NAMES: usize = 10;

/// Says which members of a document were left out; `dropped` are their paths.
pub(super) fn of_dropped(kind: Kind, dropped: &[String]) -> Vec<String> {
    // Policies of 2.x have `from`; 3.0 drops it, and what it said is not in force any more.
    let (from, others): (Vec<&String>, Vec<&String>) =
        dropped.iter().partition(|path| *path == "spec.from" && kind.policy.is_some_and(|policy| policy.from));
    let mut warnings = Vec::new();
    if !from.is_empty() {
        warnings.push("'from' field is not supported any more and was left out, use 'rules' instead".to_owned());
    }
    if !others.is_empty() {
        let names: Vec<String> = others.iter().take(MOST_NAMES).map(|path| format!("'{path}'")).collect();
        let more = others.len().saturating_sub(MOST_NAMES);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let (fields, were) = if others.len() == 1 { ("field", "was") } else { ("fields", "were") };
        warnings.push(format!("{kind} has no {fields} {}{more}: {were} left out", names.join(", ")));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_and_unknown_members_are_named() {
        let check = |kind: &str, dropped: &[&str], expected: &[&str]| {
            let dropped: Vec<String> = dropped.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(of_dropped(Kind::by_name(kind).expect("kind"), &dropped), expected);
        };
        check("MeshTimeout", &[], &[]);
        check(
            "MeshTimeout",
            &["spec.from", "spec.tos"],
            &[
                "'from' field is not supported any more and was left out, use 'rules' instead",
                "MeshTimeout has no field 'spec.tos': was left out",
            ],
        );
        check("MeshRetry", &["spec.from", "a"], &["MeshRetry has no fields 'spec.from', 'a': were left out"]);
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let said = of_dropped(Kind::MESH, &many);
        assert!(said.iter().all(|said| said.ends_with("'9' and 2 more: were left out")), "{said:?}");
    }
}
