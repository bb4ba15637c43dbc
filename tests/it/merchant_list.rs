//! The provider's own list of merchants (`merchant_source`, `WXPATROL_MERCHANT_SQL`): it stands in for WeChat's, keeps the same
//! rules, and is refused where it can not work.

mod refused;

use std::time::Duration;

use nix::sys::signal::Signal;
use sqlx::AssertSqlSafe;
use wxpatrol::{
    domain::CheckName,
    simulate::{self, Endpoint, Oddity, Plan, Push, ReceiverUrl, Rule},
};

use crate::world::{World, free_address, plan};

const COMPLETE: &str = "select appid, kind, nickname, principal, permission_sets, account_status, authorized_at
                          from shop.merchants where component_appid = $1;";

async fn say(world: &World, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&world.database.pool).await.unwrap();
}

/// A table of the provider's that holds the merchants of these platforms.
async fn tabled(world: &World, platforms: &[&simulate::World]) {
    say(
        world,
        "create schema shop;
         create table shop.merchants (component_appid text, appid text, kind text, nickname text, principal text,
                                      permission_sets int[], account_status int, authorized_at timestamptz);
         create table shop.tokens (component text, appid text, token text, primary key (component, appid))",
    )
    .await;
    for platform in platforms {
        for merchant in platform.merchants() {
            let kind = match merchant.kind {
                simulate::Kind::MiniProgram => "mini_program",
                simulate::Kind::OfficialAccount => "official_account",
            };
            sqlx::query(
                "insert into shop.merchants values ($1, $2, $3, 'Shop ' || $2, 'The owner', '{49,33}', 1, wxpatrol_data.clock())",
            )
            .bind(&platform.plan().component_appid)
            .bind(&merchant.appid)
            .bind(kind)
            .execute(&world.database.pool)
            .await
            .unwrap();
            sqlx::query("insert into shop.tokens values ($1, $2, $3)")
                .bind(&platform.plan().component_appid)
                .bind(&merchant.appid)
                .bind(platform.issue_live_token(&merchant.appid).unwrap().0)
                .execute(&world.database.pool)
                .await
                .unwrap();
        }
    }
}

/// A platform whose merchants and tokens are in the provider's own tables, without any secret of WeChat's.
async fn provider(plan: Plan) -> World {
    let world = World::new(plan).await;
    tabled(&world, &[&world.wechat]).await;
    world
        .without("WXPATROL_COMPONENT_APPSECRET")
        .without("WXPATROL_VERIFY_TICKET")
        .with("WXPATROL_TOKEN_SQL", "select token from shop.tokens where component = $1 and appid = $2")
        .with("WXPATROL_MERCHANT_SQL", COMPLETE)
}

/// The same with wxpatrol's own tokens.
async fn listed(plan: Plan, query: &str) -> World {
    let world = World::new(plan).await;
    tabled(&world, &[&world.wechat]).await;
    world.with("WXPATROL_MERCHANT_SQL", query)
}

async fn withdrawn(world: &World) -> Vec<String> {
    world.texts("select appid from wxpatrol.merchants where withdrawn_at is not null order by appid").await
}

fn first(world: &World) -> String {
    world.wechat.merchants()[0].appid.clone()
}

#[tokio::test]
async fn merchants_and_tokens_of_the_provider_s_own_tables_make_a_full_patrol_without_any_secret() {
    let world = provider(plan(30, 3)).await;
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    assert!(synced.stderr.contains("33 merchants listed"), "{}", synced.stderr);
    world.want(&[crate::world::pair(0, 1), crate::world::pair(1, 2)]).await;
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.assert_every_run_adds_up().await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 30);
    assert_eq!(world.wechat.invitations().len(), 2);
    let missing = world.texts("select appid from wxpatrol.missing_phone").await;
    assert!(!missing.is_empty() && world.wechat.asks().len() == missing.len(), "{missing:?}");
    let names = "select count(*) from wxpatrol.merchants
                  where nickname = 'Shop ' || appid and principal = 'The owner' and permission_sets = '49 33'";
    assert_eq!(world.count(names).await, 33);
    for endpoint in [
        Endpoint::ApiComponentToken,
        Endpoint::ApiAuthorizerToken,
        Endpoint::ApiGetAuthorizerList,
        Endpoint::ApiGetAuthorizerInfo,
    ] {
        assert_eq!(world.wechat.arrived(endpoint), 0, "{endpoint:?}");
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.credential").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.platform where secret_sealed is not null").await, 0);
}

