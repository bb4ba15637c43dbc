use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use crate::{
    ops::{report, status},
    store::views::{CellKind, ViewWish},
};

async fn column(store: &Store, view: &str, wish: ViewWish<'_>, name: &str) -> Vec<Option<String>> {
    let rows = store.read_view(view, wish).await.unwrap().unwrap();
    let place = rows.columns.iter().position(|column| column.name == name).unwrap();
    rows.rows.into_iter().map(|row| row[place].clone()).collect()
}

#[tokio::test]
async fn every_view_reads_on_an_empty_and_on_a_seeded_database() {
    let (database, _) = seeded().await;
    let empty = TestDatabase::new().await;
    for store in [&empty.store, &database.store] {
        for view in store.views().await.unwrap() {
            let rows = store.read_view(&view.name, ViewWish::default()).await.unwrap().unwrap();
            assert_eq!(rows.title, view.title);
            assert!(rows.rows.iter().all(|row| row.len() == rows.columns.len()));
            let shows_nothing = rows.rows.is_empty() && view.name != "processes";
            assert!(std::ptr::eq(store, &empty.store) || !shows_nothing, "{} shows nothing of the seed", view.name);
        }
    }
}

#[tokio::test]
async fn the_columns_of_the_views_are_the_frozen_ones() {
    let database = TestDatabase::new().await;
    let mut text = String::new();
    for view in database.store.views().await.unwrap() {
        let rows = database.store.read_view(&view.name, ViewWish::default()).await.unwrap().unwrap();
        writeln!(text, "{}", view.name).unwrap();
        for column in rows.columns {
            writeln!(text, "    {} {:?}", column.name, column.kind).unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frozen/views.txt");
    if std::env::var_os("UPDATE_FROZEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let frozen = std::fs::read_to_string(path).unwrap_or_default();
    assert!(text == frozen, "the views changed; they are a contract. With UPDATE_FROZEN=1 the file follows:\n{text}");
}

#[tokio::test]
async fn each_trouble_stands_in_attention_once_with_what_to_do() {
    let (database, _) = seeded().await;
    let rows = database.store.read_view("attention", ViewWish::default()).await.unwrap().unwrap();
    let place = |name: &str| rows.columns.iter().position(|column| column.name == name).unwrap();
    let (subject, why) = (place("subject"), place("why"));
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for row in &rows.rows {
        for name in ["actor", "what_zh", "what_en", "since"] {
            // No table keeps when a token was lost unless an item met the loss.
            let unknown = name == "since" && row[why].as_deref() == Some("token_lost");
            assert!(unknown || row[place(name)].as_deref().is_some_and(|text| !text.is_empty()), "{name} of {row:?}");
        }
        let double = seen.insert(row[why].clone().unwrap(), row[subject].clone().unwrap());
        assert_eq!(double, None, "{row:?}");
    }
    let expected = [
        ("account_status", "wxmini2"),
        ("ask_exhausted", "wxmini1"),
        ("ask_unknown", "wxmini1"),
        ("authorization_unfinished", "wxoa"),
        ("endpoint_closed", ""),
        ("failed", "wxmini1"),
        ("hold_old", ""),
        ("kind_unknown", "wxwhat"),
        ("link_blocked", "wxoa"),
        ("permission", "wxmini2"),
        ("secret_missing", ""),
        ("ticket_expiring", ""),
        ("token_lost", "wxmini1"),
        ("unknown_errcode", ""),
        ("withdrawn", "wxgone"),
    ];
    assert_eq!(seen, expected.map(|(why, subject)| (why.to_owned(), subject.to_owned())).into());
}

#[tokio::test]
async fn a_blocked_link_says_what_the_runbook_says() {
    let (database, _) = seeded().await;
    let blocked = ViewWish { equal: Some(("why", "link_blocked")), ..ViewWish::default() };
    let said = column(&database.store, "attention", blocked, "what_en").await;
    let row = crate::domain::errcode::lookup(crate::domain::Endpoint::WxampLink, 89_010).unwrap();
    assert_eq!(said, [Some(row.remedy_en.to_owned())]);
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_not_said_to_be_repeated() {
    let (database, _) = seeded().await;
    say(&database.pool, "update intent set errcode = -1").await;
    let lost = ViewWish { equal: Some(("why", "ask_unknown")), ..ViewWish::default() };
    let said = column(&database.store, "attention", lost, "what_en").await;
    assert!(said[0].as_ref().is_some_and(|said| said.contains("counts as sent")), "{said:?}");
    assert_eq!(column(&database.store, "attention", lost, "actor").await, [Some("operator".to_owned())]);
}

#[tokio::test]
async fn a_lost_invitation_leaves_attention_when_nobody_wants_the_pair_any_more() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "insert into intent (platform_id, purpose, appid, counterpart, number, made_at, deadline_at, process_id) values
            (1, 'invite', 'wxoa', 'wxmini1', 1, clock() - interval '2 min', clock() - interval '1 min', '00000000-0000-0000-0000-000000000001')",
    )
    .await;
    let lost = ViewWish { equal: Some(("why", "invite_unknown")), ..ViewWish::default() };
    assert_eq!(column(&database.store, "attention", lost, "subject").await.len(), 1);
    say(&database.pool, "delete from wish where mini_program = 'wxmini1'").await;
    assert_eq!(column(&database.store, "attention", lost, "subject").await.len(), 0);
}

#[tokio::test]
async fn a_callback_is_confirmed_by_its_newest_reading_and_never_before_it_was_seen() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "update item set done_at = clock() - interval '10 days' where check_name = 'callback';
         update callback_snapshot set valid_from = '2026-11-20T00:00:00Z'",
    )
    .await;
    let confirmed = async || column(&database.store, "callback_current", ViewWish::default(), "confirmed_at").await;
    say(&database.pool, "update item set done_at = '2026-11-19T23:59:59Z' where check_name = 'callback'").await;
    assert_eq!(confirmed().await, [Some("2026-11-20T00:00:00Z".to_owned())]);
    say(&database.pool, "update item set done_at = '2026-11-21T00:00:00Z' where check_name = 'callback'").await;
    assert_eq!(confirmed().await, [Some("2026-11-21T00:00:00Z".to_owned())]);
    say(
        &database.pool,
        "update callback_snapshot set state = 'not_applicable', config = null;
         update item set outcome = 'skipped', reason = 'not_applicable', recorded_at = '2026-11-22T00:00:00Z'
          where check_name = 'callback'",
    )
    .await;
    assert_eq!(confirmed().await, [Some("2026-11-22T00:00:00Z".to_owned())]);
}

