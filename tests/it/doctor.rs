//! `doctor`: a line for each thing that work stands on, what to do about what is wrong, and nothing done meanwhile.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use wxpatrol::simulate::{Endpoint, Oddity, Rule};

use crate::world::{Ended, World, plan};

/// Standing and words of each line, by what it is about.
fn findings(ended: &Ended) -> BTreeMap<String, (String, String)> {
    let rows: Vec<Value> =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.everything()));
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| {
            let words = format!("{} | {}", text(row, "found"), text(row, "what_to_do"));
            (text(row, "what"), (text(row, "standing"), words))
        })
        .collect()
}

async fn examined(world: &World, settings: &[(&str, &str)]) -> (Option<i32>, BTreeMap<String, (String, String)>) {
    let ended = world.program_with(settings, &["doctor", "--json"]).await;
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let found = findings(&ended);
    for (what, (standing, words)) in &found {
        assert!(["ok", "warn", "fault"].contains(&standing.as_str()), "{what}: {standing}");
        assert!(standing == "ok" || !words.ends_with("| "), "{what} does not say what to do: {words}");
    }
    let faulty = found.values().any(|(standing, _)| standing == "fault");
    assert_eq!(ended.code, Some(if faulty { 2 } else { 0 }), "{found:?}");
    (ended.code, found)
}

/// The line about something of the only platform.
fn of<'a>(world: &World, found: &'a BTreeMap<String, (String, String)>, part: &str) -> &'a (String, String) {
    let what = format!("platform {}: {part}", world.wechat.plan().component_appid);
    found.get(&what).unwrap_or_else(|| panic!("{what} is not told: {found:?}"))
}

fn says(finding: &(String, String), standing: &str, words: &str) {
    assert!(finding.0 == standing && finding.1.contains(words), "{standing} {words:?} is not {finding:?}");
}

#[tokio::test]
async fn where_everything_is_well_nothing_is_a_fault_and_nobody_is_messaged() {
    let world = World::synced(plan(4, 1)).await;
    let lists = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    let (code, found) = examined(&world, &[]).await;
    assert_eq!(code, Some(0), "{found:?}");
    for what in ["settings", "database", "clock", "schema", "encryption key", "wechat"] {
        assert_eq!(found[what].0, "ok", "{what}: {found:?}");
    }
    for part in ["ticket", "merchants", "token"] {
        assert_eq!(of(&world, &found, part).0, "ok", "{part}: {found:?}");
    }
    says(&found["processes"], "warn", "nothing patrols unattended");
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), lists + 1);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 0);
    assert!(world.wechat.asks().is_empty() && world.wechat.invitations().is_empty());
    assert_eq!(world.count("select count(*) from wxpatrol_data.run").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.process").await, 0);
}

