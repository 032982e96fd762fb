//! `zone-swarm`: N zones in one process that speak KDS as 2.14.3 zones do, to measure a global.
//!
//! It starts a global of its own on loopback (TLS, control plane tokens, the embedded store), gives it policies, connects
//! the zones, lets them idle, changes one policy a few times, restarts the global with all zones returning at once, deletes
//! the key of all their tokens, and prints what each of that cost the global. What a zone is and says here is in `zone.rs` and `messages.rs`.
//!
//! With `--globals` there are three of them on one PostgreSQL: `failover.rs`. With `--relays` it measures what a connector
//! and a gateway cost beside a plain TCP relay: `relays.rs`.
//!
//! With `--renew` the zones are our own and renew tokens that live for a short time: `soak.rs`.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a load tool waits for all it starts")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that measures and prints")]

mod failover;
mod global;
mod messages;
mod relays;
mod soak;
mod zone;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::{
    global::Global,
    soak::Soak,
    zone::{Synced, Zone},
};

#[derive(Parser)]
struct Options {
    /// How many zones.
    #[arg(long, default_value_t = 100)]
    zones: usize,
    /// How many connect at once, the first time.
    #[arg(long, default_value_t = 32)]
    connecting: usize,
    /// How many policies the global has beside its default ones.
    #[arg(long, default_value_t = 400)]
    policies: usize,
    /// How many Dataplanes each zone reports.
    #[arg(long, default_value_t = 0)]
    dataplanes: usize,
    /// How long the zones idle, in seconds. Both ends ping every 15.
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// How often a policy is changed.
    #[arg(long, default_value_t = 5)]
    changes: u32,
    /// Measures a gateway, with a global behind it.
    #[arg(long, conflicts_with = "renew")]
    gateway: bool,
    /// In place of all that: three globals on one PostgreSQL, one of which is killed.
    #[arg(long, conflicts_with_all = ["renew", "gateway"])]
    globals: bool,
    /// In place of all that: what relays cost beside a plain one, the memory of a gateway with so many zones among it.
    #[arg(long, conflicts_with_all = ["gateway", "globals", "renew"])]
    relays: bool,
    /// In place of all that: how long zones of our own renew their tokens, in seconds.
    #[arg(long)]
    renew: Option<u64>,
    /// How long such a token is good, in seconds.
    #[arg(long, default_value_t = 60, requires = "renew")]
    token_life: u64,
    /// The program to measure; the one built beside this one if absent.
    #[arg(long)]
    kuma_cp: Option<PathBuf>,
    #[command(flatten)]
    plain_relay: relays::PlainRelay,
    /// Only given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    raise_file_limit(options.zones)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(&options))
}

/// Each zone is a connection here and one at the global, which inherits the hard limit.
fn raise_file_limit(zones: usize) -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raise the limit of open files")?;
    // A relay has two for each zone; where relays are measured, this process has both ends.
    let needed = 2 * zones as u64 + 100;
    anyhow::ensure!(
        maximum.is_none_or(|files| files >= needed),
        "{zones} zones need {needed} open files, and this user may have {maximum:?}: raise the hard limit (ulimit -Hn)"
    );
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    if let Some(to) = options.plain_relay.relay_to {
        return relays::run_plain(to, &options.plain_relay).await;
    }
    let exe = match &options.kuma_cp {
        Some(exe) => exe.clone(),
        None => std::env::current_exe()?.with_file_name("kuma-cp"),
    };
    if let Some(seconds) = options.renew {
        let (lasts, life) = (Duration::from_secs(seconds), Duration::from_secs(options.token_life));
        return soak::run(&exe, &Soak { zones: options.zones, lasts, life }).await;
    }
    if options.globals {
        return failover::run(&exe, options.zones, options.policies, options.changes).await;
    }
    if options.relays {
        return relays::run(&exe, options.zones).await;
    }
    let started = if options.gateway { Global::start_gateway(&exe)? } else { Global::start(&exe, &[])? };
    let mut global = Arc::new(started);
    global.add_policies(options.policies)?;
    let zones = (0..options.zones)
        .map(|index| Zone::prepare(&global, &format!("zone-{index}"), options.dataplanes))
        .collect::<anyhow::Result<Vec<_>>>()?;
    println!("zones {}, policies {}, Dataplanes a zone {}", options.zones, options.policies, options.dataplanes);
    println!("measured, and called global below: {}", global.what());

    let empty = global.memory_kib()?;
    let before = global.cpu_ms()?;
    let (mut synced, took) = connect(&global, zones, options.connecting).await?;
    let cpu = global.cpu_ms()? - before;
    println!("all synced after {:.1} s; CPU of global per connect {:.2} ms", took.as_secs_f64(), each(cpu, options));
    global.print_lost();

    let (connected, before) = (global.memory_kib()?, global.cpu_ms()?);
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let (idle, cpu) = (global.memory_kib()?, global.cpu_ms()? - before);
    println!(
        "memory of global: {} MiB empty, {} MiB connected, {} MiB idle: {:.0} KiB a zone",
        empty / 1024,
        connected / 1024,
        idle / 1024,
        each(idle.saturating_sub(empty), options)
    );
    println!("idle CPU of global: {:.2} % of one core", cpu as f64 / (options.idle as f64 * 10.0));

    let before = global.cpu_ms()?;
    let mut arrivals = Vec::new();
    for round in 0..options.changes {
        synced = change(&global, synced, round, &mut arrivals).await?;
    }
    let cpu = global.cpu_ms()? - before;
    arrivals.sort_by(f64::total_cmp);
    let at = |part: f64| share(&arrivals, part);
    println!(
        "one policy changed, zones have it after p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms; CPU of global {:.0} ms",
        at(0.5),
        at(0.99),
        at(1.0),
        cpu as f64 / f64::from(options.changes)
    );
    println!("memory of global after that: {} MiB", global.memory_kib()? / 1024);

    let start = Instant::now();
    Arc::get_mut(&mut global).context("the global is in use")?.restart();
    let (down, empty) = (start.elapsed(), global.memory_kib()?);
    let zones: Vec<Zone> = synced.into_iter().map(Synced::disconnect).collect();
    let (synced, took) = connect(&global, zones, options.zones).await?;
    let cpu = global.cpu_ms()?;
    println!(
        "global restarted: down for {:.1} s, all synced again {:.1} s later; its CPU until then {:.2} ms a zone",
        down.as_secs_f64(),
        took.as_secs_f64(),
        each(cpu, options)
    );
    global.print_lost();
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let idle = global.memory_kib()?;
    println!("memory of global: {} MiB at its start, {} MiB idle", empty / 1024, idle / 1024);
    shut_out(&global, synced).await
}