#[tokio::test]
async fn the_schedule_of_the_sync_reads_the_provider_s_list() {
    let world = provider(plan(4, 1)).await.unattended_without_schedules().with("WXPATROL_SCHEDULE_SYNC", "* * * * * *");
    let unattended = world.spawn(&["run"]);
    world.until("select count(*) = 5 from wxpatrol_data.merchant").await;
    let gone = first(&world);
    say(&world, &format!("delete from shop.merchants where appid = '{gone}'")).await;
    world.until(&format!("select withdrawn_at is not null from wxpatrol_data.merchant where appid = '{gone}'")).await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(withdrawn(&world).await, [gone]);
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 0);
}

#[tokio::test]
async fn a_merchant_that_leaves_the_list_is_withdrawn_after_two_complete_passes_and_one_that_returns_is_back() {
    let world = provider(plan(6, 1)).await;
    // Of rows with one appid the first counts, and it is one merchant.
    say(&world, "insert into shop.merchants select * from shop.merchants where appid like '%3'").await;
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.complete), (7, true));
    let gone = first(&world);
    say(&world, &format!("create table shop.away as select * from shop.merchants where appid = '{gone}'")).await;
    say(&world, &format!("delete from shop.merchants where appid = '{gone}'")).await;
    assert_eq!(world.sync().await.withdrawn, 0);
    assert!(withdrawn(&world).await.is_empty(), "one pass is not two");
    assert_eq!(world.sync().await.withdrawn, 1);
    assert_eq!(withdrawn(&world).await, [gone]);
    say(&world, "insert into shop.merchants select * from shop.away").await;
    world.sync().await;
    assert!(withdrawn(&world).await.is_empty());
}

#[tokio::test]
async fn a_list_that_names_nobody_breaks_or_has_rows_without_an_appid_proves_no_absence() {
    let world = provider(plan(5, 1)).await;
    world.sync().await;
    say(&world, "alter table shop.merchants rename to kept; create table shop.merchants (like shop.kept)").await;
    for _ in 0..3 {
        let synced = world.program(&["sync"]).await;
        assert_eq!(synced.code, Some(1), "{}", synced.everything());
        assert!(synced.stderr.contains("while 6 are known"), "{}", synced.stderr);
    }
    // A join that has lost its other side, beside two that it found, one of them of a kind that is none.
    say(
        &world,
        "insert into shop.merchants select component_appid, null, kind from shop.kept limit 4;
         insert into shop.merchants (component_appid, appid, kind)
         select component_appid, appid, 'planted-kind' from shop.kept order by appid limit 2",
    )
    .await;
    for _ in 0..3 {
        let synced = world.program(&["sync"]).await;
        assert_eq!(synced.code, Some(1), "{}", synced.everything());
        for words in ["4 rows of the list name no merchant", "2 values of WXPATROL_MERCHANT_SQL can not be read"] {
            assert!(synced.stderr.contains(words), "{}", synced.stderr);
        }
        assert!(!synced.everything().contains("planted"), "{}", synced.everything());
    }
    // A view that fails in the middle of its rows.
    say(
        &world,
        "drop table shop.merchants;
         create view shop.merchants as
         select component_appid, appid, kind, nickname, principal, permission_sets,
                account_status / (case when row_number() over (order by appid) < 3 then 1 else 0 end) as account_status,
                authorized_at
           from shop.kept",
    )
    .await;
    for _ in 0..3 {
        let synced = world.program(&["sync"]).await;
        assert_eq!(synced.code, Some(1), "{}", synced.everything());
        assert!(synced.stderr.contains("SQLSTATE 22012"), "{}", synced.stderr);
    }
    assert!(withdrawn(&world).await.is_empty());
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where kind <> 'unknown'").await, 6);
}

