//! `sync`: who authorized the platform, and what WeChat says about each; what follows for who may not be patrolled.

mod first;

use std::{collections::BTreeSet, time::Duration};

use nix::sys::signal::Signal;
use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, ListChange, Oddity, Plan, Rule},
    store::runs::RunState,
};

use crate::world::{World, plan, until};

const DAY: Duration = Duration::from_secs(24 * 3600);
const PHONE: &[CheckName] = &[CheckName::Phone];

/// Nothing rings but the nightly sync.
fn nightly(world: World) -> World {
    world.unattended_without_schedules().with("WXPATROL_SCHEDULE_SYNC", "30 2 * * *")
}

#[tokio::test]
async fn a_sync_that_was_killed_goes_on_where_it_stopped_and_asks_about_nobody_again() {
    let world = World::new(plan(420, 0)).await;
    // The second batch of infos never ends by itself.
    let known = world.wechat.merchants();
    for merchant in &known[200..420] {
        world.wechat.script(Rule::new(Oddity::Hang).of(&merchant.appid).on(Endpoint::ApiGetAuthorizerInfo)).unwrap();
    }
    let sync = world.spawn(&["sync"]);
    world.until("select count(*) = 200 from wxpatrol_data.merchant where info_at is not null").await;
    until("infos are under way", async || world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo) > 200).await;
    assert!(sync.killed().await);
    world.wechat.clear_script();
    let asked = world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo);
    let ended = world.program(&["sync"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("420 merchants listed, 220 informed"), "{}", ended.stderr);
    // Requests of the killed one may arrive after it; a sync that asks anew would add two hundred.
    let arrived = world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo);
    assert!((asked + 220..=asked + 240).contains(&arrived), "{arrived} after {asked}");
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where info_at is null").await, 0);
}

#[tokio::test]
async fn a_merchant_without_the_permission_set_is_skipped_with_the_date_until_its_authorization_changes() {
    let world = World::new(plan(3, 0)).await;
    let appid = Plan::mini_program(0);
    world.wechat.set_permission_sets(&appid, &[18, 33]).unwrap();
    world.sync().await;
    let since = "select since::text from wxpatrol.attention where why = 'permission'";
    let reason = format!("select reason from wxpatrol_data.item where appid = '{appid}' and check_name = 'phone'");
    world.once_of(PHONE).await.assert_complete();
    let first = world.texts(since).await;
    assert_eq!((first.len(), world.texts(&reason).await), (1, vec!["permission".to_owned()]));
    // Days later, and looked at again for another cause, it is the same trouble since the same day.
    world.pass(3 * DAY).await;
    world.wechat.set_account_status(&appid, 18).unwrap();
    world.sync().await;
    let ran = world.once_of(PHONE).await;
    assert_eq!(ran.of(CheckName::Phone).reasons.0["skipped"]["permission"], 1, "{ran:?}");
    assert_eq!(world.texts(since).await, first);
    assert!(!world.wechat.answered_well(Endpoint::Checkmobile).contains(&appid));
    world.wechat.set_permission_sets(&appid, &[18, 33, 64]).unwrap();
    world.pass(DAY).await;
    world.sync().await;
    world.once_of(PHONE).await.assert_complete();
    assert!(world.wechat.answered_well(Endpoint::Checkmobile).contains(&appid), "64 opens it as 49 does");
    assert!(world.texts(since).await.is_empty());
}

#[tokio::test]
async fn frozen_banned_and_cancelled_merchants_are_skipped_until_their_account_is_well_again() {
    let world = World::new(plan(5, 0)).await;
    let troubled: Vec<String> = (0..3).map(Plan::mini_program).collect();
    for (appid, status) in troubled.iter().zip([14, 16, 19]) {
        world.wechat.set_account_status(appid, status).unwrap();
    }
    world.sync().await;
    let ran = world.once_of(PHONE).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).reasons.0["skipped"]["account_status"], 3, "{ran:?}");
    let named = "select subject from wxpatrol.attention where why = 'account_status' and since is not null order by 1";
    assert_eq!(world.texts(named).await, troubled);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 2, "nobody in trouble is called");
    for appid in &troubled {
        world.wechat.set_account_status(appid, 1).unwrap();
    }
    world.pass(DAY).await;
    world.sync().await;
    world.once_of(PHONE).await.assert_complete();
    let done: BTreeSet<String> = world.wechat.answered_well(Endpoint::Checkmobile).into_iter().collect();
    assert_eq!(done.len(), 5);
    assert!(world.texts(named).await.is_empty());
}

