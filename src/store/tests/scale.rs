//! What planning, closing and looking cost when there are many: no more than what they are about.

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::{
        Class, Finding, Kind, Outcome, Settled,
        check::Unit,
        link::Seen,
        outcome::{CallRecord, PhoneState},
    },
    store::{
        claim::Claim,
        coverage::{Closed, Closing, CoverageRow},
        merchant_list::Given,
        merchants::MerchantRow,
        runs::{RunState, RunWish},
    },
};

const CONTEXT: RecordContext = RecordContext { platform: 1, run: None, patience: Patience(Duration::ZERO) };

/// Changed mini programs, `wx000001` and so on.
async fn changed(merchants: i32) -> TestDatabase {
    let database = TestDatabase::new().await;
    say(&database.pool, "insert into platform (component_appid) values ('wxcomponent')").await;
    sqlx::query(
        "insert into wxpatrol_data.merchant (platform_id, appid, kind)
         select 1, 'wx' || to_char(n, 'FM000000'), 'mini_program' from generate_series(1, $1) n",
    )
    .bind(merchants)
    .execute(&database.pool)
    .await
    .unwrap();
    say(&database.pool, "analyze merchant").await;
    database
}

async fn number(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

/// Ends the sessions of the store: a session has told what it counted when it is gone.
async fn gone(database: &TestDatabase) {
    database.store.close().await;
    let sessions = "select count(*) from pg_stat_activity
                     where datname = current_database() and application_name = 'wxpatrol'";
    while number(&database.pool, sessions).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const STALE: &str = "select count(*) from wxpatrol_data.merchant where plan_stale";

#[tokio::test]
async fn a_batch_of_planning_does_not_read_what_the_batches_before_it_left() {
    let database = changed(16_000).await;
    // A backup begins: nothing that it sees may be tidied away before it ends.
    let mut backup = database.pool.begin().await.unwrap();
    sqlx::raw_sql("set transaction isolation level repeatable read; select count(*) from wxpatrol_data.merchant")
        .execute(&mut *backup)
        .await
        .unwrap();
    let planned = database.store.plan(CONTEXT, false).await.unwrap();
    assert_eq!(planned.merchants, 16_000);
    gone(&database).await;
    let read = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'merchant_to_plan'";
    let read = number(&database.pool, read).await;
    let whole = "select seq_scan from pg_stat_user_tables where relname = 'merchant'";
    // Once by the backup.
    let whole = number(&database.pool, whole).await;
    backup.rollback().await.unwrap();
    // Once by its batch, and once more by the look whether anything is left. Each batch from the start: 88 000.
    assert!((16_000..=34_000).contains(&read), "{read} entries were read");
    assert!(whole <= 1, "the merchants were gone through {whole} times");
}

#[tokio::test]
async fn what_changes_behind_the_batches_is_planned_before_planning_ends() {
    let database = changed(2_001).await;
    let mut other = database.pool.begin().await.unwrap();
    sqlx::raw_sql("select from wxpatrol_data.merchant where appid = 'wx002001' for update")
        .execute(&mut *other)
        .await
        .unwrap();
    let store = database.store.clone();
    let planning = tokio::spawn(async move { store.plan(CONTEXT, false).await });
    // The first batch is committed; the second waits.
    while number(&database.pool, STALE).await > 1 && !planning.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say(&database.pool, "update merchant set plan_stale = true, account_status = 19 where appid = 'wx000007'").await;
    other.rollback().await.unwrap();
    planning.await.unwrap().unwrap();
    assert_eq!(number(&database.pool, STALE).await, 0);
    let barred = "select count(*) from wxpatrol_data.item where appid = 'wx000007' and reason = 'account_status'";
    assert_eq!(number(&database.pool, barred).await, 3);
}

#[tokio::test]
async fn wishes_of_several_batches_are_all_planned() {
    let database = changed(2_100).await;
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind) values (1, 'wxoa1', 'official_account'), (1, 'wxoa2', 'official_account');
         insert into wish (official_account, mini_program)
         select 'wxoa' || o, appid from merchant, generate_series(1, 2) o where kind = 'mini_program'",
    )
    .await;
    let planned = database.store.plan(CONTEXT, false).await.unwrap();
    assert_eq!((planned.merchants, planned.wishes), (2_102, 4_200));
    let items = "select count(*) from wxpatrol_data.item where check_name = 'invite'";
    assert_eq!(number(&database.pool, items).await, 4_200);
}