#[tokio::test]
async fn who_withdrew_by_wechat_s_word_stays_withdrawn_while_the_list_names_it_until_it_authorizes_again() {
    let world = listed(plan(3, 0), COMPLETE).await;
    world.sync().await;
    let gone = first(&world);
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.withdraw(&gone).unwrap();
    world.once_of(&[CheckName::Callback]).await.assert_complete();
    assert_eq!(withdrawn(&world).await, [gone.as_str()]);
    for _ in 0..3 {
        world.sync().await;
        assert_eq!(withdrawn(&world).await, [gone.as_str()], "a list that lags does not bring it back");
    }
    say(
        &world,
        &format!(
            "update shop.merchants set authorized_at = wxpatrol_data.clock() + interval '1 s' where appid = '{gone}'"
        ),
    )
    .await;
    world.sync().await;
    assert!(withdrawn(&world).await.is_empty(), "it authorized later");
    // Where the list does not say when, it is tried again after a week.
    let store = &world.database.store;
    store.withdraw(world.platform().await, &[(gone.clone(), store.now())]).await.unwrap();
    say(&world, "update shop.merchants set authorized_at = null").await;
    world.sync().await;
    assert_eq!(withdrawn(&world).await, [gone]);
    world.pass(Duration::from_secs(8 * 24 * 3600)).await;
    world.sync().await;
    assert!(withdrawn(&world).await.is_empty());
}

#[tokio::test]
async fn what_the_list_leaves_out_wechat_is_asked_about_and_what_it_says_wechat_does_not_replace() {
    let query = "select appid, nickname, permission_sets from shop.merchants where component_appid = $1";
    let world = listed(plan(4, 1), query).await;
    let official = Plan::official_account(0);
    say(&world, "update shop.merchants set permission_sets = '{49}' where kind = 'mini_program'").await;
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.informed), (5, 5));
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 0);
    let facts = "select format('%s %s %s %s', kind, nickname = 'Shop ' || appid, principal is not null and principal <> 'The owner',
                               permission_sets)
                   from wxpatrol.merchants order by appid";
    let mut expected = vec!["mini_program t t 49".to_owned(); 5];
    let place = world.texts("select appid from wxpatrol.merchants order by appid").await;
    expected[place.iter().position(|appid| *appid == official).unwrap()] = "official_account t t 49 33".to_owned();
    assert_eq!(world.texts(facts).await, expected);
    // The next night the list's own word is taken, and WeChat is not asked about everybody again.
    say(&world, "update shop.merchants set nickname = 'Another'").await;
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.informed), (5, 0));
    assert_eq!(world.count("select count(*) from wxpatrol.merchants where nickname = 'Another'").await, 5);
}

#[tokio::test]
async fn refresh_tokens_come_back_from_wechat_s_list_which_makes_nobody_a_merchant() {
    let world = listed(plan(6, 0), COMPLETE).await;
    let stranger = first(&world);
    say(&world, &format!("delete from shop.merchants where appid = '{stranger}'")).await;
    world.sync().await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.credential where appid <> ''").await, 0);
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).total, ran.of(CheckName::Phone).done), (5, 5), "{ran:?}");
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 1);
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant").await, 5);
    let strangers = format!("select count(*) from wxpatrol_data.credential where appid = '{stranger}'");
    assert_eq!(world.count(&strangers).await, 0);
    // A merchant that WeChat's list does not name is not absent from the provider's.
    let unlisted = world.wechat.merchants()[1].appid.clone();
    world.wechat.script(Rule::new(Oddity::Errcode(-1)).on(Endpoint::ApiGetAuthorizerList).times(1)).unwrap();
    say(&world, &format!("delete from wxpatrol_data.credential where appid = '{unlisted}'")).await;
    world.sync().await;
    assert!(withdrawn(&world).await.is_empty());
}

