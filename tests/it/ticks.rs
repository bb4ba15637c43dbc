//! Promise 4: each tick runs once over all processes and through restarts.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::Signal;
use wxpatrol::{domain::CheckName, store::runs::Tick};

use crate::world::{World, plan};

const DEADLINE: Duration = Duration::from_secs(3600);

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

#[tokio::test]
async fn a_tick_that_two_processes_hear_is_one_run() {
    let world = World::synced(plan(1, 1)).await;
    let (platform, other) = (world.platform().await, world.database.another_store().await);
    let fire_at = at("2026-11-21T03:00:00+08:00");
    let tick = |store: wxpatrol::store::Store| async move {
        store.tick(platform, "phone", fire_at, &[CheckName::Phone], DEADLINE).await.unwrap()
    };
    let (left, right) = tokio::join!(tick(world.database.store.clone()), tick(other));
    let opened = [left, right].iter().filter(|tick| **tick == Tick::Opened).count();
    assert_eq!((opened, world.count("select count(*) from wxpatrol_data.run").await), (1, 1));
}

#[tokio::test]
async fn a_tick_is_the_same_instant_whatever_its_zone_and_a_restart_does_not_run_it_again() {
    let world = World::synced(plan(1, 1)).await;
    let (store, platform) = (&world.database.store, world.platform().await);
    let tick = async |fire_at| store.tick(platform, "phone", fire_at, &[CheckName::Phone], DEADLINE).await.unwrap();
    assert_eq!(tick(at("2026-11-21T03:00:00+08:00")).await, Tick::Opened);
    world.once().await.assert_complete();
    assert_eq!(tick(at("2026-11-20T19:00:00Z")).await, Tick::Taken);
    assert_eq!(store.last_tick(platform, "phone").await.unwrap(), Some(at("2026-11-20T19:00:00Z")));
}

#[tokio::test]
async fn a_tick_that_overlaps_the_run_before_is_recorded_as_skipped() {
    let world = World::synced(plan(1, 1)).await;
    let (store, platform) = (&world.database.store, world.platform().await);
    let tick = async |name, fire_at| store.tick(platform, name, fire_at, &[CheckName::Phone], DEADLINE).await.unwrap();
    let first = at("2026-11-21T03:00:00+08:00");
    assert_eq!(tick("phone", first).await, Tick::Opened);
    assert_eq!(tick("phone", first + TimeDelta::days(1)).await, Tick::Skipped);
    assert_eq!(tick("callback", first).await, Tick::Opened, "another schedule is not in the way");
    let states = "select state from wxpatrol_data.run where schedule = 'phone' order by fire_at";
    assert_eq!(world.texts(states).await, ["open", "skipped"]);
}

#[tokio::test]
async fn every_second_s_tick_runs_once_over_three_processes_of_which_one_is_killed() {
    let mut world = World::synced(plan(4, 1)).await.with("WXPATROL_SCHEDULE_PHONE", "* * * * * *");
    for schedule in ["ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"] {
        world = world.with(&format!("WXPATROL_SCHEDULE_{schedule}"), "off");
    }
    let [first, second, third] = [(); 3].map(|()| world.spawn(&["run"]));
    let ticks = |least| format!("select count(*) >= {least} from wxpatrol_data.run where schedule = 'phone'");
    world.until(&ticks(3)).await;
    assert!(first.killed().await);
    world.until(&ticks(6)).await;
    for unattended in [second, third] {
        unattended.signal(Signal::SIGTERM);
        let ended = unattended.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
    }
    // What is left open is closed by whoever comes next.
    world.once().await.assert_complete();
    assert_eq!(world.count("select count(*) from wxpatrol_data.run where state = 'open'").await, 0);
    let whole_seconds = "select count(*) from wxpatrol_data.run
                          where schedule = 'phone' and fire_at <> date_trunc('second', fire_at)";
    assert_eq!(world.count(whole_seconds).await, 0);
}