/// What a run over all checks counts when it is closed at once.
async fn counted(database: &TestDatabase, merchants: Option<Vec<String>>) -> Vec<CoverageRow> {
    let store = &database.store;
    let (checks, deadline) = (CheckName::ALL.to_vec(), Duration::from_secs(60));
    let wish = RunWish { checks, merchants, all: false, dry_run: false, deadline };
    let run = store.open_run(1, &wish).await.unwrap();
    // The run began an hour ago.
    say(&database.pool, "update run set started_at = clock() - interval '1 h' where state = 'open'").await;
    let open = store.open_runs(1).await.unwrap();
    let (state, left_because) = (RunState::Interrupted, Some("interrupted"));
    let closing = Closing { state, reason: Some("a test"), left_because, shut: &[], sure: true };
    assert_eq!(store.close_run(1, &open[0], closing).await.unwrap(), Closed::Yes);
    store.coverage(run).await.unwrap()
}

#[tokio::test]
async fn a_run_over_all_counts_what_a_run_over_each_by_name_counts() {
    let database = changed(9).await;
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind) values (1, 'wxoa', 'official_account');
         update merchant set known_at = clock() - interval '1 day';
         insert into wish (official_account, mini_program, wanted_at)
         select 'wxoa', 'wx00000' || n, clock() - interval '1 day' from generate_series(1, 3) n",
    )
    .await;
    database.store.plan(CONTEXT, false).await.unwrap();
    say(
        &database.pool,
        "update merchant set withdrawn_at = clock() - interval '2 h' where appid = 'wx000001';
         update merchant set withdrawn_at = clock() - interval '10 min' where appid = 'wx000002';
         update merchant set known_at = clock() where appid = 'wx000003';
         update item set outcome = 'done', reason = null, recorded_at = clock() where appid = 'wx000004';
         update item set held = true where appid = 'wx000005'",
    )
    .await;
    let of_all = counted(&database, None).await;
    let names = sqlx::query_scalar("select appid from wxpatrol_data.merchant").fetch_all(&database.pool).await.unwrap();
    assert_eq!(of_all, counted(&database, Some(names)).await);
    for row in &of_all {
        assert!(row.adds_up(), "{row:?}");
        let check: CheckName = row.check_name.parse().unwrap();
        // Not the one that withdrew before the run, nor the one that came after its start.
        let expected = match check.unit() {
            Unit::MiniProgram => 7,
            Unit::AccountWithWish => 1,
            Unit::Wish => 3,
        };
        assert_eq!(row.total, expected, "{check:?}");
    }
    let phone = &of_all[0];
    assert_eq!((phone.check_name.as_str(), phone.done, phone.skipped, phone.deferred), ("phone", 1, 1, 5));
}

/// Pages that a statement reads, of all that it names.
macro_rules! pages {
    ($pool:expr, $file:literal, $($bound:expr),+) => {{
        let explain = concat!("explain (analyze, buffers, format json) ", include_str!(concat!("../sql/", $file)));
        let plan: serde_json::Value =
            sqlx::query_scalar(explain)$(.bind($bound))+.fetch_one($pool).await.unwrap();
        let plan = &plan[0]["Plan"];
        plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
    }};
}

