//! Two instances of a zone at two control planes, and one that moves.

use super::*;

/// A zone of this name of its own that is connected.
fn come(global: &Global, instance: &str) -> String {
    let subscription = global.insights.subscribe(&west(), true);
    let said = record::Instance { id: instance.to_owned(), ..record::Instance::default() };
    global.insights.described(&west(), &subscription, &said);
    subscription
}

#[tokio::test(start_paused = true)]
async fn the_older_of_two_instances_of_a_zone_on_two_control_planes_is_told() {
    let (database, clock) =
        (database_with_west().await, Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap()));
    let first = Global::start_at(&database, "a", &clock).await;
    let second = Global::start_at(&database, "b", &clock).await;
    come(&first, "host-0001");
    second.knows(|insights| insights.online(&west())).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    come(&second, "host-0002");
    assert_eq!(first.insights.next_replaced().await, (west(), "host-0002".to_owned()));
    // The other way round it would never end.
    first.stored(|insight| insight.subscriptions.iter().filter(|one| one.disconnect_time.is_none()).count() == 2).await;
    let told = tokio::time::timeout(Duration::from_secs(60), second.insights.next_replaced()).await;
    assert!(told.is_err(), "the newer one stays");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_moves_to_another_control_plane_is_one_zone() {
    let (database, clock) =
        (database_with_west().await, Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap()));
    let first = Global::start_at(&database, "a", &clock).await;
    let second = Global::start_at(&database, "b", &clock).await;
    let old = come(&first, "host-0001");
    second.knows(|insights| insights.online(&west())).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    come(&second, "host-0001");
    first.stored(|insight| insight.subscriptions.iter().all(|one| !one.zone_instance_id.is_empty())).await;
    let told = tokio::time::timeout(Duration::from_secs(60), first.insights.next_replaced()).await;
    assert!(told.is_err(), "it ends what it left by itself");
    first.insights.unsubscribe(&west(), &old);
    first.stored(|insight| subscriptions(insight) == [("a", false), ("b", true)]).await;
    second.knows(|insights| insights.uses()[0].1.iter().all(|one| one.left.is_none())).await;
}
