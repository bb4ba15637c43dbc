//! The figures of one process, each as the reader of a report wants it: both sides, and the ratio beside its target.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{
    bare,
    child::Used,
    world::{Ran, Simulated, World},
};

pub const CHECKS: [&str; 2] = ["phone", "callback"];

/// One side's measurements over all rounds.
#[derive(Default)]
struct Side {
    per_second: Vec<f64>,
    cpu_micros: Vec<f64>,
}

impl Side {
    fn add(&mut self, merchants: usize, took: Duration, used: &Used) {
        self.per_second.push(merchants as f64 / took.as_secs_f64());
        self.cpu_micros.push(used.cpu.as_secs_f64() * 1e6 / merchants as f64);
    }

    fn line(&self, name: &str) {
        println!(
            "  {name:5} {:8.0} merchants/s   {:6.0} us of CPU per merchant   (rounds: {})",
            median(&self.per_second),
            median(&self.cpu_micros),
            self.per_second.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ")
        );
    }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// A simulated WeChat, the template of its merchants, and their tokens in a file.
pub async fn stage(world: &World, merchants: usize, latency: &str) -> Result<(Simulated, PathBuf)> {
    let wechat = Simulated::start(merchants, latency)?;
    let known = wechat.merchants(merchants).await?;
    let mut lines = String::new();
    for (_, token) in &known {
        writeln!(lines, "{}", token.expose_secret())?;
    }
    let tokens = world.folder().join("tokens");
    fs::write(&tokens, lines)?;
    world.fill_template(&known).await?;
    Ok((wechat, tokens))
}

/// One run on a fresh database, or on the one that is there.
pub async fn ours(
    world: &World,
    wechat: &Simulated,
    merchants: usize,
    settings: &[(&str, &str)],
    fresh: bool,
) -> Result<(Ran, Used)> {
    if fresh {
        world.fresh_database().await?;
    }
    let used = world.once(wechat, &CHECKS, settings).await?;
    let ran = world.ran().await?;
    let expected = (merchants * CHECKS.len()) as u64;
    ensure!(ran.done == expected, "{} of {expected} items are done: this is no measurement", ran.done);
    Ok((ran, used))
}

/// Rounds of the loop and ours in turns.
async fn rounds(
    world: &World,
    merchants: usize,
    latency: &str,
    calls_max: usize,
    rounds: usize,
) -> Result<(Simulated, Vec<u64>)> {
    let (wechat, tokens) = stage(world, merchants, latency).await?;
    let (mut bare, mut our) = (Side::default(), Side::default());
    let mut transactions = Vec::new();
    for _ in 0..rounds {
        let (tokens, base_url) = (tokens.clone(), wechat.base_url().to_owned());
        let looped = move || bare::measured(&tokens, &base_url, calls_max);
        let (took, used) = tokio::task::spawn_blocking(looped).await??;
        bare.add(merchants, took, &used);
        let (ran, used) =
            ours(world, &wechat, merchants, &[("WXPATROL_CALLS_MAX", &calls_max.to_string())], true).await?;
        our.add(merchants, ran.took, &used);
        transactions.push(ran.transactions);
        wechat.post("reset_counts", json!({})).await?;
    }
    bare.line("bare");
    our.line("ours");
    println!(
        "  ours / bare: {:.0} % of the merchants/s, {:.2} x the CPU",
        100.0 * median(&our.per_second) / median(&bare.per_second),
        median(&our.cpu_micros) / median(&bare.cpu_micros)
    );
    Ok((wechat, transactions))
}

/// Unlimited, with answers that take no time: ours is the whole run, from its row's start to its end.
pub async fn throughput(world: &World, quick: bool, count: usize) -> Result<()> {
    let merchants = if quick { 5_000 } else { 20_000 };
    println!(
        "\nthroughput: {merchants} mini programs, phone and callback, 64 calls in flight, medians of {count} rounds"
    );
    let (wechat, transactions) = rounds(world, merchants, "0s", 64, count).await?;
    // The database of the last round is still there: a second run finds nothing due and costs what every run costs.
    let before = world.ran().await?.transactions;
    world.once(&wechat, &CHECKS, &[]).await?;
    // Reading the first run took a connection with one transaction of its own.
    let fixed = world.ran().await?.transactions.saturating_sub(before + 1);
    let all = median(&transactions.iter().map(|count| *count as f64).collect::<Vec<_>>());
    let calls = (merchants * CHECKS.len()) as f64;
    println!(
        "  {:.0} calls per transaction ({calls} calls, {all} transactions); {:.0} without the {fixed} of a run with nothing due",
        calls / all,
        calls / (all - fixed as f64).max(1.0)
    );
    println!("  targets: 60 % of the merchants/s, 1.6 x the CPU, 150 calls per transaction");
    Ok(())
}

/// Answers that take 50 ms, and 512 calls in flight.
pub async fn latency(world: &World, quick: bool, count: usize) -> Result<()> {
    let merchants = if quick { 5_000 } else { 20_000 };
    println!(
        "\nlatency: {merchants} mini programs, answers after 50 ms, 512 calls in flight, medians of {count} rounds"
    );
    rounds(world, merchants, "50ms", 512, count).await?;
    println!("  target: 85 % of the merchants/s");
    Ok(())
}

/// Peak memory, and what ten times as many merchants do to it.
pub async fn memory(world: &World, quick: bool) -> Result<()> {
    let few = if quick { 5_000 } else { 20_000 };
    println!("\nmemory: peak resident memory of the worker");
    let mut peaks = Vec::new();
    for merchants in [few, 10 * few] {
        let (wechat, _) = stage(world, merchants, "0s").await?;
        let (_, used) = ours(world, &wechat, merchants, &[], true).await?;
        let mebibytes = used.resident_bytes_max as f64 / (1024.0 * 1024.0);
        println!("  {merchants:7} mini programs: {mebibytes:.1} MiB");
        peaks.push(mebibytes);
    }
    println!("  ratio: {:.2}; targets: 1.3, below 80 MiB", peaks[1] / peaks[0]);
    Ok(())
}

/// A limit of 200 calls a second, as the simulated WeChat counts arrivals.
pub async fn limit(world: &World, quick: bool) -> Result<()> {
    let merchants = if quick { 2_000 } else { 5_000 };
    println!("\nlimit: 200/s, {merchants} calls");
    let (wechat, _) = stage(world, merchants, "0s").await?;
    for processes in [1, 3] {
        world.fresh_database().await?;
        at_200_a_second(world, &wechat, "phone", processes).await?;
    }
    println!("  targets: 97 % used, at most 205 in any second");
    Ok(())
}

/// The same with messages to people: each is written down, and on the disk, before its call.
pub async fn messages(world: &World, quick: bool) -> Result<()> {
    let merchants = if quick { 2_000 } else { 5_000 };
    println!("\nmessages: 200/s, {merchants} asks");
    for processes in [1, 3] {
        // Who was asked is not asked again within a day, so that each measurement has its own administrators.
        let (wechat, _) = stage(world, merchants, "0s").await?;
        world.fresh_database().await?;
        world.nobody_has_a_phone().await?;
        at_200_a_second(world, &wechat, "ask", processes).await?;
    }
    println!("  targets: as for the limit");
    Ok(())
}

async fn at_200_a_second(world: &World, wechat: &Simulated, check: &str, processes: usize) -> Result<()> {
    wechat.post("reset_counts", json!({})).await?;
    let settings =
        [("WXPATROL_LIMIT_CHECKMOBILE", "200/s"), ("WXPATROL_ASKS_PER_DAY", "unlimited"), ("WXPATROL_QUIET_HOURS", "")];
    let checks = [check];
    let all = (0..processes).map(|_| world.once(wechat, &checks, &settings));
    futures_util::future::try_join_all(all).await?;
    let used = wechat.number("used_share?endpoint=checkmobile&per_second=200").await?;
    let worst = wechat.number("worst_window?endpoint=checkmobile&seconds=1").await?;
    println!("  {processes} processes: {:.1} % used, {worst} calls in the worst second", 100.0 * used);
    Ok(())
}