#[tokio::test]
async fn what_asks_for_due_items_reads_none_of_those_that_are_not() {
    let database = changed(6_000).await;
    database.store.plan(CONTEXT, false).await.unwrap();
    say(&database.pool, "update item set due_at = clock() + interval '1 day' where due_at < 'infinity'").await;
    say(&database.pool, "vacuum analyze item").await;
    let all = number(&database.pool, "select pg_relation_size('wxpatrol_data.item') / 8192").await;
    let mut session = database.pool.acquire().await.unwrap();
    session.execute("set search_path to wxpatrol_data").await.unwrap();
    let nobody: Option<Vec<String>> = None;
    let (checks, gates) = (&["phone", "callback", "ask"][..], &[None, None, Some("phone")][..]);
    let unfinished = pages!(&mut *session, "run_unfinished.sql", 1, checks, gates);
    let of_one = pages!(&mut *session, "run_unfinished_of.sql", 1, checks, vec!["wx000001"], gates);
    let suspects = pages!(&mut *session, "suspects.sql", 1, "phone", &nobody, 0.0);
    let returned = pages!(&mut *session, "leases_return.sql", uuid::Uuid::nil(), 1);
    session.execute("reset search_path").await.unwrap();
    for (statement, pages) in
        [("unfinished", unfinished), ("of one", of_one), ("suspects", suspects), ("return", returned)]
    {
        assert!(pages * 10 < all, "{statement}: {pages} pages, and {all} of the table");
    }
}

/// A claim of phones, all of which are found missing.
async fn phones_missing(store: &Store, items_max: u32) {
    recorded(store, CheckName::Phone, items_max, |store, claim| Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Done { due_at: Some(store.now() + TimeDelta::days(1)) },
        call: None,
        finding: Some(Finding::Phone(PhoneState::Missing)),
        intent: None,
        free_at: None,
    })
    .await;
}

/// The merchant's day is used up: its endpoint is left alone, and what is due on it waits.
fn used_up(store: &Store, claim: &Claim) -> Settled {
    let until = store.now() + TimeDelta::hours(9);
    Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Deferred { until, reason: "quota_day".into() },
        call: Some(CallRecord {
            class: Class::QuotaDay,
            errcode: Some(45009),
            rid: None,
            asked_at: store.now(),
            latency: Duration::ZERO,
            detail: None,
            closes_until: Some(until),
        }),
        finding: None,
        intent: None,
        free_at: None,
    }
}

/// A reading that shows the wanted pair waiting.
fn waiting(store: &Store, claim: &Claim) -> Settled {
    let counterpart = claim.key.appid.replacen("wo", "wy", 1);
    let seen = vec![(counterpart, Seen::WaitingMiniProgram)];
    Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Done { due_at: Some(store.now() + TimeDelta::days(1)) },
        call: None,
        finding: Some(Finding::Links { began_at: store.now(), seen }),
        intent: None,
        free_at: None,
    }
}

/// A claim of this check, its leases prolonged, and its record.
async fn recorded(store: &Store, check: CheckName, items_max: u32, settled: impl Fn(&Store, &Claim) -> Settled) {
    let claims = store.claim(claim_of(check, items_max)).await.unwrap();
    let leases = claims.iter().map(|claim| std::sync::Arc::clone(&claim.lease)).collect();
    assert_eq!(store.prolong(1, leases, Duration::from_secs(60)).await.unwrap(), claims.len());
    let batch: Vec<Settled> = claims.iter().map(|claim| settled(store, claim)).collect();
    assert_eq!(store.record(CONTEXT, &batch).await.unwrap().written, vec![true; items_max as usize]);
}

#[tokio::test]
async fn what_was_just_imported_is_recorded_by_key_and_by_no_plan_of_a_time_when_there_was_little() {
    let database = changed(7).await;
    database.store.plan(CONTEXT, false).await.unwrap();
    for _ in 0..7 {
        phones_missing(&database.store, 1).await;
    }
    // Nobody analyzes anything: that is a matter of minutes, and the first patrol begins at once.
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind)
         select 1, 'wy' || to_char(n, 'FM000000'), 'mini_program' from generate_series(1, 20000) n;
         insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, appid, check_name, case check_name when 'ask' then 'infinity' else clock() end, clock()
           from merchant, unnest(array['ask', 'callback', 'phone']) check_name where appid like 'wy%'",
    )
    .await;
    for _ in 0..7 {
        phones_missing(&database.store, 50).await;
    }
    // 350 phones, each looked up by its claim, its lease and its record, and 350 asks; going through all just once: 60 000.
    assert_read(database, &[("item", 5_000)]).await;
}

