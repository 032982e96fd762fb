//! Fuzz targets of the rules that texts of a peer go through.

use std::str;

use sync::{Features, Role, WireName, hashed_name, policy_role};
use testkit::fuzz::{Direction, Form, Inputs, messages, protobuf};

/// Names as peers sent them: of resources and in lists of removals.
fn recorded_names() -> Vec<Vec<u8>> {
    let sent = [("GlobalToZoneSync", Direction::FromGlobal), ("ZoneToGlobalSync", Direction::FromZone)];
    let responses = sent.iter().flat_map(|(method, direction)| messages(method, *direction));
    let mut names: Vec<Vec<u8>> = responses.flat_map(|response| names_of(&response)).collect();
    names.sort();
    names.dedup();
    names
}

/// `resources` (2) have a `name` (3); `removed_resources` is 6.
fn names_of(response: &[u8]) -> Vec<Vec<u8>> {
    let texts = |message: &[u8], number: u32| -> Vec<Vec<u8>> {
        let fields = protobuf::fields(message).unwrap_or_default().into_iter();
        fields
            .filter_map(|field| match field.value {
                protobuf::Value::Bytes(bytes) if field.number == number => Some(bytes),
                _ => None,
            })
            .collect()
    };
    let resources = texts(response, 2);
    resources.iter().flat_map(|resource| texts(resource, 3)).chain(texts(response, 6)).collect()
}

#[test]
fn any_name_on_the_wire_is_read_and_written_back() {
    let inputs = Inputs::new(Form::Text).recorded(recorded_names()).made(["default.", "a.b.default", "plain", ""]);
    testkit::fuzz!(inputs.runs(20_000), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        let name = WireName::parse(text);
        assert!(!name.mesh.contains('.'), "split at the last dot");
        let expected = if text.contains('.') { text.to_owned() } else { format!("{text}.") };
        assert_eq!(name.to_string(), expected);
        assert_eq!(WireName::parse(&expected), name);
    });
}

#[test]
fn any_name_gets_a_hash_and_stays_a_name() {
    let long = "ü".repeat(200);
    let made = ["default\nredis\nzone-1\nns".to_owned(), "\nfoo".to_owned(), format!("m\n{long}"), "a".repeat(300)];
    let inputs = Inputs::new(Form::Text).recorded(recorded_names()).made(made);
    testkit::fuzz!(inputs.runs(20_000), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        let mut parts = text.split('\n');
        let (mesh, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (zone, namespace) = (parts.next(), parts.next());
        let hashed = hashed_name(mesh, name, zone, namespace);
        assert!(hashed.len() <= 253, "{} bytes", hashed.len());
        let (kept, hash) = hashed.split_at(hashed.len() - 17);
        assert!(name.starts_with(kept), "{kept}");
        assert!(kept == name || kept.len() > 236 - 4, "cut only when it is too long, between two characters");
        assert!(hash.starts_with('-') && hash[1..].bytes().all(|c| b"bcdfghjklmnpqrstvwxz2456789".contains(&c)));
        assert_eq!(hashed, hashed_name(mesh, name, zone, namespace));
    });
}

#[test]
fn any_spec_has_one_role() {
    let item = r#"{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}"#;
    let other = r#"{"targetRef":{"kind":"MeshHTTPRoute","name":"a","namespace":"ns"},"default":{}}"#;
    let made = [
        format!(r#"{{"to":[{item}]}}"#),
        format!(r#"{{"to":[{item},{other}]}}"#),
        format!(r#"{{"to":[{item},{{"targetRef":{{"kind":"Mesh"}}}}]}}"#),
        r#"{"to":[{}],"from":[]}"#.to_owned(),
        "[]".to_owned(),
    ];
    let words =
        ["to", "targetRef", "kind", "labels", "name", "namespace", "MeshService", "k8s.kuma.io/namespace", "ns"];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(words).runs(10_000), |input| {
        assert_eq!(policy_role(input, None), Role::System);
        assert_eq!(policy_role(input, Some("")), Role::System);
        let role = policy_role(input, Some("ns"));
        let Ok(spec) = serde_json::from_slice::<serde_json::Value>(input) else {
            assert_eq!(role, Role::WorkloadOwner, "what is no JSON has no destinations");
            return;
        };
        assert_eq!(policy_role(spec.to_string().as_bytes(), Some("ns")), role, "however it is written");
        let items = spec["to"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(items.is_empty(), role == Role::WorkloadOwner);
        // Alone, each item of a producer policy makes a producer policy.
        let alone = |item: &serde_json::Value| {
            policy_role(serde_json::json!({ "to": [item] }).to_string().as_bytes(), Some("ns"))
        };
        let producers = items.iter().filter(|item| alone(item) == Role::Producer).count();
        let expected = match (producers, items.len()) {
            (_, 0) => Role::WorkloadOwner,
            (0, _) => Role::Consumer,
            (some, all) if some == all => Role::Producer,
            _ => Role::Mixed,
        };
        assert_eq!(role, expected);
    });
}

#[test]
fn any_features_are_the_known_ones_of_the_list() {
    let made = ["zone-token\nhash-suffix\nhg-mz-selector", "producer-policy-flow\nnew", "hash-suffix,zone-token"];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(["hash-suffix", "\n"]).runs(5_000), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        let features = Features::from_names(text.split('\n'));
        assert_eq!(Features::from_names(features.names()), features);
        assert!(features.names().all(|name| text.split('\n').any(|given| given == name)));
    });
}
