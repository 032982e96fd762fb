//! Three globals on one PostgreSQL with the zones spread over them: how soon all zones have what one global was told, how
//! soon the zones of a killed global are in sync elsewhere, and how soon a key that one global deletes ends the sessions of
//! all three.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use anyhow::Context as _;
use testkit::postgres::Server;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    connect,
    global::Global,
    share,
    zone::{Synced, Zone},
};

const GLOBALS: usize = 3;
/// A zone of ours tries again within this time after it lost a connection.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(exe: &Path, zones: usize, policies: usize, changes: u32) -> anyhow::Result<()> {
    let server = Server::durable().context("PostgreSQL is not installed")?;
    let mut globals = Vec::new();
    for _ in 0..GLOBALS {
        globals.push(Arc::new(start(exe, &server)?));
    }
    let first = globals.first().context("a global")?;
    first.add_policies(policies)?;
    println!("zones {zones} on {GLOBALS} globals, policies {policies}");
    let mut prepared: Vec<Vec<Zone>> = (0..GLOBALS).map(|_| Vec::new()).collect();
    for index in 0..zones {
        let zone = Zone::prepare(first, &format!("zone-{index}"), 0)?;
        if let Some(of_global) = prepared.get_mut(index % GLOBALS) {
            of_global.push(zone);
        }
    }
    let mut synced = Vec::new();
    for (global, zones) in globals.iter().zip(prepared) {
        synced.push(connect(global, zones, 32).await?.0);
    }

    let mut arrivals = Vec::new();
    for round in 0..changes {
        synced = change(first, synced, round, &mut arrivals).await?;
    }
    tell("one policy changed through one global, all zones have it after", &mut arrivals);

    let (mut last, mut lost) = (globals.pop().context("a global")?, synced.pop().unwrap_or_default());
    let count = lost.len();
    let began = Clock::now();
    Arc::get_mut(&mut last).context("the global is in use")?.kill();
    let mut moving = JoinSet::new();
    for (index, zone) in lost.drain(..).enumerate() {
        let target = Arc::clone(globals.get(index % globals.len()).context("a global")?);
        let pause = FIRST_PAUSE.mul_f64(index as f64 / count.max(1) as f64);
        moving.spawn(async move {
            let zone = zone.lost().await;
            tokio::time::sleep(pause).await;
            anyhow::Ok((zone.connect(&target).await?, began.elapsed()))
        });
    }
    let (mut moved, mut times) = (Vec::new(), Vec::new());
    while let Some(done) = moving.join_next().await {
        let (zone, took) = done??;
        moved.push(zone);
        times.push(took.as_secs_f64() * 1000.0);
    }
    tell("a global was killed, its zones are in sync elsewhere after", &mut times);

    Arc::get_mut(&mut last).context("the global is in use")?.again();
    let back: Vec<Zone> = moved.into_iter().map(Synced::disconnect).collect();
    synced.push(connect(&last, back, 32).await?.0);
    globals.push(last);
    let mut watching = JoinSet::new();
    synced.into_iter().flatten().for_each(|zone| {
        watching.spawn(zone.shut_out());
    });
    let start = Instant::now();
    let operator = Arc::clone(globals.first().context("a global")?);
    tokio::task::spawn_blocking(move || operator.delete_key()).await??;
    let (mut ends, mut shut_out) = (Vec::new(), Vec::new());
    while let Some(ended) = watching.join_next().await {
        let (zone, ended) = ended??;
        shut_out.push(zone);
        ends.push(ended.duration_since(start).as_secs_f64() * 1000.0);
    }
    tell("a key was deleted through one global, sessions on all three ended after", &mut ends);
    for (number, global) in globals.iter().enumerate() {
        let (streams, bound) = global.enforced();
        println!("… by the measure of global {number} 99 % of {streams} streams were closed within {bound:.0} ms");
    }
    Ok(())
}

fn start(exe: &Path, server: &Server) -> anyhow::Result<Global> {
    let of_store = server.place().settings();
    let mut settings: Vec<_> = of_store.iter().map(|(key, value)| (*key, value.as_str())).collect();
    settings.push(("KUMA_INTER_CP_SERVER_PORT", "0"));
    Global::start(exe, &settings)
}

/// Changes a policy through one global; notes after how many milliseconds each zone of each global had it.
async fn change(
    global: &Arc<Global>,
    zones: Vec<Vec<Synced>>,
    round: u32,
    arrivals: &mut Vec<f64>,
) -> anyhow::Result<Vec<Vec<Synced>>> {
    let count = zones.len();
    let mut watching = JoinSet::new();
    for (number, zones) in zones.into_iter().enumerate() {
        for zone in zones {
            watching.spawn(async move { anyhow::Ok((number, zone.next_change().await?)) });
        }
    }
    let changed = Instant::now();
    let writer = Arc::clone(global);
    tokio::task::spawn_blocking(move || writer.change_policy(round)).await??;
    let mut synced: Vec<Vec<Synced>> = (0..count).map(|_| Vec::new()).collect();
    while let Some(done) = watching.join_next().await {
        let (number, (zone, at)) = done??;
        arrivals.push(at.duration_since(changed).as_secs_f64() * 1000.0);
        synced.get_mut(number).context("a global")?.push(zone);
    }
    Ok(synced)
}

fn tell(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| share(times, part);
    println!("{what} p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms", at(0.5), at(0.99), at(1.0));
}