/// So many official accounts and as many mini programs, each wanted with one of them. Nobody analyzes anything.
async fn imported_pairs(count: i32) -> TestDatabase {
    let database = TestDatabase::new().await;
    let mut import = database.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "set local search_path to wxpatrol_data;
         set local session_replication_role = replica;
         insert into platform (component_appid) values ('wxcomponent')",
    )
    .execute(&mut *import)
    .await
    .unwrap();
    for rows in [
        "insert into merchant (platform_id, appid, kind)
         select 1, w || to_char(n, 'FM000000'), case w when 'wo' then 'official_account' else 'mini_program' end
           from generate_series(1, $1) n, unnest(array['wo', 'wy']) w",
        "insert into wish (platform_id, official_account, mini_program)
         select 1, 'wo' || to_char(n, 'FM000000'), 'wy' || to_char(n, 'FM000000') from generate_series(1, $1) n",
    ] {
        sqlx::query(rows).bind(count).execute(&mut *import).await.unwrap();
    }
    import.commit().await.unwrap();
    database
}

/// Of each of these tables fewer rows were read in all.
async fn assert_read(database: TestDatabase, tables: &[(&str, i64)]) {
    gone(&database).await;
    for (table, most) in tables {
        let read: i64 =
            sqlx::query_scalar("select idx_tup_fetch + seq_tup_read from pg_stat_user_tables where relname = $1")
                .bind(table)
                .fetch_one(&database.pool)
                .await
                .unwrap();
        assert!(read < *most, "{read} rows of {table} were read");
    }
}

#[tokio::test]
async fn what_was_just_imported_is_closed_linked_and_informed_by_key() {
    let database = imported_pairs(10_000).await;
    say(
        &database.pool,
        "set local session_replication_role = replica;
         insert into link (platform_id, official_account, mini_program, state, since)
         select 1, official_account, mini_program, 'wanted', clock() from wish;
         insert into item (platform_id, appid, check_name, counterpart, due_at, due_since)
         select 1, appid, 'phone', '', clock(), clock() from merchant where appid like 'wy%'
          union all
         select 1, official_account, check_name, case check_name when 'invite' then mini_program else '' end,
                case check_name when 'invite' then 'infinity' else clock() end, clock()
           from wish, unnest(array['links', 'invite']) check_name",
    )
    .await;
    let informed =
        |n: i32| MerchantRow { appid: format!("wy{n:06}"), kind: Some(Kind::MiniProgram), ..MerchantRow::default() };
    for batch in 0..7 {
        recorded(&database.store, CheckName::Phone, 50, used_up).await;
        recorded(&database.store, CheckName::Links, 50, waiting).await;
        let rows: Vec<MerchantRow> = (1..=50).map(|n| informed(50 * batch + n)).collect();
        database.store.keep_info(1, &rows, Given::default()).await.unwrap();
    }
    // Of 350 phones and 350 official accounts; the import itself read all merchants and wishes once.
    assert_read(database, &[("item", 7_000), ("link", 3_000), ("merchant", 23_000), ("wish", 23_000)]).await;
}

#[tokio::test]
async fn merchants_and_their_wishes_that_were_just_imported_are_planned_by_key() {
    let database = imported_pairs(3_000).await;
    let planned = database.store.plan(CONTEXT, false).await.unwrap();
    assert_eq!((planned.merchants, planned.wishes), (6_000, 3_000));
    // Each wish is looked up from both of its sides, planned and ended.
    assert_read(database, &[("wish", 30_000), ("merchant", 60_000), ("link", 12_000), ("item", 60_000)]).await;
}