#[tokio::test]
async fn the_age_of_the_ticket_stands_in_status_and_in_attention_hours_before_it_dies() {
    let world = World::synced(plan(1, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let why = "select why from wxpatrol.attention where why like 'ticket%'";
    let age = async || {
        let status = world.program(&["status", "--json"]).await;
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        let row = &status["platforms"][0];
        (row["ticket_age"].as_str().unwrap().split(' ').next().unwrap().to_owned(), row["attention"].as_u64().unwrap())
    };
    assert!(world.texts(why).await.is_empty());
    assert_eq!(age().await.1, 0);
    for (hours, shown, said) in [(2, "2h", "ticket_old"), (9, "11h", "ticket_expiring")] {
        world.database.advance(Duration::from_secs(hours * 3600)).await;
        assert_eq!(world.texts(why).await, [said]);
        assert_eq!(age().await, (shown.to_owned(), 1));
    }
    let advice =
        "select what_en from wxpatrol.attention where why = 'ticket_expiring' and what_zh <> '' and since is not null";
    assert!(world.texts(advice).await[0].contains("it dies after twelve"));
}

#[tokio::test]
async fn a_wrong_secret_halts_the_run_with_one_sentence_that_names_what_to_do() {
    let world = World::synced(plan(2, 0)).await;
    world.wechat.expire_all_tokens();
    sqlx::raw_sql("update wxpatrol_data.credential set access_sealed = null, access_expires_at = null")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let ended = world
        .program_with(&[("WXPATROL_COMPONENT_APPSECRET", "fake-but-wrong")], &["--once", "--check", "phone"])
        .await;
    assert_eq!(ended.code, Some(3), "{}", ended.everything());
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("wxpatrol: ")).collect();
    assert_eq!(said.len(), 1, "{}", ended.stderr);
    assert!(said[0].starts_with("wxpatrol: halted: ") && said[0].contains("secret"), "{said:?}");
    assert!(!ended.everything().contains("fake-but-wrong"), "{}", ended.everything());
}

#[tokio::test]
async fn a_merchant_that_wechat_s_list_names_no_more_is_withdrawn_after_two_complete_passes_and_not_after_one() {
    let world = World::new(plan(510, 0)).await;
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.complete, synced.informed), (510, true, 510));
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 2, "510 merchants are two pages");
    let gone = Plan::mini_program(7);
    world.wechat.withdraw(&gone).unwrap();
    let withdrawn = "select appid from wxpatrol_data.merchant where withdrawn_at is not null";
    assert_eq!(world.sync().await.withdrawn, 0);
    // Passes that do not come to their end, one before the first page and one after it, are none.
    for pages in [0, 1] {
        let listed = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
        let odd = Rule::new(Oddity::Errcode(-1)).on(Endpoint::ApiGetAuthorizerList);
        if pages == 1 {
            // The first call is answered late, and well.
            let late = Rule::new(Oddity::DelayMs(1)).on(Endpoint::ApiGetAuthorizerList);
            world.wechat.script(late.times(1)).unwrap();
        }
        world.wechat.script(odd.times(3)).unwrap();
        let ended = world.program(&["sync"]).await;
        assert_eq!(ended.code, Some(1), "{}", ended.everything());
        assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), listed + pages + 3);
        assert!(world.texts(withdrawn).await.is_empty());
    }
    assert_eq!(world.sync().await.withdrawn, 1);
    assert_eq!(world.texts(withdrawn).await, std::slice::from_ref(&gone));
    let tokens = format!(
        "select count(refresh_sealed) + count(access_sealed) from wxpatrol_data.credential where appid = '{gone}'"
    );
    assert_eq!(world.count(&tokens).await, 0);
    world.wechat.authorize(&gone).unwrap();
    world.sync().await;
    assert!(world.texts(withdrawn).await.is_empty());
    assert_eq!(world.count(&tokens).await, 1);
}

/// Whom the last syncs did not name.
const ABSENT: &str =
    "select appid from wxpatrol_data.merchant where absent_passes > 0 or withdrawn_at is not null order by 1";

#[tokio::test]
async fn a_merchant_that_the_list_names_twice_is_kept_once_and_the_list_proves_absences_all_the_same() {
    let world = World::new(plan(505, 0)).await;
    world.wechat.list_twice(&Plan::mini_program(3), true).unwrap();
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.complete, synced.informed), (505, true, 505));
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant").await, 505);
    assert!(world.texts(ABSENT).await.is_empty());
    // Nobody is told about a second time, and who is gone is found to be.
    let gone = Plan::mini_program(7);
    world.wechat.withdraw(&gone).unwrap();
    let informed = world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo);
    for withdrawn in [0, 1] {
        let synced = world.sync().await;
        assert_eq!((synced.listed, synced.complete, synced.withdrawn), (504, true, withdrawn));
    }
    assert_eq!(world.texts(ABSENT).await, [gone]);
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo), informed);
}

