//! Others may have as many calls open with the token of a zone as there may be, for a while.

use testkit::rpcs::{ADMIN, DOWN, PING};

use super::super::renewal::tests::Played;
use crate::{cluster::Cluster, kds::zone::Lead};

async fn zone() -> Played {
    Played::led(&Played::token(0), Lead::of(&Cluster::alone("west-1")), None).await
}

#[tokio::test]
async fn a_ping_that_finds_no_room_ends_no_stream_and_is_tried_again() {
    let zone = zone().await;
    let mut link = zone.accept(&[]).await;
    let _down = link.expect(DOWN).await;
    link.expect(PING).await;
    link.finds_no_room(PING).await;
    // On the same connection.
    link.expect(PING).await;
}

#[tokio::test]
async fn a_zone_whose_first_ping_finds_no_room_comes_again_on_another_connection() {
    let zone = zone().await;
    let mut link = zone.accept(&[]).await;
    link.finds_no_room(PING).await;
    link.is_lost_without(PING).await;
    zone.accept(&[]).await.expect(DOWN).await;
}

#[tokio::test]
async fn a_stream_for_questions_about_proxies_that_finds_no_room_ends_no_other_and_is_tried_again() {
    let zone = zone().await;
    let mut link = zone.accept(&[]).await;
    link.finds_no_room(ADMIN[0]).await;
    link.expect(ADMIN[0]).await;
}
