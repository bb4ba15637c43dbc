//! Tokens of another system: wxpatrol asks for them and never buys one, and a source that fails fails nobody.

mod away;
mod table;

use std::time::Duration;

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
use table::tabled;

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
