//! Promise 4: each tick runs once over all processes and through restarts; what is missed or overlaps goes by policy, and
//! stands in a row.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use nix::sys::signal::Signal;
use wxpatrol::{
    domain::CheckName,
    simulate::Endpoint,
    store::{
        Store,
        ticks::{Became, Decision, Mark, TickRow},
    },
};

use crate::world::{World, plan};

const DEADLINE: Duration = Duration::from_secs(3600);
const SCHEDULES: [&str; 6] = ["PHONE", "ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"];

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn tick(fire_at: DateTime<Utc>) -> TickRow {
    TickRow { fire_at, runs: true, missed_ticks: 0, missed_since: None }
}

/// A schedule as one process hears it.
struct Hearing {
    store: Store,
    platform: i32,
    schedule: &'static str,
    mark: Mark,
}

impl Hearing {
    async fn new(world: &World, schedule: &'static str) -> Self {
        let (store, platform) = (world.database.another_store().await, world.platform().await);
        let mark = store.mark(platform, schedule, "0 3 * * * Asia/Shanghai").await.unwrap();
        Self { store, platform, schedule, mark }
    }

    /// Decides on one tick, as a process that knows the mark.
    async fn decide(&mut self, row: TickRow, waiting_max: u32) -> Became {
        match self.say(row, waiting_max).await {
            Decision::Made { mark, became } => {
                self.mark = mark;
                became[0]
            }
            Decision::Taken(mark) => panic!("the mark is at {mark:?}"),
        }
    }

    async fn say(&self, row: TickRow, waiting_max: u32) -> Decision {
        let checks: Vec<CheckName> = self.schedule.parse().into_iter().collect();
        let rows = [row];
        let said = self.store.decide(self.platform, self.schedule, self.mark, &rows, &checks, waiting_max, DEADLINE);
        said.await.unwrap()
    }
}

/// Every schedule is off but those that are named.
fn only(world: World, on: &[(&str, &str)]) -> World {
    let world = SCHEDULES.iter().fold(world, |world, name| world.with(&format!("WXPATROL_SCHEDULE_{name}"), "off"));
    on.iter().fold(world, |world, (name, value)| world.with(&format!("WXPATROL_SCHEDULE_{name}"), value))
}

async fn end_open_runs(world: &World) {
    let end = "update wxpatrol_data.run set state = 'complete', ended_at = wxpatrol_data.clock() where state = 'open'";
    sqlx::query(end).execute(&world.database.pool).await.unwrap();
}

const STATES: &str = "select state from wxpatrol.ticks order by fire_at";

#[tokio::test]
async fn a_tick_that_two_processes_hear_is_one_run() {
    let world = World::synced(plan(1, 1)).await;
    let row = tick(Utc::now() + TimeDelta::days(1));
    let hearings = [Hearing::new(&world, "phone").await, Hearing::new(&world, "phone").await];
    let (left, right) = tokio::join!(hearings[0].say(row, 0), hearings[1].say(row, 0));
    let made = [&left, &right].iter().filter(|decision| matches!(decision, Decision::Made { .. })).count();
    assert_eq!((made, world.count("select count(*) from wxpatrol_data.run").await), (1, 1), "{left:?} {right:?}");
}

#[tokio::test]
async fn a_tick_is_the_same_instant_whatever_its_zone_and_a_restart_does_not_run_it_again() {
    let world = World::synced(plan(1, 1)).await;
    let mut hearing = Hearing::new(&world, "phone").await;
    let fire_at = at("2099-11-21T03:00:00+08:00");
    assert!(matches!(hearing.decide(tick(fire_at), 0).await, Became::Begun(_)));
    world.once().await.assert_complete();
    let again = Hearing::new(&world, "phone").await;
    assert_eq!(again.mark.heard_until, at("2099-11-20T19:00:00Z"));
    // A process that has slept since before.
    hearing.mark.heard_until = fire_at - TimeDelta::days(1);
    assert_eq!(hearing.say(tick(at("2099-11-20T19:00:00Z")), 0).await, Decision::Taken(again.mark));
    assert_eq!(world.count("select count(*) from wxpatrol_data.run where schedule = 'phone'").await, 1);
}

