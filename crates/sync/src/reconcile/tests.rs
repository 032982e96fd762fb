//! One test a rule (contract: kds 6.6 and 8.3).

use model::Labels;

use super::*;

const GLOBAL: &[(&str, &str)] = &[("kuma.io/origin", "global")];
const WEST: &[(&str, &str)] = &[("kuma.io/origin", "zone"), ("kuma.io/zone", "west")];
const EAST: &[(&str, &str)] = &[("kuma.io/origin", "zone"), ("kuma.io/zone", "east")];

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn kind(name: &str) -> Kind {
    Kind::by_name(name).unwrap()
}

fn here(kind_name: &str, name: &str, pairs: &[(&str, &str)], spec: &str) -> Arc<Resource> {
    let resource = create(kind(kind_name), &received(name, pairs, spec), Timestamp::UNIX_EPOCH, None);
    Arc::new(resource)
}

fn received(name: &str, pairs: &[(&str, &str)], spec: &str) -> Received {
    Received {
        name: WireName { mesh: "default".to_owned(), name: name.to_owned() },
        labels: labels(pairs),
        spec: spec.to_owned().into(),
        status: None,
    }
}

fn plan(kind_name: &str, initial: bool, resources: Vec<Received>, removed: &[&str]) -> Plan {
    let removed =
        removed.iter().map(|name| WireName { mesh: "default".to_owned(), name: (*name).to_owned() }).collect();
    Plan { kind: kind(kind_name), initial, resources, removed, invalid: Vec::new(), named_before: BTreeSet::new() }
}

fn run(local: &[Arc<Resource>], plan: &Plan, side: Side<'_>) -> Reconciled {
    reconcile(plan.kind, local, plan, side, Timestamp::from_second(100).unwrap(), None)
}

fn said(result: &Reconciled) -> Vec<String> {
    result
        .changes
        .iter()
        .map(|change| match change {
            Change::Create(resource) => format!("create {}", resource.key.name),
            Change::Update(resource) => format!("update {}", resource.key.name),
            Change::Delete(key) => format!("delete {}", key.name),
        })
        .collect()
}

#[test]
fn a_first_response_deletes_what_it_does_not_name() {
    let local = [here("MeshTimeout", "a", GLOBAL, "{}"), here("MeshTimeout", "b", GLOBAL, "{}")];
    let first = plan("MeshTimeout", true, vec![received("a", GLOBAL, "{}"), received("c", GLOBAL, "{}")], &[]);
    assert_eq!(said(&run(&local, &first, Side::Zone)), ["create c", "delete b"]);
    let later = plan("MeshTimeout", false, vec![received("c", GLOBAL, "{}")], &[]);
    assert_eq!(said(&run(&local, &later, Side::Zone)), ["create c"]);
    let empty = plan("MeshTimeout", true, Vec::new(), &[]);
    assert_eq!(said(&run(&local, &empty, Side::Zone)), ["delete a", "delete b"]);
}

#[test]
fn a_zone_never_touches_its_own() {
    let local = [here("MeshTimeout", "own", WEST, "{}"), here("MeshTimeout", "unlabelled", &[], "{}")];
    assert!(run(&local, &plan("MeshTimeout", true, Vec::new(), &[]), Side::Zone).changes.is_empty());
    assert!(
        run(&local, &plan("MeshTimeout", false, Vec::new(), &["own", "unlabelled"]), Side::Zone).changes.is_empty()
    );
    // Kinds that zones do not provide are global's alone.
    let mesh = [here("Mesh", "local", &[], "")];
    assert_eq!(said(&run(&mesh, &plan("Mesh", true, Vec::new(), &[]), Side::Zone)), ["delete local"]);
}

#[test]
fn a_zone_drops_what_does_not_say_global() {
    for pairs in [&[][..], WEST] {
        let result = run(&[], &plan("MeshTimeout", false, vec![received("a", pairs, "{}")], &[]), Side::Zone);
        assert_eq!((result.changes.len(), result.dropped), (0, 1));
    }
    let mesh = run(&[], &plan("Mesh", false, vec![received("a", &[], "")], &[]), Side::Zone);
    assert_eq!(said(&mesh), ["create a"]);
}

#[test]
fn a_local_secret_wins_and_the_rest_is_applied() {
    let local = [here("Secret", "same", &[], "mine")];
    let first = plan("Secret", true, vec![received("same", GLOBAL, "theirs"), received("new", GLOBAL, "x")], &[]);
    let result = run(&local, &first, Side::Zone);
    assert_eq!(said(&result), ["create new"]);
    assert_eq!(
        result.rejected,
        ["user error\nresource already exists: type=\"Secret\" name=\"same\" mesh=\"default\""]
    );
}

