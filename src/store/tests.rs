//! The schema and the statements on a real Postgres: everything has its comment, prepares, and refuses what it must.

mod claims;
mod counts;
mod crossing;
mod events;
mod foreign;
mod gates;
mod history;
mod intents;
mod keys;
mod limits;
mod listing;
mod locks;
mod operator;
mod platforms;
mod promises;
mod queue;
mod scale;
mod tokens;
mod upkeep;
mod views;
mod wakes;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Executor as _, PgPool, SqlSafeStr as _};

use super::testing::TestDatabase;
use crate::{
    domain::{CheckName, PlatformId, link::Patience},
    store::{
        Store,
        claim::{ClaimWish, Losses},
        record::RecordContext,
    },
};

/// Says several statements that only a test says.
async fn say(pool: &PgPool, statements: &'static str) {
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query("set search_path to wxpatrol_data").execute(&mut *connection).await.unwrap();
    sqlx::raw_sql(statements).execute(&mut *connection).await.unwrap();
    sqlx::query("reset search_path").execute(&mut *connection).await.unwrap();
}

/// A claim of all merchants of the first platform, for a minute.
fn claim_of(check: CheckName, items_max: u32) -> ClaimWish<'static> {
    ClaimWish {
        platform: 1,
        check,
        gate: None,
        items_max,
        merchants: None,
        lease: Duration::from_secs(60),
        losses: Losses::OnceAtMost,
        merchant_interval: Duration::ZERO,
    }
}

/// One platform with two mini programs, an official account and an open wish.
const SEED: &str = "
    insert into platform (component_appid, ticket_sealed, ticket_at) values ('wxcomponent', 'x', clock() - interval '11 hours');
    insert into merchant (platform_id, appid, kind, nickname, account_status, permission_sets, info_at) values
        (1, 'wxmini1', 'mini_program', '小店', 1, '{49}', clock()),
        (1, 'wxmini2', 'mini_program', null, 19, null, clock()),
        (1, 'wxgone', 'mini_program', null, null, null, null),
        (1, 'wxoa', 'official_account', 'account', 1, '{33}', clock()),
        (1, 'wxwhat', 'unknown', null, null, null, clock());
    update merchant set withdrawn_at = clock() where appid = 'wxgone';
    insert into wish (official_account, mini_program) values ('wxoa', 'wxmini1'), ('wxoa', 'wxmini2');
    insert into item (platform_id, appid, check_name, counterpart, due_at, due_since, outcome, reason, class, errcode, rid, recorded_at, done_at) values
        (1, 'wxmini1', 'phone', '', clock() - interval '1 s', clock() - interval '1 s', 'done', null, 'ok', 0, null, clock(), clock()),
        (1, 'wxmini1', 'ask', '', 'infinity', 'infinity', 'skipped', 'maximum_reached', null, null, null, clock(), null),
        (1, 'wxmini1', 'callback', '', clock(), clock(), 'failed', 'unknown', 'unknown', 987654, 'rid-fake', clock(), null),
        (1, 'wxmini2', 'phone', '', 'infinity', 'infinity', 'skipped', 'permission', null, null, null, clock(), null),
        (1, 'wxmini2', 'ask', '', clock(), clock(), null, null, null, null, null, null, null),
        (1, 'wxoa', 'links', '', clock(), clock(), null, null, null, null, null, null, null),
        (1, 'wxoa', 'invite', 'wxmini1', clock(), clock(), null, null, null, null, null, null, null),
        (1, 'wxoa', 'invite', 'wxmini2', 'infinity', 'infinity', 'skipped', 'blocked', 'human', 89010, null, clock(), null);
    insert into phone (platform_id, appid, state, since, read_at) values
        (1, 'wxmini1', 'missing', clock(), clock()), (1, 'wxmini2', 'missing', clock(), clock());
    insert into intent (platform_id, purpose, appid, number, made_at, deadline_at, process_id) values
        (1, 'ask', 'wxmini1', 1, clock() - interval '2 min', clock() - interval '1 min', '00000000-0000-0000-0000-000000000001');
    insert into link (platform_id, official_account, mini_program, state, since, read_at, reason, errcode) values
        (1, 'wxoa', 'wxmini1', 'wanted', clock(), clock(), null, null),
        (1, 'wxoa', 'wxmini2', 'blocked', clock(), clock(), 'blocked by code', 89010);
    insert into callback_snapshot (platform_id, appid, valid_from, state, digest, config) values
        (1, 'wxmini1', clock(), 'configured', 'x', '{\"container_config\": {\"enable\": true}, \"function_config\": {\"enable\": false, \"callbacks\": []}}');
    insert into callback_change (platform_id, appid, changed_at, field, old_value, new_value) values
        (1, 'wxmini1', clock(), 'container_config.enable', 'true', 'false');
    insert into credential (platform_id, appid, lost_reason) values (1, 'wxmini1', 'refused for good');
    insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at, reason) values
        (1, 'wxoa', 'authorized', '2026-11-21', 'failed', clock(), 'errcode 61009');
    update merchant set event_at = '2026-11-21' where appid = 'wxoa';
    insert into closure (platform_id, endpoint, closed_until, slow_until, since, errcode, reason) values
        (1, 'wxamplink', clock() + interval '1 h', clock() + interval '2 h', clock(), 45011, 'told to slow down');
    insert into merchant_closure values (1, 'wxmini1', 'checkmobile', clock() + interval '1 h', clock(), 'quota_day', 45009);
    insert into hold (platform_id, check_name, reason, created_at) values (1, 'invite', 'long ago', clock() - interval '31 days');
    insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, state, ended_at) values
        ('00000000-0000-0000-0000-00000000000a', 1, 'phone', clock(), '{phone,ask}', clock(), clock(), 'complete', clock());
    insert into coverage (run_id, check_name, total, done, fresh, skipped, deferred, failed) values
        ('00000000-0000-0000-0000-00000000000a', 'phone', 2, 1, 0, 1, 0, 0), ('00000000-0000-0000-0000-00000000000a', 'ask', 2, 0, 0, 1, 0, 0);
    insert into failure (platform_id, appid, failed_at, check_name, endpoint, class, errcode, rid) values
        (1, 'wxmini1', clock(), 'callback', 'getcallbackconfig', 'unknown', 987654, 'rid-fake');
