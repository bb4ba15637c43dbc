//! A platform that was never synced, and syncs that fail wholly.

use super::*;

#[tokio::test]
async fn a_platform_whose_merchants_are_not_known_is_synced_at_once_by_one_of_two_processes() {
    let world = World::several(plan(3, 1), vec![plan(5, 1).as_platform(1), plan(2, 1).as_platform(2)]).await;
    let world = nightly(world);
    // One that is only to have its phones read is left to that.
    world.add(&world.others[1], &["--schedules", "phone"]).await;
    let processes = [world.spawn(&["run"]), world.spawn(&["run"])];
    let synced = |platform: &str, merchants: u32| {
        format!(
            "select count(*) = {merchants} and bool_and(m.info_at is not null) and
                    (select count(*) = 1 and bool_and(r.state = 'complete')
                       from wxpatrol_data.run r where r.platform_id = min(p.platform_id) and r.schedule = 'sync')
               from wxpatrol_data.platform p join wxpatrol_data.merchant m using (platform_id)
              where p.component_appid = '{platform}'"
        )
    };
    world.until(&synced(&world.wechat.plan().component_appid, 4)).await;
    // The same for one that comes while they run.
    world.add(&world.others[0], &[]).await;
    world.until(&synced(&world.others[0].plan().component_appid, 6)).await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 1);
    assert_eq!(world.others[0].arrived(Endpoint::ApiGetAuthorizerList), 1);
    assert_eq!(world.others[1].arrived(Endpoint::ApiGetAuthorizerList), 0);
    // They are no ticks that were decided on too early.
    world.assert_promises(7 * DAY, &[]).await;
    for process in processes {
        process.signal(Signal::SIGTERM);
        assert_eq!(process.ended().await.code, Some(0));
    }
}

