//! The engine with a check that has a bug. Everything else is real: Postgres, the wire, the limits, the recorder.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{sync::Sync, *};
use crate::{
    app::App,
    checks::{Moment, Subject, Verdict},
    config::Config,
    domain::{CallError, Class, TokenFault},
    ops::print::Format,
    simulate::{self, Plan, SimulatedWechat},
    store::{
        claim::{ClaimWish, Losses},
        runs::RunWish,
        testing::TestDatabase,
    },
    wechat::{Reply, Request},
};

/// A check whose judge panics at every third answer.
struct Buggy {
    check: Box<dyn Check>,
    answers: Arc<AtomicU32>,
}

impl Check for Buggy {
    fn name(&self) -> CheckName {
        self.check.name()
    }

    fn request(&self, subject: Subject<'_>) -> Request {
        self.check.request(subject)
    }

    fn judge(&self, reply: &Reply, moment: Moment) -> Option<Verdict> {
        let answer = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!answer.is_multiple_of(3), "a bug that a test has put here");
        self.check.judge(reply, moment)
    }
}

const MERCHANTS: u32 = 30;

/// A synced platform where nobody has a phone.
async fn platform(database: &TestDatabase) -> (SimulatedWechat, App) {
    let plan = Plan { mini_programs: MERCHANTS, official_accounts: 1, phone_missing_share: 1.0, ..Plan::default() };
    let wechat = SimulatedWechat::start_with(([127, 0, 0, 1], 0).into(), plan.clone(), Vec::new()).unwrap();
    let settings: BTreeMap<&str, String> = BTreeMap::from([
        ("DATABASE_URL", database.url()),
        ("WXPATROL_ENCRYPTION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc".to_owned()),
        ("WXPATROL_WECHAT_BASE_URL", wechat.base_url()),
        ("WXPATROL_COMPONENT_APPID", plan.component_appid),
        ("WXPATROL_COMPONENT_APPSECRET", plan.component_appsecret),
        ("WXPATROL_VERIFY_TICKET", plan.verify_ticket),
        ("WXPATROL_QUIET_HOURS", String::new()),
        // As few callers as there are bugs: a caller that a bug took with it would be missed.
        ("WXPATROL_CALLS_MAX", "4".to_owned()),
        ("WXPATROL_LIMIT_CHECKMOBILE", "unlimited".to_owned()),
        ("WXPATROL_LIMIT_API_AUTHORIZER_TOKEN", "unlimited".to_owned()),
        ("WXPATROL_LIMIT_API_GET_AUTHORIZER_INFO", "unlimited".to_owned()),
        ("WXPATROL_LEARN_LIMITS", "off".to_owned()),
    ]);
    let names: Vec<String> = settings.keys().map(|name| (*name).to_owned()).collect();
    let config = Config::from_vars(|name| settings.get(name).cloned(), names).unwrap();
    let app = App::open(config, Format::Table, CancellationToken::new(), "test").await.unwrap();
    let ready = app.ready().await.unwrap();
    let sync = Sync {
        store: app.store.clone(),
        wire: ready.wire,
        platform: ready.platform,
        source: None,
        stop: CancellationToken::new(),
        closed_max: None,
    };
    sync.run().await.unwrap();
    (wechat, app)
}

/// A run of one check, with a bug in it where the test wants one.
async fn run(app: &App, check: CheckName, bug: Option<&Arc<AtomicU32>>) -> RunState {
    let ready = app.ready().await.unwrap();
    let mut patrol = app.patrol(&ready, true);
    if let Some(answers) = bug {
        let inner = Arc::get_mut(&mut patrol.inner).expect("nobody else has it yet");
        let wrap = |inner: Box<dyn Check>| -> Box<dyn Check> {
            if inner.name() == check { Box::new(Buggy { check: inner, answers: Arc::clone(answers) }) } else { inner }
        };
        inner.checks = std::mem::take(&mut inner.checks).into_iter().map(wrap).collect();
    }
    let wish = RunWish {
        checks: vec![check],
        merchants: None,
        all: false,
        dry_run: false,
        deadline: Duration::from_secs(3_600),
    };
    let run = app.store.open_run(ready.platform.id, &wish).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), patrol.work(Until::RunCloses(run)));
    ended.await.expect("the run ends").unwrap().unwrap().0
}

async fn texts(database: &TestDatabase, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar(statement).fetch_all(&database.pool).await.unwrap()
}