#[tokio::test]
async fn a_lost_ask_leaves_attention_when_the_phone_is_bound_afterwards() {
    let (database, _) = seeded().await;
    let lost = ViewWish { equal: Some(("why", "ask_unknown")), ..ViewWish::default() };
    assert_eq!(column(&database.store, "attention", lost, "subject").await.len(), 1);
    say(&database.pool, "update phone set state = 'bound', bound_at = clock() where appid = 'wxmini1'").await;
    assert_eq!(column(&database.store, "attention", lost, "subject").await.len(), 0);
}

#[tokio::test]
async fn a_coverage_that_does_not_add_up_says_so_in_both_views() {
    let (database, _) = seeded().await;
    let all = ViewWish::default();
    let yes_and_no = [Some("true".to_owned()), Some("false".to_owned())];
    assert_eq!(column(&database.store, "coverage", all, "adds_up").await, yes_and_no);
    assert_eq!(column(&database.store, "runs", all, "adds_up").await, [Some("false".to_owned())]);
}

#[tokio::test]
async fn a_role_that_may_only_read_the_views_reads_each_of_them() {
    let (database, _) = seeded().await;
    let mut connection = database.pool.acquire().await.unwrap();
    // Roles belong to the whole server, where other tests run at the same time: the rollback takes this one along.
    sqlx::raw_sql(
        "begin; create role views_reader; grant usage on schema wxpatrol to views_reader;
         grant select on all tables in schema wxpatrol to views_reader; set local role views_reader",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    for view in database.store.views().await.unwrap() {
        let statement = format!("select * from wxpatrol.{}", view.name);
        let read = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await;
        assert!(read.is_ok(), "{}: {read:?}", view.name);
    }
    let sealed = sqlx::raw_sql("select refresh_sealed from wxpatrol_data.credential").execute(&mut *connection).await;
    assert!(sealed.is_err());
    sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
}

