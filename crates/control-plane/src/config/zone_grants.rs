//! Who may issue tokens for some zones: users and groups, each with its zones. What is no zone stops the program.

use std::collections::BTreeMap;

use super::values::{Values, clip};
use crate::access::{ZoneGrants, ZonePattern};

const PATH: &str = "access.static.generateZoneToken.zones";

/// Reads the setting; what is wrong with it goes to the problems.
pub(super) fn read(values: &Values, problems: &mut Vec<String>) -> ZoneGrants {
    let text = values.text(PATH);
    if text.is_empty() {
        return ZoneGrants::default();
    }
    let mut bad = |what: &str| problems.push(format!("{}: {PATH}: {what}", values.source(PATH)));
    let Ok(lists) = serde_json::from_str::<BTreeMap<String, Vec<String>>>(text) else {
        bad("it must be names of users or groups, each with a list of zones");
        return ZoneGrants::default();
    };
    let mut grants = BTreeMap::new();
    for (name, zones) in lists {
        if name.trim().is_empty() || zones.is_empty() {
            bad(&format!(
                "`{}` must be a user or a group, with at least one zone; leave it out otherwise",
                clip(&name)
            ));
        }
        let mut patterns = Vec::new();
        for zone in zones {
            match zone.parse::<ZonePattern>() {
                Ok(pattern) => patterns.push(pattern),
                Err(wrong) => bad(&format!("`{}`, for `{}`: {wrong}", clip(&zone), clip(&name))),
            }
        }
        grants.insert(name, patterns);
    }
    ZoneGrants(grants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{bad, good};

    fn file(zones: &str) -> String {
        format!("mode: global\naccess:\n  static:\n    generateZoneToken:\n      zones: {zones}\n")
    }

    #[test]
    fn users_and_groups_have_zones() {
        let (config, _) = good(&file(r#"{"john": ["west", "edge-*"], "team.a": ["*"]}"#), &[]);
        let pattern = |text: &str| text.parse::<ZonePattern>().unwrap();
        let expected =
            [("john".to_owned(), vec![pattern("west"), pattern("edge-*")]), ("team.a".to_owned(), vec![pattern("*")])];
        assert_eq!(config.access.zones, ZoneGrants(BTreeMap::from(expected)));
        let shown: serde_json::Value = serde_json::from_str(config.display_json()).unwrap();
        assert_eq!(shown.pointer("/access/static/generateZoneToken/zones/john/1").unwrap(), "edge-*");
        for empty in ["{}", ""] {
            assert_eq!(good(&file(empty), &[]).0.access.zones, ZoneGrants::default());
        }
    }

    #[test]
    fn what_is_no_zone_stops_the_program() {
        let check = |zones: &str, what: &str| {
            bad(&file(zones), &[], &["file kuma-cp.yaml, key access.static.generateZoneToken.zones", what]);
        };
        check(r#"{"john": ["e*ge"]}"#, "`e*ge`, for `john`: it must be the name of a zone");
        check(r#"{"john": [""]}"#, "`edge-*`");
        check(r#"{"john": []}"#, "with at least one zone");
        check(r#"{"": ["west"]}"#, "must be a user or a group");
        check(r#"{"john": "west"}"#, "each with a list of zones");
        check(r#"{"john": [1]}"#, "each with a list of zones");
        check(r#"["john"]"#, "each with a list of texts");
        check("west", "each with a list of texts");
    }
}
