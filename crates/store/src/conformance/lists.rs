//! Lists: order, filters, pages.

use model::{Key, Kind, Labels, labels};

use super::{
    Shared, Subject,
    resources::{apply, delete, fill, kind, labelled, mesh, plain, policy, timeout, zone},
};
use crate::Query;

/// Checks a list against `mesh/name` of what it should hold.
async fn check(store: &Shared, query: &Query, expected: &[&str]) {
    let page = store.list(query).await.unwrap();
    let found: Vec<_> =
        page.items.iter().map(|stored| format!("{}/{}", stored.resource.key.mesh, stored.resource.key.name)).collect();
    assert_eq!(found, expected, "{query:?}");
    if query.limit.is_none() && query.offset == 0 {
        assert_eq!(page.total, expected.len());
    }
}

async fn fill_some(subject: &mut Subject) {
    let names = [("b", "a"), ("a", "b"), ("a-b", "z"), ("a", "a"), ("ab", "c"), ("a", "a-b"), ("a", "A")];
    fill(subject.store(), names.map(|(mesh, name)| plain(&timeout(mesh, name)))).await;
    subject.step();
}

/// By bytes (contract: rest 1.6).
pub async fn lists_are_sorted_by_mesh_and_name(subject: &mut Subject) {
    fill_some(subject).await;
    let all = ["a/A", "a/a", "a/a-b", "a/b", "a-b/z", "ab/c", "b/a"];
    check(subject.store(), &Query::all(policy()), &all).await;
    apply(subject.store(), vec![delete(&timeout("a", "b"))]).await;
    fill(subject.store(), [plain(&timeout("a", "a"))]).await;
    subject.step();
    check(subject.store(), &Query::all(policy()), &["a/A", "a/a", "a/a-b", "a-b/z", "ab/c", "b/a"]).await;
}

/// Kinds do not mix, whatever their names have in common.
pub async fn lists_hold_one_kind(subject: &mut Subject) {
    fill(subject.store(), [plain(&mesh("m")), plain(&zone("z")), plain(&timeout("m", "t"))]).await;
    subject.step();
    check(subject.store(), &Query::all(Kind::MESH), &["/m"]).await;
    check(subject.store(), &Query::all(Kind::ZONE), &["/z"]).await;
    check(subject.store(), &Query::all(policy()), &["m/t"]).await;
    check(subject.store(), &Query::all(kind("MeshTrace")), &[]).await;
}

/// A mesh is not a prefix.
pub async fn a_list_of_a_mesh_holds_that_mesh_alone(subject: &mut Subject) {
    fill_some(subject).await;
    check(subject.store(), &Query::in_mesh(policy(), "a"), &["a/A", "a/a", "a/a-b", "a/b"]).await;
    check(subject.store(), &Query::in_mesh(policy(), "ab"), &["ab/c"]).await;
    check(subject.store(), &Query::in_mesh(policy(), "c"), &[]).await;
    check(subject.store(), &Query::in_mesh(policy(), ""), &[]).await;
}

/// Anywhere in the name, and only there.
pub async fn lists_select_by_part_of_the_name(subject: &mut Subject) {
    fill_some(subject).await;
    let named = |part: &str| Query { name_contains: Some(part.to_owned()), ..Query::all(policy()) };
    check(subject.store(), &named("b"), &["a/a-b", "a/b"]).await;
    check(subject.store(), &named("-"), &["a/a-b"]).await;
    check(subject.store(), &named("%"), &[]).await;
    check(subject.store(), &Query { mesh: Some("b".to_owned()), ..named("a") }, &["b/a"]).await;
}

/// Every label with its value.
pub async fn lists_select_by_all_labels(subject: &mut Subject) {
    let resources = [
        labelled(&timeout("m", "both"), &[("a", "1"), ("b", "2")]),
        labelled(&timeout("m", "one"), &[("a", "1")]),
        labelled(&timeout("m", "other"), &[("a", "2"), ("b", "2")]),
        plain(&timeout("m", "none")),
    ];
    fill(subject.store(), resources).await;
    subject.step();
    let query = |labels: &[(&str, &str)]| {
        let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Query { labels, ..Query::all(policy()) }
    };
    check(subject.store(), &query(&[("a", "1")]), &["m/both", "m/one"]).await;
    check(subject.store(), &query(&[("a", "1"), ("b", "2")]), &["m/both"]).await;
    check(subject.store(), &query(&[("c", "")]), &[]).await;
    check(subject.store(), &query(&[]), &["m/both", "m/none", "m/one", "m/other"]).await;
}

/// The label of a zone is as any other, though stores find it faster: it moves and goes with its resource.
pub async fn lists_of_a_zone_follow_its_label(subject: &mut Subject) {
    let of = |key: &Key, zone: &str| labelled(key, &[(labels::ZONE, zone), ("a", "1")]);
    let resources = [
        of(&timeout("m", "moves"), "west"),
        of(&timeout("m", "stays"), "west"),
        of(&timeout("n", "stays"), "west"),
        of(&timeout("m", "other"), "west-2"),
        plain(&timeout("m", "none")),
        of(&mesh("m"), "west"),
    ];
    fill(subject.store(), resources).await;
    subject.step();
    let query = |zone: &str| {
        let labels = Labels::from([(labels::ZONE.to_owned(), zone.to_owned()), ("a".to_owned(), "1".to_owned())]);
        Query { labels, ..Query::all(policy()) }
    };
    check(subject.store(), &query("west"), &["m/moves", "m/stays", "n/stays"]).await;
    check(subject.store(), &query("west-2"), &["m/other"]).await;
    check(subject.store(), &query("wes"), &[]).await;
    check(subject.store(), &Query { mesh: Some("m".to_owned()), ..query("west") }, &["m/moves", "m/stays"]).await;
    check(subject.store(), &Query { mesh: Some("n".to_owned()), ..query("west") }, &["n/stays"]).await;
    apply(subject.store(), vec![delete(&timeout("m", "stays"))]).await;
    fill(subject.store(), [of(&timeout("m", "moves"), "west-2"), of(&timeout("n", "stays"), "west")]).await;
    subject.step();
    check(subject.store(), &query("west"), &["n/stays"]).await;
    check(subject.store(), &query("west-2"), &["m/moves", "m/other"]).await;
    fill(subject.store(), [plain(&timeout("n", "stays"))]).await;
    subject.step();
    check(subject.store(), &query("west"), &[]).await;
}

/// The total counts what matches, not what is returned.
pub async fn pages_tell_the_total(subject: &mut Subject) {
    fill_some(subject).await;
    for (offset, limit, expected) in [
        (0, Some(2), vec!["a/A", "a/a"]),
        (2, Some(2), vec!["a/a-b", "a/b"]),
        (3, Some(100), vec!["a/b"]),
        (4, Some(1), vec![]),
        (usize::MAX, Some(usize::MAX), vec![]),
        (1, None, vec!["a/a", "a/a-b", "a/b"]),
        (0, Some(0), vec![]),
    ] {
        let query = Query { offset, limit, ..Query::in_mesh(policy(), "a") };
        check(subject.store(), &query, &expected).await;
        assert_eq!(subject.store().list(&query).await.unwrap().total, 4);
    }
}