#[tokio::test]
async fn a_tick_that_a_binary_without_marks_has_opened_is_known_and_not_opened_twice() {
    let world = World::synced(plan(1, 1)).await;
    let mut hearing = Hearing::new(&world, "phone").await;
    let fire_at = at("2099-11-20T19:00:00Z");
    sqlx::query(
        "insert into wxpatrol_data.run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at)
         values (gen_random_uuid(), $1, 'phone', $2, '{phone}', $2, $2 + interval '1 h')",
    )
    .bind(hearing.platform)
    .bind(fire_at)
    .execute(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(hearing.decide(tick(fire_at), 0).await, Became::Known);
    assert_eq!(world.texts(STATES).await, ["open"]);
}

#[tokio::test]
async fn a_tick_that_overlaps_the_run_before_is_recorded_as_skipped() {
    let world = World::synced(plan(1, 1)).await;
    let (mut phone, mut callback) = (Hearing::new(&world, "phone").await, Hearing::new(&world, "callback").await);
    let first = at("2099-11-21T03:00:00+08:00");
    assert!(matches!(phone.decide(tick(first), 0).await, Became::Begun(_)));
    assert_eq!(phone.decide(tick(first + TimeDelta::days(1)), 0).await, Became::Skipped);
    let other = callback.decide(tick(first), 0).await;
    assert!(matches!(other, Became::Begun(_)), "another schedule is not in the way");
    let reasons = "select reason from wxpatrol.ticks where state = 'skipped'";
    assert!(world.texts(reasons).await[0].starts_with("overlap: run "));
}

#[tokio::test]
async fn a_buffered_tick_begins_once_when_the_run_before_it_ends_and_only_one_waits() {
    let world = World::synced(plan(1, 1)).await;
    let mut phone = Hearing::new(&world, "phone").await;
    let day = |days| tick(at("2099-11-21T03:00:00+08:00") + TimeDelta::days(days));
    assert!(matches!(phone.decide(day(0), 1).await, Became::Begun(_)));
    let Became::Waiting(waiting) = phone.decide(day(1), 1).await else { panic!("it waits") };
    assert_eq!(phone.decide(day(2), 1).await, Became::Skipped);
    assert_eq!(phone.store.begin_waiting(phone.platform, &["phone"]).await.unwrap(), []);
    end_open_runs(&world).await;
    let other = world.database.another_store().await;
    let (left, right) = tokio::join!(
        phone.store.begin_waiting(phone.platform, &["phone"]),
        other.begin_waiting(phone.platform, &["phone"])
    );
    let begun: Vec<_> = [left.unwrap(), right.unwrap()].concat().into_iter().map(|begun| begun.run_id).collect();
    assert_eq!(begun, [waiting]);
    assert_eq!(world.texts(STATES).await, ["complete", "open", "skipped"]);
    // Its turn has come through the same engine as every run's.
    world.once().await.assert_complete();
    let waited = "select count(*) from wxpatrol.ticks
                   where state = 'complete' and buffered_at is not null and begun_at >= buffered_at and reason is null";
    assert_eq!(world.count(waited).await, 1);
}

#[tokio::test]
async fn a_paused_schedule_skips_its_ticks_with_the_reason_and_goes_on_when_it_is_resumed() {
    let world = World::synced(plan(1, 1)).await;
    let mut phone = Hearing::new(&world, "phone").await;
    let day = |days| tick(at("2099-11-21T03:00:00+08:00") + TimeDelta::days(days));
    assert!(matches!(phone.decide(day(0), 1).await, Became::Begun(_)));
    assert!(matches!(phone.decide(day(1), 1).await, Became::Waiting(_)));
    let paused = world.program(&["pause", "--schedule", "phone", "--note", "campaign week"]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());
    end_open_runs(&world).await;
    assert_eq!(phone.store.begin_waiting(phone.platform, &["phone"]).await.unwrap(), [], "what waits, waits on");
    assert_eq!(phone.decide(day(2), 1).await, Became::Skipped);
    let reasons = world.texts("select reason from wxpatrol.ticks where state = 'skipped'").await;
    assert!(reasons.len() == 1 && reasons[0].starts_with("paused by ") && reasons[0].ends_with(": campaign week"));
    let resumed = world.program(&["resume", "--schedule", "phone", "--note", "it is over"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.everything());
    assert_eq!(phone.store.begin_waiting(phone.platform, &["phone"]).await.unwrap().len(), 1);
    let said = "select concat_ws(' ', event, schedule, note) from wxpatrol.hold_events order by at";
    assert_eq!(world.texts(said).await, ["paused phone campaign week", "resumed phone it is over"]);
}

#[tokio::test]
async fn a_pause_of_a_schedule_ends_by_itself() {
    let world = World::synced(plan(1, 1)).await;
    let paused = world.program(&["pause", "--schedule", "phone", "--until", "2h"]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());
    let mut phone = Hearing::new(&world, "phone").await;
    let hour = |hours| tick(phone.mark.heard_until + TimeDelta::hours(hours));
    let hours = [hour(1), hour(3)];
    world.pass(Duration::from_secs(3_600)).await;
    assert_eq!(phone.decide(hours[0], 0).await, Became::Skipped);
    world.pass(Duration::from_secs(3_601)).await;
    assert!(matches!(phone.decide(hours[1], 0).await, Became::Begun(_)));
    world.once().await.assert_complete();
    let events = "select event || ' by ' || case said_by when 'wxpatrol' then said_by else 'somebody' end
                    from wxpatrol.hold_events order by at";
    assert_eq!(world.texts(events).await, ["paused by somebody", "ended by wxpatrol"]);
}

#[tokio::test]
async fn a_sync_s_run_stays_open_while_its_process_lives_and_is_interrupted_when_it_is_gone() {
    let world = World::synced(plan(1, 1)).await;
    let mut sync = Hearing::new(&world, "sync").await;
    assert!(matches!(sync.decide(tick(at("2099-11-21T03:00:00Z")), 0).await, Became::Begun(_)));
    world.pass(Duration::from_secs(61)).await;
    sync.store.beat(None).await.unwrap();
    world.once().await.assert_complete();
    assert_eq!(world.texts(STATES).await, ["open"]);
    world.pass(Duration::from_secs(61)).await;
    world.once().await.assert_complete();
    assert_eq!(world.texts(STATES).await, ["interrupted"]);
}

#[tokio::test]
async fn syncs_of_two_processes_never_overlap_and_the_one_that_waited_follows() {
    let world = only(World::synced(plan(40, 1)).await, &[("SYNC", "* * * * * *"), ("SYNC_OVERLAP", "buffer")]);
    world.wechat.set_latency(Duration::from_millis(1_500));
    let listed = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    let processes = [(); 2].map(|()| world.spawn(&["run"]));
    world.until("select count(*) >= 3 from wxpatrol.ticks where state = 'complete' and buffered_at is not null").await;
    for process in processes {
        process.signal(Signal::SIGTERM);
        assert_eq!(process.ended().await.code, Some(0));
    }
    let both_open = "select count(*) from wxpatrol.ticks a join wxpatrol.ticks b on a.run_id < b.run_id
                      where a.begun_at < b.ended_at and b.begun_at < a.ended_at";
    assert_eq!(world.count(both_open).await, 0);
    let synced = world.count("select count(*) from wxpatrol.ticks where state = 'complete'").await;
    let asked = world.wechat.arrived(Endpoint::ApiGetAuthorizerList) - listed;
    assert!(asked >= u64::try_from(synced).unwrap(), "{asked} calls for {synced} syncs");
}

#[tokio::test]
async fn every_second_s_tick_runs_once_over_three_processes_of_which_one_is_killed() {
    let world = only(World::synced(plan(4, 1)).await, &[("PHONE", "* * * * * *")]);
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
    // Each second is a row, or stands in the row of the second that was run for it.
    let each_once = "select count(*) + sum(missed_ticks) - extract(epoch from max(fire_at) - min(fire_at))::bigint - 1
                       - (select missed_ticks from wxpatrol.ticks order by fire_at limit 1)
                       from wxpatrol.ticks
                      where schedule = 'phone' and fire_at = date_trunc('second', fire_at)";
    assert_eq!(world.count(each_once).await, 0);
    world.assert_promises(Duration::from_secs(86_400), &[]).await;
}

#[tokio::test]
async fn a_restart_catches_up_with_so_many_ticks_one_after_the_other_and_says_how_many_it_left() {
    let on = [("PHONE", "0 3 * * *"), ("PHONE_MISSED", "catch_up:2")];
    let world = only(World::synced(plan(4, 1)).await, &on);
    // To noon in Shanghai, so that three o'clock does not come between the two.
    let to_noon = (24 + 4 - i64::from(Utc::now().hour())) % 24;
    world.pass(Duration::from_secs(3600 * to_noon.unsigned_abs())).await;
    let before = world.spawn(&["run"]);
    world.until("select count(*) = 1 from wxpatrol_data.schedule").await;
    assert!(before.killed().await);
    world.pass(Duration::from_secs(5 * 86_400)).await;
    let after = [(); 2].map(|()| world.spawn(&["run"]));
    world.until("select count(*) = 2 from wxpatrol.ticks where state = 'complete'").await;
    for process in after {
        process.signal(Signal::SIGTERM);
        assert_eq!(process.ended().await.code, Some(0));
    }
    let rows = "select concat_ws(' ', state, missed_ticks, buffered_at is not null,
                                 fire_at at time zone 'Asia/Shanghai' = date_trunc('day', fire_at at time zone 'Asia/Shanghai') + interval '3 h')
                  from wxpatrol.ticks order by fire_at";
    assert_eq!(world.texts(rows).await, ["missed 2 f t", "complete 0 f t", "complete 0 t t"]);
    let at_once = "select count(*) from wxpatrol.ticks a join wxpatrol.ticks b on a.fire_at < b.fire_at
                    where a.begun_at is not null and b.begun_at < a.ended_at";
    assert_eq!(world.count(at_once).await, 0);
}
