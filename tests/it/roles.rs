//! Roles with the least rights: a worker does everything without owning anything, a reader sees the views and nothing else.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wxpatrol::{
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Wanted},
    simulate::{Endpoint, Plan},
};

use crate::world::{Ended, World, pair, plan};

const WORKER: &str = "it_worker";
const READER: &str = "it_reader";
const STRANGER: &str = "it_stranger";

/// The world's database as another login sees it.
fn url_of(world: &World, login: &str) -> String {
    let mut url = url::Url::parse(&world.database.url()).unwrap();
    url.set_username(login).unwrap();
    url.to_string()
}

async fn connected(world: &World, login: &str) -> PgConnection {
    PgConnection::connect(&url_of(world, login)).await.unwrap()
}

/// Roles belong to the server that all tests share: whoever comes first makes them.
async fn login(world: &World, name: &str, group: Option<&str>) {
    let group = group.map_or(String::new(), |group| format!("in role {group}"));
    let statement = format!(
        "do $$ begin create role {name} login {group};
         exception when duplicate_object or unique_violation then null; end $$"
    );
    sqlx::query(AssertSqlSafe(statement)).execute(&world.database.pool).await.unwrap();
}

async fn with_roles(plan: Plan) -> World {
    let world = World::new(plan).await;
    let made = world.program(&["migrate", "--roles"]).await;
    assert_eq!(made.code, Some(0), "{}", made.everything());
    login(&world, WORKER, Some("wxpatrol_worker")).await;
    login(&world, READER, Some("wxpatrol_reader")).await;
    login(&world, STRANGER, None).await;
    world
}

async fn said(connection: &mut PgConnection, statement: &str) -> Result<(), String> {
    match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()),
    }
}

/// Postgres's code for a lack of rights.
const NOT_ALLOWED: &str = "42501";

fn assert_done(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(!ended.everything().contains("permission denied"), "{}", ended.everything());
}

fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    for word in words {
        assert!(ended.stderr.contains(word), "it does not say {word:?}: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.trim().lines().count(), 1, "one sentence: {}", ended.stderr);
    assert!(!ended.stderr.contains("  "), "a sentence without gaps: {}", ended.stderr);
}

#[tokio::test]
async fn a_worker_that_owns_nothing_does_everything() {
    let world = with_roles(plan(12, 3)).await;
    let as_worker = url_of(&world, WORKER);
    let mut world = world.with("DATABASE_URL", &as_worker);
    let (program, (account, wanted)) = (Plan::mini_program(0), pair(0, 1));
    let done = async |arguments: &[&str]| assert_done(&world.program(arguments).await);
    let fed = async |arguments: &[&str], input: &str| assert_done(&world.program_reading(arguments, input).await);

    done(&["migrate"]).await;
    fed(&["ticket", "-"], &world.wechat.plan().verify_ticket).await;
    done(&["sync"]).await;
    let refresh_token = world.wechat.merchant_card(&program).unwrap().refresh_token;
    fed(&["import", "-", "--format", "csv"], &format!("appid,refresh_token\n{program},{refresh_token}\n")).await;
    done(&["want", &account, &wanted]).await;
    done(&["--once"]).await;
    done(&["--once", "--dry-run", "--all"]).await;
    let missing = world.texts("select min(appid) from wxpatrol_data.phone where state = 'missing'").await.remove(0);
    done(&["ask", &missing]).await;
    done(&["pause", "--merchant", &program, "--check", "ask", "--note", "why"]).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where held").await, 1, "the trigger works");
    done(&["resume", "--merchant", &program, "--check", "ask"]).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where held").await, 0);
    done(&["unwant", &account, &wanted]).await;
    for command in [&["status"][..], &["runs"], &["report"], &["keys", "list"], &["keys", "rotate"]] {
        done(command).await;
    }
    for view in world.texts("select viewname::text from pg_views where schemaname = 'wxpatrol'").await {
        done(&["report", &view, "--json"]).await;
    }
    assert!(!world.wechat.asks().is_empty() && !world.wechat.invitations().is_empty(), "people were messaged");

    // Unattended, with what is past its retention.
    world
        .texts(
            "insert into wxpatrol_data.failure (platform_id, appid, failed_at, check_name, endpoint, class)
             values (1, 'wxlongago', wxpatrol_data.clock() - interval '8 days', 'phone', 'checkmobile', 'transient')
             returning appid",
        )
        .await;
    for schedule in ["PHONE", "ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"] {
        world = world.with(&format!("WXPATROL_SCHEDULE_{schedule}"), "* * * * * *");
    }
    let run = world.spawn(&["run"]);
    world.until("select not exists (select from wxpatrol_data.failure where appid = 'wxlongago')").await;
    let complete = "select count(distinct schedule) = 6 from wxpatrol_data.run where state = 'complete'";
    world.until(complete).await;
    run.signal(Signal::SIGTERM);
    assert_done(&run.ended().await);
    assert_eq!(world.count("select count(*) from wxpatrol.coverage where not adds_up").await, 0);
}

#[tokio::test]
async fn a_worker_s_login_writes_wishes_and_holds_and_changes_no_schema() {
    let world = with_roles(plan(4, 2)).await;
    world.sync().await;
    world.once().await.assert_complete();
    let mut worker = connected(&world, WORKER).await;
    let (account, program) = pair(0, 0);
    let wish =
        format!("insert into wxpatrol_data.wish (official_account, mini_program) values ('{account}', '{program}')");
    said(&mut worker, &wish).await.unwrap();
    let hold = "insert into wxpatrol_data.hold (appid, check_name, reason)
                select appid, 'ask', 'why' from wxpatrol.merchants where kind = 'mini_program'";
    said(&mut worker, hold).await.unwrap();
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where held and check_name = 'ask'").await, 4);
    let by = world.texts("select distinct created_by from wxpatrol_data.hold").await;
    assert_eq!(by, [WORKER]);
    said(&mut worker, "delete from wxpatrol_data.hold").await.unwrap();
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where held").await, 0);

    for forbidden in [
        "create table wxpatrol_data.mine ()",
        "create table wxpatrol.mine ()",
        "create schema mine",
        "drop table wxpatrol_data.wish",
        "drop view wxpatrol.runs",
        "alter table wxpatrol_data.wish add column mine text",
        "create index on wxpatrol_data.wish (created_by)",
        "truncate wxpatrol_data.failure",
        "create trigger mine after insert on wxpatrol_data.wish execute function wxpatrol_data.hold_marks_items()",
        "create or replace function wxpatrol_data.clock() returns timestamptz language sql as 'select now()'",
        "alter function wxpatrol_data.clock() owner to current_user",
        "update wxpatrol_data.rehearsal_clock set shift = '1 day'",
        "delete from wxpatrol_data.moment",
        "insert into wxpatrol_data.schema_step (step, tolerates) values (99, 99)",
        "update wxpatrol_data._migration set success = false",
        "delete from wxpatrol_data._migration",
        "grant wxpatrol_worker to it_stranger",
        "grant select on wxpatrol_data.credential to it_stranger with grant option",
    ] {
        let refused = said(&mut worker, forbidden).await;
        // A grant without the right to grant is only a warning.
        if forbidden.starts_with("grant select") {
            let given = "select count(*) from pg_class c, aclexplode(c.relacl) a, pg_roles r
                          where r.rolname = 'it_stranger' and a.grantee = r.oid";
            assert_eq!(world.count(given).await, 0);
            continue;
        }
        assert_eq!(refused, Err(NOT_ALLOWED.to_owned()), "{forbidden}");
    }
    for view in world.texts("select viewname::text from pg_views where schemaname = 'wxpatrol'").await {
        assert_eq!(
            said(&mut worker, &format!("delete from wxpatrol.{view}"))
                .await
                .map_err(|code| code == NOT_ALLOWED || code == "55000"),
            Err(true)
        );
    }
}

#[tokio::test]
async fn a_reader_reads_every_view_and_nothing_else() {
    let world = with_roles(plan(6, 2)).await;
    world.sync().await;
    world.want(&[pair(0, 0)]).await;
    world.once().await.assert_complete();
    let mut reader = connected(&world, READER).await;
    let views = world.texts("select viewname::text from pg_views where schemaname = 'wxpatrol' order by 1").await;
    assert!(views.len() >= 14, "{views:?}");
    for view in &views {
        assert_eq!(said(&mut reader, &format!("select * from wxpatrol.{view}")).await, Ok(()), "{view}");
        for write in ["delete from", "truncate", "insert into", "drop view"] {
            let tail = if write == "insert into" { " default values" } else { "" };
            assert!(said(&mut reader, &format!("{write} wxpatrol.{view}{tail}")).await.is_err(), "{write} {view}");
        }
    }
    let hidden = world
        .texts(
            "select format('%I.%I', n.nspname, c.relname)
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
                and (n.nspname = 'wxpatrol_data' or n.nspname = 'wxpatrol' and c.relkind <> 'v')
              order by 1",
        )
        .await;
    assert!(hidden.len() > 20, "{hidden:?}");
    for table in &hidden {
        let read = said(&mut reader, &format!("select * from {table}")).await;
        assert_eq!(read, Err(NOT_ALLOWED.to_owned()), "{table}");
    }
    let rights = "select count(*)
                    from pg_class c
                   where c.relnamespace = 'wxpatrol_data'::regnamespace
                     and c.relkind in ('r', 'v')
                     and has_any_column_privilege('it_reader', c.oid, 'select, insert, update, references')";
    assert_eq!(world.count(rights).await, 0);
    for function in ["wxpatrol_data.clock()", "wxpatrol_data.only_platform()"] {
        assert_eq!(said(&mut reader, &format!("select {function}")).await, Err(NOT_ALLOWED.to_owned()));
    }
    assert_eq!(said(&mut reader, "create table wxpatrol.mine ()").await, Err(NOT_ALLOWED.to_owned()));

    let as_reader = url_of(&world, READER);
    let refused = world.program_with(&[("DATABASE_URL", &as_reader)], &["report", "runs"]).await;
    assert_refused(&refused, &["it_reader may not use the tables of wxpatrol", "grant wxpatrol_worker to it_reader"]);
}

#[tokio::test]
async fn what_later_migrations_make_is_granted_by_the_next_migrate() {
    let world = with_roles(plan(1, 1)).await;
    let (mut worker, mut reader) = (connected(&world, WORKER).await, connected(&world, READER).await);
    sqlx::raw_sql(
        "create table wxpatrol_data.later (later_id bigint generated always as identity, words text);
         create sequence wxpatrol_data.counter;
         create view wxpatrol_data.inner_view as select words from wxpatrol_data.later;
         create view wxpatrol.later as select words from wxpatrol_data.later;
         drop view wxpatrol.errcodes;
         create view wxpatrol.errcodes as select errcode from wxpatrol_data.errcode",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    let write = "insert into wxpatrol_data.later (words) values ('x')";
    assert_eq!(said(&mut reader, "select * from wxpatrol.later, wxpatrol.errcodes").await, Ok(()), "a view at once");
    assert_eq!(said(&mut worker, write).await, Err(NOT_ALLOWED.to_owned()));
    let migrated = world.program(&["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.everything());
    assert!(migrated.stderr.contains("the rights of its roles"), "{}", migrated.stderr);
    assert_eq!(said(&mut worker, write).await, Ok(()));
    assert_eq!(said(&mut worker, "select nextval('wxpatrol_data.counter')").await, Ok(()));
    assert_eq!(said(&mut worker, "select * from wxpatrol_data.inner_view").await, Ok(()));
    let through_a_view = said(&mut worker, "delete from wxpatrol_data.inner_view").await;
    assert_eq!(through_a_view, Err(NOT_ALLOWED.to_owned()), "a view writes in its owner's name");
    assert_eq!(said(&mut reader, "select * from wxpatrol_data.later").await, Err(NOT_ALLOWED.to_owned()));
}

#[tokio::test]
async fn a_login_that_may_not_change_the_schema_says_who_must_and_goes_on_once_it_is_done() {
    let world = with_roles(plan(2, 1)).await;
    let as_worker = url_of(&world, WORKER);
    let as_worker = [("DATABASE_URL", as_worker.as_str())];
    let owner = world.texts("select current_user::text").await.remove(0);
    // What an older program left behind: one migration is undone.
    sqlx::raw_sql(
        "delete from wxpatrol_data._migration where version = 20261121001300;
         alter table wxpatrol_data.process drop column key_ids, drop column sealing_key_id",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    let words = [
        "lacks 1 of this program's migrations",
        "it_worker may not change the schema",
        &format!("let {owner}"),
        "`wxpatrol migrate`",
    ];
    assert_refused(&world.program_with(&as_worker, &["--once"]).await, &words);
    assert_refused(&world.program_with(&as_worker, &["migrate"]).await, &words);
    assert_done(&world.program(&["migrate"]).await);
    assert_done(&world.program_with(&as_worker, &["sync"]).await);

    let as_stranger = url_of(&world, STRANGER);
    let refused = world.program_with(&[("DATABASE_URL", &as_stranger)], &["--once"]).await;
    let words = [
        "it_stranger may not use the tables of wxpatrol",
        &format!("let {owner}"),
        "grant wxpatrol_worker to it_stranger",
    ];
    assert_refused(&refused, &words);
    let refused = world.program_with(&as_worker, &["migrate", "--roles"]).await;
    assert_refused(&refused, &["may not hand out rights", &owner, "--roles --print"]);

    sqlx::raw_sql("drop schema wxpatrol cascade; drop schema wxpatrol_data cascade")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let refused = world.program_with(&[("DATABASE_URL", &as_stranger)], &["--once"]).await;
    assert_refused(&refused, &["has no schema of wxpatrol yet", "it_stranger may not make one", "`wxpatrol migrate`"]);
    assert_eq!(world.count("select count(*) from pg_namespace where nspname like 'wxpatrol%'").await, 0);
}

#[tokio::test]
async fn roles_are_made_again_and_again_and_by_several_at_once() {
    let world = with_roles(plan(1, 1)).await;
    let both = tokio::join!(world.program(&["migrate", "--roles"]), world.program(&["migrate", "--roles"]));
    assert_done(&both.0);
    assert_done(&both.1);
    // Rights that do not belong to a role are taken back.
    sqlx::raw_sql("grant all on wxpatrol_data.credential, wxpatrol.runs to wxpatrol_reader")
        .execute(&world.database.pool)
        .await
        .unwrap();
    assert_done(&world.program(&["migrate", "--roles"]).await);
    let rights = "select count(*) from pg_class c, aclexplode(c.relacl) a, pg_roles r
                   where r.rolname = 'wxpatrol_reader' and a.grantee = r.oid and a.privilege_type <> 'SELECT'";
    assert_eq!(world.count(rights).await, 0);
}

/// A server of its own, where the roles are not made yet and an ordinary login owns the database.
#[tokio::test]
async fn an_owner_who_may_not_create_roles_is_told_the_sql_that_an_administrator_must_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let started = tokio::task::spawn_blocking(move || {
        let options = Options { durability: Durability::None, sources: Sources::MayInstall, wanted: Wanted::Any };
        PrivatePostgres::join_or_start(&data, options, &|_| {})
    });
    let server = started.await.unwrap().unwrap();
    let mut admin = PgConnection::connect(&server.url("postgres")).await.unwrap();
    for statement in ["create role it_owner login", "create database shop owner it_owner"] {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
    let mut url = url::Url::parse(&server.url("shop")).unwrap();
    url.set_username("it_owner").unwrap();
    let world = World::new(plan(2, 1)).await.with("DATABASE_URL", url.as_str());
    assert_done(&world.program(&["migrate"]).await);
    let refused = world.program(&["migrate", "--roles"]).await;
    let sql = "create role wxpatrol_reader nologin; create role wxpatrol_worker nologin;";
    assert_refused(&refused, &["may not create roles", sql, "--roles --print"]);
    sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    assert_done(&world.program(&["migrate", "--roles"]).await);
    let mut shop = PgConnection::connect(&server.url("shop")).await.unwrap();
    let rights = "select has_table_privilege('wxpatrol_worker', 'wxpatrol_data.item', 'update')
                     and has_table_privilege('wxpatrol_reader', 'wxpatrol.runs', 'select')
                     and not has_table_privilege('wxpatrol_worker', 'wxpatrol_data._migration', 'insert')
                     and not has_table_privilege('wxpatrol_reader', 'wxpatrol_data.item', 'select')";
    let granted: bool = sqlx::query_scalar(rights).fetch_one(&mut shop).await.unwrap();
    assert!(granted, "an owner of the database who may not create roles grants");

    // What --print prints is all that an administrator needs, in a database where nothing was granted yet.
    let printed = world
        .program_with(&[("DATABASE_URL", ""), ("WXPATROL_ENCRYPTION_KEY", "")], &["migrate", "--roles", "--print"])
        .await;
    assert_eq!(printed.code, Some(0), "{}", printed.everything());
    sqlx::raw_sql(
        "revoke all on schema wxpatrol, wxpatrol_data from wxpatrol_worker, wxpatrol_reader;
         revoke all on all tables in schema wxpatrol, wxpatrol_data from wxpatrol_worker, wxpatrol_reader;
         revoke all on all sequences in schema wxpatrol_data from wxpatrol_worker;
         revoke all on all functions in schema wxpatrol_data from wxpatrol_worker;
         alter default privileges for role it_owner in schema wxpatrol revoke all on tables from wxpatrol_worker, wxpatrol_reader;
         drop role wxpatrol_worker; drop role wxpatrol_reader",
    )
    .execute(&mut shop)
    .await
    .unwrap();
    sqlx::raw_sql(AssertSqlSafe(printed.stdout)).execute(&mut shop).await.unwrap();
    let granted: bool = sqlx::query_scalar(rights).fetch_one(&mut shop).await.unwrap();
    assert!(granted);
    for statement in
        ["create role it_patrol login in role wxpatrol_worker", "grant usage on schema wxpatrol to it_patrol"]
    {
        sqlx::raw_sql(statement).execute(&mut shop).await.unwrap();
    }
    url.set_username("it_patrol").unwrap();
    let world = world.with("DATABASE_URL", url.as_str());
    assert_done(&world.program(&["sync"]).await);
    assert_done(&world.program(&["--once"]).await);
    assert!(world.wechat.arrived(Endpoint::Checkmobile) > 0, "the worker called WeChat");
}

#[tokio::test]
async fn a_reader_who_has_seen_enough_of_the_migrations_is_no_fault() {
    let world = World::new(plan(1, 0)).await;
    let (printing, said) = world.spawn_unread(&["migrate", "--print"]).await;
    assert_eq!(said, "");
    let ended = printing.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn a_reader_who_has_seen_enough_of_a_report_is_no_fault() {
    let world = World::new(plan(1, 0)).await;
    for format in ["--csv", "--json"] {
        let (printing, said) = world.spawn_unread(&["report", "errcodes", format]).await;
        assert_eq!(said, "");
        let ended = printing.ended().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{format}");
    }
}
