//! Fuzz targets of documents, specs, durations and names: read or refused, never a panic; what was read reads back.

use std::str;

use bytes::Bytes;
use jiff::Timestamp;
use model::{
    Audience, Key, Kind, Labels, Resource, SpecForm, ZoneName, document, duration, kri, labels, proto, validate,
};
use serde_json::Value;
use testkit::fuzz::{Direction, Form, Inputs, messages, protobuf};

const METHODS: [(&str, Direction); 2] =
    [("GlobalToZoneSync", Direction::FromGlobal), ("ZoneToGlobalSync", Direction::FromZone)];

/// The recorded specs: kind and bytes. In a response `type_url` is 4 and `resources` 2; in those the `Any` is 2, in it
/// `value` 2, which is a KumaResource with `spec` 2, again with a `value` 2.
fn recorded_specs() -> Vec<(Kind, Vec<u8>)> {
    let mut specs = Vec::new();
    for response in METHODS.iter().flat_map(|(method, direction)| messages(method, *direction)) {
        let kind = inner(&response, &[4]).first().and_then(|name| Kind::by_name(str::from_utf8(name).ok()?));
        let Some(kind) = kind else { continue };
        specs.extend(inner(&response, &[2, 2, 2, 2, 2]).into_iter().map(|spec| (kind, spec)));
    }
    specs.sort();
    specs.dedup();
    specs
}

/// The bytes of the fields at a path of numbers.
fn inner(message: &[u8], path: &[u32]) -> Vec<Vec<u8>> {
    let Some((number, rest)) = path.split_first() else { return vec![message.to_vec()] };
    let fields = protobuf::fields(message).unwrap_or_default().into_iter();
    let chosen = fields.filter_map(|field| match field.value {
        protobuf::Value::Bytes(bytes) if field.number == *number => Some(bytes),
        _ => None,
    });
    chosen.flat_map(|bytes| inner(&bytes, rest)).collect()
}

/// Documents as people write them, one for each shape.
const DOCUMENTS: [&str; 8] = [
    "type: Mesh\nname: default\n",
    "type: MeshTimeout\nmesh: default\nname: t\nlabels: {team: a, n: 012}\nspec:\n  targetRef: {kind: Mesh}\n  to:\n  - targetRef: {kind: Mesh}\n    default: {idleTimeout: 1h, http: {requestTimeout: 15s}}\n",
    "type: Dataplane\nmesh: default\nname: dp\nnetworking:\n  address: 10.0.0.1\n  inbound:\n  - port: 80\n    tags: {kuma.io/service: web}\n  gateway: {tags: {a: b}}\n",
    "type: Secret\nmesh: default\nname: s\ndata: aGVsbG8=\n---\ntype: GlobalSecret\nname: g\ndata: ''\n",
    "type: MeshService\nmesh: default\nname: web\nspec:\n  ports:\n  - {port: 80, targetPort: 8080, appProtocol: http}\n  selector: {dataplaneTags: {a: b}}\n",
    "type: HostnameGenerator\nname: g\nspec:\n  template: '{{ .DisplayName }}.svc.local'\n  selector: {meshService: {matchLabels: {a: b}}}\n",
    "{\"type\":\"MeshHTTPRoute\",\"name\":\"r\",\"mesh\":\"default\",\"spec\":{\"to\":[{\"targetRef\":{\"kind\":\"MeshService\",\"labels\":{\"a\":\"b\"}},\"rules\":[]}]}}",
    "type: CircuitBreaker\nmesh: default\nname: cb\nsources: [{match: {a: '*'}}]\ndestinations: [{match: {a: '*'}}]\nconf: {detectors: {totalErrors: {}}}\n",
];

#[test]
fn any_document_is_read_or_refused() {
    let recorded = recorded_specs().into_iter().filter(|(kind, _)| kind.spec == SpecForm::Json).map(|(kind, spec)| {
        let spec = String::from_utf8_lossy(&spec);
        format!(r#"{{"type":"{kind}","mesh":"default","name":"x","spec":{spec}}}"#).into_bytes()
    });
    let words = ["type: ", "name: ", "mesh: default", "spec", "targetRef", "kind", "to", "rules", "default", "1h30m"];
    let inputs = Inputs::new(Form::Text).recorded(recorded.collect::<Vec<_>>()).made(DOCUMENTS).words(words);
    testkit::fuzz!(inputs.runs(2_500), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        for part in document::split_yaml(text) {
            let Ok(read) = document::from_yaml(&part) else { continue };
            let found = validate::meta(read.kind, &read.name, &read.mesh);
            assert_eq!(found, [], "{part}");
            // What kumactl read, global reads from it again.
            let sent = document::to_rest_text(&read.to_rest());
            let again =
                document::from_rest(read.kind, sent.as_bytes()).unwrap_or_else(|error| panic!("{error}: {sent}"));
            assert_eq!((again.name, again.labels), (read.name, read.labels), "{sent}");
            assert_eq!(again.spec, read.spec, "{sent}");
        }
        let named = Kind::all().filter(|kind| text.contains(kind.name));
        for kind in named.chain([Kind::MESH, Kind::MESH_SERVICE]) {
            let Ok(read) = document::from_rest(kind, input) else { continue };
            shown(kind, &read.name, &read.labels, &read.spec);
        }
    });
}

