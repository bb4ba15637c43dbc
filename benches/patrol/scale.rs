//! What a patrol costs for each merchant, with ten thousand of them, ten times and a hundred times as many; whether a
//! claim costs as much at the end of a run as at its beginning; and how quickly an operator is answered then.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{
    figures::{CHECKS, ours},
    world::{Simulated, World, wal_bytes},
};

/// What Postgres counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    wal_bytes: f64,
    rows_written: f64,
    in_place: f64,
    for_vacuum: f64,
}

/// The counters of the measured database since it was cloned, and of the cluster's log.
async fn counted(url: &str) -> Result<Counted> {
    let mut connection = PgConnection::connect(url).await?;
    let wal_bytes = wal_bytes(&mut connection).await?;
    // What an update in place leaves behind is tidied with its page; the rest is left for a vacuum. `n_dead_tup` would tell
    // how much of that is left at the moment, so it would tell when a vacuum came.
    let row = sqlx::query(
        "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8 as rows_written,
                coalesce(sum(n_tup_hot_upd), 0)::float8 as in_place,
                coalesce(sum(n_tup_upd - n_tup_hot_upd + n_tup_del), 0)::float8 as for_vacuum
           from pg_stat_user_tables",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(Counted {
        wal_bytes,
        rows_written: row.try_get("rows_written")?,
        in_place: row.try_get("in_place")?,
        for_vacuum: row.try_get("for_vacuum")?,
    })
}

/// What the log of Postgres says about a run's statements.
#[derive(Debug, Default)]
struct Logged {
    executed: usize,
    claims_ms: Vec<f64>,
    records_ms: Vec<f64>,
}

impl Logged {
    fn read(log: &mut File, from: u64) -> Result<Self> {
        let mut logged = Self::default();
        log.seek(SeekFrom::Start(from))?;
        for line in BufReader::new(log).lines() {
            let line = line?;
            let Some((before, statement)) = line.split_once(" ms  ") else { continue };
            if !statement.starts_with("execute ") && !statement.starts_with("statement: ") {
                continue;
            }
            logged.executed += 1;
            let ms = before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
            if statement.contains("-- claim.sql") {
                logged.claims_ms.push(ms);
            } else if statement.contains("-- record.sql") {
                logged.records_ms.push(ms);
            }
        }
        Ok(logged)
    }
}

/// The median of the first tenth, and of the last one.
fn ends(all: &[f64]) -> (f64, f64) {
    let tenth = (all.len() / 10).max(1).min(all.len());
    let median = |some: &[f64]| {
        let mut sorted = some.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    (median(&all[..tenth]), median(&all[all.len() - tenth..]))
}

/// Milliseconds until a view or a statement has answered whole.
async fn asked(connection: &mut PgConnection, statement: &'static str) -> Result<f64> {
    let began = Instant::now();
    sqlx::query(statement).fetch_all(connection).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn micros(time: Duration, merchants: usize) -> f64 {
    time.as_secs_f64() * 1e6 / merchants as f64
}

/// Costs for each merchant, and how long answers take.
pub async fn scale(world: &World, sizes: &[usize]) -> Result<()> {
    println!("\nscale: one patrol of phone and callback, {} items for each merchant", CHECKS.len());
    for merchants in sizes.iter().copied() {
        let each = |number: f64| number / merchants as f64;
        let wechat = Simulated::start(merchants, "0s")?;
        let planning = world.fill_template(&wechat.merchants(merchants).await?).await?;
        println!("  {merchants} merchants");
        println!(
            "    planning: {:.0} us, {:.0} us of CPU of its sessions, {:.0} WAL bytes for each",
            micros(planning.took, merchants),
            micros(planning.cpu, merchants),
            each(planning.wal_bytes)
        );
        world.log_statements().await?;
        let mut log = File::open(world.folder().join("postgres.log")).context("the log of Postgres")?;
        let from = log.seek(SeekFrom::End(0))?;
        world.fresh_database().await?;
        let before = counted(&world.url()).await?;
        let (simulated, postgres) = (wechat.cpu()?, world.postgres_cpu()?);
        let (ran, used) = ours(world, &wechat, merchants, &[], false).await?;
        let (simulated, postgres) = (wechat.cpu()? - simulated, world.postgres_cpu()?.saturating_sub(postgres));
        let after = counted(&world.url()).await?;
        let logged = Logged::read(&mut log, from)?;
        println!(
            "    patrol: {:.0} merchants/s; CPU for each: {:.0} us worker, {:.0} us Postgres, {:.0} us simulated WeChat; {:.0} MiB",
            merchants as f64 / ran.took.as_secs_f64(),
            micros(used.cpu, merchants),
            micros(postgres, merchants),
            micros(simulated, merchants),
            used.resident_bytes_max as f64 / (1024.0 * 1024.0)
        );
        println!(
            "    for each: {:.4} statements, {:.4} transactions, {:.0} WAL bytes, {:.2} rows written, {:.2} of them in place, {:.2} left for vacuum",
            each(logged.executed as f64),
            each(ran.transactions as f64),
            each(after.wal_bytes - before.wal_bytes),
            each(after.rows_written - before.rows_written),
            each(after.in_place - before.in_place),
            each(after.for_vacuum - before.for_vacuum),
        );
        for (name, all) in [("claim", &logged.claims_ms), ("record", &logged.records_ms)] {
            let (first, last) = ends(all);
            let total = micros(Duration::from_secs_f64(all.iter().sum::<f64>() / 1e3), merchants);
            println!(
                "    {} {name}s: {total:.0} us for each merchant; {first:.1} ms in the first tenth, {last:.1} ms in the last (medians)",
                all.len()
            );
        }
        let began = Instant::now();
        world.once(&wechat, &CHECKS, &[]).await?;
        println!("    a run with nothing due: {:.1} s", began.elapsed().as_secs_f64());
        let began = Instant::now();
        world.command(&wechat, &["status", "--json"]).await?;
        let status = began.elapsed().as_secs_f64() * 1e3;
        let mut connection = PgConnection::connect(&world.url()).await?;
        let coverage = asked(&mut connection, "select * from wxpatrol.coverage").await?;
        let attention = asked(&mut connection, "select * from wxpatrol.attention").await?;
        let limits = asked(&mut connection, "select * from wxpatrol.limits").await?;
        let ages = asked(&mut connection, "select * from wxpatrol.ages").await?;
        connection.close().await?;
        println!(
            "    answers: status {status:.0} ms, coverage {coverage:.0} ms, attention {attention:.0} ms, limits {limits:.0} ms, ages {ages:.0} ms"
        );
    }
    println!("  targets: constant from size to size; status and coverage below 1000 ms");
    Ok(())
}
