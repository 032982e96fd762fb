//! `zone-swarm`: N zones in one process that speak KDS as 2.14.3 zones do, to measure a global.
//!
//! It starts a global of its own on loopback (TLS, control plane tokens, the embedded store), gives it policies, connects
//! the zones one by one, lets them idle, changes one policy, and prints what that cost the global. Each zone asks for the
//! 45 types of 2.14 with 10 KB of metadata in every first request, gzip-compressed, as a real one does.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "a program that measures and prints, with real time"
)]

mod global;
mod zone;

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use clap::Parser;
use tokio::sync::Semaphore;

use crate::{global::Global, zone::Zone};

/// Zones that connect at once.
const CONNECTING: usize = 32;

#[derive(Parser)]
struct Options {
    /// How many zones.
    #[arg(long, default_value_t = 100)]
    zones: usize,
    /// How many policies the global has beside its default ones.
    #[arg(long, default_value_t = 400)]
    policies: usize,
    /// How long the zones idle, in seconds.
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// The program to measure; the one built beside this one if absent.
    #[arg(long)]
    kuma_cp: Option<std::path::PathBuf>,
    /// Only given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let exe = match options.kuma_cp {
        Some(exe) => exe,
        None => std::env::current_exe()?.with_file_name("kuma-cp"),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(
        &exe,
        options.zones,
        options.policies,
        options.idle,
    ))
}

async fn measure(exe: &std::path::Path, zones: usize, policies: usize, idle: u64) -> anyhow::Result<()> {
    let global = Arc::new(Global::start(exe)?);
    global.add_policies(policies)?;
    let (memory_empty, cpu_empty) = (global.memory_kib()?, global.cpu_ms()?);

    let connecting = Arc::new(Semaphore::new(CONNECTING));
    let start = Instant::now();
    let mut joining = tokio::task::JoinSet::new();
    for index in 0..zones {
        let (global, connecting) = (Arc::clone(&global), Arc::clone(&connecting));
        joining.spawn(async move {
            let _turn = connecting.acquire_owned().await?;
            Zone::connect(&global, &format!("zone-{index}")).await
        });
    }
    let mut connected = Vec::with_capacity(zones);
    while let Some(zone) = joining.join_next().await {
        connected.push(zone??);
    }
    let took = start.elapsed();
    let (memory_full, cpu_full) = (global.memory_kib()?, global.cpu_ms()?);

    tokio::time::sleep(std::time::Duration::from_secs(idle)).await;
    let cpu_idle = global.cpu_ms()? - cpu_full;
    let memory_idle = global.memory_kib()?;

    let before = global.cpu_ms()?;
    let mut watching = tokio::task::JoinSet::new();
    for zone in connected {
        watching.spawn(zone.next_change());
    }
    let changed = Instant::now();
    global.change_policy()?;
    let mut arrivals = Vec::with_capacity(zones);
    let mut alive = Vec::with_capacity(zones);
    while let Some(zone) = watching.join_next().await {
        let (zone, at) = zone??;
        arrivals.push(at.duration_since(changed).as_secs_f64() * 1000.0);
        alive.push(zone);
    }
    arrivals.sort_by(f64::total_cmp);
    let at = |share: f64| arrivals.get(((arrivals.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    let cpu_change = global.cpu_ms()? - before;
    let count = u64::try_from(zones).context("a number of zones")?;
    println!("zones {zones}, policies {policies}");
    println!(
        "all synced after {:.1} s; CPU of global per connect {:.2} ms",
        took.as_secs_f64(),
        (cpu_full - cpu_empty) as f64 / zones as f64
    );
    println!(
        "memory of global: {} MiB empty, {} MiB connected, {} MiB idle: {} KiB a zone",
        memory_empty / 1024,
        memory_full / 1024,
        memory_idle / 1024,
        memory_idle.saturating_sub(memory_empty) / count.max(1)
    );
    println!("idle CPU of global: {:.1} % of one core", cpu_idle as f64 / (idle as f64 * 10.0));
    println!(
        "one policy changed, zones have it after p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms; CPU of global {cpu_change} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    drop(alive);
    Ok(())
}
