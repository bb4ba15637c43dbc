//! A fault of the whole platform: one merchant is tried from time to time, by one process and with growing pauses, nobody
//! else's work is touched, and operators see since when and why. It ends by itself.

mod following;
mod lanes;

use std::time::Duration;

use chrono::TimeDelta;
use nix::sys::signal::Signal;
use uuid::Uuid;
use wxpatrol::{
    app::{App, Ready},
    domain::CheckName,
    patrol::{Patrol, Until},
    simulate::{Endpoint, Oddity, Rule},
    store::{
        coverage::{Closed, Closing},
        operator::HoldTarget,
        runs::{OpenRun, RunState},
        ticks::{Became, Decision, Mark, TickRow},
    },
};

use crate::world::{World, plan, until, wish};

const READINGS: &[CheckName] = &[CheckName::Phone, CheckName::Callback];
const MINUTE: Duration = Duration::from_secs(60);

/// Work that waits, of merchants whose tokens are fresh, and a WeChat that refuses the whole platform.
async fn refused() -> World {
    let world = World::synced(plan(8, 1)).await;
    world.once_of(READINGS).await.assert_complete();
    let due = "update wxpatrol_data.item set due_at = wxpatrol_data.clock(), due_since = wxpatrol_data.clock()
                where check_name in ('phone', 'callback')";
    sqlx::query(due).execute(&world.database.pool).await.unwrap();
    refuse(&world);
    world
}

/// Decides on a tick so long after the mark.
async fn tick(world: &World, schedule: &str, check: CheckName, mark: Mark, after: TimeDelta) -> (Mark, Vec<Became>) {
    let row = TickRow { fire_at: mark.heard_until + after, runs: true, missed_ticks: 0, missed_since: None };
    let (store, platform) = (&world.database.store, world.platform().await);
    match store.decide(platform, schedule, mark, &[row], &[check], 0, 60 * MINUTE).await.unwrap() {
        Decision::Made { mark, became } => (mark, became),
        other => panic!("somebody else decides: {other:?}"),
    }
}

async fn open_run(world: &World, run: Uuid) -> OpenRun {
    let open = world.database.store.open_runs(world.platform().await).await.unwrap();
    open.into_iter().find(|open| open.run_id == run).expect("the run is open")
}

/// Closes a run as a process does; `false`: another one did.
async fn closed(world: &World, run: &OpenRun, state: RunState) -> bool {
    let (store, platform) = (&world.database.store, world.platform().await);
    let left_because = (state == RunState::Halted).then_some("halted");
    let closing = Closing { state, reason: left_because, left_because, shut: &[], sure: true };
    store.close_run(platform, run, closing).await.unwrap() == Closed::Yes
}

/// How the runs of a schedule stand, oldest first.
async fn runs_of(world: &World, schedule: &str) -> Vec<String> {
    world.texts(&format!("select state from wxpatrol_data.run where schedule = '{schedule}' order by started_at")).await
}

fn refuse(world: &World) {
    for endpoint in [Endpoint::Checkmobile, Endpoint::Getcallbackconfig] {
        world.wechat.script(Rule::new(Oddity::Errcode(61004)).on(endpoint)).unwrap();
    }
}

fn calls(world: &World) -> u64 {
    world.wechat.arrived(Endpoint::Checkmobile) + world.wechat.arrived(Endpoint::Getcallbackconfig)
}

/// What a halt must leave alone.
async fn work(world: &World) -> Vec<String> {
    let rows = "select format('%s %s due %s since %s, %s attempts, %s', appid, check_name, due_at, due_since, attempts, outcome)
                  from wxpatrol_data.item order by 1";
    world.texts(rows).await
}

struct Unattended {
    app: App,
    ready: Ready,
    patrol: Patrol,
}

impl Unattended {
    async fn new(world: &World) -> Self {
        let app = world.app().await;
        let ready = app.ready().await.unwrap();
        let patrol = app.patrol(&ready, true);
        Self { app, ready, patrol }
    }

    /// A tick's run, which every process looks at, until it is closed; how it ended.
    async fn tick(&self, world: &World, others: &[&Patrol]) -> String {
        let run: Uuid = self.app.store.open_run(self.ready.platform.id, &wish(READINGS)).await.unwrap();
        self.patrol.look();
        others.iter().for_each(|other| other.look());
        world.until(&format!("select state <> 'open' from wxpatrol_data.run where run_id = '{run}'")).await;
        world.until("select count(*) = 0 from wxpatrol_data.item where leased_by is not null").await;
        world.texts(&format!("select state from wxpatrol_data.run where run_id = '{run}'")).await.concat()
    }
}