#[tokio::test]
async fn a_step_that_panics_is_settled_as_a_bug_and_takes_neither_its_caller_nor_another_merchant_with_it() {
    let database = TestDatabase::new().await;
    let (_wechat, app) = platform(&database).await;
    let answers = Arc::new(AtomicU32::new(0));
    assert_eq!(run(&app, CheckName::Phone, Some(&answers)).await, RunState::Complete);
    assert_eq!(answers.load(Ordering::Relaxed), MERCHANTS);
    let came_to =
        "select concat_ws(' ', outcome, reason, count(*), bool_and(due_at > wxpatrol_data.clock() + interval '19 h'),
                                    count(leased_by))
                     from wxpatrol_data.item where check_name = 'phone' group by outcome, reason order by 1";
    assert_eq!(texts(&database, came_to).await, ["done 20 t 0", "failed bug 10 t 0"]);
    let told = "select distinct detail from wxpatrol.attention where why = 'failed' and check_name = 'phone'";
    assert_eq!(texts(&database, told).await, ["bug"]);
    assert_eq!(texts(&database, "select rule from wxpatrol.broken_promises").await, [""; 0]);
}

#[tokio::test]
async fn a_message_whose_step_panics_counts_as_made_and_is_not_sent_again_within_the_window() {
    let database = TestDatabase::new().await;
    let (wechat, app) = platform(&database).await;
    assert_eq!(run(&app, CheckName::Phone, None).await, RunState::Complete);
    let answers = Arc::new(AtomicU32::new(0));
    assert_eq!(run(&app, CheckName::Ask, Some(&answers)).await, RunState::Complete);
    let intents = "select concat_ws(' ', outcome, count(*)) from wxpatrol_data.intent group by outcome order by 1";
    assert_eq!(texts(&database, intents).await, ["made 20", "unknown 10"]);
    // A day and more later the failed asks are due again, within the cool-down.
    database.advance(Duration::from_secs(2 * 86_400)).await;
    let world: Arc<simulate::World> = wechat.world();
    world.advance(Duration::from_secs(2 * 86_400));
    let ready = app.ready().await.unwrap();
    app.store.keep_ticket(ready.platform.id, &world.plan().verify_ticket.clone().into(), false).await.unwrap();
    assert_eq!(run(&app, CheckName::Ask, None).await, RunState::Complete);
    assert_eq!(world.readout().asks_of_one_merchant_max, 1);
    assert_eq!(world.asks().len(), MERCHANTS as usize);
    assert_eq!(world.arrived(simulate::Endpoint::Checkmobile), u64::from(2 * MERCHANTS));
    let told = "select count(*)::text from wxpatrol.attention where why = 'ask_unknown'";
    assert_eq!(texts(&database, told).await, ["10"]);
    assert_eq!(texts(&database, "select rule from wxpatrol.broken_promises").await, [""; 0]);
}

#[tokio::test]
async fn one_odd_merchant_halts_nothing_after_another_process_has_seen_the_platform_work() {
    let database = TestDatabase::new().await;
    let (_wechat, app) = platform(&database).await;
    let ready = app.ready().await.unwrap();
    let [left, right] = [(); 2].map(|()| app.patrol(&ready, true).inner);
    let odd = CallError::Refused { errcode: 61004, class: Class::Halt, errmsg: String::new(), rid: None };
    left.halt.works();
    for appid in ["wxa", "wxb", "wxc"] {
        left.platform_fault(CheckName::Phone, appid, &odd).await;
    }
    assert!(app.store.breaker(ready.platform.id).await.unwrap().halted);
    // The first try says nothing; the next one is another process's, and succeeds.
    for inner in [&left, &right] {
        database.advance(Duration::from_secs(61)).await;
        assert!(matches!(halt::consult(inner, Until::Stopped).await.unwrap(), halt::Consulted::Probing));
    }
    right.platform_works().await;
    assert!(matches!(halt::consult(&left, Until::Stopped).await.unwrap(), halt::Consulted::Working));
    assert!(!left.platform_fault(CheckName::Phone, "wxodd", &odd).await, "one merchant alone halts the platform");
    assert!(!app.store.breaker(ready.platform.id).await.unwrap().halted);
}

/// A process of a platform that has two mini programs and nobody else, both of them planned, and which those are.
async fn two_mini_programs(database: &TestDatabase, app: &App) -> (Arc<Inner>, [String; 2]) {
    let ready = app.ready().await.unwrap();
    let inner = app.patrol(&ready, true).inner;
    let first = "select appid from wxpatrol_data.merchant where kind = 'mini_program' order by 1 limit 2";
    let known = texts(database, first).await;
    let leave = "update wxpatrol_data.merchant set withdrawn_at = wxpatrol_data.clock() where appid <> all($1)";
    sqlx::query(leave).bind(&known).execute(&database.pool).await.unwrap();
    inner.store.plan(inner.context(None), inner.settings.hold_new).await.unwrap();
    (inner, known.try_into().unwrap())
}

