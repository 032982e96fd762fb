//! One test a rule: the form of what is sent, and what is refused (contract: kds 2.2, 4.3, 4.4 and 5).

use model::labels;
use sync::Features;

use super::*;

fn kind(name: &str) -> Kind {
    Kind::by_name(name).unwrap()
}

fn outgoing(mesh: &str, name: &str, spec: &str, status: Option<&str>) -> Outgoing {
    let text = |text: &str| text.to_owned();
    Outgoing {
        name: WireName { mesh: text(mesh), name: text(name) },
        labels: [(labels::ORIGIN, "global"), (labels::DISPLAY_NAME, "a")].map(|(k, v)| (text(k), text(v))).into(),
        spec: text(spec).into(),
        status: status.map(|status| text(status).into()),
        origin_zone: None,
        needs: Features::NONE,
        needs_for_all: Features::NONE,
    }
}

fn response(kind: &str, changed: Vec<Entry>, removed: &[&str]) -> DeltaResponse {
    DeltaResponse {
        kind: kind.to_owned(),
        nonce: "1".to_owned(),
        changed: changed.into_iter().map(Into::into).collect(),
        removed: removed.iter().map(|name| WireName::parse(name)).collect(),
        more: false,
        step: None,
    }
}

fn sent(kind_name: &str, outgoing: Outgoing) -> (Resource, KumaResource) {
    let frame = response_frame(&response(kind_name, vec![entry(kind(kind_name), outgoing)], &[]), "global");
    let resource = DeltaDiscoveryResponse::decode(frame).unwrap().resources.remove(0);
    let kuma = KumaResource::decode(resource.resource.as_ref().unwrap().value.as_slice()).unwrap();
    (resource, kuma)
}

/// The numbers of the fields of a message, in their order on the wire.
fn fields(mut bytes: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = prost::encoding::decode_varint(&mut bytes).unwrap();
        assert_eq!(tag & 7, 2, "only texts and messages are expected");
        let length = usize::try_from(prost::encoding::decode_varint(&mut bytes).unwrap()).unwrap();
        bytes = &bytes[length..];
        found.push(tag >> 3);
    }
    found
}

#[test]
fn a_response_has_the_form_of_real_ones() {
    let one = entry(kind("Mesh"), outgoing("", "default", "", None));
    let frame = response_frame(&response("Mesh", vec![one], &["gone.", "with.dot.default"]), "west");
    assert_eq!(fields(&frame), [2, 4, 5, 6, 6, 7], "nothing but what real ones have");
    let read = DeltaDiscoveryResponse::decode(frame).unwrap();
    assert_eq!((read.type_url.as_str(), read.nonce.as_str()), ("Mesh", "1"));
    assert_eq!(read.removed_resources, ["gone.", "with.dot.default"]);
    assert_eq!(read.control_plane.unwrap().identifier, "west");
}

