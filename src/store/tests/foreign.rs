//! Another system's tokens through a query: what it may answer, what it may not do, and what is never said of it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    domain::ports::{ForeignToken, Holder, SourceFault, TokenSource},
    store::foreign::{OwnTokens, TokenQueries, TokenQuerySettings},
};

fn queries(store: &Store, merchant: &str) -> TokenQueries {
    let merchant = SecretString::from(merchant.to_owned());
    store.token_queries(TokenQuerySettings { merchant, component: None })
}

async fn ask(store: &Store, query: &str) -> Result<Option<ForeignToken>, SourceFault> {
    queries(store, query).token("wxcomponent", &Holder::Merchant("wxmini1".to_owned())).await
}

#[tokio::test]
async fn the_end_of_a_token_is_an_instant_or_a_number_of_any_type() {
    let database = TestDatabase::new().await;
    for (end, secs) in [
        ("now() + interval '1 h'", Some(3600)),
        ("3600", Some(3600)),
        ("3600::smallint", Some(3600)),
        ("3600::bigint", Some(3600)),
        ("3600::real", Some(3600)),
        ("3600::double precision", Some(3600)),
        ("3600.4::numeric", Some(3600)),
        ("extract(epoch from interval '1 h')", Some(3600)),
        ("extract(epoch from now() + interval '1 h')", Some(3600)),
        ("(extract(epoch from now()) * 1000 + 3600000)::bigint", Some(3600)),
        ("now() - interval '1 h'", Some(0)),
        ("'infinity'::timestamptz", Some(86_400)),
        ("'-infinity'::timestamptz", Some(0)),
        ("'0044-03-15 BC'::timestamptz", Some(0)),
        ("'290000-01-01'::timestamptz", Some(86_400)),
        ("-5", Some(0)),
        ("null::timestamptz", None),
        ("null::numeric", None),
    ] {
        let query = format!("select 'fake-' || $2, {end}");
        queries(&database.store, &query).check().await.unwrap();
        let token = ask(&database.store, &query).await.unwrap().unwrap();
        assert_eq!(token.access_token.expose_secret(), "fake-wxmini1");
        let near = |said: Option<Duration>| match (said, secs) {
            (Some(said), Some(secs)) => said.abs_diff(Duration::from_secs(secs)) < Duration::from_secs(60),
            (said, secs) => said.is_none() && secs.is_none(),
        };
        assert!(near(token.good_for), "{end}: {:?}", token.good_for);
    }
    let token = ask(&database.store, "select $2::varchar(30)").await.unwrap().unwrap();
    assert_eq!(token.good_for, None);
}

#[tokio::test]
async fn no_row_and_no_token_are_no_token_and_two_rows_are_a_fault() {
    let database = TestDatabase::new().await;
    for query in ["select $2 where false", "select null::text, now() where $2 <> ''", "select '  ' where $2 <> ''"] {
        assert!(ask(&database.store, query).await.unwrap().is_none(), "{query}");
    }
    let error =
        ask(&database.store, "select 'fake' || n from generate_series(1, 3) n where $2 <> ''").await.unwrap_err();
    assert_eq!(error.0, "the external token source (a query) answers with more than one row for one token");
    let component = queries(&database.store, "select $2").token("wxcomponent", &Holder::Component).await;
    assert!(component.unwrap().is_none(), "the merchants' query is not asked for the platform");
}

#[tokio::test]
async fn a_query_sees_the_role_s_own_path_and_none_of_ours() {
    let database = TestDatabase::new().await;
    assert!(queries(&database.store, "select appid from merchant where appid = $2").check().await.is_err());
    say(
        &database.pool,
        "create table public.kept (appid text, token text); insert into public.kept values ('wxmini1', 'fake')",
    )
    .await;
    assert!(ask(&database.store, "select token from kept where appid = $2").await.unwrap().is_some());
}