/// Deletes the key of all tokens, and says when the zones hear of it.
async fn shut_out(global: &Arc<Global>, zones: Vec<Synced>) -> anyhow::Result<()> {
    let mut watching = JoinSet::new();
    for zone in zones {
        watching.spawn(zone.shut_out());
    }
    let start = Instant::now();
    let operator = Arc::clone(global);
    tokio::task::spawn_blocking(move || operator.delete_key()).await??;
    let answered = start.elapsed();
    let (mut ends, mut shut_out) = (Vec::new(), Vec::new());
    while let Some(ended) = watching.join_next().await {
        let (zone, ended) = ended??;
        shut_out.push(zone);
        ends.push(ended.duration_since(start).as_secs_f64() * 1000.0);
    }
    ends.sort_by(f64::total_cmp);
    println!(
        "key deleted: answered after {:.0} ms; the last stream of a zone ended, since the request, p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms",
        answered.as_secs_f64() * 1000.0,
        share(&ends, 0.5),
        share(&ends, 0.99),
        share(&ends, 1.0)
    );
    let (streams, bound) = global.enforced();
    println!("… by the global's own measure 99 % of {streams} streams were closed within {bound:.0} ms");
    Ok(())
}

/// The figure that this share of all stays below.
fn share(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or_default()
}

fn each(all: u64, options: &Options) -> f64 {
    all as f64 / options.zones.max(1) as f64
}

/// Connects all zones, so many at once; returns them with the time until the last one was synced.
async fn connect(global: &Arc<Global>, zones: Vec<Zone>, at_once: usize) -> anyhow::Result<(Vec<Synced>, Duration)> {
    let connecting = Arc::new(Semaphore::new(at_once));
    let mut synced = Vec::with_capacity(zones.len());
    let start = Instant::now();
    let mut joining = JoinSet::new();
    for zone in zones {
        let (global, connecting) = (Arc::clone(global), Arc::clone(&connecting));
        joining.spawn(async move {
            let _turn = connecting.acquire_owned().await?;
            zone.connect(&global).await
        });
    }
    while let Some(zone) = joining.join_next().await {
        synced.push(zone??);
    }
    Ok((synced, start.elapsed()))
}

/// Changes a policy; notes after how many milliseconds each zone had it.
async fn change(
    global: &Arc<Global>,
    zones: Vec<Synced>,
    round: u32,
    arrivals: &mut Vec<f64>,
) -> anyhow::Result<Vec<Synced>> {
    let mut watching = JoinSet::new();
    for zone in zones {
        watching.spawn(zone.next_change());
    }
    let changed = Instant::now();
    let writer = Arc::clone(global);
    // The client of the REST API blocks.
    tokio::task::spawn_blocking(move || writer.change_policy(round)).await??;
    let mut synced = Vec::with_capacity(watching.len());
    while let Some(zone) = watching.join_next().await {
        let (zone, at) = zone??;
        arrivals.push(at.duration_since(changed).as_secs_f64() * 1000.0);
        synced.push(zone);
    }
    Ok(synced)
}
