//! Tokens of another system: wxpatrol asks for them and never buys one, and a source that fails fails nobody.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::TcpSocket;
use wxpatrol::{
    domain::{CheckName, Kind},
    simulate::{self, Endpoint, Plan},
    store::merchants::MerchantRow,
};

use crate::world::{
    Ran, World,
    keeper::{BEARER, KEY, Keeper, Manner},
    plan, until,
};

/// A platform whose merchants are imported without any token.
async fn imported(plan: Plan) -> World {
    let world = World::new(plan).await;
    let rows: Vec<MerchantRow> = (world.wechat.merchants().into_iter())
        .map(|merchant| MerchantRow {
            appid: merchant.appid,
            kind: Some(match merchant.kind {
                simulate::Kind::MiniProgram => Kind::MiniProgram,
                simulate::Kind::OfficialAccount => Kind::OfficialAccount,
            }),
            permission_sets: Some(vec![49, 33]),
            account_status: Some(1),
            ..MerchantRow::default()
        })
        .collect();
    world.database.store.keep_merchants(world.platform().await, &rows, false).await.unwrap();
    world.without("WXPATROL_COMPONENT_APPSECRET").without("WXPATROL_VERIFY_TICKET")
}

/// The same beside a service that hands tokens out.
async fn kept(plan: Plan) -> (World, Keeper) {
    let world = imported(plan).await;
    let keeper = Keeper::new(&world).await;
    let world = world.with("WXPATROL_TOKEN_URL", &keeper.url()).with("WXPATROL_TOKEN_BEARER", BEARER);
    (world, keeper)
}

/// The same with a table of tokens in the database, and a query that reads it.
async fn tabled(plan: Plan) -> World {
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
async fn renew(world: &World) {
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

fn assert_nothing_was_bought(world: &World) {
    assert_eq!(world.wechat.arrived(Endpoint::ApiComponentToken), 0);
    assert_eq!(world.wechat.arrived(Endpoint::ApiAuthorizerToken), 0);
    assert!(world.wechat.refreshes().is_empty() && world.wechat.component_token_fetches() == 0);
}

async fn assert_nothing_is_stored(world: &World) {
    let stored = "select (select count(*) from wxpatrol_data.credential)
                       + (select count(*) from wxpatrol_data.platform where ticket_sealed is not null)";
    assert_eq!(world.count(stored).await, 0);
}

/// Everybody is put off for this reason, and nobody failed.
fn assert_put_off(ran: &Ran, check: CheckName, reason: &str) {
    ran.assert_complete();
    let row = ran.of(check);
    // Some have not opened cloud development, and are not asked about every day.
    assert!(row.failed == 0 && row.done == 0 && row.deferred > row.total / 2, "{ran:?}");
    assert_eq!(row.reasons.0["deferred"][reason], row.deferred, "{ran:?}");
}

#[tokio::test]
async fn a_run_with_another_system_s_tokens_buys_and_stores_none() {
    let (world, keeper) = kept(plan(40, 4)).await;
    world.want(&[crate::world::pair(0, 1), crate::world::pair(1, 2)]).await;
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.assert_every_run_adds_up().await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 40);
    assert_eq!(world.wechat.invitations().len(), 2);
    assert_nothing_was_bought(&world);
    assert_nothing_is_stored(&world).await;
    assert_eq!(keeper.strangers(), 0);
    // Phone, ask and callback of one merchant share a question; the run's start asks one besides.
    assert!(keeper.asked().len() == 42 && keeper.asked().values().all(|asked| *asked <= 3), "{:?}", keeper.asked());
}

#[tokio::test]
async fn tokens_that_die_in_mid_run_are_asked_for_once_more_and_cost_no_result() {
    let (world, keeper) = kept(Plan { token_overlap: Duration::ZERO, ..plan(150, 0) }).await;
    let world = world.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    let once = world.spawn(&["--once", "--check", "phone"]);
    until("the run calls", async || world.wechat.arrived(Endpoint::Checkmobile) > 40).await;
    world.wechat.expire_all_tokens();
    keeper.refreshes();
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 150);
    assert_nothing_was_bought(&world);
    assert!(keeper.asked().values().all(|asked| *asked <= 3), "{:?}", keeper.asked());
}

