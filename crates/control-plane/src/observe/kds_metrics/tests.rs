//! Series come from what is known, and go with it.

use prometheus_client::encoding::text::encode;

use super::*;

fn series(registry: &Registry, name: &str) -> Vec<String> {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).map(str::to_owned).collect()
}

#[test]
fn versions_of_zones_make_few_series_and_none_that_stays() {
    let mut registry = Registry::default();
    let metrics = KdsMetrics::register(&mut registry);
    let clients: Vec<Client> = (0..1000).map(|index| metrics.client(&format!("2.9.{index}"))).collect();
    let found = series(&registry, "kds_delta_client_versions");
    assert_eq!(found.len(), VERSIONS + 1);
    assert!(found.iter().any(|line| line.contains("other") && line.ends_with(" 936")), "{found:?}");
    drop(clients);
    assert_eq!(series(&registry, "kds_delta_client_versions"), [""; 0]);
}

#[test]
fn a_deleted_zone_leaves_no_series() {
    let mut registry = Registry::default();
    let metrics = KdsMetrics::register(&mut registry);
    metrics.rejected("west", "Mesh", "x");
    metrics.unreadable("west", "MeshTimeout");
    metrics.forget("west");
    assert_eq!(series(&registry, "kds_nack_total").len() + series(&registry, "kds_type_unreadable_total").len(), 0);
}
