//! What is measured in: a private Postgres with its databases, and a simulated WeChat in a process of its own.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt as _, stream};
use secrecy::{SecretBox, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use wxpatrol::{
    domain::{Kind, link::Patience},
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Wanted},
    simulate::Plan,
    store::{Sealer, Store, StoreSettings, merchants::MerchantRow, record::RecordContext, seal::Place},
};

use crate::child::{self, Used};

/// The program that is measured.
const WXPATROL: &str = env!("CARGO_BIN_EXE_wxpatrol");
const TEMPLATE: &str = "template_of_merchants";
/// The key of every database here. It seals nothing but made-up tokens.
const KEY: [u8; 32] = [7; 32];
const KEY_TEXT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const BATCH: usize = 2_000;

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
    pub async fn fill_template(&self, merchants: &[(String, SecretString)]) -> Result<()> {
        self.admin(&format!("drop database if exists {TEMPLATE} with (force)")).await?;
        self.admin(&format!("create database {TEMPLATE}")).await?;
        let url = self.postgres.url(TEMPLATE);
        let sealer = Sealer::new(&SecretBox::new(Box::new(KEY)));
        let settings = StoreSettings { connections_max: 2, lease: Duration::from_secs(60), purpose: "bench" };
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
        store.plan(context, false).await?;
        store.close().await;
        sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// A fresh database for the next run.
    pub async fn fresh_database(&self) -> Result<()> {
        self.admin("drop database if exists measured with (force)").await?;
        self.admin(&format!("create database measured template {TEMPLATE}")).await?;
        self.admin("checkpoint").await
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

    /// Every mini program with a live token.
    pub async fn merchants(&self, count: usize) -> Result<Vec<(String, SecretString)>> {
        let issue = async |n: u32| {
            let appid = Plan::mini_program(n);
            let answer = self.post("issue_live_token", json!({ "appid": appid })).await?;
            let token = answer["access_token"].as_str().context("no token was issued")?;
            anyhow::Ok((appid, SecretString::from(token)))
        };
        let issued = stream::iter(0..u32::try_from(count)?).map(issue).buffered(32);
        issued.collect::<Vec<_>>().await.into_iter().collect()
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