#[test]
fn global_touches_only_what_belongs_to_the_zone() {
    let local = [
        here("Dataplane", "mine", WEST, "1"),
        here("Dataplane", "theirs", EAST, "1"),
        here("Dataplane", "west.old", &[], "1"),
        here("Dataplane", "westward.x", &[], "1"),
    ];
    let side = Side::Global { zone: "west" };
    assert_eq!(said(&run(&local, &plan("Dataplane", true, Vec::new(), &[]), side)), ["delete mine", "delete west.old"]);
    assert!(run(&local, &plan("Dataplane", false, Vec::new(), &["theirs"]), side).changes.is_empty());
    let planted = plan("Dataplane", false, vec![received("theirs", WEST, "2")], &[]);
    let result = run(&local, &planted, side);
    assert!(result.changes.is_empty());
    assert_eq!(result.rejected.len(), 1);
}

#[test]
fn a_policy_of_global_cannot_be_taken_over_by_a_zone() {
    let local = [
        here("MeshTimeout", "a", GLOBAL, "{}"),
        here("MeshTimeout", "b", &[("kuma.io/origin", "global"), ("kuma.io/zone", "west")], "{}"),
    ];
    let side = Side::Global { zone: "west" };
    let result = run(&local, &plan("MeshTimeout", true, vec![received("a", WEST, "{\"x\":1}")], &[]), side);
    assert_eq!((said(&result).len(), result.rejected.len()), (0, 1));
}

