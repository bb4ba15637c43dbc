//! Schedules: a year of them over two processes, and how operators see them.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use wxpatrol::{app::App, schedule::listener::Listener};

use crate::world::{World, plan};

/// The schedules of the year: name, minutes and hours that fire, zone.
const YEAR: [(&str, &[u32], &[u32], Tz); 4] = [
    ("phone", &[30], &[2], Tz::Europe__Berlin),
    ("callback", &[30], &[1, 2], Tz::America__New_York),
    ("links", &[45], &[1, 13], Tz::Australia__Lord_Howe),
    ("ask", &[0, 20, 40], &[2], Tz::Europe__Berlin),
];

/// What the clock on the wall passes for the first time, minute by minute.
fn fires(minutes: &[u32], hours: &[u32], zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
    let names = |wall: NaiveDateTime| minutes.contains(&wall.minute()) && hours.contains(&wall.hour());
    let shows = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let minute = TimeDelta::minutes(1);
    let mut at = DateTime::from_timestamp(from.timestamp() / 60 * 60, 0).unwrap() - TimeDelta::hours(6);
    let mut passed = shows(at);
    let mut fired = BTreeSet::new();
    while at + minute <= to {
        at += minute;
        while passed < shows(at) {
            passed += minute;
            if names(passed) && at > from {
                fired.insert(at);
            }
        }
    }
    fired
}

fn of_the_year(world: World) -> World {
    let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let world =
        ["INVITE", "SYNC"].iter().fold(world, |world, name| world.with(&format!("WXPATROL_SCHEDULE_{name}"), "off"));
    YEAR.iter().fold(world, |world, (name, minutes, hours, zone)| {
        let variable = format!("WXPATROL_SCHEDULE_{}", name.to_uppercase());
        world
            .with(&variable, &format!("{} {} * * * {zone}", list(minutes), list(hours)))
            .with(&format!("{variable}_MISSED"), "catch_up:100")
    })
}

#[tokio::test]
async fn in_a_year_of_two_processes_each_tick_has_one_row_through_restarts_and_every_change_of_the_clocks() {
    let world = of_the_year(World::synced(plan(1, 1)).await);
    let platform = world.platform().await;
    let apps: [App; 2] = [world.app().await, world.app().await];
    let schedules = apps[0].schedules();
    assert_eq!(schedules.len(), YEAR.len());
    let schedules: Vec<_> = schedules.iter().collect();
    let listener = |app: &App| Listener::new(app.store.clone(), platform, "a platform".to_owned());
    let mut listeners = apps.each_ref().map(listener);
    let ring = async |listener: &mut Listener, app: &App| {
        let now = app.store.read_clock().await.unwrap();
        listener.hear(&schedules, now).await.begun.len()
    };
    // Nothing is random: a run that fails can be repeated.
    let mut seed = 20_261_121_u64;
    let mut dice = move |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % sides
    };
    let [left, right] = &mut listeners;
    tokio::join!(ring(left, &apps[0]), ring(right, &apps[1]));
    let marks: Vec<(String, DateTime<Utc>)> =
        sqlx::query_as("select schedule, heard_until from wxpatrol_data.schedule")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    let mut passed = TimeDelta::zero();
    let mut begun = 0;
    while passed < TimeDelta::days(366) {
        // Mostly a few hours, sometimes a few minutes or days.
        let minutes = [7 + dice(50), 60 * (3 + dice(12)), 60 * (3 + dice(12)), 60 * (24 + dice(48))];
        let step = TimeDelta::minutes(i64::try_from(minutes[usize::try_from(dice(4)).unwrap()]).unwrap());
        passed += step;
        world.database.advance(step.to_std().unwrap()).await;
        let [left, right] = &mut listeners;
        match dice(3) {
            0 => begun += ring(left, &apps[0]).await,
            1 => begun += ring(right, &apps[1]).await,
            _ => {
                let both = tokio::join!(ring(left, &apps[0]), ring(right, &apps[1]));
                begun += both.0 + both.1;
            }
        }
        // A process dies and another takes its place: it knows nothing but what is written down.
        if dice(5) == 0 {
            let which = usize::try_from(dice(2)).unwrap();
            listeners[which] = listener(&apps[which]);
        }
        let two_open = "select count(*) - count(distinct schedule) from wxpatrol_data.run where state = 'open'";
        assert_eq!(world.count(two_open).await, 0);
        let end =
            "update wxpatrol_data.run set state = 'complete', ended_at = wxpatrol_data.clock() where state = 'open'";
        sqlx::query(end).execute(&world.database.pool).await.unwrap();
    }
    let [left, right] = &mut listeners;
    let both = tokio::join!(ring(left, &apps[0]), ring(right, &apps[1]));
    let to = apps[0].store.now();
    for (name, minutes, hours, zone) in YEAR {
        let from = marks.iter().find(|(schedule, _)| schedule == name).unwrap().1;
        let expected: Vec<_> = fires(minutes, hours, zone, from, to).into_iter().collect();
        let heard: Vec<DateTime<Utc>> =
            sqlx::query_scalar("select fire_at from wxpatrol_data.run where schedule = $1 order by fire_at")
                .bind(name)
                .fetch_all(&world.database.pool)
                .await
                .unwrap();
        assert!(expected.len() >= 365 * minutes.len() * hours.len() - 3, "{name}: {}", expected.len());
        assert_eq!(heard, expected, "{name}");
    }
    // Ticks that come while others still wait are skipped, but none is lost in a row that stands for several.
    assert_eq!(world.count("select count(*) from wxpatrol.ticks where state = 'missed'").await, 0);
    assert_eq!(world.count("select sum(missed_ticks)::bigint from wxpatrol.ticks").await, 0);
    let begun = i64::try_from(begun + both.0 + both.1).unwrap();
    assert_eq!(world.count("select count(*) from wxpatrol.ticks where begun_at is not null").await, begun);
}