#[tokio::test]
async fn a_source_that_hands_out_dead_tokens_puts_its_merchants_off_and_is_said() {
    let (world, keeper) = kept(plan(12, 0)).await;
    world.once_of(&[CheckName::Callback]).await.assert_complete();
    keeper.answers(Manner::WithoutRefreshing);
    world.wechat.expire_all_tokens();
    let calls = world.wechat.arrived(Endpoint::Checkmobile);
    let ended = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("the external token source hands out a dead token for wx"), "{}", ended.stderr);
    world.assert_every_run_adds_up().await;
    assert_eq!(
        world.outcomes(CheckName::Phone).await.values().filter(|it| *it == "deferred external_token_dead").count(),
        12
    );
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), calls + 12, "nobody is called again with a dead token");
    let told = "select count(*) from wxpatrol.attention where why = 'external_token_dead' and subject like 'wx%'";
    assert_eq!(world.count(told).await, 12);
    let said = "select count(*) from wxpatrol.failures where detail like '%hands out a dead token%'";
    assert_eq!(world.count(said).await, 12);
    assert_nothing_was_bought(&world);
    // The keeper wakes up: the next run does them, and nothing stands in the view any more.
    keeper.answers(Manner::Well);
    keeper.refreshes();
    world.database.advance(Duration::from_secs(1800)).await;
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 12);
    assert_eq!(world.count(told).await, 0);
}

#[tokio::test]
async fn whatever_a_dead_source_answers_its_merchants_are_put_off_and_nobody_failed() {
    for (manner, words) in [
        (Manner::Status(500), "answers HTTP status 500"),
        (Manner::Page, "a page instead of JSON"),
        (Manner::Nothing, "an empty body"),
        (Manner::Endlessly, "more than 65536 bytes"),
        (Manner::Elsewhere, "a redirect"),
        (Manner::Status(401), "check WXPATROL_TOKEN_BEARER"),
    ] {
        let (world, keeper) = kept(plan(5, 0)).await;
        keeper.answers(manner);
        assert_put_off(&world.once_of(&[CheckName::Phone]).await, CheckName::Phone, "token_source_silent");
        world.assert_every_run_adds_up().await;
        let said = format!(
            "select count(distinct appid) from wxpatrol.failures where detail like '%{words}%' and class = 'transient'"
        );
        assert_eq!(world.count(&said).await, 5, "{manner:?}");
        let planted = "select count(*) from wxpatrol_data.failure f where f::text like '%planted%'";
        assert_eq!(world.count(planted).await, 0, "{manner:?}");
        let told = "select what_en from wxpatrol.attention where why = 'token_source_silent' and subject = ''";
        assert_eq!(world.texts(told).await.len(), 1, "{manner:?}");
        assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 0);
        assert_nothing_was_bought(&world);
    }
}

#[tokio::test]
async fn merchants_that_the_source_does_not_know_are_put_off_and_hurt_no_other() {
    let (world, _) = kept(plan(6, 0)).await;
    let rows = [MerchantRow {
        appid: "wxstranger00000000".to_owned(),
        kind: Some(Kind::MiniProgram),
        ..MerchantRow::default()
    }];
    world.database.store.keep_merchants(world.platform().await, &rows, false).await.unwrap();
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).done, ran.of(CheckName::Phone).deferred), (6, 1));
    let told = "select subject from wxpatrol.attention where why = 'external_token_missing'";
    assert_eq!(world.texts(told).await, ["wxstranger00000000"]);
}

#[tokio::test]
async fn a_source_that_is_away_at_the_start_is_said_and_the_work_begins_when_it_comes() {
    let world = imported(plan(8, 0)).await;
    // Bound and not listening: whoever connects is refused, and nobody else gets the port.
    let away = TcpSocket::new_v4().unwrap();
    away.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = away.local_addr().unwrap();
    let url = format!("http://{addr}/{{component_appid}}/{{appid}}?key={KEY}");
    let world = world.with("WXPATROL_TOKEN_URL", &url).with("WXPATROL_TOKEN_BEARER", BEARER);
    let world = world.unattended_without_schedules().with("WXPATROL_SCHEDULE_PHONE", "* * * * * *");
    let unattended = world.spawn(&["run"]);
    let put_off = "select count(*) = 8 from wxpatrol_data.item where check_name = 'phone' and outcome = 'deferred' and reason = 'token_source_silent'";
    while_time_passes(&world, put_off).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where outcome = 'failed'").await, 0);
    let _keeper = Keeper::on(&world, away.listen(16).unwrap());
    while_time_passes(&world, "select count(*) = 8 from wxpatrol_data.phone").await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("the external token source can not be reached"), "{}", ended.stderr);
    assert!(ended.stderr.contains("merchants can not be read from WeChat"), "{}", ended.stderr);
    assert!(!ended.everything().contains(KEY) && !ended.everything().contains(BEARER));
    assert_nothing_was_bought(&world);
}