#[tokio::test]
async fn nobody_is_withdrawn_because_others_came_or_went_while_the_list_was_read() {
    let world = World::new(plan(510, 0)).await;
    world.sync().await;
    let leaves = |program: u32| vec![ListChange::Withdraw(Plan::mini_program(program))];
    let comes = |program: u32| vec![ListChange::Authorize(Plan::mini_program(program))];
    // Each time somebody of the first page leaves after it, the first of the second page moves up, and the second page begins
    // behind it.
    for left in [1, 2] {
        world.wechat.change_list_after_pages(vec![leaves(left)]).unwrap();
        let synced = world.sync().await;
        assert_eq!((synced.listed, synced.complete, synced.withdrawn), (510, true, 0), "{left} left");
        assert!(world.texts(ABSENT).await.is_empty(), "{left} left, who was named, and hides nobody");
        world.wechat.authorize(&Plan::mini_program(left)).unwrap();
    }
    // Who comes moves the last of the first page to the second, which names it again, and was not there to be named itself.
    world.wechat.withdraw(&Plan::mini_program(4)).unwrap();
    world.wechat.change_list_after_pages(vec![comes(4)]).unwrap();
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.complete, synced.withdrawn), (510, true, 0));
    assert!(world.texts(ABSENT).await.is_empty());
    // A list that changes each time it is read proves no absence, whoever is really gone.
    world.wechat.withdraw(&Plan::mini_program(9)).unwrap();
    let restless = [leaves(1), vec![], comes(1), vec![], leaves(1), vec![]];
    for _ in 0..2 {
        world.wechat.change_list_after_pages(restless.to_vec()).unwrap();
        let synced = world.sync().await;
        assert!(!synced.complete);
        assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where absent_passes > 0").await, 0);
        // Who left last may have said so itself, when its info was asked for; the list has withdrawn nobody.
        let withdrawn = world.texts("select appid from wxpatrol_data.merchant where withdrawn_at is not null").await;
        assert!(withdrawn.iter().all(|appid| *appid == Plan::mini_program(1)), "{withdrawn:?}");
        world.wechat.authorize(&Plan::mini_program(1)).unwrap();
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant").await, 510);
}

#[tokio::test]
async fn an_address_that_is_not_on_the_allow_list_stands_in_attention_as_wechat_named_it() {
    let world = World::synced(plan(4, 0)).await;
    world.wechat.script(Rule::new(Oddity::Errcode(61004))).unwrap();
    let ended = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.everything());
    assert!(ended.stderr.contains("192.0.2.1"), "{}", ended.stderr);
    let told = "select concat_ws(' | ', errcode, actor, detail) from wxpatrol.attention
                 where why = 'halted' and since is not null and what_zh like '%白名单%' and what_en like '%allow list%'";
    let told = world.texts(told).await;
    assert!(told.len() == 1 && told[0].starts_with("61004 | ") && told[0].contains("192.0.2.1"), "{told:?}");
}

#[tokio::test]
async fn an_official_account_without_its_set_invites_nobody_until_it_grants_it() {
    let world = World::new(plan(2, 1)).await;
    let (account, program) = crate::world::pair(0, 0);
    world.wechat.set_permission_sets(&account, &[49]).unwrap();
    world.sync().await;
    world.want(&[(account.clone(), program.clone())]).await;
    let ran = world.once_of(&[CheckName::Links, CheckName::Invite]).await;
    ran.assert_complete();
    for check in [CheckName::Links, CheckName::Invite] {
        assert_eq!(ran.of(check).reasons.0["skipped"]["permission"], 1, "{ran:?}");
    }
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplinkget) + world.wechat.arrived(Endpoint::Wxamplink), 0);
    let since = "select since::text from wxpatrol.attention where why = 'permission'";
    let first = world.texts(since).await;
    assert!(!first.is_empty());
    world.pass(DAY).await;
    world.wechat.set_account_status(&account, 18).unwrap();
    world.sync().await;
    world.once_of(&[CheckName::Links, CheckName::Invite]).await.assert_complete();
    assert_eq!(world.texts(since).await, first, "it is the same trouble");
    world.wechat.set_permission_sets(&account, &[33, 49]).unwrap();
    world.pass(DAY).await;
    world.sync().await;
    world.once_of(&[CheckName::Links, CheckName::Invite]).await.assert_complete();
    assert_eq!(world.wechat.invitations().len(), 1);
    assert!(world.texts(since).await.is_empty());
}