#[tokio::test]
async fn each_of_two_platforms_has_its_own_merchants_of_one_table() {
    let first_plan = plan(5, 1);
    let other = Plan { mini_programs: 3, official_accounts: 0, ..first_plan.clone().as_platform(1) };
    let world = World::several(first_plan, vec![other]).await;
    tabled(&world, &[&world.wechat, &world.others[0]]).await;
    let world = world
        .without("WXPATROL_COMPONENT_APPSECRET")
        .without("WXPATROL_VERIFY_TICKET")
        .with("WXPATROL_TOKEN_SQL", "select token from shop.tokens where component = $1 and appid = $2")
        .with("WXPATROL_MERCHANT_SQL", COMPLETE);
    // Whose tokens another system keeps needs no secret here.
    let second = world.others[0].plan().component_appid.clone();
    let added = world.program(&["platform", "add", &second]).await;
    assert_eq!(added.code, Some(0), "{}", added.everything());
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    for (platform, merchants) in [(world.wechat.plan().component_appid.as_str(), 6), (&second, 3)] {
        let known = format!("select count(*) from wxpatrol.merchants where platform = '{platform}'");
        assert_eq!(world.count(&known).await, merchants, "{platform}");
    }
    let ended = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 8);
    assert_eq!((world.wechat.arrived(Endpoint::Checkmobile), world.others[0].arrived(Endpoint::Checkmobile)), (5, 3));
}

#[tokio::test]
async fn two_platforms_with_tokens_merchants_and_events_from_elsewhere_are_patrolled_by_one_process_without_a_secret() {
    let first_plan = plan(4, 1);
    let other = Plan { mini_programs: 3, official_accounts: 1, ..first_plan.clone().as_platform(1) };
    let world = World::several(first_plan, vec![other]).await;
    tabled(&world, &[&world.wechat, &world.others[0]]).await;
    let address = free_address();
    let world = world
        .unattended_without_schedules()
        .with("WXPATROL_SCHEDULE_SYNC", "30 2 * * *")
        .with("WXPATROL_SCHEDULE_PHONE", "* * * * * *")
        .without("WXPATROL_COMPONENT_APPSECRET")
        .without("WXPATROL_VERIFY_TICKET")
        .with("WXPATROL_TOKEN_SQL", "select token from shop.tokens where component = $1 and appid = $2")
        .with("WXPATROL_MERCHANT_SQL", COMPLETE)
        .with("WXPATROL_RECEIVER_ADDR", &address);
    let folder = tempfile::tempdir().unwrap();
    let platforms = [&world.wechat, &world.others[0]];
    // Each platform's row holds what its events are signed and sealed with.
    for platform in platforms {
        let Plan { component_appid, event_token, event_aes_key, .. } = platform.plan();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (token, key) = (file("token", event_token), file("key", event_aes_key));
        let add = ["platform", "add", component_appid, "--event-token-file", &token, "--event-key-file", &key];
        let added = world.program(&add).await;
        assert_eq!(added.code, Some(0), "{}", added.everything());
        let url = Some(format!("http://{address}/"));
        platform.set_receiver(ReceiverUrl { url, plain_json: false, automatic: false }).unwrap();
    }
    let unattended = world.spawn(&["run"]);
    world.until("select count(*) = 7 from wxpatrol_data.phone").await;
    let gone = first(&world);
    for (platform, push) in [
        (platforms[0], Push { info_type: "component_verify_ticket".to_owned(), ..Push::default() }),
        (platforms[1], Push { info_type: "unauthorized".to_owned(), appid: Some(gone.clone()), ..Push::default() }),
    ] {
        let pushed = platform.push(&push).await.unwrap();
        assert!(pushed.taken(), "{pushed:?}");
    }
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let withdrawn =
        world.texts("select platform || ' ' || appid from wxpatrol.merchants where withdrawn_at is not null").await;
    assert_eq!(withdrawn, [format!("{} {gone}", platforms[1].plan().component_appid)]);
    for platform in platforms {
        assert_eq!(platform.arrived(Endpoint::ApiComponentToken) + platform.arrived(Endpoint::ApiAuthorizerToken), 0);
        assert_eq!(platform.arrived(Endpoint::ApiGetAuthorizerList), 0);
    }
    let kept = "select (select count(*) from wxpatrol_data.platform where ticket_sealed is not null or secret_sealed is not null)
                     + (select count(*) from wxpatrol_data.credential)";
    assert_eq!(world.count(kept).await, 0, "tickets, secrets and tokens are somebody else's");
}