#[tokio::test]
async fn while_the_platform_is_halted_one_merchant_is_tried_with_growing_pauses_and_all_others_keep_their_turn() {
    let world = refused().await;
    let waiting = work(&world).await;
    let (left, right) = (Unattended::new(&world).await, Unattended::new(&world).await);
    let (left_works, right_works) = (left.patrol.work(Until::Stopped), right.patrol.work(Until::Stopped));
    tokio::pin!(left_works, right_works);
    let story = async {
        let tick = async || left.tick(&world, &[&right.patrol]).await;
        assert_eq!(tick().await, "halted");
        // Those whose calls showed that it is not they who are odd have tried; nobody else has.
        let halted = work(&world).await;
        let tried: Vec<_> = halted.iter().zip(&waiting).filter(|(now, before)| now != before).collect();
        assert!(tried.len() <= 4, "lost their turn: {tried:#?}");
        let waiting = halted;
        // Which pause follows which: 1, 2 and 4 minutes.
        for minutes in [1, 2, 4] {
            let before = calls(&world);
            assert_eq!(tick().await, "halted");
            world.database.advance(minutes * MINUTE - Duration::from_secs(45)).await;
            assert_eq!(tick().await, "halted");
            assert_eq!(calls(&world), before, "tried before {minutes} min were over");
            world.database.advance(Duration::from_secs(46)).await;
            assert_eq!(tick().await, "halted");
            assert_eq!(calls(&world), before + 1, "not tried once after {minutes} min");
            assert_eq!(work(&world).await, waiting, "a probe used up somebody's turn");
        }
        // It closes by itself, and whoever waited gets the turn that was kept.
        world.wechat.clear_script();
        world.database.advance(9 * MINUTE).await;
        // The run of this tick may end as halted, by the process that does not try; the next one goes on as ever.
        tick().await;
        world.until("select halted_at is null from wxpatrol_data.platform").await;
        assert_eq!(tick().await, "complete");
        let done =
            "select count(*) from wxpatrol_data.item where check_name in ('phone', 'callback') and recorded_at is null";
        assert_eq!(world.count(done).await, 0);
        assert_eq!(world.count("select count(*) from wxpatrol_data.platform where halted_at is not null").await, 0);
    };
    tokio::select! {
        ended = &mut left_works => panic!("the engine ended: {ended:?}"),
        ended = &mut right_works => panic!("the engine ended: {ended:?}"),
        () = story => {}
    }
    left.patrol.stop();
    right.patrol.stop();
    let (left, right) = tokio::join!(left_works, right_works);
    left.unwrap();
    right.unwrap();
    world.assert_promises(7 * 24 * 60 * MINUTE, &[]).await;
}

#[tokio::test]
async fn operators_see_since_when_and_why_the_platform_is_halted_until_it_works_again() {
    let world = refused().await;
    let began = "select wxpatrol_data.clock()::text";
    let began = world.texts(began).await.concat();
    let halted = world.program(&["--once"]).await;
    assert_eq!(halted.code, Some(3), "{}", halted.everything());
    // A second halt later does not change since when.
    world.database.advance(10 * MINUTE).await;
    assert_eq!(world.program(&["--once"]).await.code, Some(3));
    let seen = format!(
        "select concat_ws(' ', why, since between '{began}' and '{began}'::timestamptz + interval '5 min', errcode, actor)
           from wxpatrol.attention where why = 'halted' and detail like '%61004%' and what_en <> '' and what_zh <> ''"
    );
    assert_eq!(world.texts(&seen).await, ["halted t 61004 provider_engineer"]);
    let shown = world.program(&["status"]).await;
    assert!(shown.stdout.contains("61004"), "{}", shown.everything());
    world.wechat.clear_script();
    world.once_of(READINGS).await.assert_complete();
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'halted'").await, 0);
    until("status says no more", async || !world.program(&["status"]).await.stdout.contains("61004")).await;
}

#[tokio::test]
async fn a_run_by_hand_that_tries_the_halted_platform_is_not_ended_by_a_process_that_only_waits() {
    let world = refused().await;
    assert_eq!(world.program(&["--once"]).await.code, Some(3));
    world.wechat.clear_script();
    // The answer to the probe takes its time; the other process looks every two seconds.
    for endpoint in [Endpoint::Checkmobile, Endpoint::Getcallbackconfig] {
        world.wechat.script(Rule::new(Oddity::DelayMs(6_000)).on(endpoint).times(1)).unwrap();
    }
    let other = Unattended::new(&world).await;
    let works = other.patrol.work(Until::Stopped);
    tokio::pin!(works);
    let by_hand = tokio::select! {
        ended = &mut works => panic!("the engine ended: {ended:?}"),
        ended = world.program(&["--once", "--check", "phone", "--check", "callback"]) => ended,
    };
    assert_eq!(by_hand.code, Some(0), "{}", by_hand.everything());
    other.patrol.stop();
    works.await.unwrap();
}

#[tokio::test]
async fn the_probe_of_a_halted_platform_is_of_a_check_that_has_something_due() {
    let world = refused().await;
    assert_eq!(world.program(&["--once"]).await.code, Some(3));
    world.wechat.clear_script();
    // No phone is due, and phones come first.
    let fresh =
        "update wxpatrol_data.item set due_at = wxpatrol_data.clock() + interval '1 day' where check_name = 'phone'";
    sqlx::query(fresh).execute(&world.database.pool).await.unwrap();
    let phones = world.wechat.arrived(Endpoint::Checkmobile);
    world.once_of(READINGS).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), phones);
    assert_eq!(world.count("select count(*) from wxpatrol_data.platform where halted_at is not null").await, 0);
}