#[test]
fn equal_content_is_not_written() {
    let local = [here("MeshTimeout", "a", GLOBAL, r#"{"x":1,"y":2}"#)];
    let same = plan("MeshTimeout", true, vec![received("a", GLOBAL, r#"{ "y": 2, "x": 1 }"#)], &[]);
    assert!(run(&local, &same, Side::Zone).changes.is_empty(), "JSON is compared by value");
    let more_labels = [("kuma.io/origin", "global"), ("team", "a")];
    let labelled = plan("MeshTimeout", true, vec![received("a", &more_labels, r#"{"x":1,"y":2}"#)], &[]);
    assert_eq!(said(&run(&local, &labelled, Side::Zone)), ["update a"]);
}

#[test]
fn an_update_keeps_the_creation_time_and_replaces_the_labels() {
    let local = [here("MeshTimeout", "a", &[("kuma.io/origin", "global"), ("old", "1")], "{}")];
    let result = run(&local, &plan("MeshTimeout", false, vec![received("a", GLOBAL, r#"{"x":1}"#)], &[]), Side::Zone);
    let [Change::Update(updated)] = result.changes.as_slice() else { panic!("{result:?}") };
    assert_eq!(updated.created, Timestamp::UNIX_EPOCH);
    assert_eq!(updated.modified, Timestamp::from_second(100).unwrap());
    assert_eq!(updated.labels, labels(GLOBAL));
}

#[test]
fn a_zone_keeps_its_status_and_global_takes_the_zones() {
    let with_status =
        |pairs, status: &str| Received { status: Some(status.to_owned().into()), ..received("a", pairs, "{}") };
    let mut mine = (*here("MeshService", "a", GLOBAL, "{}")).clone();
    mine.status = Some(r#"{"vips":["1"]}"#.into());
    let down = plan("MeshService", false, vec![with_status(&[("kuma.io/origin", "global"), ("x", "1")], "{}")], &[]);
    let result = run(&[Arc::new(mine.clone())], &down, Side::Zone);
    let [Change::Update(updated)] = result.changes.as_slice() else { panic!("{result:?}") };
    assert_eq!(updated.status, mine.status);
    let up = plan("MeshService", false, vec![with_status(WEST, r#"{"vips":["2"]}"#)], &[]);
    let result = run(&[here("MeshService", "a", WEST, "{}")], &up, Side::Global { zone: "west" });
    let [Change::Update(updated)] = result.changes.as_slice() else { panic!("{result:?}") };
    assert_eq!(updated.status.as_deref(), Some(&br#"{"vips":["2"]}"#[..]));
}

#[test]
fn invalid_resources_are_neither_written_nor_deleted() {
    let local = [here("MeshTimeout", "a", GLOBAL, "{}")];
    let mut first = plan("MeshTimeout", true, Vec::new(), &[]);
    first.invalid = vec![WireName { mesh: "default".to_owned(), name: "a".to_owned() }];
    assert!(run(&local, &first, Side::Zone).changes.is_empty());
}

#[test]
fn added_and_removed_in_one_response_is_an_update() {
    let local = [here("MeshTimeout", "a", GLOBAL, "{}")];
    let both = plan("MeshTimeout", false, vec![received("a", GLOBAL, r#"{"x":1}"#)], &["a", "unknown"]);
    assert_eq!(said(&run(&local, &both, Side::Zone)), ["update a"]);
}

#[test]
fn a_name_alone_gives_a_zone_nothing_that_global_could_have_made() {
    let local = [
        here("MeshTimeout", "west.timeout", &[], "{}"),
        here("MeshTimeout", "west.other", &[("kuma.io/mesh", "default")], "{}"),
    ];
    let side = Side::Global { zone: "west" };
    assert!(run(&local, &plan("MeshTimeout", true, Vec::new(), &[]), side).changes.is_empty());
    assert!(run(&local, &plan("MeshTimeout", false, Vec::new(), &["west.timeout"]), side).changes.is_empty());
    let taken = run(&local, &plan("MeshTimeout", false, vec![received("west.timeout", WEST, "{\"x\":1}")], &[]), side);
    assert_eq!((taken.changes.len(), taken.rejected.len()), (0, 1));
}

#[test]
fn an_absent_status_is_the_empty_one() {
    let side = Side::Global { zone: "west" };
    let report = plan("MeshService", false, vec![received("a", WEST, "{}")], &[]);
    let created = run(&[], &report, side);
    let [Change::Create(created)] = created.changes.as_slice() else { panic!("{created:?}") };
    let empty = Some(&br#"{"tls":{},"dataplaneProxies":{}}"#[..]);
    assert_eq!(created.status.as_deref(), empty);
    let mut before = created.clone();
    before.status = Some(r#"{"vips":["1"]}"#.into());
    let updated = run(&[Arc::new(before)], &report, side);
    let [Change::Update(updated)] = updated.changes.as_slice() else { panic!("{updated:?}") };
    assert_eq!(updated.status.as_deref(), empty);
    let no_status =
        plan("Dataplane", false, vec![Received { status: Some("{}".into()), ..received("a", WEST, "1") }], &[]);
    let created = run(&[], &no_status, side);
    assert!(matches!(created.changes.as_slice(), [Change::Create(Resource { status: None, .. })]), "{created:?}");
}

#[test]
fn a_removal_named_twice_deletes_once_and_an_unknown_one_nothing() {
    let local = [here("MeshTimeout", "a", GLOBAL, "{}")];
    let twice = plan("MeshTimeout", false, Vec::new(), &["a", "unknown", "a"]);
    assert_eq!(said(&run(&local, &twice, Side::Zone)), ["delete a"]);
}

#[test]
fn creates_come_before_deletes_and_these_before_updates() {
    let local = [here("MeshTimeout", "gone", GLOBAL, "{}"), here("MeshTimeout", "other", GLOBAL, "{}")];
    let first =
        plan("MeshTimeout", true, vec![received("other", GLOBAL, r#"{"x":1}"#), received("zz-new", GLOBAL, "{}")], &[]);
    assert_eq!(said(&run(&local, &first, Side::Zone)), ["create zz-new", "delete gone", "update other"]);
}

#[test]
fn protobuf_is_compared_by_its_bytes() {
    let side = Side::Global { zone: "west" };
    let local = [here("Dataplane", "a", WEST, "1")];
    assert!(run(&local, &plan("Dataplane", true, vec![received("a", WEST, "1")], &[]), side).changes.is_empty());
    assert_eq!(said(&run(&local, &plan("Dataplane", true, vec![received("a", WEST, "1 ")], &[]), side)), ["update a"]);
}

#[test]
fn what_global_creates_belongs_to_the_zone_and_is_created_now() {
    let owner = Key::global(Kind::ZONE, "west");
    let now = Timestamp::from_second(100).unwrap();
    let report = plan("Dataplane", false, vec![received("a", WEST, "1")], &[]);
    let result = reconcile(report.kind, &[], &report, Side::Global { zone: "west" }, now, Some(&owner));
    let [Change::Create(created)] = result.changes.as_slice() else { panic!("{result:?}") };
    assert_eq!((created.owner.as_ref(), created.created, created.modified), (Some(&owner), now, now));
    // An update keeps what is known of it here, its owner too.
    let other = plan("Dataplane", false, vec![received("a", WEST, "2")], &[]);
    let result = reconcile(report.kind, &[Arc::new(created.clone())], &other, Side::Global { zone: "west" }, now, None);
    assert!(matches!(result.changes.as_slice(), [Change::Update(Resource { owner: Some(_), .. })]), "{result:?}");
}