#[tokio::test]
async fn a_merchant_that_an_event_or_an_import_brought_does_not_stand_for_the_first_sync() {
    let world = nightly(World::new(plan(40, 2)).await);
    let row = wxpatrol::store::merchants::MerchantRow { appid: Plan::mini_program(0), ..Default::default() };
    world.database.store.keep_merchants(world.platform().await, &[row], false).await.unwrap();
    let process = world.spawn(&["run"]);
    world.until("select count(*) = 42 and bool_and(info_at is not null) from wxpatrol_data.merchant").await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_first_sync_that_fails_is_tried_again_after_a_minute_then_later_and_one_that_is_off_or_paused_never() {
    let world = nightly(World::new(plan(3, 1)).await);
    let (store, platform) = (&world.database.store, world.platform().await);
    let none = Duration::from_secs(3600);
    assert_eq!(store.begin_first_sync(platform, none).await.unwrap(), (false, None), "the schedule was never heard");
    store.mark(platform, "sync", "30 2 * * * Asia/Shanghai").await.unwrap();
    let begin = async || store.begin_first_sync(platform, none).await.unwrap();
    let targets = [wxpatrol::store::operator::HoldTarget { schedule: Some("sync".to_owned()), ..Default::default() }];
    store.pause(platform, &targets, None, None, "test").await.unwrap();
    assert_eq!(begin().await, (false, None), "it is paused");
    store.resume(platform, &targets, None, "test").await.unwrap();
    for minutes in [1, 2, 4, 8, 10, 10] {
        let (needless, begun) = begin().await;
        let begun = begun.expect("nobody is known");
        assert!(!needless);
        assert_eq!(begin().await, (false, None), "one is under way");
        assert!(store.end_run(begun.run_id, RunState::Interrupted, Some("WeChat was away")).await.unwrap());
        world.database.advance(Duration::from_secs(minutes * 60 - 10)).await;
        assert_eq!(begin().await, (false, None), "not so soon");
        world.database.advance(Duration::from_secs(20)).await;
        // Some are known since, and not all.
        let row = wxpatrol::store::merchants::MerchantRow { appid: Plan::mini_program(0), ..Default::default() };
        store.keep_merchants(platform, &[row], true).await.unwrap();
    }
    let begun = begin().await.1.expect("ten minutes are over");
    assert!(store.end_run(begun.run_id, RunState::Complete, None).await.unwrap());
    assert_eq!(begin().await, (true, None), "from now on it waits for its tick");
}

#[tokio::test]
async fn a_sync_by_hand_is_a_first_sync_too() {
    let world = World::synced(plan(3, 1)).await;
    let (store, platform) = (&world.database.store, world.platform().await);
    store.mark(platform, "sync", "30 2 * * * Asia/Shanghai").await.unwrap();
    assert_eq!(store.begin_first_sync(platform, DAY).await.unwrap(), (true, None));
}

/// The platform is halted, with this code as the reason.
fn halted_with(errcode: i64) -> String {
    format!(
        "select coalesce(halt_errcode = {errcode} or halt_reason like '%{errcode}%', false) from wxpatrol_data.platform"
    )
}

#[tokio::test]
async fn a_first_sync_that_the_whole_platform_fails_halts_it_is_tried_again_as_a_probe_and_ends_the_halt() {
    let world = World::new(plan(3, 1)).await.with("WXPATROL_SCHEDULE_PHONE", "* * * * * *");
    world.wechat.script(Rule::new(Oddity::Errcode(61004)).on(Endpoint::ApiGetAuthorizerList)).unwrap();
    let process = world.spawn(&["run"]);
    world.until(&halted_with(61004)).await;
    world.until("select count(*) = 1 from wxpatrol_data.run where schedule = 'sync' and state = 'halted'").await;
    let told =
        "select why from wxpatrol.attention where why = 'halted' and errcode = 61004 and detail like '%192.0.2.1%'";
    assert_eq!(world.texts(told).await, ["halted"]);
    // Nobody is known who could be tried: the next sync is the probe, whatever else has ticks meanwhile.
    for probes in [2, 3] {
        world.database.advance(Duration::from_secs(8 * 60)).await;
        world.until(&format!("select probes = {probes} from wxpatrol_data.platform")).await;
        world.until("select count(*) = 0 from wxpatrol_data.run where schedule = 'sync' and state = 'open'").await;
    }
    world.wechat.clear_script();
    world.database.advance(Duration::from_secs(8 * 60)).await;
    world.until("select halted_at is null from wxpatrol_data.platform").await;
    world.until("select count(*) = 3 from wxpatrol_data.phone").await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code, Some(0));
    world.assert_promises(7 * DAY, &[]).await;
}

#[tokio::test]
async fn a_nightly_sync_that_the_whole_platform_fails_halts_it_and_one_odd_merchant_does_not() {
    let world = World::synced(plan(3, 0)).await;
    let odd = Plan::mini_program(0);
    world.wechat.script(Rule::new(Oddity::Errcode(61004)).of(&odd).on(Endpoint::ApiGetAuthorizerInfo)).unwrap();
    let only =
        "update wxpatrol_data.merchant set info_at = case when appid = $1 then null else wxpatrol_data.clock() end";
    sqlx::query(only).bind(&odd).execute(&world.database.pool).await.unwrap();
    assert_eq!(world.program(&["sync"]).await.code, Some(3));
    assert_eq!(world.count("select count(*) from wxpatrol_data.platform where halted_at is not null").await, 0);
    world.wechat.script(Rule::new(Oddity::Errcode(61004)).on(Endpoint::ApiGetAuthorizerList)).unwrap();
    assert_eq!(world.program(&["sync"]).await.code, Some(3));
    world.until(&halted_with(61004)).await;
    world.wechat.clear_script();
    assert_eq!(world.program(&["sync"]).await.code, Some(0));
    assert_eq!(world.count("select count(*) from wxpatrol_data.platform where halted_at is not null").await, 0);
}
