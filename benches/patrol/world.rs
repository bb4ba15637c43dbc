//! What is measured in: a private Postgres with its databases, and a simulated WeChat in a process of its own.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use secrecy::{SecretBox, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use wxpatrol::{
    domain::{Kind, link::Patience},
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Wanted},
    simulate::Plan,
    store::{ANSWER_MAX, Sealer, Store, StoreSettings, merchants::MerchantRow, record::RecordContext, seal::Place},
};

use crate::child::{self, Used};

/// The program that is measured.
const WXPATROL: &str = env!("CARGO_BIN_EXE_wxpatrol");
const TEMPLATE: &str = "template_of_merchants";
/// The key of every database here. It seals nothing but made-up tokens.
const KEY: [u8; 32] = [7; 32];
const KEY_TEXT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const BATCH: usize = 2_000;
const TOKENS_A_PAGE: usize = 20_000;

/// A merchant with its token, as the simulated WeChat tells it.
#[derive(Deserialize)]
struct Issued {
    appid: String,
    access_token: String,
}

/// What planning cost that gave every merchant its items.
#[derive(Debug, Clone, Copy)]
pub struct Planning {
    /// From its first batch to its last.
    pub took: Duration,
    /// CPU time of the sessions that planned. Postgres's own work beside them, mostly vacuum, is of several databases.
    pub cpu: Duration,
    /// What it wrote to the log of Postgres.
    pub wal_bytes: f64,
}

/// Postgres, with the database that each run starts from.
pub struct World {
    postgres: PrivatePostgres,
    admin: tokio::sync::Mutex<PgConnection>,
    folder: PathBuf,
}

/// What Postgres says about a run.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// From the run's start to its end.
    pub took: Duration,
    /// Items that were answered: done, or skipped as not applicable.
    pub done: u64,
    /// Transactions committed in the database since it was cloned.
    pub transactions: u64,
}