/// Nothing is due any more but the phones of so many merchants, which are in this state.
async fn only_phones(world: &World, merchants: u32, state: &str) {
    let fresh = format!(
        "with few as (select appid from wxpatrol_data.merchant where kind = 'mini_program' order by appid limit {merchants}),
              later as (update wxpatrol_data.item set due_at = wxpatrol_data.clock() + interval '1 day'
                         where check_name <> 'phone' and due_at < 'infinity' or appid not in (select appid from few))
         update wxpatrol_data.item set {state} where check_name = 'phone' and appid in (select appid from few)"
    );
    sqlx::query(sqlx::AssertSqlSafe(fresh)).execute(&world.database.pool).await.unwrap();
}

const HALTED: &str = "select halted_at is not null from wxpatrol_data.platform";
const WORKS: &str = "select halted_at is null from wxpatrol_data.platform";

#[tokio::test]
async fn a_merchant_for_whom_nobody_was_called_does_not_end_the_halt() {
    let world = refused().await;
    assert_eq!(world.program(&["--once"]).await.code, Some(3));
    only_phones(&world, 1, "due_at = wxpatrol_data.clock()").await;
    // Its token is lost, as is known since a reading of the list.
    let lost = "update wxpatrol_data.credential c
                   set access_sealed = null, access_expires_at = null, refresh_sealed = null, lost_reason = 'lost'
                 where appid in (select appid from wxpatrol_data.item
                                  where check_name = 'phone' and due_at <= wxpatrol_data.clock())";
    assert_eq!(sqlx::query(lost).execute(&world.database.pool).await.unwrap().rows_affected(), 1);
    world.wechat.script(Rule::new(Oddity::Errcode(61004)).on(Endpoint::ApiGetAuthorizerList)).unwrap();
    let phones = world.wechat.arrived(Endpoint::Checkmobile);
    world.once_of(&[CheckName::Phone]).await;
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), phones);
    let skipped = "select count(*) from wxpatrol_data.item where check_name = 'phone' and reason = 'token_lost'";
    assert_eq!(world.count(skipped).await, 1);
    world.until(HALTED).await;
}

#[tokio::test]
async fn a_halted_platform_is_tried_with_a_suspect_when_nothing_else_is_due() {
    let world = refused().await;
    assert_eq!(world.program(&["--once"]).await.code, Some(3));
    world.wechat.clear_script();
    only_phones(&world, 3, "due_at = wxpatrol_data.clock(), abandoned = 2").await;
    world.once_of(READINGS).await.assert_complete();
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where abandoned > 0").await, 0);
    world.until(WORKS).await;
}

#[tokio::test]
async fn a_halted_platform_is_tried_while_a_sync_takes_its_time() {
    let world = refused().await;
    let process = Unattended::new(&world).await;
    let (store, platform) = (&process.app.store, process.ready.platform.id);
    let mark = store.mark(platform, "phone", "0 3 * * *").await.unwrap();
    let row =
        TickRow { fire_at: mark.heard_until + TimeDelta::seconds(1), runs: true, missed_ticks: 0, missed_since: None };
    store.decide(platform, "phone", mark, &[row], &[CheckName::Phone], 0, 60 * MINUTE).await.unwrap();
    store.open_breaker(platform, Some(61004), "refused", false).await.unwrap();
    let [run] = &store.open_runs(platform).await.unwrap()[..] else { panic!("the tick's run is open") };
    // What it leaves is another's in the same breath: a process may die behind it.
    assert!(closed(&world, run, RunState::Halted).await);
    assert_eq!(runs_of(&world, "phone").await, ["halted", "buffered"]);
    world.wechat.clear_script();
    // Another process is at it, and lives.
    let sync = "with other as (insert into wxpatrol_data.process (process_id, started_at, beat_at, version, purpose)
                               select gen_random_uuid(), now, now + interval '1 h', 'test', 'run' from wxpatrol_data.moment
                               returning process_id)
                insert into wxpatrol_data.run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by)
                select gen_random_uuid(), $1, 'sync', m.now, '{}', m.now, m.now + interval '20 h', o.process_id
                  from other o, wxpatrol_data.moment m";
    sqlx::query(sync).bind(platform).execute(&world.database.pool).await.unwrap();
    world.database.advance(2 * MINUTE).await;
    process.patrol.hears(vec!["phone".to_owned()]);
    let works = process.patrol.work(Until::Stopped);
    tokio::pin!(works);
    tokio::select! {
        ended = &mut works => panic!("the engine ended: {ended:?}"),
        () = world.until(WORKS) => {}
    }
    assert_eq!(runs_of(&world, "sync").await, ["open"]);
    process.patrol.stop();
    works.await.unwrap();
}
