//! A fault of the whole platform: one merchant is tried from time to time, by one process and with growing pauses, nobody
//! else's work is touched, and operators see since when and why. It ends by itself.

use std::time::Duration;

use uuid::Uuid;
use wxpatrol::{
    app::{App, Ready},
    domain::CheckName,
    patrol::{Patrol, Until},
    simulate::{Endpoint, Oddity, Rule},
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
            world.database.advance(minutes * MINUTE - Duration::from_secs(20)).await;
            assert_eq!(tick().await, "halted");
            assert_eq!(calls(&world), before, "tried before {minutes} min were over");
            world.database.advance(Duration::from_secs(21)).await;
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
