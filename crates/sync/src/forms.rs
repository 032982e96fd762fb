//! Which form of which kind needs which version of a zone.
//!
//! Policies say what they do to incoming traffic in `from` (2.x) or in `rules`. A zone that does not know `rules` of a kind
//! rejects the policy, or takes it and does nothing: either way it is better not sent, and said.

use model::Kind;
use serde_json::Value;

use crate::feature::Features;

/// Since when a kind has `rules`.
struct Rules {
    kind: &'static str,
    since: Features,
    version: &'static str,
    /// A zone that does not read `rules` may have the rest of a policy. Not where the rest alone allows more.
    useful_in_part: bool,
}

/// Found with zones of 2.9.3, 2.9.19, 2.11.18 and 2.13.10. Older zones reject MeshTimeout, MeshAccessLog,
/// MeshCircuitBreaker and MeshTrafficPermission with `rules` alone; of the other three they acknowledge what means nothing
/// to them.
const RULES: [Rules; 7] = [
    Rules { kind: "MeshTimeout", since: Features::SINCE_2_10, version: "2.10", useful_in_part: true },
    Rules { kind: "MeshTLS", since: Features::SINCE_2_10, version: "2.10", useful_in_part: true },
    Rules { kind: "MeshAccessLog", since: Features::SINCE_2_10, version: "2.10", useful_in_part: true },
    Rules { kind: "MeshCircuitBreaker", since: Features::SINCE_2_10, version: "2.10", useful_in_part: true },
    Rules { kind: "MeshRateLimit", since: Features::SINCE_2_10, version: "2.10", useful_in_part: true },
    Rules { kind: "MeshTrafficPermission", since: Features::SINCE_2_12, version: "2.12", useful_in_part: false },
    Rules { kind: "MeshFaultInjection", since: Features::SINCE_2_13, version: "2.13", useful_in_part: true },
];

/// What a zone must be able to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// To get the resource at all.
    pub(crate) any: Features,
    /// To read all of it.
    pub(crate) all: Features,
}

/// Returns what a zone must be able to read for this spec.
pub(crate) fn reading(kind: Kind, spec: &[u8]) -> Reading {
    let Some(rules) = RULES.iter().find(|rules| rules.kind == kind.name) else { return Reading::default() };
    let Ok(spec) = serde_json::from_slice::<Value>(spec) else { return Reading::default() };
    let filled = |member: &str| spec.get(member).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if !filled("rules") {
        return Reading::default();
    }
    let in_part = rules.useful_in_part && (filled("to") || filled("from"));
    Reading { any: if in_part { Features::NONE } else { rules.since }, all: rules.since }
}

/// The first version that reads every form of a kind, where there are older ones that do not.
pub(crate) fn readable_since(kind: &str) -> &'static str {
    RULES.iter().find(|rules| rules.kind == kind).map_or("", |rules| rules.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, spec: &str, any: Features, all: Features) {
        let reading = reading(Kind::by_name(kind).unwrap(), spec.as_bytes());
        assert_eq!(reading, Reading { any, all }, "{kind} {spec}");
    }

    #[test]
    fn rules_need_the_version_that_knows_them() {
        for (kind, since) in [
            ("MeshTimeout", Features::SINCE_2_10),
            ("MeshTLS", Features::SINCE_2_10),
            ("MeshAccessLog", Features::SINCE_2_10),
            ("MeshCircuitBreaker", Features::SINCE_2_10),
            ("MeshRateLimit", Features::SINCE_2_10),
            ("MeshTrafficPermission", Features::SINCE_2_12),
            ("MeshFaultInjection", Features::SINCE_2_13),
        ] {
            check(kind, r#"{"rules":[{"default":{}}]}"#, since, since);
            check(kind, r#"{"targetRef":{"kind":"Mesh"},"to":[{}],"from":[{}]}"#, Features::NONE, Features::NONE);
            check(kind, r#"{"rules":[],"from":[{}]}"#, Features::NONE, Features::NONE);
            check(kind, r#"{"rules":null}"#, Features::NONE, Features::NONE);
            check(kind, "garbage", Features::NONE, Features::NONE);
            assert!(!readable_since(kind).is_empty());
        }
        check("MeshRetry", r#"{"rules":[{}]}"#, Features::NONE, Features::NONE);
    }

    #[test]
    fn half_of_a_policy_goes_where_it_is_useful_alone() {
        check("MeshTimeout", r#"{"to":[{}],"rules":[{}]}"#, Features::NONE, Features::SINCE_2_10);
        check("MeshFaultInjection", r#"{"from":[{}],"rules":[{}]}"#, Features::NONE, Features::SINCE_2_13);
        // What `from` allows, `rules` may deny.
        check("MeshTrafficPermission", r#"{"from":[{}],"rules":[{}]}"#, Features::SINCE_2_12, Features::SINCE_2_12);
    }
}
