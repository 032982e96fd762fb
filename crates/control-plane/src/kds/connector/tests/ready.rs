//! What a connector says on `/ready`: what is wrong now, and nothing that is mended.

use super::*;

/// Waits until a part says this, or nothing.
async fn says(readiness: &Readiness, part: &str, wanted: Option<&str>) {
    let said = async {
        loop {
            let troubles = readiness.troubles();
            let said = troubles.get(part).map(String::as_str);
            if said.is_some() == wanted.is_some() && said.unwrap_or("").contains(wanted.unwrap_or("")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT, said).await.unwrap_or_else(|_late| panic!("{part}: {:?}", readiness.troubles()));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_is_said_while_the_connection_stands_and_not_once_it_is_back() {
    let played = Played::start().await;
    let readiness = &played.readiness;
    played.write("no token");
    says(readiness, "token", Some("token is malformed")).await;
    // Now it is known that the good one was read.
    played.write(&token(1));
    says(readiness, "token", None).await;
    std::fs::remove_file(played.folder.path().join("token")).unwrap();
    says(readiness, "token", Some("No such file or directory (os error 2); a connection that stands goes on")).await;
    // The same token as before.
    played.write(&token(1));
    says(readiness, "token", None).await;
    played.write("no token");
    says(readiness, "token", Some("token is malformed")).await;
    played.write(" ");
    says(readiness, "token", Some("is empty")).await;
    played.write("no token");
    says(readiness, "token", Some("token is malformed")).await;
}

#[tokio::test]
async fn a_token_that_is_mended_is_no_longer_why_there_is_no_connection() {
    let played = Played::start().await;
    played.write("no token");
    says(&played.readiness, "token", Some("malformed")).await;
    let zone = played.zone().await;
    assert_eq!(open(&zone, DOWN).ended().await.code, 14);
    played.is(|state| state.trouble().is_some_and(|said| said.contains("malformed"))).await;
    // No call comes that would find it out.
    played.write(&token(1));
    played.is(|state| *state == LinkState::Connecting).await;

    let mut down = open(&zone, DOWN);
    let mut far = played.global.connection().await;
    next(&mut far, DOWN).await.end(16, "the token is revoked");
    down.ended().await;
    played.is(|state| state.trouble().is_some_and(|said| said.contains("the token is revoked"))).await;
    played.renew_by_hand();
    played.is(|state| *state == LinkState::Connecting).await;
}

#[tokio::test]
async fn a_zone_that_is_refused_here_is_said_until_one_is_served() {
    let played = Played::start().await;
    let zone = played.zone().await;
    let ended = zone.open(DOWN, &[("client-id", "wset")]).ended().await;
    let wrong = "this zone says that it is `wset`, and this connector is for zone `west`";
    assert!(ended.code == 7 && ended.message.starts_with(wrong), "{ended:?}");
    says(&played.readiness, "zone", Some(wrong)).await;
    let _down = open(&zone, DOWN);
    let mut far = played.global.connection().await;
    let _there = next(&mut far, DOWN).await;
    says(&played.readiness, "zone", None).await;
}