#[test]
fn a_resource_has_the_form_of_real_ones() {
    let (resource, kuma) = sent("MeshTimeout", outgoing("default", "a-x", r#"{"to":[]}"#, None));
    assert_eq!(resource.name, "a-x.default");
    let any = resource.resource.unwrap();
    assert_eq!(any.type_url, "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource");
    let version: String = Sha256::digest(&any.value).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(resource.version, version);
    let meta = kuma.meta.unwrap();
    assert_eq!((meta.mesh.as_str(), meta.name.as_str(), meta.version.as_str()), ("default", "a-x", ""));
    assert_eq!(fields(&any.value), [1, 2], "no status where the kind has none");
    let (mesh, _) = sent("Mesh", outgoing("", "default", "", None));
    assert_eq!(mesh.name, "default.");
    let unlabelled = Outgoing { labels: Labels::new(), ..outgoing("default", "a", "{}", None) };
    let (_, kuma) = sent("MeshTimeout", unlabelled);
    assert_eq!(fields(&kuma.meta.unwrap().encode_to_vec()), [1, 2]);
}

#[test]
fn protobuf_specs_carry_their_type_and_json_none() {
    let spec = |kind: &str, text: &str| sent(kind, outgoing("default", "a", text, None)).1.spec.unwrap();
    let timeout = spec("MeshTimeout", r#"{"b":1, "a":2}"#);
    assert_eq!((timeout.type_url.as_str(), timeout.value.as_slice()), ("", &br#"{"b":1, "a":2}"#[..]));
    for (kind, expected) in [
        ("Mesh", "kuma.mesh.v1alpha1.Mesh"),
        ("Secret", "kuma.system.v1alpha1.Secret"),
        ("GlobalSecret", "kuma.system.v1alpha1.Secret"),
        ("Config", "kuma.system.v1alpha1.Config"),
        ("ServiceInsight", "kuma.mesh.v1alpha1.ServiceInsight"),
        ("Dataplane", "kuma.mesh.v1alpha1.Dataplane"),
        ("DataplaneInsight", "kuma.mesh.v1alpha1.DataplaneInsight"),
    ] {
        assert_eq!(spec(kind, "").type_url, format!("type.googleapis.com/{expected}"));
        assert!(spec(kind, "").value.is_empty(), "{kind}: an empty message is its type alone");
    }
    let (_, service) = sent("MeshService", outgoing("default", "a", "{}", Some("{}")));
    let status = service.status.unwrap();
    assert_eq!((status.type_url.as_str(), status.value.as_slice()), ("", &b"{}"[..]));
}

fn kuma(name: &str, spec: Option<Any>) -> KumaResource {
    let meta = Meta { name: name.to_owned(), mesh: "default".to_owned(), ..Default::default() };
    KumaResource { meta: Some(meta), spec, status: None }
}

fn any(type_url: &str, value: &[u8]) -> Any {
    Any { type_url: type_url.to_owned(), value: value.to_vec() }
}

fn received(kind: &str, kuma: &KumaResource) -> Result<Incoming, Malformed> {
    let resource = Resource {
        name: "other.place".to_owned(),
        version: String::new(),
        resource: Some(any(KUMA_RESOURCE, &kuma.encode_to_vec())),
    };
    incoming(DeltaDiscoveryResponse { type_url: kind.to_owned(), resources: vec![resource], ..Default::default() })
}

#[test]
fn a_resource_is_named_by_its_meta() {
    let taken = received("MeshTimeout", &kuma("a", Some(any("nonsense", b"{}")))).unwrap();
    assert_eq!(taken.resources[0].name.to_string(), "a.default");
    assert_eq!(taken.resources[0].spec, "{}");
}

#[test]
fn what_is_no_kuma_resource_is_malformed() {
    let what = |kind: &str, kuma: &KumaResource| match received(kind, kuma) {
        Err(Malformed::Resource { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what("MeshTimeout", &kuma("a", None)), "it has no `spec`");
    assert_eq!(what("MeshTimeout", &kuma("", Some(any("", b"{}")))), "it has no name");
    assert_eq!(what("MeshTimeout", &KumaResource { meta: None, ..kuma("a", None) }), "it has no `meta`");
    for broken in [&b""[..], b"{", b"{} x", b"\xff"] {
        assert!(what("MeshTimeout", &kuma("a", Some(any("", broken)))).starts_with("its spec is no JSON"));
    }
    for foreign in ["", "kuma.mesh.v1alpha1.Dataplane", "type.googleapis.com/kuma.mesh.v1alpha1.Mesh"] {
        assert!(what("Dataplane", &kuma("a", Some(any(foreign, b"")))).starts_with("its spec is `"), "{foreign}");
    }
    let status = KumaResource { status: Some(any("", b"{")), ..kuma("a", Some(any("", b"{}"))) };
    assert!(what("MeshService", &status).starts_with("its status is no JSON"));
    for resource in [None, Some(any("type.googleapis.com/x.Y", b"")), Some(any(KUMA_RESOURCE, &[0xff]))] {
        let resources = vec![Resource { resource, ..Resource::default() }];
        let message = DeltaDiscoveryResponse { type_url: "Mesh".to_owned(), resources, ..Default::default() };
        assert!(matches!(incoming(message), Err(Malformed::Resource { index: 0, .. })));
    }
    assert_eq!(incoming(DeltaDiscoveryResponse::default()), Err(Malformed::NoType));
}

fn asking(id: Option<&str>, kind: &str) -> Request {
    let node = id.map(|id| Node { id: id.to_owned(), metadata: None }.encode_to_vec().into());
    Request { node, type_url: kind.to_owned(), ..Default::default() }
}

#[test]
fn a_request_without_node_or_type_is_malformed() {
    assert_eq!(request(asking(None, "Mesh"), "west").unwrap_err(), Malformed::NoNode);
    assert_eq!(request(asking(Some("west"), ""), "west").unwrap_err(), Malformed::NoType);
    assert!(request(asking(Some("west"), "Mesh"), "west").is_ok());
}

#[test]
fn a_request_in_another_name_is_malformed() {
    for other in ["east", "", "West", "west:"] {
        assert!(matches!(request(asking(Some(other), "Mesh"), "west"), Err(Malformed::OtherNode { .. })), "{other}");
    }
}

#[test]
fn requests_have_the_fields_of_real_ones() {
    let node = || Node { id: "west".to_owned(), metadata: None };
    let first = DeltaRequest { kind: "Mesh".to_owned(), subscribe: vec!["*".to_owned()], ..Default::default() };
    assert_eq!(fields(&request_frame(first.clone(), node())), [1, 2, 3]);
    let ack = DeltaRequest { kind: "Mesh".to_owned(), nonce: "1".to_owned(), ..Default::default() };
    assert_eq!(fields(&request_frame(ack, node())), [1, 2, 6]);
    let nack = DeltaRequest { nonce: "1".to_owned(), error: Some("spec: bad".to_owned()), ..first };
    let frame = request_frame(nack, node());
    assert_eq!(fields(&frame), [1, 2, 3, 6, 7]);
    assert_eq!(DeltaDiscoveryRequest::decode(frame).unwrap().error_detail.unwrap().code, 0, "only the text is set");
}

#[test]
fn an_interval_that_is_none_is_left_out() {
    let check = |seconds: i64, nanos: i32, expected: Option<Duration>| {
        let interval = Some(prost_types::Duration { seconds, nanos });
        assert_eq!(ping_interval(&ZoneHealthCheckResponse { interval }), expected, "{seconds} s {nanos} ns");
    };
    check(2, 5, Some(Duration::new(2, 5)));
    check(0, 0, None);
    check(0, 1, Some(SHORTEST_PAUSE));
    check(-1, 0, None);
    check(1, -5, None);
    check(i64::MIN, 0, None);
    check(i64::MIN, i32::MIN, None);
    check(i64::MAX, i32::MAX, Some(Duration::from_secs(i64::MAX as u64) + Duration::from_nanos(i32::MAX as u64)));
    assert_eq!(ping_interval(&ZoneHealthCheckResponse { interval: None }), None);
}