/// Waits for a condition. Whenever all work only waits for its time, half an hour passes: longer than anybody is put off here.
/// A source that was just away is not asked for a moment of real time, in which tries may fail and be put off once more.
async fn while_time_passes(world: &World, condition: &str) {
    let waiting =
        "select (count(*) > 0 and bool_and(leased_by is null and due_at > wxpatrol_data.clock()))::int::bigint
                     from wxpatrol_data.item where check_name = 'phone' and outcome in ('again', 'deferred')";
    let holds = format!("select ({condition})::int::bigint");
    let holds = async || {
        if world.count(&holds).await == 1 {
            return true;
        }
        if world.count(waiting).await == 1 {
            world.database.advance(Duration::from_secs(1800)).await;
        }
        false
    };
    until(condition, holds).await;
}

#[tokio::test]
async fn merchants_are_read_from_wechat_only_with_the_platform_s_own_token() {
    let (world, keeper) = kept(plan(7, 2)).await;
    let refused = world.program(&["sync"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains("set WXPATROL_COMPONENT_TOKEN_URL"), "{}", refused.stderr);
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 0);
    let world = world.with("WXPATROL_COMPONENT_TOKEN_URL", &keeper.component_url());
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    assert!(synced.stderr.contains("9 merchants listed, 9 informed"), "{}", synced.stderr);
    assert_nothing_was_bought(&world);
    assert_nothing_is_stored(&world).await;
}