impl World {
    /// Starts Postgres, or joins the one of an earlier call.
    pub async fn open() -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench");
        let data_dir = folder.clone();
        let options = Options { durability: Durability::Full, sources: Sources::MayFetch, wanted: Wanted::Any };
        let start = move || PrivatePostgres::join_or_start(&data_dir, options, &|_| {});
        let postgres = tokio::task::spawn_blocking(start).await??;
        let admin = PgConnection::connect(&postgres.url("postgres")).await?;
        Ok(Self { postgres, admin: admin.into(), folder })
    }

    /// Which Postgres it is.
    pub fn origin(&self) -> &str {
        self.postgres.origin()
    }

    /// Where files may be put.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Drops what the measurements left.
    pub async fn close(self) -> Result<()> {
        for database in [TEMPLATE, "measured"] {
            self.admin(&format!("drop database if exists {database} with (force)")).await?;
        }
        Ok(())
    }

    async fn admin(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *self.admin.lock().await).await?;
        Ok(())
    }

    /// Makes the template: these mini programs with live tokens, planned and due, with nothing read yet.
    pub async fn fill_template(&self, merchants: &[(String, SecretString)]) -> Result<Planning> {
        self.admin(&format!("drop database if exists {TEMPLATE} with (force)")).await?;
        self.admin(&format!("create database {TEMPLATE}")).await?;
        let url = self.postgres.url(TEMPLATE);
        let sealer = Sealer::new(&SecretBox::new(Box::new(KEY)));
        let settings = StoreSettings {
            connections_max: 2,
            lease: Duration::from_secs(60),
            answer_max: ANSWER_MAX,
            purpose: "bench",
        };
        let store = Store::connect(&url, &settings, Some(sealer.clone())).await?;
        store.migrate().await?;
        store.check_sealing_key().await?;
        let platform = store.platform(&Plan::default().component_appid).await?;
        let mut connection = PgConnection::connect(&url).await?;
        for batch in merchants.chunks(BATCH) {
            let rows: Vec<MerchantRow> = batch
                .iter()
                .map(|(appid, _)| MerchantRow {
                    appid: appid.clone(),
                    kind: Some(Kind::MiniProgram),
                    permission_sets: Some(vec![49]),
                    account_status: Some(1),
                    ..MerchantRow::default()
                })
                .collect();
            store.keep_merchants(platform, &rows, true).await?;
            let sealed = |(appid, token): &(String, SecretString)| {
                sealer.seal(Place { platform, appid, column: "access" }, token)
            };
            sqlx::query(
                "insert into wxpatrol_data.credential (platform_id, appid, access_sealed, access_expires_at, version)
                 select $1, s.appid, s.sealed, now() + interval '2 hours', 1
                   from unnest($2::text[], $3::bytea[]) as s (appid, sealed)",
            )
            .bind(platform)
            .bind(batch.iter().map(|(appid, _)| appid.as_str()).collect::<Vec<_>>())
            .bind(batch.iter().map(sealed).collect::<Vec<_>>())
            .execute(&mut connection)
            .await?;
        }
        let context = RecordContext { platform, run: None, patience: Patience(Duration::from_secs(7 * 86_400)) };
        // As an installation has done it some time after an import.
        sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
        // What the import left in memory is not planning's to write.
        self.admin("checkpoint").await?;
        let (before, cpu) = (wal_bytes(&mut connection).await?, store_cpu(&mut connection).await?);
        let began = Instant::now();
        let planned = store.plan(context, false).await?;
        let took = began.elapsed();
        let cpu = store_cpu(&mut connection).await?.saturating_sub(cpu);
        ensure!(planned.merchants == merchants.len() as u64, "{} merchants are planned", planned.merchants);
        let wal_bytes = wal_bytes(&mut connection).await? - before;
        store.close().await;
        sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
        connection.close().await?;
        Ok(Planning { took, cpu, wal_bytes })
    }

    /// A fresh database for the next run.
    pub async fn fresh_database(&self) -> Result<()> {
        self.admin("drop database if exists measured with (force)").await?;
        // Copied as files: the copy is not written to the log, which is counted.
        self.admin(&format!("create database measured template {TEMPLATE} strategy file_copy")).await?;
        self.admin("checkpoint").await
    }

    /// Everybody was read as missing a phone, and may be asked.
    pub async fn nobody_has_a_phone(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        sqlx::raw_sql(
            "set search_path to wxpatrol_data;
             insert into phone (platform_id, appid, state, since, read_at)
             select platform_id, appid, 'missing', clock(), clock() from merchant;
             update item set due_at = clock(), due_since = clock(), reason = null, outcome = null where check_name = 'ask';
             analyze phone, item",
        )
        .execute(&mut connection)
        .await?;
        Ok(connection.close().await?)
    }

    /// Runs `wxpatrol --once` on the fresh database and answers what it used.
    pub async fn once(&self, wechat: &Simulated, checks: &[&str], settings: &[(&str, &str)]) -> Result<Used> {
        let mut command = self.once_command(wechat, checks, settings);
        tokio::task::spawn_blocking(move || child::run(&mut command)).await?
    }

    /// `wxpatrol --once` on the database that is there.
    pub fn once_command(&self, wechat: &Simulated, checks: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = self.program(wechat);
        command.arg("--once").args(checks.iter().flat_map(|check| ["--check", *check])).envs(settings.iter().copied());
        command
    }

    /// Runs another command of the program on the database that is there.
    pub async fn command(&self, wechat: &Simulated, arguments: &[&str]) -> Result<Used> {
        let mut command = self.program(wechat);
        command.args(arguments);
        tokio::task::spawn_blocking(move || child::run(&mut command)).await?
    }

    /// CPU time that Postgres has used so far, over all its processes.
    pub fn postgres_cpu(&self) -> Result<Duration> {
        let pid = fs::read_to_string(self.folder.join("pg").join("postmaster.pid"))?;
        child::cpu_with_children(pid.lines().next().context("Postgres has no process")?.trim().parse()?)
    }

    /// The address of the measured database.
    pub fn url(&self) -> String {
        self.postgres.url("measured")
    }

    /// Has Postgres write every statement of databases cloned from now on to its log, without what is bound to it.
    pub async fn log_statements(&self) -> Result<()> {
        self.admin("alter role all set log_min_duration_statement = 0").await?;
        self.admin("alter role all set log_parameter_max_length = 0").await
    }

    /// Ends that.
    pub async fn log_nothing(&self) -> Result<()> {
        self.admin("alter role all reset log_min_duration_statement").await?;
        self.admin("alter role all reset log_parameter_max_length").await
    }

    fn program(&self, wechat: &Simulated) -> Command {
        let mut command = Command::new(WXPATROL);
        command
            .env_clear()
            .envs(&wechat.settings)
            .env("DATABASE_URL", self.postgres.url("measured"))
            .env("WXPATROL_ENCRYPTION_KEY", KEY_TEXT)
            .env("WXPATROL_LOG", "warn")
            .env("WXPATROL_LIMIT_GETCALLBACKCONFIG", "unlimited")
            .env("WXPATROL_LIMIT_CHECKMOBILE", "unlimited");
        command
    }

    /// What the newest run of the database did.
    pub async fn ran(&self) -> Result<Ran> {
        let transactions = self.transactions().await?;
        let mut connection = PgConnection::connect(&self.postgres.url("measured")).await?;
        let row = sqlx::query(
            "select extract(epoch from r.ended_at - r.started_at)::float8 as secs,
                    (select coalesce(sum(c.done + c.skipped), 0)::bigint from wxpatrol_data.coverage c where c.run_id = r.run_id) as done
               from wxpatrol_data.run r order by r.started_at desc limit 1",
        )
        .fetch_one(&mut connection)
        .await?;
        let done: i64 = row.try_get("done")?;
        connection.close().await?;
        Ok(Ran { took: Duration::try_from_secs_f64(row.try_get("secs")?)?, done: done.try_into()?, transactions })
    }

    /// Transactions committed in the database so far, those of every connection that has ended.
    async fn transactions(&self) -> Result<u64> {
        let mut admin = self.admin.lock().await;
        loop {
            let row = sqlx::query("select numbackends, xact_commit from pg_stat_database where datname = 'measured'")
                .fetch_one(&mut *admin)
                .await?;
            // A connection reports its last transactions when it ends.
            if row.try_get::<i32, _>("numbackends")? == 0 {
                return Ok(row.try_get::<i64, _>("xact_commit")?.try_into()?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How far the log of Postgres is.
pub async fn wal_bytes(connection: &mut PgConnection) -> Result<f64> {
    let bytes = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
    Ok(sqlx::query_scalar(bytes).fetch_one(connection).await?)
}

/// CPU time that the store's sessions in this database have used so far.
async fn store_cpu(connection: &mut PgConnection) -> Result<Duration> {
    let sessions =
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'wxpatrol'";
    let sessions: Vec<i32> = sqlx::query_scalar(sessions).fetch_all(connection).await?;
    sessions.into_iter().map(|pid| child::cpu(pid.try_into()?)).sum()
}

/// A simulated WeChat in a process of its own, which ends with this value.
pub struct Simulated {
    child: Child,
    settings: HashMap<String, String>,
    base_url: String,
    http: reqwest::Client,
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

impl Simulated {
    /// Starts one with so many mini programs.
    pub fn start(mini_programs: usize, latency: &str) -> Result<Self> {
        let mut child = Command::new(WXPATROL)
            .args(["simulate", "--addr", "127.0.0.1:0", "--official-accounts", "0", "--latency", latency])
            .args(["--mini-programs", &mini_programs.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("the simulated WeChat has no stdout")?;
        let mut settings = HashMap::new();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|setting| setting.split_once('=')) {
                settings.insert(name.to_owned(), value.trim_matches('\'').to_owned());
                if name == "WXPATROL_VERIFY_TICKET" {
                    break;
                }
            }
        }
        let base_url = settings.get("WXPATROL_WECHAT_BASE_URL").context("the simulated WeChat does not start")?.clone();
        Ok(Self { child, settings, base_url, http: reqwest::Client::builder().no_proxy().build()? })
    }

    /// Where it listens.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Every mini program with a live token, asked for in pages: one request for each took minutes for a million.
    pub async fn merchants(&self, count: usize) -> Result<Vec<(String, SecretString)>> {
        let mut merchants = Vec::with_capacity(count);
        while merchants.len() < count {
            let wish = json!({ "offset": merchants.len(), "count": TOKENS_A_PAGE.min(count - merchants.len()) });
            let answer = self.post("issue_live_tokens", wish).await?;
            let issued: Vec<Issued> = serde_json::from_value(answer)?;
            ensure!(!issued.is_empty(), "the simulated WeChat has fewer than {count} mini programs");
            merchants.extend(issued.into_iter().map(|issued| (issued.appid, SecretString::from(issued.access_token))));
        }
        Ok(merchants)
    }

    /// CPU time that the simulation has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        child::cpu(self.child.id())
    }

    /// A number under `/_sim/`.
    pub async fn number(&self, path: &str) -> Result<f64> {
        let answer = self.http.get(format!("{}/_sim/{path}", self.base_url)).send().await?.bytes().await?;
        serde_json::from_slice::<Value>(&answer)?.as_f64().with_context(|| format!("{path} answers no number"))
    }

    /// Changes something under `/_sim/`.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let request = self.http.post(format!("{}/_sim/{path}", self.base_url)).body(body.to_string());
        let answer = request.send().await?;
        if !answer.status().is_success() {
            bail!("the simulated WeChat refuses {path}");
        }
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}
