//! What a test stands in: a database of its own, a simulated WeChat of its own, and the settings of fast limits, with the
//! engine run in the process as the app runs it, or the real program spawned.
//!
//! Nothing here sleeps to let something happen: it waits for conditions, and fails aloud when they do not come.

pub mod keeper;
mod postgres;
mod program;
mod promises;
pub mod proxy;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wxpatrol::{
    app::{App, Ready},
    config::Config,
    domain::CheckName,
    ops::print::Format,
    patrol::{
        Patrol, Until,
        sync::{Sync, Synced},
    },
    simulate::{self, Plan, SimulatedWechat},
    store::{
        coverage::CoverageRow,
        runs::{RunState, RunWish},
    },
};

pub use postgres::TestDatabase;
pub use program::{Ended, Program};

/// The longest that any condition is waited for. It is only ever waited for in full by a test that fails, on however slow a
/// machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The limits of tests: none, because each limited endpoint makes the first call of a database wait for a second. Tests of
/// limits set their own.
const FAST: &str = "unlimited";

/// A database, a simulated WeChat and settings.
pub struct World {
    /// The database.
    pub database: TestDatabase,
    /// The simulated WeChat's script and read-out, of the platform that the settings name.
    pub wechat: Arc<simulate::World>,
    /// The same of its other platforms.
    pub others: Vec<Arc<simulate::World>>,
    /// Its address is in the settings; it ends with the world.
    _server: SimulatedWechat,
    settings: BTreeMap<String, String>,
}

/// How a run in this process ended.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub state: RunState,
    /// Why, when it ended unusually.
    pub reason: Option<String>,
    /// Its coverage.
    pub coverage: Vec<CoverageRow>,
}

impl Ran {
    /// The coverage of one check.
    pub fn of(&self, check: CheckName) -> &CoverageRow {
        self.coverage.iter().find(|row| row.check_name == check.name()).expect("the run covers the check")
    }

    /// A complete run whose coverage adds up.
    pub fn assert_complete(&self) {
        assert_eq!(self.state, RunState::Complete, "{self:?}");
        assert_eq!(self.reason, None);
        for row in &self.coverage {
            assert!(row.adds_up(), "{row:?}");
        }
    }
}

/// A small platform: every second mini program without a phone, no administrator decides by themselves.
pub fn plan(mini_programs: u32, official_accounts: u32) -> Plan {
    Plan { mini_programs, official_accounts, phone_missing_share: 0.5, ..Plan::default() }
}

/// A wish for a run of these checks over everybody; empty: all checks.
pub fn wish(checks: &[CheckName]) -> RunWish {
    let checks = if checks.is_empty() { CheckName::ALL.to_vec() } else { checks.to_vec() };
    RunWish { checks, merchants: None, all: false, dry_run: false, deadline: Duration::from_secs(3600) }
}

impl World {
    /// An empty database and a WeChat that nobody has called.
    pub async fn new(plan: Plan) -> Self {
        Self::several(plan, Vec::new()).await
    }

