//! What a relay costs: a connector and a gateway of ours beside a plain TCP relay, in turn, so that a machine that gets
//! slower gets slower for all of them.
//!
//! ```text
//! this process: zones ──► plain relay ────────────────► this process: a far side that answers, sends and swallows
//!                     ──► plain relay that ends TLS ──►
//!                     ──► gateway (TLS, token) ───────►
//!                     ──► connector ──TLS, token──► gateway ──►
//! ```
//!
//! Each relay is a process of its own, and its memory and CPU are its own. The latency of a change is measured with a global of
//! ours behind each of them; everything else with the played far side, which costs no relay anything.

mod far;
mod plain;
mod way;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;

pub(crate) use self::plain::{Options as PlainRelay, run as run_plain};
use self::{
    far::Far,
    plain::Plain,
    way::{Way, Ways},
};
use crate::{global::Global, share};

/// How often each way takes its turn.
const ROUNDS: usize = 8;
/// What goes through in a turn, in each direction.
const MIB: usize = 64;
/// How many streams are opened in a turn, one after the other.
const STREAMS: usize = 5_000;
/// How often a policy is changed in a turn.
const CHANGES: usize = 25;
/// How long zones are connected before memory is looked at.
const SETTLES: Duration = Duration::from_secs(5);

/// Measures all of it.
pub(crate) async fn run(exe: &Path, zones: usize) -> anyhow::Result<()> {
    latency(exe).await?;
    work(exe).await?;
    memory(exe, zones).await
}

/// The latency of a change, with a global of ours at the far end.
async fn latency(exe: &Path) -> anyhow::Result<()> {
    let open = [
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        // Whoever writes does not wait for a disk.
        ("KUMA_STORE_TYPE", "memory"),
    ];
    let global = Global::start(exe, &open)?;
    global.add_policies(1)?;
    let ways = Ways::before(exe, global.kds)?;
    let mut took = vec![Vec::new(); ways.all().count()];
    let mut round = 0;
    for _ in 0..ROUNDS {
        for (way, took) in ways.all().zip(&mut took) {
            let mut zone = way.follow().await?;
            for _ in 0..CHANGES {
                round += 1;
                let start = Instant::now();
                global.change_policy(round % 50)?;
                zone.next_change().await?;
                took.push(start.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    println!("one policy changed, a single zone has it (with the request that changes it), in ms:");
    for (way, took) in ways.all().zip(&mut took) {
        took.sort_by(f64::total_cmp);
        println!("  {:<28} p50 {:.2}, p99 {:.2}", way.name, share(took, 0.5), share(took, 0.99));
    }
    Ok(())
}

/// CPU of each relay: by what goes through, and by streams.
async fn work(exe: &Path) -> anyhow::Result<()> {
    let far = Far::start().await?;
    let ways = Ways::before(exe, far.address)?;
    let relayed: Vec<&Way> = ways.all().filter(|way| !way.processes.is_empty()).collect();
    let mut costs = vec![[const { Vec::new() }; 3]; relayed.len()];
    for _ in 0..ROUNDS {
        for (way, costs) in relayed.iter().zip(&mut costs) {
            // Each on a connection of its own.
            let peer = way.peer().await?;
            for (kind, costs) in costs.iter_mut().enumerate() {
                let before = way.cpu_ms()?;
                let done = match kind {
                    0 => way.take(&peer, MIB).await,
                    1 => way.send(&peer, MIB).await,
                    _ => way.open_and_close(&peer, STREAMS).await,
                };
                done.with_context(|| format!("{}, work {kind}", way.name))?;
                let spent: Vec<f64> = way.cpu_ms()?.iter().zip(before).map(|(after, before)| after - before).collect();
                costs.push(spent);
            }
        }
    }
    println!("CPU of the relay, the median of {ROUNDS} turns:");
    for (way, [down, up, streams]) in relayed.iter().zip(&costs) {
        for (index, (name, _)) in way.processes.iter().enumerate() {
            let median = |costs: &[Vec<f64>]| {
                let mut of_it: Vec<f64> = costs.iter().filter_map(|spent| spent.get(index).copied()).collect();
                of_it.sort_by(f64::total_cmp);
                share(&of_it, 0.5)
            };
            println!(
                "  {:<28} {name:<10} {:.2} ms a MiB to the zone, {:.2} ms a MiB from it, {:.3} ms a stream",
                way.name,
                median(down) / MIB as f64,
                median(up) / MIB as f64,
                median(streams) / STREAMS as f64
            );
        }
    }
    Ok(())
}

/// Memory of a gateway with many zones, above that of a process that holds their sockets and nothing else.
async fn memory(exe: &Path, zones: usize) -> anyhow::Result<()> {
    let far = Far::start().await?;
    let sockets = Plain::start(far.address, None, 0)?;
    let gateway = way::gateway(exe, far.address)?;
    let empty = (sockets.memory_kib()?, gateway.memory_kib()?);
    let mut held = Vec::with_capacity(zones);
    for _ in 0..zones {
        held.push(tokio::net::TcpStream::connect(sockets.address).await.context("connect")?);
    }
    let mut joined = Vec::with_capacity(zones);
    for index in 0..zones {
        joined.push(way::join(&gateway, &format!("zone-{index}")).await?);
    }
    tokio::time::sleep(SETTLES).await;
    let each = |now: u64, empty: u64| now.saturating_sub(empty) as f64 / zones.max(1) as f64;
    let (bare, ours) = (each(sockets.memory_kib()?, empty.0), each(gateway.memory_kib()?, empty.1));
    // Until here they are connected.
    drop((held, joined));
    println!(
        "memory with {zones} zones, each with six calls: bare sockets {bare:.1} KiB each, gateway {ours:.1} KiB each, {:.1} KiB more",
        ours - bare
    );
    Ok(())
}
