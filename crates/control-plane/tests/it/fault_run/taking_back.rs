//! Tokens that are issued, used and taken back, each through any global, and somebody who goes on trying with them.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use control_plane::{
    clock::Clock,
    tls::{Alpn, ClientTrust},
};
use serde_json::json;
use testkit::{
    client,
    kds::{Call, Peer},
    rpcs::DOWN,
    seed::Chance,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use tokio_rustls::TlsConnector;

use super::installation::{Addresses, PATIENCE, STALENESS};
use crate::stage::{
    plain_port::{first, open},
    world::decode,
};

const ZONE: &str = "guest";
/// How long one attempt may take: a global may be paused.
const ATTEMPT: Duration = Duration::from_secs(2);
/// What is between an answer of the database and the moment from which its age counts.
const SLACK: Duration = Duration::from_secs(2);

/// A token that was taken back, and when that was acknowledged.
struct Gone {
    token: String,
    since: Instant,
}

enum Entered {
    In(Peer, Call),
    Refused,
    /// Nobody answered.
    Nowhere,
}

/// Goes on until it is over; returns how often a token that was taken back was refused.
pub(super) fn until(over: &AtomicBool, globals: &[Addresses], ca: &Path, chance: Chance) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(go_on(over, globals, ca, chance))
}

async fn go_on(over: &AtomicBool, globals: &[Addresses], ca: &Path, mut chance: Chance) -> usize {
    let trust = ClientTrust::from_file(ca.to_owned(), Clock::system()).unwrap();
    let tls = TlsConnector::from(trust.client_config(Alpn::H2).unwrap());
    let (mut gone, mut refused): (Vec<Gone>, usize) = (Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        let mut any = || globals[usize::try_from(chance.below(globals.len() as u64)).unwrap()];
        if let Some(token) = issue(any()) {
            let session = enter(&tls, any().kds, &token).await;
            if let Some(since) = take_back(any(), &token) {
                if let Entered::In(_peer, mut call) = session {
                    let ended = async { while call.message().await.is_some() {} };
                    timeout(PATIENCE, ended).await.expect("a session on a token that was taken back ends");
                }
                gone.push(Gone { token, since });
            }
        }
        for _attempt in 0..4 {
            if gone.is_empty() {
                break;
            }
            let one = &gone[usize::try_from(chance.below(gone.len() as u64)).unwrap()];
            let global = globals[usize::try_from(chance.below(globals.len() as u64)).unwrap()];
            let age = one.since.elapsed();
            match enter(&tls, global.kds, &one.token).await {
                Entered::In(..) => {
                    assert!(age < STALENESS + SLACK, "a token was good {age:?} after it was taken back, at {global:?}");
                }
                Entered::Refused => refused += 1,
                Entered::Nowhere => {}
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    refused
}

fn issue(global: Addresses) -> Option<String> {
    let wanted = json!({"zone": ZONE, "validFor": "1h"});
    let answer = client::try_ask(global.rest, "POST", "/tokens/control-plane", Some(&wanted));
    answer.ok().filter(|(status, _)| *status == 200).map(|(_, token)| token)
}

/// Returns when it was acknowledged.
fn take_back(global: Addresses, token: &str) -> Option<Instant> {
    let payload: serde_json::Value = serde_json::from_str(&decode(token).1).unwrap();
    let body = json!({"family": "control-plane-token", "reason": "a test", "id": payload["jti"]});
    let answer = client::try_ask(global.rest, "POST", "/tokens/revocations", Some(&body));
    answer.ok().filter(|(status, _)| *status == 200).map(|_| Instant::now())
}

async fn enter(tls: &TlsConnector, global: SocketAddr, token: &str) -> Entered {
    let (tls, token) = (tls.clone(), token.to_owned());
    // In a task of its own: a connection that is lost while it is made is a panic there.
    let tried = tokio::spawn(async move {
        let stream = TcpStream::connect(global).await.ok()?;
        let stream = tls.connect("localhost".try_into().unwrap(), stream).await.ok()?;
        let peer = Peer::over(stream).await;
        let mut call = open(&peer, DOWN, ZONE, &token);
        call.send(&first(ZONE, "Mesh"));
        match call.message().await {
            Some(_) => Some(Entered::In(peer, call)),
            None => (call.ended().await.code == 16).then_some(Entered::Refused),
        }
    });
    timeout(ATTEMPT, tried).await.ok().and_then(Result::ok).flatten().unwrap_or(Entered::Nowhere)
}
