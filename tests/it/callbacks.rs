//! The history of message-push configurations: intervals, field-level changes, and the states that are no configuration.

use std::time::Duration;

use serde_json::{Value, json};
use wxpatrol::{domain::CheckName, simulate::Plan};

use crate::world::{World, plan};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is read on one day after the other.
async fn read(days: &[Option<Value>]) -> World {
    let world = World::synced(plan(1, 1)).await;
    for data in days {
        world.wechat.set_callback(&Plan::mini_program(0), data.clone()).unwrap();
        world.pass(8 * DAY).await;
        world.once_of(&[CheckName::Callback]).await.assert_complete();
    }
    world
}

fn config(path: &str, enable: bool) -> Option<Value> {
    let container = json!({"type": 1, "env": "fake-env", "service": "fake", "path": path, "enable": enable});
    Some(json!({"callbacks": ["text", "event"], "container_config": container}))
}

async fn intervals(world: &World) -> Vec<String> {
    world
        .texts(
            "select state || case when valid_to is null then ' now' else '' end
                   from wxpatrol_data.callback_snapshot order by valid_from",
        )
        .await
}

#[tokio::test]
async fn the_same_configuration_stays_one_interval() {
    let world = read(&[config("/a", true), config("/a", true), config("/a", true)]).await;
    assert_eq!(intervals(&world).await, ["configured now"]);
    assert_eq!(world.count("select count(*) from wxpatrol_data.callback_change").await, 0);
}

#[tokio::test]
async fn a_change_closes_the_interval_and_names_each_changed_field() {
    let world = read(&[config("/a", true), config("/b", false)]).await;
    assert_eq!(intervals(&world).await, ["configured", "configured now"]);
    let changes = "select format('%s: %s -> %s', field, old_value, new_value)
                     from wxpatrol_data.callback_change order by field";
    let changes = world.texts(changes).await;
    assert!(changes.contains(&"container_config.enable: true -> false".to_owned()), "{changes:?}");
    assert_eq!(changes.len(), 2, "{changes:?}");
    let touching = "select count(*) from wxpatrol_data.callback_snapshot a
                      join wxpatrol_data.callback_snapshot b on b.valid_from = a.valid_to";
    assert_eq!(world.count(touching).await, 1, "there is no gap between the two");
}

#[tokio::test]
async fn not_applicable_absent_and_configured_are_each_an_interval() {
    let world = read(&[None, config("/a", true), Some(json!({})), config("/a", true), None]).await;
    let found = intervals(&world).await;
    assert_eq!(found, ["not_applicable", "configured", "absent", "configured", "not_applicable now"]);
}