#[tokio::test]
async fn a_sync_that_its_process_began_without_hearing_of_it_is_done_by_that_process() {
    let world = nightly(World::synced(plan(2, 1)).await);
    let process = world.spawn(&["run"]);
    world.until("select count(*) = 1 from wxpatrol_data.process where purpose = 'run'").await;
    // As it stands when the answer to its beginning was lost.
    let begun = "insert into wxpatrol_data.run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by)
                 select gen_random_uuid(), 1, 'sync', m.now, '{}', m.now, m.now + interval '20 h', p.process_id
                   from wxpatrol_data.process p, wxpatrol_data.moment m where p.purpose = 'run'";
    sqlx::query(begun).execute(&world.database.pool).await.unwrap();
    let read = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    world.until("select count(*) = 1 from wxpatrol_data.run where schedule = 'sync' and state = 'complete'").await;
    assert!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList) > read);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_list_that_names_nobody_takes_nobody_s_tokens_and_who_left_is_found_by_its_own_call() {
    let world = World::synced(plan(3, 0)).await;
    for merchant in world.wechat.merchants() {
        world.wechat.withdraw(&merchant.appid).unwrap();
    }
    for _ in 0..3 {
        let synced = world.sync().await;
        assert_eq!((synced.listed, synced.complete, synced.withdrawn), (0, false, 0));
    }
    assert!(world.texts(ABSENT).await.is_empty());
    assert_eq!(world.count("select count(refresh_sealed) from wxpatrol_data.credential where appid <> ''").await, 3);
    world.once_of(PHONE).await.assert_complete();
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where withdrawn_at is not null").await, 3);
}

#[tokio::test]
async fn a_nightly_sync_whose_list_proves_nothing_is_no_complete_run_and_says_why() {
    let world = World::synced(plan(3, 1)).await;
    world.wechat.list_nameless(&Plan::mini_program(2), true).unwrap();
    let world = nightly(world).with("WXPATROL_SCHEDULE_SYNC", "* * * * * *");
    let unattended = world.spawn(&["run"]);
    let told = "select count(*) > 0 from wxpatrol.runs
                 where schedule = 'sync' and state = 'interrupted' and reason like '%names no merchant%'";
    world.until(told).await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(
        world.count("select count(*) from wxpatrol.runs where schedule = 'sync' and state = 'complete'").await,
        0
    );
}

#[tokio::test]
async fn why_an_info_could_not_be_read_stands_among_the_failed_calls() {
    let world = World::new(plan(3, 1)).await;
    let odd = Plan::mini_program(1);
    let rule = |oddity: Oddity| Rule::new(oddity).on(Endpoint::ApiGetAuthorizerInfo).of(&odd);
    world.wechat.script(rule(Oddity::Errcode(48001))).unwrap();
    assert_eq!(world.program(&["sync"]).await.code, Some(1));
    let why =
        "select concat_ws(' ', appid, check_name, endpoint, class, errcode, rid is not null, meaning_en is not null)
                 from wxpatrol.failures order by failed_at";
    let refused = format!("{odd}  api_get_authorizer_info permission 48001 t t");
    assert_eq!(world.texts(why).await, [refused.as_str()]);
    let unknown = format!("select count(*) from wxpatrol.attention where why = 'kind_unknown' and subject = '{odd}'");
    assert_eq!(world.count(&unknown).await, 1);
    // Whatever it answers, and a sync that reads it adds none.
    world.wechat.clear_script();
    world.wechat.script(rule(Oddity::HttpStatus(502))).unwrap();
    assert_eq!(world.program(&["sync"]).await.code, Some(1));
    world.wechat.clear_script();
    assert_eq!(world.program(&["sync"]).await.code, Some(0));
    let unread = format!("{odd}  api_get_authorizer_info transient f f");
    assert_eq!(world.texts(why).await, [refused, unread]);
    assert_eq!(world.count(&unknown).await, 0);
}

#[tokio::test]
async fn merchants_whose_info_refuses_every_token_of_the_platform_s_keep_no_other_from_being_read() {
    let world = World::new(plan(300, 0)).await.with("WXPATROL_LIMIT_API_GET_AUTHORIZER_INFO", "unlimited");
    for odd in [3, 4, 40] {
        let refuses = Rule::new(Oddity::Errcode(40001)).of(Plan::mini_program(odd));
        world.wechat.script(refuses.on(Endpoint::ApiGetAuthorizerInfo)).unwrap();
    }
    let ended = world.program(&["sync"]).await;
    assert!(ended.stderr.contains("300 merchants listed, 297 informed"), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where info_at is null").await, 3);
    assert_eq!(world.count("select count(*) from wxpatrol_data.platform where halted_at is not null").await, 0);
}

#[tokio::test]
async fn what_a_sync_did_is_told_to_programs_on_stdout() {
    let world = World::new(plan(3, 1)).await;
    let ended = world.program(&["sync", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let expected = serde_json::json!([{
        "platform": Plan::default().component_appid, "listed": 4, "informed": 4, "unread": 0, "withdrew": 0, "nameless": 0,
        "values_left_out": 0, "complete": true, "error": null,
    }]);
    assert_eq!(told, expected);
    assert_eq!(world.program(&["sync"]).await.stdout, "", "a person was told");
}
