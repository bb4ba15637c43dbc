//! Tokens that are read with a query from a table of the same Postgres.

use super::*;

/// The same with a table of tokens in the database, and a query that reads it.
pub(super) async fn tabled(plan: Plan) -> World {
    let world = imported(plan).await;
    sqlx::raw_sql(
        "create schema owner;
         create table owner.tokens (component text, appid text, token text, ends_at timestamptz, primary key (component, appid))",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    renew(&world).await;
    world.with("WXPATROL_TOKEN_SQL", "select token, ends_at from owner.tokens where component = $1 and appid = $2;")
}

/// The owner of the table refreshes every token in it.
pub(super) async fn renew(world: &World) {
    let merchants = world.wechat.merchants();
    let tokens: Vec<String> =
        merchants.iter().map(|merchant| world.wechat.issue_live_token(&merchant.appid).unwrap().0).collect();
    sqlx::query(
        "insert into owner.tokens
         select $1, s.appid, s.token, wxpatrol_data.clock() + interval '2 h' from unnest($2::text[], $3::text[]) s (appid, token)
         on conflict (component, appid) do update set token = excluded.token, ends_at = excluded.ends_at",
    )
    .bind(&world.wechat.plan().component_appid)
    .bind(merchants.into_iter().map(|merchant| merchant.appid).collect::<Vec<_>>())
    .bind(tokens)
    .execute(&world.database.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn tokens_are_read_from_a_table_of_the_same_postgres() {
    let world = tabled(Plan { token_overlap: Duration::ZERO, ..plan(30, 2) }).await;
    let ended = world.program(&["--once", "--check", "phone", "--check", "callback"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 30);
    assert_nothing_was_bought(&world);
    assert_nothing_is_stored(&world).await;
    // The owner forgets to refresh: dead by WeChat's word first, over by the table's own word a few hours later.
    world.wechat.expire_all_tokens();
    world.database.advance(Duration::from_secs(25 * 3600)).await;
    sqlx::query("update owner.tokens set ends_at = wxpatrol_data.clock() + interval '1 h'")
        .execute(&world.database.pool)
        .await
        .unwrap();
    assert_put_off(&world.once_of(&[CheckName::Callback]).await, CheckName::Callback, "external_token_dead");
    let calls = world.wechat.arrived(Endpoint::Getcallbackconfig);
    world.database.advance(Duration::from_secs(3 * 3600)).await;
    assert_put_off(&world.once_of(&[CheckName::Callback]).await, CheckName::Callback, "external_token_missing");
    assert_eq!(world.wechat.arrived(Endpoint::Getcallbackconfig), calls);
    renew(&world).await;
    world.database.advance(Duration::from_secs(1800)).await;
    assert!(world.once_of(&[CheckName::Callback]).await.of(CheckName::Callback).done >= 25);
    assert_nothing_was_bought(&world);
}

#[tokio::test]
async fn a_table_that_breaks_in_mid_run_puts_merchants_off_and_shows_no_value() {
    let world = tabled(plan(2, 0)).await;
    let app = world.app().await;
    app.ready().await.unwrap();
    // The view that was a table now fails on the very value.
    sqlx::raw_sql(
        "alter table owner.tokens rename to kept;
         create view owner.tokens as select component, appid, token || (('planted-' || token)::int)::text as token, ends_at from owner.kept",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    let ended = world.once_of(&[CheckName::Phone]).await;
    assert_put_off(&ended, CheckName::Phone, "token_source_silent");
    let said = world.texts("select distinct detail from wxpatrol.failures").await;
    assert_eq!(said, ["no token: the external token source (a query) failed in Postgres (SQLSTATE 22P02)"]);
}

#[tokio::test]
async fn a_query_that_can_not_work_is_refused_at_the_start_with_one_sentence() {
    let world = tabled(plan(2, 0)).await;
    for (query, words) in [
        ("select tokn from owner.tokens where appid = $2", "column \"tokn\" does not exist"),
        ("select token from owner.tockens where appid = $2", "relation \"owner.tockens\" does not exist"),
        ("selec 'planted-key' from owner.tokens where appid = $2", "fault in its syntax at its character 1"),
        ("select 'planted-key'::int, $2::text", "(SQLSTATE 22P02)"),
        ("select length(token) from owner.tokens where appid = $2", "the token, must be text and not INT4"),
        ("select token, now()::timestamp from owner.tokens where appid = $2", "does not say in which zone"),
        (
            "select token, 'soon' || $1 from owner.tokens where appid = $2",
            "must be timestamptz or seconds and not TEXT",
        ),
        (
            "select token, 1, 2 from owner.tokens where appid = $2",
            "must give two columns, the token and its end, and gives 3",
        ),
        ("select 1; select $2", "fault in its syntax"),
        (
            "select token from owner.tokens where appid = $2 and $3::text is null",
            "holds $3, and is given two parameters only",
        ),
        ("delete from owner.tokens where appid = $2 returning token", "tries to write"),
    ] {
        let world = world.settings().clone();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_wxpatrol"));
        command.args(["--once"]).env_clear().envs(world).env("WXPATROL_TOKEN_SQL", query);
        let ended = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{query}: {said}");
        assert!(said.contains("WXPATROL_TOKEN_SQL: ") && said.contains(words), "{query}: {said}");
        assert!(!said.contains("planted"), "{said}");
    }
    assert_eq!(world.count("select count(*) from owner.tokens").await, 2);
}