#[test]
fn any_spec_is_checked_and_shown() {
    let kinds: Vec<Kind> = Kind::all().filter(|kind| matches!(kind.spec, SpecForm::Proto(_))).collect();
    let recorded = recorded_specs().into_iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, spec)| spec);
    let time = |seconds: u64| {
        let time = protobuf::message(&[protobuf::Field { number: 1, value: protobuf::Value::Varint(seconds) }]);
        let one = protobuf::message(&[protobuf::Field { number: 3, value: protobuf::Value::Bytes(time) }]);
        protobuf::message(&[protobuf::Field { number: 1, value: protobuf::Value::Bytes(one) }])
    };
    let mut made = vec![time(1), time(u64::MAX), time(1 << 63), vec![0x0a, 0], Vec::new()];
    made.push((0..200).fold(Vec::new(), |inner, _| {
        protobuf::message(&[protobuf::Field { number: 1, value: protobuf::Value::Bytes(inner) }])
    }));
    testkit::fuzz!(Inputs::new(Form::Message).recorded(recorded.collect::<Vec<_>>()).made(made).runs(1_500), |spec| {
        for kind in &kinds {
            shown(*kind, "x", &Labels::new(), spec);
            let Ok(first) = proto::spec_to_json(*kind, spec) else { continue };
            let Ok(bytes) = proto::spec_from_json(*kind, &first) else { continue };
            let second = proto::spec_to_json(*kind, &bytes).expect("what was just encoded");
            let third = proto::spec_from_json(*kind, &second).expect("what was just shown");
            assert_eq!(bytes, third, "{kind} {}", Value::Object(second));
        }
    });
}

/// Checks and shows a resource as receivers of KDS and REST do.
fn shown(kind: Kind, name: &str, labels: &Labels, spec: &[u8]) {
    for violation in validate::received(kind, name, "default", labels, spec) {
        assert!(!violation.to_string().is_empty());
    }
    let resource = Resource {
        key: Key { kind, mesh: "default".to_owned(), name: name.to_owned() },
        labels: labels.clone(),
        spec: Bytes::copy_from_slice(spec),
        status: Some(Bytes::copy_from_slice(spec)),
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    let shown = document::to_rest(&resource, Some("west"), Audience::Everybody);
    let text = document::to_rest_text(&shown);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap_or_default(), shown, "{text}");
}

#[test]
fn any_duration_is_go_s() {
    let made = ["1h30m", "-1.5s", "0", "2562047h47m16.854775807s", "-2562047h47m16.854775808s", "1µs", ".5m", "1d"];
    let words =
        ["h", "m", "s", "ms", "us", "µs", "μs", "ns", ".", "-", "+", "9223372036854775807", "0.000000000000000001"];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(words).runs(20_000), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        match duration::parse(text) {
            Ok(span) => assert_eq!(duration::parse(&duration::format(span)), Ok(span), "{text}"),
            Err(error) => assert!(error.to_string().starts_with("time: ")),
        }
    });
}

#[test]
fn any_name_is_valid_or_not() {
    let made = ["west", "a-b.c-1", "kri_mt_default_east_ns_l1_http", "kuma.io/zone", "-a", "a_b", "1west", "A"];
    let words = ["kri_", "mt", "m", "_", "-", ".", "/", "kuma.io/", "é"];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(words).runs(10_000), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        if let Ok(zone) = ZoneName::parse(text) {
            assert_eq!(zone.as_str(), text);
            assert!(text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-'));
            assert!(text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
            assert_eq!(validate::name(text), [], "a zone's name is a name");
            assert_eq!(validate::label_value(text), [] as [String; 0], "it stands in labels");
        }
        let _found = (validate::mesh(text), validate::label_key(text));
        for kind in Kind::all() {
            let _found = (validate::meta(kind, text, text), validate::display_name(kind, text));
        }
        if let Ok(read) = kri::parse(text) {
            let labels: Labels = [(labels::ZONE, &read.zone), (labels::NAMESPACE, &read.namespace)]
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .into();
            let again = kri::of(read.kind, &read.mesh, &labels, &read.name).expect("the kind has a short name");
            let again = kri::parse(&again).expect("what was written");
            assert_eq!((again.kind, again.mesh, again.name), (read.kind, read.mesh, read.name));
        }
    });
}