#[tokio::test]
async fn a_platform_of_two_merchants_that_worked_is_halted_by_both_and_not_by_one() {
    let database = TestDatabase::new().await;
    let (_wechat, app) = platform(&database).await;
    let (left, known) = two_mini_programs(&database, &app).await;
    let odd = CallError::Refused { errcode: 61004, class: Class::Halt, errmsg: String::new(), rid: None };
    left.halt.works();
    for _ in 0..9 {
        assert!(!left.platform_fault(CheckName::Phone, &known[0], &odd).await, "one of two halts the platform");
    }
    assert!(left.platform_fault(CheckName::Phone, &known[1], &odd).await);
    assert!(app.store.breaker(left.platform.id).await.unwrap().halted);
}

#[tokio::test]
async fn whoever_can_not_be_called_is_not_waited_for_before_a_small_platform_is_halted() {
    let database = TestDatabase::new().await;
    let (_wechat, app) = platform(&database).await;
    let (left, known) = two_mini_programs(&database, &app).await;
    let skip = "update wxpatrol_data.item set outcome = 'skipped', reason = 'permission', due_at = 'infinity' where appid = $1";
    sqlx::query(skip).bind(&known[1]).execute(&database.pool).await.unwrap();
    let fault = CallError::Refused { errcode: 61004, class: Class::Halt, errmsg: String::new(), rid: None };
    left.halt.works();
    assert!(!left.platform_fault(CheckName::Phone, &known[0], &fault).await);
    assert!(left.platform_fault(CheckName::Phone, &known[0], &fault).await, "it waits for one who is never called");
}

#[tokio::test]
async fn the_sync_of_a_process_that_is_gone_is_closed_and_counted_once() {
    let database = TestDatabase::new().await;
    let (_wechat, app) = platform(&database).await;
    let ready = app.ready().await.unwrap();
    let inner = app.patrol(&ready, true).inner;
    let gone = "insert into wxpatrol_data.run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by)
                select $1, $2, 'sync', m.now, '{}', m.now - interval '2 min', m.now + interval '1 h', $1
                  from (select wxpatrol_data.clock() as now) m";
    sqlx::query(gone).bind(Uuid::now_v7()).bind(inner.platform.id).execute(&database.pool).await.unwrap();
    let open = app.store.open_runs(inner.platform.id).await.unwrap();
    assert!(open.len() == 1 && open[0].abandoned, "{open:?}");

    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let listens = metrics::set_default_local_recorder(&recorder);
    for _two_processes in 0..2 {
        close::if_over(&inner, &open[0], &[], None).await.unwrap();
    }
    drop(listens);
    let states = texts(&database, "select state from wxpatrol_data.run").await;
    assert_eq!(states, ["interrupted"]);
    let counted: Vec<_> =
        handle.render().lines().filter(|line| line.starts_with("wxpatrol_runs_total")).map(str::to_owned).collect();
    assert!(matches!(&counted[..], [one] if one.contains("interrupted") && one.ends_with("} 1")), "{counted:?}");
}

#[tokio::test]
async fn why_a_merchant_without_a_token_was_given_up_is_kept_with_its_last_try_and_with_none_before() {
    let database = TestDatabase::new().await;
    let (_wechat, app) = platform(&database).await;
    let (inner, _) = two_mini_programs(&database, &app).await;
    let wish = ClaimWish {
        platform: inner.platform.id,
        check: CheckName::Phone,
        gate: None,
        items_max: 1,
        merchants: None,
        lease: Duration::from_secs(60),
        losses: Losses::OnceAtMost,
        merchant_interval: Duration::ZERO,
    };
    let mut claim = inner.store.claim(wish).await.unwrap().remove(0);
    let waits = TokenFault::CoolingDown { reason: "HTTP status 502".to_owned(), wait: Duration::from_secs(1) };
    let asked = step::Asked { at: inner.now(), latency: Duration::ZERO };
    for (attempts, kept) in [(0, None), (2, Some("HTTP status 502"))] {
        claim.attempts = attempts;
        let settled = step::failed(&inner, &claim, &CallError::NoToken(waits.clone()), asked, None).await;
        let detail = settled.call.unwrap().detail;
        assert_eq!(detail.is_some(), kept.is_some(), "{detail:?}");
        assert!(kept.is_none_or(|kept| detail.unwrap().contains(kept)));
    }
}