";

/// A platform with so many mini programs, `wx0001` and on, that have no items yet.
async fn mini_programs(count: i32) -> TestDatabase {
    let database = TestDatabase::new().await;
    say(&database.pool, "insert into platform (component_appid) values ('wxcomponent')").await;
    sqlx::query(
        "insert into wxpatrol_data.merchant (platform_id, appid, kind)
         select 1, 'wx' || to_char(n, 'FM0000'), 'mini_program' from generate_series(1, $1) n",
    )
    .bind(count)
    .execute(&database.pool)
    .await
    .unwrap();
    database
}

async fn seeded() -> (TestDatabase, PlatformId) {
    let database = TestDatabase::new().await;
    say(&database.pool, SEED).await;
    (database, 1)
}

fn statements() -> BTreeMap<String, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sql");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap())).collect()
}

#[tokio::test]
async fn every_statement_prepares_and_its_first_line_names_its_file() {
    let database = TestDatabase::new().await;
    let mut faults = Vec::new();
    for (file, text) in statements() {
        if !text.starts_with(&format!("-- {file}: ")) {
            faults.push(format!("{file}: the first line does not name it"));
        }
        // What begins a transaction holds several commands, which cannot be prepared: it is run and rolled back.
        let tried = if text.contains("\nbegin;") {
            let begun = database.store.pool.begin_with(AssertSqlSafe(text).into_sql_str()).await;
            match begun {
                Ok(transaction) => transaction.rollback().await,
                Err(error) => Err(error),
            }
        } else {
            database.store.pool.prepare(AssertSqlSafe(text).into_sql_str()).await.map(drop)
        };
        if let Err(error) = tried {
            faults.push(format!("{file}: {error}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn every_statement_is_used() {
    let mut sources = String::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let unused: Vec<String> =
        statements().into_keys().filter(|file| !sources.contains(&format!("sql/{file}\""))).collect();
    assert_eq!(unused, Vec::<String>::new());
}

#[tokio::test]
async fn every_table_view_and_column_has_its_comment() {
    let database = TestDatabase::new().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "select c.relnamespace::regnamespace || '.' || c.relname || coalesce('.' || a.attname, '')
           from pg_class c
           left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          where c.relnamespace in ('wxpatrol'::regnamespace, 'wxpatrol_data'::regnamespace)
            and c.relkind in ('r', 'v')
            and c.relname <> '_migration'
            and (coalesce(obj_description(c.oid, 'pg_class'), '') = '' or coalesce(col_description(c.oid, a.attnum), '') = '')
          order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[tokio::test]
async fn constraints_refuse_rows_that_cannot_be() {
    let (database, _) = seeded().await;
    let mut refusals = Vec::new();
    for statement in [
        "insert into merchant (platform_id, appid, kind) values (1, 'wxx', 'shop')",
        "insert into merchant (platform_id, appid) values (1, '')",
        "insert into wish (official_account, mini_program) values ('wxoa', 'wxoa')",
        "insert into wish (official_account, mini_program) values ('wxoa', 'wxnobody')",
        "insert into hold (reason) values ('names nothing')",
        "insert into hold (appid, endpoint) values ('wxmini1', 'wxamplink')",
        "insert into hold (check_name, schedule) values ('phone', 'phone')",
        "insert into hold_event (platform_id, event, note, said_by) values (1, 'forgotten', '', 'me')",
        "update item set outcome = 'failed', reason = null",
        "update run set ended_at = null",
        "update run set state = 'buffered', reason = 'overlap', ended_at = null",
        "update run set missed_ticks = 1",
        "update link set deferred_until = clock()",
        "update link set state = 'blocked', reason = null",
        "update callback_snapshot set config = null",
        "update intent set number = 0",
        "update platform set halted_at = clock()",
        "insert into rehearsal_clock (only_row) values (true)",
        "insert into platform_limit (platform_id, endpoint, limit_text) values (1, 'checkmobile', '0/s')",
        "update platform set nickname = ''",
        "update platform set schedules = '{phone,null}'",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at) values (1, 'wxx', 'came', now(), 'done', now())",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at) values (1, 'wxx', 'authorized', now(), 'open', now())",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state) values (1, 'wxx', 'authorized', now(), 'pending')",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state) values (1, 'wxx', 'authorized', now(), 'done')",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at, code_sealed) values (1, 'wxx', 'authorized', now(), 'done', now(), 'x')",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at) values (1, 'wxx', 'authorized', now(), 'failed', now())",
        "insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at) values (1, 'wxoa', 'authorized', '2026-11-21', 'done', now())",
    ] {
        let error = database.store.pool.execute(statement).await.expect_err(statement);
        refusals.push(error.as_database_error().and_then(|error| error.constraint()).unwrap_or_default().to_owned());
    }
    let expected = [
        "kind_is_known_word",
        "appid_is_not_empty",
        "a_wish_names_two_accounts",
        "mini_program_is_a_known_merchant",
        "a_hold_names_something",
        "an_endpoint_is_held_for_all",
        "a_schedule_is_held_alone",
        "event_is_known_word",
        "every_outcome_but_done_has_a_reason",
        "an_ended_run_has_its_end",
        "what_waits_says_since_when",
        "missed_ticks_have_their_first",
        "deferred_iff_until",
        "blocked_has_its_reason",
        "a_configured_callback_has_its_config",
        "numbers_count_from_one",
        "a_halt_has_its_probe",
        "rehearsal_clock_pkey",
        "limit_text_is_a_limit",
        "a_nickname_is_not_empty",
        "schedules_are_words",
        "info_type_is_known_word",
        "state_is_known_word",
        "a_pending_event_is_due",
        "a_settled_event_has_its_end",
        "only_a_pending_event_keeps_its_code",
        "a_failed_event_has_its_reason",
        "an_event_is_known_once",
    ];
    assert_eq!(refusals, expected);
}

#[tokio::test]
async fn postgres_and_the_program_agree_on_the_endpoint_of_each_check() {
    let database = TestDatabase::new().await;
    for check in CheckName::ALL {
        let endpoint: Option<String> = sqlx::query_scalar("select wxpatrol_data.check_endpoint($1)")
            .bind(check.name())
            .fetch_one(&database.pool)
            .await
            .unwrap();
        assert_eq!(endpoint.as_deref(), Some(check.endpoint().name()));
    }
}

#[tokio::test]
async fn moving_the_clock_moves_what_is_due() {
    let (database, platform) = seeded().await;
    let due = async |store: &Store| store.due_counts(platform, &[CheckName::Phone], None).await.unwrap().len();
    say(
        &database.pool,
        "update item set due_at = clock() + interval '1 h' where check_name = 'phone' and appid = 'wxmini1'",
    )
    .await;
    assert_eq!(due(&database.store).await, 0);
    database.advance(std::time::Duration::from_secs(3_601)).await;
    assert_eq!(due(&database.another_store().await).await, 1);
}

/// Tables whose key does not begin with a merchant, and why they stay small or are the whole installation's.
const KEYS_WITHOUT_MERCHANT: [(&str, &str); 24] = [
    ("_migration", "a row for each migration"),
    ("schema_step", "a row for each step of the schema"),
    ("rehearsal_clock", "one row"),
    ("sealing_key", "one row"),
    ("cluster_identity", "one row"),
    ("platform", "a row for each platform"),
    ("platform_limit", "a row for each platform and endpoint"),
    ("recovery", "a row for each platform"),
    ("schedule", "a row for each platform and schedule"),
    ("item_count", "a row for each platform and check"),
    ("pace", "a row for each platform and endpoint: the limit that all processes share"),
    ("closure", "a row for each platform and endpoint"),
    ("learned", "a row for each platform and endpoint"),
    ("limit_setting", "a row for each endpoint and living process"),
    ("day_count", "a row for each platform, endpoint and day"),
    ("quota_turn", "a row for each platform, endpoint and day"),
    ("message_day", "a row for each platform, purpose and day"),
    ("process", "a row for each living process"),
    ("run", "a row for each tick"),
    ("coverage", "a row for each tick and check"),
    ("errcode", "the runbook"),
    ("hold", "checks, endpoints and schedules are held as well as merchants; as many rows as operators write"),
    ("hold_event", "as hold"),
    ("taken_push", "a ticket's push has no merchant; rows live as long as a replay could"),
];

#[tokio::test]
async fn every_key_begins_with_a_merchant_but_for_the_small_tables() {
    let database = TestDatabase::new().await;
    let keys: Vec<(String, bool)> = sqlx::query_as(
        "select t.relname::text,
                coalesce((select array_agg(a.attname::text order by k.place) filter (where k.place <= 2)
                                   in ('{platform_id,appid}', '{platform_id,official_account}')
                            from pg_constraint c
                           cross join unnest(c.conkey) with ordinality as k (attnum, place)
                            join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum
                           where c.conrelid = t.oid
                             and c.contype = 'p'), false)
           from pg_class t
          where t.relnamespace = 'wxpatrol_data'::regnamespace
            and t.relkind in ('r', 'p')
          order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let without: BTreeSet<&str> = keys.iter().filter(|(_, begins)| !begins).map(|(table, _)| table.as_str()).collect();
    let listed: BTreeSet<&str> = KEYS_WITHOUT_MERCHANT.iter().map(|(table, _)| *table).collect();
    assert_eq!(
        without, listed,
        "left: tables whose key does not begin with platform and merchant; right: those that may"
    );
    assert!(keys.len() > listed.len());
}
