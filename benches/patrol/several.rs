//! Several processes at once: whether twice as many do twice the work, and what a killed one costs.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{
    figures::stage,
    world::{Simulated, World},
};

fn spawn(world: &World, wechat: &Simulated, checks: &[&str], settings: &[(&str, &str)]) -> Result<Child> {
    let mut command: Command = world.once_command(wechat, checks, settings);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("the program does not start")
}

async fn ended(mut child: Child) -> Result<bool> {
    Ok(tokio::task::spawn_blocking(move || child.wait()).await??.success())
}

async fn seconds(world: &World) -> Result<f64> {
    let mut connection = PgConnection::connect(&world.url()).await?;
    let row = sqlx::query("select extract(epoch from max(ended_at) - min(started_at))::float8 from wxpatrol_data.run")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(row.try_get(0)?)
}

/// One process, then two, on a WeChat that is 50 ms far.
pub async fn twice(world: &World, quick: bool) -> Result<()> {
    let merchants = if quick { 2_500 } else { 10_000 };
    println!(
        "\nprocesses: {merchants} mini programs, phone and callback, answers after 50 ms, 64 calls in flight each"
    );
    let (wechat, _) = stage(world, merchants, "50ms").await?;
    let mut rates = Vec::new();
    for processes in [1, 2] {
        world.fresh_database().await?;
        let children: Vec<Child> = (0..processes)
            .map(|_| spawn(world, &wechat, &["phone", "callback"], &[("WXPATROL_CALLS_MAX", "64")]))
            .collect::<Result<_>>()?;
        for child in children {
            ensure!(ended(child).await?, "a process did not end well: this is no measurement");
        }
        let rate = merchants as f64 / seconds(world).await?;
        println!("  {processes}: {rate:.0} merchants/s");
        rates.push(rate);
    }
    println!("  ratio: {:.2}; target: 1.8", rates[1] / rates[0]);
    Ok(())
}

/// Three processes share 300 calls a second; one is killed while there is work for longer than its leases hold.
pub async fn killed(world: &World) -> Result<()> {
    const LEASE: Duration = Duration::from_secs(30);
    let merchants = 15_000;
    println!(
        "\nkilled: three processes, {merchants} calls at 300/s, leases of 30 s; one is killed after a tenth of them"
    );
    let (wechat, _) = stage(world, merchants, "20ms").await?;
    wechat.post("reset_counts", json!({})).await?;
    world.fresh_database().await?;
    let settings = [("WXPATROL_LIMIT_CHECKMOBILE", "300/s"), ("WXPATROL_LEASE", "30s")];
    let mut children: Vec<Child> =
        (0..3).map(|_| spawn(world, &wechat, &["phone"], &settings)).collect::<Result<_>>()?;
    let mut connection = PgConnection::connect(&world.url()).await?;
    let done = "select count(*) from wxpatrol_data.item where check_name = 'phone' and recorded_at is not null";
    let began = Instant::now();
    while sqlx::query_scalar::<_, i64>(done).fetch_one(&mut connection).await? < merchants as i64 / 10 {
        ensure!(began.elapsed() < Duration::from_secs(60), "the work does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let victim = children.pop().context("there are three")?;
    kill(Pid::from_raw(i32::try_from(victim.id())?), Signal::SIGKILL)?;
    // What was leased then, by whom; the victim's are those whose fence is older at the end.
    sqlx::query(
        "create table at_the_kill as
         select i.appid, i.fence, i.leased_by, wxpatrol_data.clock() as at from wxpatrol_data.item i where i.leased_by is not null",
    )
    .execute(&mut connection)
    .await?;
    ensure!(!ended(victim).await?, "the victim lives");
    for child in children {
        ensure!(ended(child).await?, "a process did not end well: this is no measurement");
    }
    let row = sqlx::query(
        "select count(*) as items, coalesce(extract(epoch from max(i.recorded_at) - min(k.at)), 0)::float8 as secs
           from at_the_kill k
           join wxpatrol_data.item i on i.appid = k.appid and i.check_name = 'phone' and i.fence > k.fence",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    let used = wechat.number("used_share?endpoint=checkmobile&per_second=300").await?;
    let worst = wechat.number("worst_window?endpoint=checkmobile&seconds=1").await?;
    let (items, secs): (i64, f64) = (row.try_get("items")?, row.try_get("secs")?);
    println!("  {:.1} % used over the whole time, {worst} calls in the worst second", 100.0 * used);
    println!("  {items} items of the killed process, the last recorded {secs:.1} s after the kill");
    println!("  targets: 97 % used, at most 307 in any second, {} s", LEASE.as_secs() + 5);
    Ok(())
}
