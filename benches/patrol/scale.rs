//! What a patrol costs Postgres for each merchant, with ten thousand of them, ten times and a hundred times as many; and
//! how quickly an operator is answered then.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    time::Instant,
};

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{
    figures::{CHECKS, ours, stage},
    world::World,
};

/// What Postgres counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    wal_bytes: f64,
    rows_written: f64,
    in_place: f64,
    dead: f64,
}

/// The counters of the measured database since it was cloned, and of the cluster's log.
async fn counted(url: &str) -> Result<Counted> {
    let mut connection = PgConnection::connect(url).await?;
    let row = sqlx::query(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal,
                coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8 as rows_written,
                coalesce(sum(n_tup_hot_upd), 0)::float8 as in_place,
                coalesce(sum(n_dead_tup), 0)::float8 as dead
           from pg_stat_user_tables",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(Counted {
        wal_bytes: row.try_get("wal")?,
        rows_written: row.try_get("rows_written")?,
        in_place: row.try_get("in_place")?,
        dead: row.try_get("dead")?,
    })
}

/// Statements that the log of Postgres names since `from`.
fn statements(log: &mut File, from: u64) -> Result<usize> {
    let mut text = String::new();
    log.seek(SeekFrom::Start(from))?;
    log.read_to_string(&mut text)?;
    Ok(text.lines().filter(|line| line.contains(" ms  execute ") || line.contains(" ms  statement: ")).count())
}

/// Costs for each merchant, and how long `status` and the view `coverage` take.
pub async fn scale(world: &World, sizes: &[usize]) -> Result<()> {
    println!("\nscale: one patrol of phone and callback; for each merchant");
    println!(
        "  merchants  statements  transactions  WAL bytes  rows written  in place  dead rows  merchants/s  status  coverage"
    );
    for merchants in sizes.iter().copied() {
        let (wechat, _) = stage(world, merchants, "0s").await?;
        world.log_statements().await?;
        let mut log = File::open(world.folder().join("postgres.log")).context("the log of Postgres")?;
        let from = log.seek(SeekFrom::End(0))?;
        world.fresh_database().await?;
        let before = counted(&world.url()).await?;
        let (ran, _) = ours(world, &wechat, merchants, &[], false).await?;
        let after = counted(&world.url()).await?;
        let executed = statements(&mut log, from)?;
        let asked = Instant::now();
        world.command(&wechat, &["status", "--json"]).await?;
        let status = asked.elapsed();
        let mut connection = PgConnection::connect(&world.url()).await?;
        let asked = Instant::now();
        sqlx::query("select * from wxpatrol.coverage").fetch_all(&mut connection).await?;
        let coverage = asked.elapsed();
        connection.close().await?;
        let each = |number: f64| number / merchants as f64;
        println!(
            "  {merchants:9}  {:10.4}  {:12.4}  {:9.0}  {:12.2}  {:8.2}  {:9.2}  {:11.0}  {:4.0} ms  {:5.0} ms",
            each(executed as f64),
            each(ran.transactions as f64),
            each(after.wal_bytes - before.wal_bytes),
            each(after.rows_written - before.rows_written),
            each(after.in_place - before.in_place),
            each(after.dead - before.dead),
            merchants as f64 / ran.took.as_secs_f64(),
            status.as_secs_f64() * 1e3,
            coverage.as_secs_f64() * 1e3
        );
    }
    println!(
        "  {} items for each merchant; targets: constant from line to line, status and coverage below 1000 ms",
        CHECKS.len()
    );
    Ok(())
}