#[tokio::test]
async fn the_schedules_are_shown_with_their_last_tick_their_pauses_and_their_next_instants() {
    let world = World::synced(plan(1, 1)).await.with("WXPATROL_SCHEDULE_LINKS", "off");
    let world = world.with("WXPATROL_SCHEDULE_ASK", "30 9 * * * Europe/Berlin");
    let app = world.app().await;
    let mut listener = Listener::new(app.store.clone(), world.platform().await, "a platform".to_owned());
    let ring = async |listener: &mut Listener| {
        let now = app.store.read_clock().await.unwrap();
        listener.hear(&app.schedules().iter().collect::<Vec<_>>(), now).await
    };
    ring(&mut listener).await;
    world.pass(Duration::from_secs(86_400)).await;
    assert_eq!(ring(&mut listener).await.begun.len(), 5);
    let paused = world.program(&["pause", "--schedule", "phone", "--until", "3d", "--note", "campaign"]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());

    let shown = world.program(&["schedule", "--json"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.everything());
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let (schedules, next) = (shown["schedules"].as_array().unwrap(), shown["next"].as_array().unwrap());
    let names: Vec<&str> = schedules.iter().map(|row| row["schedule"].as_str().unwrap()).collect();
    assert_eq!(names, ["phone", "ask", "callback", "links", "invite", "sync"]);
    let (phone, ask, links) = (&schedules[0], &schedules[1], &schedules[3]);
    assert_eq!((&phone["paused"], &phone["became"]), (&Value::from("schedule"), &Value::from("open")));
    assert!(phone["pause_note"].as_str().unwrap().starts_with("campaign, by "), "{phone}");
    assert!(phone["paused_until"].is_string() && phone["lag_secs"].as_f64().unwrap() > 0.0, "{phone}");
    assert_eq!((&ask["paused"], &ask["zone"]), (&Value::Null, &Value::from("Europe/Berlin")));
    assert_eq!((&links["expression"], &links["last_tick"]), (&Value::from("off"), &Value::Null));
    assert_eq!((&ask["missed"], &ask["overlap"]), (&Value::from("coalesce"), &Value::from("skip")));

    let of = |name: &str| next.iter().filter(|row| row["schedule"] == name).collect::<Vec<_>>();
    assert_eq!((next.len(), of("phone").len(), of("links").len()), (25, 5, 0));
    let now = app.store.now();
    for row in of("ask") {
        let (local, utc) = (row["in_its_zone"].as_str().unwrap(), row["utc"].as_str().unwrap());
        assert!(local.contains(" 09:30:00 +0"), "{local}");
        let local = DateTime::parse_from_str(local, "%Y-%m-%d %H:%M:%S %:z").unwrap();
        assert_eq!(local, DateTime::parse_from_rfc3339(utc).unwrap());
        assert!(local > now);
    }
    let table = world.program(&["schedule"]).await.stdout;
    assert!(table.contains("0 3 * * *") && table.contains("The next instants"), "{table}");
    let csv = world.program(&["schedule", "--csv"]).await.stdout;
    assert!(
        csv.starts_with("# schedules\nplatform,schedule,expression,zone,missed,overlap,last_tick,became,"),
        "{csv}"
    );
}

#[tokio::test]
async fn a_changed_cadence_looks_back_at_nothing_and_an_unchanged_one_at_what_was_missed() {
    let world = World::synced(plan(1, 1)).await;
    let platform = world.platform().await;
    let rung = async |app: &App| {
        let now = app.store.read_clock().await.unwrap();
        let schedules = app.schedules();
        let phone: Vec<_> = schedules.iter().filter(|schedule| schedule.name == "phone").collect();
        Listener::new(app.store.clone(), platform, "a platform".to_owned()).hear(&phone, now).await.begun.len()
    };
    let hourly = world.with("WXPATROL_SCHEDULE_PHONE", "7 * * * *");
    // Three minutes after a tick, so that none comes between a ring and the clock's next leap.
    let to_ten_past = (60 + 10 - i64::from(Utc::now().minute())) % 60;
    hourly.pass(Duration::from_secs(60 * to_ten_past.unsigned_abs())).await;
    assert_eq!(rung(&hourly.app().await).await, 0);
    hourly.pass(Duration::from_secs(3 * 3600)).await;
    assert_eq!(rung(&hourly.app().await).await, 1);
    assert_eq!(hourly.count("select missed_ticks::bigint from wxpatrol.ticks").await, 2);
    hourly.pass(Duration::from_secs(3 * 3600)).await;
    let other = hourly.with("WXPATROL_SCHEDULE_PHONE", "8 * * * *");
    assert_eq!(rung(&other.app().await).await, 0);
    assert_eq!(other.count("select count(*) from wxpatrol.ticks").await, 1);
}

#[tokio::test]
async fn a_schedule_is_paused_for_one_of_two_platforms_and_shown_for_each() {
    let world = World::twins(plan(1, 1)).await;
    let [own, other] = [&world.wechat, &world.others[0]].map(|wechat| wechat.plan().component_appid.clone());
    let unclear = world.program(&["pause", "--schedule", "phone"]).await;
    assert_eq!(unclear.code, Some(2), "{}", unclear.everything());
    assert!(unclear.stderr.contains("--platform"), "{}", unclear.stderr);
    let paused = world.program(&["pause", "--schedule", "phone", "--platform", &other]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());
    let off = world.program(&["platform", "add", &own, "--schedules", "phone,ask"]).await;
    assert_eq!(off.code, Some(0), "{}", off.everything());

    let shown = async |arguments: &[&str]| -> Value {
        let shown = world.program(&[&["schedule", "--json"], arguments].concat()).await;
        assert_eq!(shown.code, Some(0), "{}", shown.everything());
        serde_json::from_str(&shown.stdout).unwrap()
    };
    let all = shown(&[]).await;
    let paused = |platform: &str| {
        let rows = all["schedules"].as_array().unwrap();
        rows.iter().find(|row| row["platform"] == platform && row["schedule"] == "phone").unwrap()["paused"].clone()
    };
    assert_eq!((paused(&own), paused(&other)), (Value::Null, Value::from("schedule")));
    assert_eq!(
        (all["schedules"].as_array().unwrap().len(), all["next"].as_array().unwrap().len()),
        (12, 2 * 5 + 6 * 5)
    );
    let one = shown(&["--platform", &own]).await;
    assert_eq!((one["schedules"].as_array().unwrap().len(), one["next"].as_array().unwrap().len()), (6, 2 * 5));
}