#[tokio::test]
async fn no_view_has_a_column_of_bytes() {
    let database = TestDatabase::new().await;
    let sealed: Vec<String> = sqlx::query_scalar(
        "select attrelid::regclass || '.' || attname from pg_attribute join pg_class c on c.oid = attrelid
          where c.relnamespace = 'wxpatrol'::regnamespace and atttypid = 'bytea'::regtype",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(sealed, Vec::<String>::new());
}

#[tokio::test]
async fn hostile_names_and_values_reach_no_statement() {
    let (database, _) = seeded().await;
    let store = &database.store;
    let hostile = "runs\"; drop schema wxpatrol cascade; --";
    assert_eq!(store.read_view(hostile, ViewWish::default()).await.unwrap(), None);
    let column = ViewWish { equal: Some((hostile, "x")), ..ViewWish::default() };
    assert!(store.read_view("runs", column).await.is_err());
    let value = ViewWish { equal: Some(("state", hostile)), ..ViewWish::default() };
    assert_eq!(store.read_view("runs", value).await.unwrap().unwrap().rows.len(), 0);
    let no_uuid = ViewWish { equal: Some(("run_id", "x")), ..ViewWish::default() };
    assert!(matches!(store.read_view("runs", no_uuid).await, Err(crate::store::StoreError::Data(_))));
    assert!(store.views().await.unwrap().len() >= 14, "every view is still there");
}

#[tokio::test]
async fn cells_have_the_kind_of_their_column() {
    let (database, _) = seeded().await;
    let run = ViewWish {
        equal: Some(("run_id", "00000000-0000-0000-0000-00000000000a")),
        rows_max: Some(1),
        ..ViewWish::default()
    };
    let coverage = database.store.read_view("coverage", run).await.unwrap().unwrap();
    let cell = |name: &str| {
        let place = coverage.columns.iter().position(|column| column.name == name).unwrap();
        (coverage.columns[place].kind, coverage.rows[0][place].clone().unwrap())
    };
    assert_eq!(cell("total"), (CellKind::Number, "2".to_owned()));
    assert_eq!(cell("adds_up"), (CellKind::Boolean, "true".to_owned()));
    assert_eq!(cell("reasons"), (CellKind::Json, "{}".to_owned()));
    let (kind, started_at) = cell("started_at");
    assert_eq!(kind, CellKind::Text);
    assert!(chrono::DateTime::parse_from_rfc3339(&started_at).is_ok(), "{started_at}");
}

#[tokio::test]
async fn reports_and_status_are_tables_of_what_the_views_say() {
    let (database, _) = seeded().await;
    let store = &database.store;
    store.beat(None).await.unwrap();
    assert_eq!(report::list(store).await.unwrap().rows.len(), store.views().await.unwrap().len());
    assert_eq!(report::report(store, None, "no_such_report").await.unwrap(), None);
    assert_eq!(report::runs(store, None, 5).await.unwrap().rows.len(), 1);
    let run = uuid::Uuid::from_u128(10);
    assert_eq!(report::coverage_of(store, run).await.unwrap().rows.len(), 2);
    let tables = report::merchant(store, None, "wxmini1", None).await.unwrap().unwrap();
    assert_eq!(tables.len(), 11);
    let counts: Vec<usize> =
        status::status(store, None).await.unwrap().iter().map(|(_, table)| table.rows.len()).collect();
    // Platform; no open run; one schedule; three kinds; five checks; this process; the closed endpoint.
    assert_eq!(counts, [1, 0, 1, 3, 5, 1, 1]);
}

/// A hundred merchants whose phones were last read well 1 to 100 hours ago, and some who do not count.
const AGES: &str = "
    insert into merchant (platform_id, appid, kind, plan_stale)
    select 1, 'wx' || n, 'mini_program', false from generate_series(1, 104) n;
    insert into item (platform_id, appid, check_name, due_at, due_since, done_at)
    select 1, 'wx' || n, 'phone', clock(), clock(), clock() - make_interval(hours => n) from generate_series(1, 100) n;
    insert into item (platform_id, appid, check_name, due_at, due_since, done_at) values
        (1, 'wx101', 'phone', clock(), clock(), null),
        (1, 'wx102', 'phone', clock(), clock(), null),
        (1, 'wx103', 'phone', clock(), clock(), clock() - interval '900 hours'),
        (1, 'wx104', 'phone', 'infinity', 'infinity', clock() - interval '900 hours');
    update merchant set withdrawn_at = clock() where appid = 'wx103';
";

#[tokio::test]
async fn the_ages_of_the_last_good_checks_are_the_middle_one_the_95th_of_a_hundred_and_the_oldest() {
    let database = TestDatabase::new().await;
    database.store.platform("wxcomponent").await.unwrap();
    say(&database.pool, AGES).await;
    let hours = "select array[items, never_done, (extract(epoch from p50) / 3600)::bigint, (extract(epoch from p95) / 3600)::bigint,
                              (extract(epoch from oldest) / 3600)::bigint]
                   from wxpatrol.ages where check_name = 'phone'";
    let ages: Vec<i64> = sqlx::query_scalar(hours).fetch_one(&database.pool).await.unwrap();
    assert_eq!(ages, [102, 2, 50, 95, 100]);
}

#[tokio::test]
async fn what_is_cut_of_a_merchant_s_rows_is_told_in_the_title() {
    let (database, _) = seeded().await;
    let shown = async |rows_max| {
        let tables = report::merchant(&database.store, None, "wxmini1", rows_max).await.unwrap().unwrap();
        let (_, items) = tables.into_iter().find(|(name, _)| *name == "items").unwrap();
        (items.rows.len(), items.title.unwrap())
    };
    let (all, title) = shown(None).await;
    assert!(all > 1 && !title.contains("the first"), "{all} {title}");
    assert_eq!(shown(Some(all)).await, (all, title.clone()));
    let (some, cut) = shown(Some(1)).await;
    assert!(some < all && cut.contains("the first 1;"), "{some} {cut}");
}
