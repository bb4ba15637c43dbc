//! What a halt leaves of a schedule's work is another run's, which waits until the platform works.

use super::*;

#[tokio::test]
async fn what_a_halted_patrol_left_is_taken_up_when_wechat_recovers_and_not_at_tomorrow_s_tick() {
    let world = refused().await.unattended_without_schedules();
    let world = world.with("WXPATROL_SCHEDULE_PHONE", "0 3 * * *").with("WXPATROL_SCHEDULE_CALLBACK", "0 3 * * *");
    let processes = [world.spawn(&["run"]), world.spawn(&["run"])];
    world.until("select count(*) = 2 from wxpatrol_data.schedule").await;
    let to_three = "select ceil(extract(epoch from (date_trunc('day', now + interval '1 day') + interval '3 h' - now)))::bigint % 86400
                      from (select wxpatrol_data.clock() at time zone 'Asia/Shanghai' as now) m";
    let to_three = u64::try_from(world.count(to_three).await).unwrap();
    world.database.advance(Duration::from_secs(to_three)).await;
    // The run ends, and says so; what it left waits in sight.
    world.until("select count(*) = 2 from wxpatrol_data.run where state = 'halted' and schedule is not null").await;
    world.until("select count(*) = 2 from wxpatrol.ticks where state = 'buffered' and reason like 'halted: takes up what run %'").await;
    let three = "select wxpatrol_data.clock()::text";
    let three = world.texts(three).await.concat();
    // The probes fail, with no tick to ring for them and no run for each of them.
    for (minutes, probes) in [(1, 2), (2, 3)] {
        world.database.advance(minutes * MINUTE).await;
        world.until(&format!("select probes = {probes} and probing_until is null from wxpatrol_data.platform")).await;
    }
    for schedule in ["phone", "callback"] {
        assert_eq!(runs_of(&world, schedule).await, ["halted", "buffered"]);
    }
    world.wechat.clear_script();
    world.database.advance(4 * MINUTE).await;
    for schedule in ["phone", "callback"] {
        world
            .until(&format!(
                "select count(*) = 1 from wxpatrol_data.run where schedule = '{schedule}' and state = 'complete'"
            ))
            .await;
        assert_eq!(runs_of(&world, schedule).await, ["halted", "complete"]);
    }
    let left = format!(
        "select count(*) from wxpatrol_data.item where check_name in ('phone', 'callback') and due_at < '{three}'"
    );
    assert_eq!(world.count(&left).await, 0, "something waits for tomorrow");
    for process in processes {
        process.signal(Signal::SIGTERM);
        let ended = process.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
    }
    world.assert_every_run_adds_up().await;
    world.assert_promises(7 * 24 * 60 * MINUTE, &[]).await;
}

#[tokio::test]
async fn ticks_of_a_halted_platform_stand_behind_the_run_that_waits_and_a_paused_one_stays_paused() {
    let world = refused().await;
    let (store, platform) = (world.database.store.clone(), world.platform().await);
    let mark = store.mark(platform, "phone", "0 3 * * *").await.unwrap();
    world.database.advance(2 * MINUTE).await;
    let (mark, became) = tick(&world, "phone", CheckName::Phone, mark, TimeDelta::minutes(1)).await;
    let [Became::Begun(run)] = became[..] else { panic!("{became:?}") };
    store.open_breaker(platform, Some(61004), "refused", false).await.unwrap();
    // Two processes say so, and say it again.
    let run = open_run(&world, run).await;
    let (left, right) = tokio::join!(closed(&world, &run, RunState::Halted), closed(&world, &run, RunState::Halted));
    assert!(left != right, "one of them closes it");
    assert!(!closed(&world, &run, RunState::Halted).await);
    assert_eq!(runs_of(&world, "phone").await, ["halted", "buffered"]);
    world.database.advance(5 * MINUTE).await;
    let (_, became) = tick(&world, "phone", CheckName::Phone, mark, TimeDelta::minutes(4)).await;
    assert_eq!(became, [Became::Skipped]);
    let why = "select reason from wxpatrol_data.run where state = 'skipped'";
    assert_eq!(world.texts(why).await, ["halted: 1 waited until the platform works again"]);
    assert!(store.begin_waiting(platform, &["phone"]).await.unwrap().is_empty(), "the platform is halted yet");
    let phones = ["phone".to_owned()];
    assert_eq!(store.waiting_runs(platform, &phones).await.unwrap().len(), 1);
    let targets = [HoldTarget { schedule: Some("phone".to_owned()), ..HoldTarget::default() }];
    store.pause(platform, &targets, None, None, "test").await.unwrap();
    assert!(store.waiting_runs(platform, &phones).await.unwrap().is_empty(), "a paused schedule lends nobody");
    store.close_breaker(platform).await.unwrap();
    assert!(store.begin_waiting(platform, &["phone"]).await.unwrap().is_empty(), "it is paused yet");
    store.resume(platform, &targets, None, "test").await.unwrap();
    let begun = store.begin_waiting(platform, &["phone"]).await.unwrap();
    assert_eq!(begun.len(), 1);
    let begun = open_run(&world, begun[0].run_id).await;
    assert!(closed(&world, &begun, RunState::Complete).await);
    let mut states = runs_of(&world, "phone").await;
    states.sort();
    assert_eq!(states, ["complete", "halted", "skipped"], "nothing is left to be taken up");
}

#[tokio::test]
async fn what_waits_of_a_schedule_that_is_switched_off_is_not_begun() {
    let world = refused().await;
    world.wechat.clear_script();
    let (store, platform) = (world.database.store.clone(), world.platform().await);
    for (schedule, check) in [("phone", CheckName::Phone), ("callback", CheckName::Callback)] {
        let mark = store.mark(platform, schedule, "0 3 * * * Asia/Shanghai").await.unwrap();
        let (_, became) = tick(&world, schedule, check, mark, TimeDelta::seconds(1)).await;
        let [Became::Begun(run)] = became[..] else { panic!("{became:?}") };
        assert!(closed(&world, &open_run(&world, run).await, RunState::Halted).await);
    }
    let world = world.unattended_without_schedules().with("WXPATROL_SCHEDULE_CALLBACK", "0 3 * * *");
    let process = world.spawn(&["run"]);
    world.until("select count(*) = 1 from wxpatrol_data.run where schedule = 'callback' and state = 'complete'").await;
    assert_eq!(runs_of(&world, "phone").await, ["halted", "buffered"]);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code, Some(0));
}