#[tokio::test]
async fn a_query_can_not_write_not_even_through_a_function() {
    let database = TestDatabase::new().await;
    say(
        &database.pool,
        "create table public.trace (appid text);
         create function public.noted(appid text) returns text language sql volatile
           as 'insert into public.trace values ($1); select $1'",
    )
    .await;
    let query = "select noted($2)";
    let refused = queries(&database.store, query).check().await.unwrap_err();
    assert_eq!(refused, "WXPATROL_TOKEN_SQL: tries to write, and may only read");
    assert!(ask(&database.store, query).await.is_err());
    let read_write = "select set_config('transaction_read_only', 'off', true) || noted($2)";
    assert!(ask(&database.store, read_write).await.is_err());
    let rows: i64 = sqlx::query_scalar("select count(*) from public.trace").fetch_one(&database.pool).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_given_up_and_one_that_fails_repeats_no_value() {
    let database = TestDatabase::new().await;
    for (query, words) in [
        ("select $2 from pg_sleep(30)", "took longer than 5 s"),
        ("select ('planted-' || $2)::int::text", "failed in Postgres (SQLSTATE 22P02)"),
        ("select 'fake', 'infinity'::double precision where $2 <> ''", "neither seconds nor an instant"),
        ("select 'fake', 'NaN'::numeric where $2 <> ''", "neither seconds nor an instant"),
    ] {
        match ask(&database.store, query).await {
            Err(SourceFault(sentence)) => {
                assert!(
                    sentence.starts_with("the external token source (a query) ") && sentence.contains(words),
                    "{sentence}"
                );
                assert!(!sentence.contains("planted"), "{sentence}");
            }
            Ok(token) => panic!("{query}: {token:?}"),
        }
    }
}

#[tokio::test]
async fn a_role_that_may_not_read_the_table_is_told_so_at_the_start() {
    let database = TestDatabase::new().await;
    say(&database.pool, "create table public.kept (appid text, token text)").await;
    let name: String = sqlx::query_scalar("select current_database()::text").fetch_one(&database.pool).await.unwrap();
    let role = format!("reader_{name}");
    for statement in [format!("create role {role} login"), format!("grant connect on database {name} to {role}")] {
        sqlx::query(AssertSqlSafe(statement)).execute(&database.pool).await.unwrap();
    }
    let url = database.url().replacen("wxpatrol@", &format!("{role}@"), 1);
    assert_ne!(url, database.url());
    let settings = crate::store::StoreSettings {
        connections_max: 2,
        lease: Duration::from_secs(60),
        answer_max: crate::store::ANSWER_MAX,
        purpose: "test",
    };
    let store = Store::connect(&url, &settings, None).await;
    let told = match &store {
        Ok(store) => queries(store, "select token from kept where appid = $2").check().await,
        Err(error) => panic!("{error}"),
    };
    if let Ok(store) = store {
        store.close().await;
    }
    for statement in [format!("drop owned by {role}"), format!("drop role {role}")] {
        sqlx::query(AssertSqlSafe(statement)).execute(&database.pool).await.ok();
    }
    let sentence = "WXPATROL_TOKEN_SQL: reads what this role may not: grant it the right to select";
    assert_eq!(told.unwrap_err(), sentence);
}

/// A table of tokens and one of merchants that another session has locked, until the transaction is over.
async fn locked(database: &TestDatabase) -> sqlx::Transaction<'static, sqlx::Postgres> {
    say(
        &database.pool,
        "create table public.kept (appid text, token text); insert into public.kept values ('wxmini1', 'fake');
         create table public.shops (component text, appid text, kind text);
         insert into public.shops values ('wxcomponent', 'wx1a00000000000001', 'mini_program')",
    )
    .await;
    let mut other = database.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table public.kept, public.shops in access exclusive mode").execute(&mut *other).await.unwrap();
    other
}

