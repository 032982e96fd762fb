//! Whatever comes from outside is read or refused, never a panic; what was read reads back.

use model::{Kind, SpecForm, document, duration, kri, proto, validate, yaml};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        "[a-z :#'\"\\-\n]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let names = prop_oneof![
            Just("targetRef".to_owned()),
            Just("kind".to_owned()),
            Just("to".to_owned()),
            Just("rules".to_owned()),
            Just("default".to_owned()),
            Just("http".to_owned()),
            Just("networking".to_owned()),
            Just("inbound".to_owned()),
            "[a-zA-Z0-9]{1,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::all().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn bodies_never_panic(kind in kind(), spec in json(), text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _read = document::from_rest(kind, &bytes);
        let _read = document::from_yaml(&text);
        let _read = document::split_yaml(&text);
        let _found = validate::spec(kind, &text, &text, &Default::default(), &bytes);
        let mut body = Map::new();
        if let (SpecForm::Proto(_), Value::Object(spec)) = (kind.spec, &spec) {
            body.extend(spec.clone());
        }
        body.insert("type".to_owned(), Value::from(kind.name));
        body.insert("name".to_owned(), Value::from("x"));
        body.insert("spec".to_owned(), spec);
        let body = Value::Object(body).to_string();
        if let Ok(read) = document::from_rest(kind, body.as_bytes()) && kind.spec == SpecForm::Json {
            // What was stored is stored the same when it comes again.
            let again = body_with(kind, &read.spec);
            prop_assert_eq!(document::from_rest(kind, again.as_bytes()).map(|read| read.spec), Ok(read.spec));
        }
    }

    #[test]
    fn texts_never_panic(text in any::<String>(), almost in "[-+]?[0-9.]{0,22}(h|m|s|ms|us|µs|ns|d)?[0-9.]{0,3}[hms]?") {
        let _parsed = kri::parse(&text);
        let _parsed = duration::parse(&text);
        if let Ok(span) = duration::parse(&almost) {
            prop_assert_eq!(duration::parse(&duration::format(span)), Ok(span));
        }
    }

    #[test]
    fn specs_of_any_bytes_never_panic(kind in kind(), bytes in any::<Vec<u8>>()) {
        let _fields = proto::spec_to_json(kind, &bytes);
    }

    #[test]
    fn printed_yaml_reads_back(value in json()) {
        let text = yaml::to_string(&value);
        let options = serde_saphyr::options! { leading_zero_numbers_as_strings: true };
        let read: Value = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(read, value, "{}", text);
    }
}

fn body_with(kind: Kind, spec: &[u8]) -> String {
    format!(r#"{{"type":"{kind}","name":"x","spec":{}}}"#, String::from_utf8_lossy(spec))
}