#[tokio::test]
async fn two_systems_that_would_both_refresh_are_refused_with_one_sentence() {
    let world = World::synced(plan(4, 0)).await;
    let keeper = Keeper::new(&world).await;
    let both = world.with("WXPATROL_TOKEN_URL", &keeper.url());
    let refused = both.program(&["--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(
        refused.stderr.contains("must not be set together with WXPATROL_COMPONENT_APPSECRET"),
        "{}",
        refused.stderr
    );
    // Not configured, but stored.
    let world = both.without("WXPATROL_COMPONENT_APPSECRET").without("WXPATROL_VERIFY_TICKET");
    let world = world.with("WXPATROL_TOKEN_BEARER", BEARER);
    for command in [&["--once"][..], &["run"], &["sync"]] {
        let world_sync = command == ["sync"];
        let refused = world.program(command).await;
        assert_eq!(refused.code, Some(2), "{}", refused.everything());
        let words =
            if world_sync { "WXPATROL_COMPONENT_TOKEN_URL" } else { "a verify ticket and tokens of 4 merchants" };
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(keeper.asked().is_empty());
    let forget = format!("select wxpatrol_data.forget_own_tokens('{}')", world.wechat.plan().component_appid);
    assert!(world.count(&forget).await >= 4);
    let bought = world.wechat.component_token_fetches();
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 4);
    assert_eq!((world.wechat.component_token_fetches(), world.wechat.refreshes().len()), (bought, 0));
    // What only own tokens need is not taken.
    let ticket = world.program_reading(&["ticket", "-"], "ticket@@@made-up").await;
    assert!(ticket.code == Some(2) && ticket.stderr.contains("another system keeps the tokens"), "{}", ticket.stderr);
    let file = "appid,refresh_token,kind\nwx1a000000000000ff,made-up-refresh-token,mini_program\n";
    let import = world.program_reading(&["import", "-", "--format", "csv"], file).await;
    assert!(import.code == Some(2) && import.stderr.contains("the file brings refresh tokens"), "{}", import.stderr);
    let without = "appid,kind\nwx1a000000000000ff,mini_program\n";
    let import = world.program_reading(&["import", "-", "--format", "csv"], without).await;
    assert_eq!(import.code, Some(0), "{}", import.everything());
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
    let world = tabled(plan(6, 0)).await;
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

#[tokio::test]
async fn a_source_that_never_answers_puts_its_merchants_off() {
    let (world, keeper) = kept(plan(2, 0)).await;
    keeper.answers(Manner::Slowly);
    assert_put_off(&world.once_of(&[CheckName::Phone]).await, CheckName::Phone, "token_source_silent");
    let said = world.texts("select distinct detail from wxpatrol.failures").await;
    assert_eq!(said, ["no token: the external token source did not answer within 5 s"]);
}

#[tokio::test]
async fn a_message_that_met_a_dead_token_was_not_sent_and_is_sent_once_when_the_token_lives() {
    let (world, keeper) = kept(Plan { phone_missing_share: 1.0, ..plan(5, 0) }).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    keeper.answers(Manner::WithoutRefreshing);
    world.wechat.expire_all_tokens();
    assert_put_off(&world.once_of(&[CheckName::Ask]).await, CheckName::Ask, "external_token_dead");
    assert!(world.wechat.asks().is_empty());
    assert_eq!(world.count("select count(*) from wxpatrol_data.intent where outcome <> 'not_made'").await, 0);
    keeper.answers(Manner::Well);
    keeper.refreshes();
    world.database.advance(Duration::from_secs(1800)).await;
    assert_eq!(world.once_of(&[CheckName::Ask]).await.of(CheckName::Ask).done, 5);
    assert_eq!(world.wechat.asks().len(), 5);
}

async fn all_rows(world: &World) -> String {
    let tables = "select format('%I.%I', table_schema, table_name) from information_schema.tables
                   where table_schema in ('wxpatrol', 'wxpatrol_data')";
    let mut rows = String::new();
    for table in world.texts(tables).await {
        rows += &world.texts(&format!("select t::text from {table} t")).await.join("\n");
    }
    rows
}

#[tokio::test]
async fn no_secret_of_another_system_shows_anywhere_at_the_loudest_level() {
    for format in ["text", "json"] {
        let (world, keeper) = kept(Plan { token_overlap: Duration::ZERO, ..plan(6, 1) }).await;
        let world = world.with("WXPATROL_COMPONENT_TOKEN_URL", &keeper.component_url());
        let world = world.with("WXPATROL_LOG", "trace").with("WXPATROL_LOG_FORMAT", format);
        let mut shown = String::new();
        let mut planted = vec![BEARER.to_owned(), KEY.to_owned(), "planted-answer".to_owned()];
        for (command, manner) in [
            (&["sync"][..], Manner::Well),
            (&["--once", "--check", "phone"], Manner::Well),
            (&["--once", "--check", "callback"], Manner::WithoutRefreshing),
            (&["--once", "--check", "callback", "--all", "--deadline", "20s"], Manner::Elsewhere),
            (&["config"], Manner::Well),
            (&["report", "attention"], Manner::Well),
            (&["report", "failures"], Manner::Well),
        ] {
            keeper.answers(manner);
            if manner == Manner::WithoutRefreshing {
                world.wechat.expire_all_tokens();
            }
            shown += &world.program(command).await.everything();
            planted.extend(keeper.tokens());
        }
        assert!(shown.contains("hands out a dead token") && shown.contains("answers with a redirect"), "{shown}");
        assert!(planted.len() > 7);
        let rows = all_rows(&world).await;
        for secret in planted {
            assert!(!shown.contains(&secret), "{secret} is in the output");
            assert!(!rows.contains(&secret), "{secret} is in a table");
        }
    }
}

#[tokio::test]
async fn a_key_that_stands_in_a_query_shows_in_no_log() {
    let world = tabled(plan(3, 0)).await.with("WXPATROL_LOG", "trace");
    let query =
        "select token, ends_at, 'planted-key' = component from owner.tokens where component = $1 and appid = $2";
    let world = world.with("WXPATROL_TOKEN_SQL", query);
    let refused = world.program(&["--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    let query =
        "select token, ends_at from owner.tokens where component = $1 and appid = $2 and 'planted-key' <> appid";
    let world = world.with("WXPATROL_TOKEN_SQL", query);
    let ran = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.everything());
    assert!(ran.stderr.len() > 10_000, "the log is loud");
    let config = world.program(&["config"]).await;
    for shown in [refused, ran, config] {
        assert!(!shown.everything().contains("planted-key"));
        assert!(!shown.everything().contains("sim-at-"), "a token is in the output");
    }
}