    /// The same with other platforms, which are not added yet.
    pub async fn several(plan: Plan, others: Vec<Plan>) -> Self {
        let database = TestDatabase::new().await;
        let server = SimulatedWechat::start_with(([127, 0, 0, 1], 0).into(), plan.clone(), others).unwrap();
        let mut settings: BTreeMap<String, String> = [
            ("DATABASE_URL", database.url()),
            // Forty-three characters that hold 32 bytes of 7, as in the test's own store.
            ("WXPATROL_ENCRYPTION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc".to_owned()),
            ("WXPATROL_WECHAT_BASE_URL", server.base_url()),
            ("WXPATROL_COMPONENT_APPID", plan.component_appid),
            ("WXPATROL_COMPONENT_APPSECRET", plan.component_appsecret),
            ("WXPATROL_VERIFY_TICKET", plan.verify_ticket),
            ("WXPATROL_QUIET_HOURS", String::new()),
            ("WXPATROL_ASKS_PER_DAY", "unlimited".to_owned()),
            ("WXPATROL_STATUS_ADDR", "127.0.0.1:0".to_owned()),
            ("WXPATROL_LEARN_LIMITS", "off".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for endpoint in ["CHECKMOBILE", "GETCALLBACKCONFIG", "WXAMPLINK", "WXAMPLINKGET"] {
            settings.insert(format!("WXPATROL_LIMIT_{endpoint}"), FAST.to_owned());
            settings.insert(format!("WXPATROL_LIMIT_{endpoint}_MERCHANT"), FAST.to_owned());
        }
        for endpoint in ["AUTHORIZER_TOKEN", "GET_AUTHORIZER_INFO", "GET_AUTHORIZER_LIST"] {
            settings.insert(format!("WXPATROL_LIMIT_API_{endpoint}"), FAST.to_owned());
        }
        let others = server.worlds().split_off(1);
        Self { database, wechat: server.world(), others, _server: server, settings }
    }

    /// Two platforms of the same plan, whose merchants have the same appids; both added and synced.
    pub async fn twins(plan: Plan) -> Self {
        let world = Self::several(plan.clone(), vec![plan.as_platform(1)]).await;
        world.add(&world.others[0], &[]).await;
        let synced = world.program(&["sync"]).await;
        assert_eq!(synced.code, Some(0), "{}", synced.everything());
        world
    }

    /// Adds a platform through the real command, with its secret on standard input, and hands its ticket over.
    pub async fn add(&self, platform: &simulate::World, more: &[&str]) {
        let Plan { component_appid, component_appsecret, verify_ticket, .. } = platform.plan();
        let arguments = [&["platform", "add", component_appid], more].concat();
        let added = self.program_reading(&arguments, component_appsecret).await;
        assert_eq!(added.code, Some(0), "{}", added.everything());
        let handed = self.program_reading(&["ticket", "-", "--platform", component_appid], verify_ticket).await;
        assert_eq!(handed.code, Some(0), "{}", handed.everything());
    }

    /// A platform whose merchants are known, through the real sync.
    pub async fn synced(plan: Plan) -> Self {
        let world = Self::new(plan).await;
        world.sync().await;
        world
    }

    /// A platform of so many mini programs and official accounts, synced, that wants these pairs (by their numbers).
    pub async fn wanting(plan: Plan, pairs: &[(u32, u32)]) -> Self {
        let world = Self::synced(plan).await;
        world.want(&pairs.iter().map(|(account, program)| pair(*account, *program)).collect::<Vec<_>>()).await;
        world
    }

    /// The same world with another setting.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Changes a setting.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// The same world without a setting.
    pub fn without(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }

    /// The same world in which no schedule ever rings: what happens is what the test says.
    pub fn unattended_without_schedules(self) -> Self {
        ["PHONE", "ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"]
            .into_iter()
            .fold(self, |world, name| world.with(&format!("WXPATROL_SCHEDULE_{name}"), "off"))
    }

    /// The settings.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// The app, opened as the program opens it.
    pub async fn app(&self) -> App {
        let lookup = |name: &str| self.settings.get(name).cloned();
        let config = Config::from_vars(lookup, self.settings.keys().cloned()).unwrap();
        App::open(config, Format::Table, CancellationToken::new(), "test").await.unwrap()
    }

    /// Merchants from the simulated WeChat's list.
    pub async fn sync(&self) -> Synced {
        let app = self.app().await;
        let Ready { platform, wire, source, .. } = app.ready().await.unwrap();
        let sync =
            Sync { store: app.store.clone(), wire, platform, source, stop: CancellationToken::new(), closed_max: None };
        let synced = sync.run().await.unwrap();
        app.store.close().await;
        synced
    }

    /// Operators want these pairs.
    pub async fn want(&self, pairs: &[(String, String)]) {
        let platform = self.platform().await;
        self.database.store.want(platform, pairs, "test", false).await.unwrap();
    }

    /// The platform's row.
    pub async fn platform(&self) -> i32 {
        self.database.store.platform(&self.wechat.plan().component_appid).await.unwrap()
    }

    /// One run of all checks in this process.
    pub async fn once(&self) -> Ran {
        self.run(wish(&[])).await
    }

    /// One run of these checks in this process.
    pub async fn once_of(&self, checks: &[CheckName]) -> Ran {
        self.run(wish(checks)).await
    }

    /// One run in this process.
    pub async fn run(&self, wish: RunWish) -> Ran {
        let app = self.app().await;
        let ready = app.ready().await.unwrap();
        let run = app.store.open_run(ready.platform.id, &wish).await.unwrap();
        let patrol = app.patrol(&ready, !wish.dry_run);
        let ran = self.finish(&app, &patrol, run).await;
        app.store.close().await;
        ran
    }

    /// Works until the run is closed. While the work only waits for the time of its next tries, the clock is moved on.
    pub async fn finish(&self, app: &App, patrol: &Patrol, run: Uuid) -> Ran {
        let work = patrol.work(Until::RunCloses(run));
        tokio::pin!(work);
        let waited = tokio::time::Instant::now();
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(200)) => self.hurry().await,
            }
            assert!(waited.elapsed() < 2 * PATIENCE, "the run does not end: {}", self.open_work().await);
        };
        let (state, reason) = ended.unwrap();
        Ran { state, reason, coverage: app.store.coverage(run).await.unwrap() }
    }

    /// Moves the clock to the next due time, if there is nothing to do before. No claim can be made meanwhile.
    pub async fn hurry(&self) {
        let Ok(mut transaction) = self.database.pool.begin().await else { return };
        sqlx::raw_sql(
            "set local lock_timeout = '2s';
             lock table wxpatrol_data.item in share row exclusive mode;
             update wxpatrol_data.rehearsal_clock
                set shift = shift + coalesce((
                      select min(greatest(i.due_at, i.free_at)) - wxpatrol_data.clock()
                        from wxpatrol_data.item i
                       where i.outcome = 'again'
                         and i.leased_by is null
                         and i.due_at < wxpatrol_data.clock() + interval '2 min'
                      having min(greatest(i.due_at, i.free_at)) > wxpatrol_data.clock()), interval '0')
              where not exists (
                      select from wxpatrol_data.item i
                       where i.leased_until > wxpatrol_data.clock())",
        )
        .execute(&mut *transaction)
        .await
        .ok();
        transaction.commit().await.ok();
    }

    /// What keeps runs open, for a person who reads why a test failed.
    async fn open_work(&self) -> String {
        let rows: Vec<String> = sqlx::query_scalar(
            "select format('%s %s due in %s, leased %s, %s %s', check_name, appid, due_at - wxpatrol_data.clock(),
                           leased_by is not null, outcome, reason)
               from wxpatrol_data.item where due_at < wxpatrol_data.clock() + interval '3 min' limit 20",
        )
        .fetch_all(&self.database.pool)
        .await
        .unwrap_or_default();
        rows.join("; ")
    }

    /// So much time passes, for wxpatrol and for WeChat. A newer ticket has come meanwhile.
    pub async fn pass(&self, time: Duration) {
        self.database.advance(time).await;
        self.wechat.advance(time);
        let ticket = self.wechat.plan().verify_ticket.clone().into();
        self.database.store.keep_ticket(self.platform().await, &ticket, false).await.unwrap();
    }

    /// One number from the database.
    pub async fn count(&self, statement: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&self.database.pool).await.unwrap()
    }

    /// The first column of the rows, as text.
    pub async fn texts(&self, statement: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&self.database.pool).await.unwrap()
    }

    /// Changes a setting of the database, for sessions that are opened from now on.
    pub async fn alter(&self, setting: &str) {
        let database = self.texts("select format('alter database %I ', current_database())").await;
        let statement = AssertSqlSafe(format!("{}{setting}", database[0]));
        sqlx::raw_sql(statement).execute(&self.database.pool).await.unwrap();
    }

    /// Waits until a statement answers true.
    pub async fn until(&self, condition: &str) {
        let holds = async || sqlx::query_scalar(AssertSqlSafe(condition)).fetch_one(&self.database.pool).await;
        until(condition, async || matches!(holds().await, Ok(true))).await;
    }

    /// What a check came to for each merchant: outcome and reason by appid.
    pub async fn outcomes(&self, check: CheckName) -> BTreeMap<String, String> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select appid, concat_ws(' ', coalesce(outcome, 'none'), reason)
               from wxpatrol_data.item where check_name = $1",
        )
        .bind(check.name())
        .fetch_all(&self.database.pool)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    /// Every run is closed, and every line of every coverage adds up to what merchants and wishes say.
    pub async fn assert_every_run_adds_up(&self) {
        assert_eq!(self.count("select count(*) from wxpatrol_data.run where state = 'open'").await, 0);
        let wrong = self
            .texts(
                "select format('%s: total %s, buckets %s', c.check_name, c.total,
                               c.done + c.fresh + c.skipped + c.deferred + c.failed)
                   from wxpatrol.coverage c
                  where not c.adds_up
                     or c.total <> case c.check_name
                          when 'links' then (select count(distinct official_account) from wxpatrol_data.wish)
                          when 'invite' then (select count(*) from wxpatrol_data.wish)
                          else (select count(*) from wxpatrol_data.merchant where kind = 'mini_program') end",
            )
            .await;
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// The appids of a pair, by their numbers: official account, mini program.
pub fn pair(account: u32, program: u32) -> (String, String) {
    (Plan::official_account(account), Plan::mini_program(program))
}

/// An address for a program to listen on. Below the ports that systems hand out by themselves, so that no connection and no
/// other listener takes it before the program does.
pub fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap_or(0) * 200;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::Instant::now();
    while !condition().await {
        assert!(waited.elapsed() < PATIENCE, "it did not come to this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