#[tokio::test]
async fn every_wrong_setting_and_a_database_that_is_away_are_faults_with_what_to_do() {
    let world = World::synced(plan(1, 1)).await;
    let ended =
        world.program_with(&[("WXPATROL_LEASE", "1s"), ("WXPATROL_QUIET_HOURS", "late")], &["doctor", "--json"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    for name in ["WXPATROL_LEASE", "WXPATROL_QUIET_HOURS"] {
        assert!(ended.stdout.contains(&format!("mend {name}")), "{}", ended.stdout);
    }
    let (_, found) = examined(&world, &[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nowhere")]).await;
    says(&found["database"], "fault", "cannot connect to Postgres at 127.0.0.1:1");
    let (_, found) = examined(&world, &[("WXPATROL_WECHAT_BASE_URL", "http://127.0.0.1:1")]).await;
    says(&found["wechat"], "fault", "can not be reached");
    let other = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
    let (_, found) = examined(&world, &[("WXPATROL_ENCRYPTION_KEY", other)]).await;
    says(&found["encryption key"], "fault", "is not the key that this database was sealed with");
}

#[tokio::test]
async fn what_a_platform_lacks_is_told_with_what_to_do() {
    let world = World::synced(plan(2, 1)).await;
    // The ticket grows old, and dies.
    let world = world.without("WXPATROL_VERIFY_TICKET");
    for (hours, standing) in [(2, "warn"), (11, "fault")] {
        world.database.advance(Duration::from_secs(hours * 3600)).await;
        let (_, found) = examined(&world, &[]).await;
        says(of(&world, &found, "ticket"), standing, "hand the newest over with `wxpatrol ticket -`");
    }
    let ticket = world.wechat.plan().verify_ticket.clone().into();
    world.database.store.keep_ticket(world.platform().await, &ticket, false).await.unwrap();
    // Its address is not on the allow list.
    world.wechat.script(Rule::new(Oddity::Errcode(61004)).on(Endpoint::ApiGetAuthorizerList).times(1)).unwrap();
    let (_, found) = examined(&world, &[]).await;
    says(of(&world, &found, "token"), "fault", "allow list");
    // Its secret is wrong.
    sqlx::raw_sql(
        "update wxpatrol_data.credential set access_sealed = null, access_expires_at = null where appid = ''",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    let (_, found) = examined(&world, &[("WXPATROL_COMPONENT_APPSECRET", "fake-but-wrong")]).await;
    says(of(&world, &found, "token"), "fault", "secret");
    // Nobody is known, and nothing is named.
    sqlx::raw_sql("update wxpatrol_data.merchant set withdrawn_at = wxpatrol_data.clock()")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let (_, found) = examined(&world, &[]).await;
    says(of(&world, &found, "merchants"), "warn", "`wxpatrol sync`");
    let ended = world.program(&["doctor", "--json", "--platform", "wx00000000000000aa"]).await;
    says(&findings(&ended)["platform"], "fault", "there is no such platform");
}

#[tokio::test]
async fn messages_that_wait_since_the_database_was_restored_are_told() {
    let world = World::synced(plan(2, 1)).await;
    let store = &world.database.store;
    store.compare_identity().await.unwrap();
    let (_, found) = examined(&world, &[]).await;
    assert!(found.keys().all(|what| !what.ends_with("messages")), "{found:?}");
    sqlx::raw_sql("update wxpatrol_data.cluster_identity set timeline = timeline - 1")
        .execute(&world.database.pool)
        .await
        .unwrap();
    store.compare_identity().await.unwrap();
    let (_, found) = examined(&world, &[]).await;
    let finding = of(&world, &found, "messages");
    says(finding, "warn", "ask and invite are held");
    says(finding, "warn", "`wxpatrol resume --check ask --check invite`");
}

#[tokio::test]
async fn whose_events_a_receiver_has_no_keys_for_is_told() {
    let world = World::synced(plan(1, 1)).await.with("WXPATROL_RECEIVER_ADDR", "127.0.0.1:9465");
    let plan = world.wechat.plan().clone();
    let (_, found) = examined(&world, &[]).await;
    says(&found["receiver"], "warn", &format!("it has no keys of {}", plan.component_appid));
    let keys = [
        ("WXPATROL_RECEIVER_TOKEN", plan.event_token.as_str()),
        ("WXPATROL_RECEIVER_AES_KEY", plan.event_aes_key.as_str()),
    ];
    let (_, found) = examined(&world, &keys).await;
    says(&found["receiver"], "ok", "the keys of every platform");
}

#[tokio::test]
async fn a_schema_that_is_behind_is_told_and_left_as_it_is() {
    let world = World::synced(plan(1, 1)).await;
    let behind =
        "delete from wxpatrol_data._migration where version = (select max(version) from wxpatrol_data._migration)";
    sqlx::raw_sql(behind).execute(&world.database.pool).await.unwrap();
    let applied = "select count(*) from wxpatrol_data._migration";
    let before = world.count(applied).await;
    let (code, found) = examined(&world, &[]).await;
    says(&found["schema"], "warn", "it lacks 1 of this program's migrations");
    assert_eq!(code, Some(0), "{found:?}");
    assert_eq!(world.count(applied).await, before);
    // A newer one is not worked on at all.
    sqlx::raw_sql("insert into wxpatrol_data.schema_step (step, tolerates) values (900, 900)")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let (_, found) = examined(&world, &[]).await;
    says(&found["schema"], "fault", "install the newer wxpatrol");
}

#[tokio::test]
async fn a_merchant_source_and_a_token_source_that_can_not_work_are_told() {
    let world = World::synced(plan(1, 1)).await;
    let (_, found) =
        examined(&world, &[("WXPATROL_MERCHANT_SQL", "select appid from nowhere.at_all where $1 <> ''")]).await;
    says(of(&world, &found, "setup"), "fault", "WXPATROL_MERCHANT_SQL: ");
    let (_, found) = examined(
        &world,
        &[
            ("WXPATROL_COMPONENT_APPSECRET", ""),
            ("WXPATROL_VERIFY_TICKET", ""),
            ("WXPATROL_TOKEN_SQL", "select 'x' where $2 <> ''"),
        ],
    )
    .await;
    says(of(&world, &found, "setup"), "fault", "two refreshers take each other's tokens away");
}

#[tokio::test]
async fn a_platform_whose_secret_another_process_has_is_looked_at_all_the_same() {
    let world = World::synced(plan(2, 1)).await;
    let halt = "update wxpatrol_data.platform set halted_at = wxpatrol_data.clock(), halt_reason = 'a wrong secret',
                       probe_at = wxpatrol_data.clock()";
    sqlx::raw_sql(halt).execute(&world.database.pool).await.unwrap();
    let elsewhere =
        ["WXPATROL_COMPONENT_APPID", "WXPATROL_COMPONENT_APPSECRET", "WXPATROL_VERIFY_TICKET"].map(|name| (name, ""));
    let (_, found) = examined(&world, &elsewhere).await;
    says(of(&world, &found, "secret"), "warn", "with the settings of that process");
    says(of(&world, &found, "ticket"), "ok", "min old");
    says(of(&world, &found, "breaker"), "fault", "a wrong secret");
    // Whose tokens another system keeps needs no ticket.
    let external = "update wxpatrol_data.platform set external_at = wxpatrol_data.clock(), ticket_sealed = null, ticket_at = null, ticket_created_at = null";
    sqlx::raw_sql(external).execute(&world.database.pool).await.unwrap();
    let (_, found) = examined(&world, &elsewhere).await;
    assert!(!found.keys().any(|part| part.contains("ticket")), "{found:?}");
}