#[tokio::test]
async fn a_table_that_is_locked_at_the_start_refuses_no_start_and_is_read_when_the_lock_is_gone() {
    let database = TestDatabase::new().await;
    let other = locked(&database).await;
    let tokens = queries(&database.store, "select token from kept where appid = $2");
    tokens.check().await.unwrap();
    let query = SecretString::from("select appid, kind from shops where component = $1");
    let list = database.store.merchant_list(&query, "wxcomponent").await.unwrap();
    let Err(locked) = list.pages("wxcomponent").await else { panic!("nobody can read it") };
    assert_eq!(locked.to_string(), "waited for a lock for too long");
    other.rollback().await.unwrap();
    let read = tokens.token("wxcomponent", &Holder::Merchant("wxmini1".to_owned())).await;
    assert_eq!(read.unwrap().unwrap().access_token.expose_secret(), "fake");
    let page = list.pages("wxcomponent").await.unwrap().next().await.unwrap().unwrap();
    assert_eq!((page.rows.len(), list.given().names()), (1, vec!["kind"]));
}

#[tokio::test]
async fn a_query_with_a_parameter_that_nobody_gives_is_refused_at_the_start() {
    let database = TestDatabase::new().await;
    let refused = queries(&database.store, "select $2 where $1 <> $3").check().await.unwrap_err();
    assert_eq!(
        refused,
        "WXPATROL_TOKEN_SQL: holds $3, and is given two parameters only: $1, the component appid, and $2, the merchant's appid"
    );
    let query = SecretString::from("select $1 as appid, 'other' as kind where $2::text is null");
    let refused = database.store.merchant_list(&query, "wxcomponent").await.unwrap_err();
    assert_eq!(refused, "holds $2, and is given one parameter only: $1, the component appid");
}

#[tokio::test]
async fn own_tokens_are_counted_and_forgotten_whole() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "update credential set refresh_sealed = 'x' where appid = 'wxmini1';
         insert into credential (platform_id, appid, access_sealed, access_expires_at) values (1, '', 'x', clock()), (1, 'wxmini2', 'x', clock());
         insert into platform (component_appid, ticket_sealed, ticket_at) values ('wxother', 'x', clock())",
    )
    .await;
    let store = &database.store;
    assert_eq!(store.own_tokens(1).await.unwrap(), OwnTokens { ticket: true, merchants: 2 });
    let forgotten: i64 = sqlx::query_scalar("select wxpatrol_data.forget_own_tokens('wxcomponent')")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(forgotten, 3);
    assert_eq!(store.own_tokens(1).await.unwrap(), OwnTokens::default());
    assert!(store.own_tokens(2).await.unwrap().ticket, "the other platform's stay");
}

#[tokio::test]
async fn a_list_of_merchants_is_read_a_thousand_at_a_time_from_one_snapshot_whatever_happens_to_it_meanwhile() {
    let database = TestDatabase::new().await;
    say(
        &database.pool,
        "create table public.shops (component text, id text, status smallint, sets jsonb, since bigint);
         insert into public.shops
         select 'wxcomponent', 'wxshop' || lpad(n::text, 12, '0'), 18, '[49, 33]', 1700000000 from generate_series(1, 2500) n",
    )
    .await;
    let query = SecretString::from(
        "select id as authorizer_appid, 'other' as kind, status as account_status, sets as permission_sets,
                since as auth_time -- shops
           from public.shops where component = $1",
    );
    let list = database.store.merchant_list(&query, "wxcomponent").await.unwrap();
    assert_eq!(list.given().names(), ["kind", "permission_sets", "account_status"]);
    let mut pages = list.pages("wxcomponent").await.unwrap();
    let first = pages.next().await.unwrap().unwrap();
    say(&database.pool, "delete from public.shops").await;
    let mut named: std::collections::BTreeSet<String> = first.rows.iter().map(|row| row.appid.clone()).collect();
    let mut sizes = vec![first.rows.len()];
    let row = &first.rows[0];
    assert_eq!((row.account_status, row.permission_sets.clone()), (Some(18), Some(vec![49, 33])));
    assert_eq!(row.authorized_at.map(|at| at.timestamp()), Some(1_700_000_000));
    while let Some(page) = pages.next().await.unwrap() {
        sizes.push(page.rows.len());
        named.extend(page.rows.into_iter().map(|row| row.appid));
    }
    assert_eq!((sizes, named.len()), (vec![1000, 1000, 500], 2500));
    let mut elsewhere = list.pages("wxanother").await.unwrap();
    assert!(elsewhere.next().await.unwrap().is_none());
}
