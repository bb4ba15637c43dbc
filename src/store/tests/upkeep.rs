use std::time::Duration;

use super::*;
use crate::store::{
    retention::{Keep, Retired},
    views::ViewWish,
};

#[tokio::test]
async fn a_process_is_alive_for_thirty_seconds_after_its_beat() {
    let database = TestDatabase::new().await;
    let alive = async || {
        let counted = "select count(*) from wxpatrol.processes where alive";
        sqlx::query_scalar::<_, i64>(counted).fetch_one(&database.pool).await.unwrap()
    };
    let skew = database.store.beat(None).await.unwrap();
    assert!(skew.abs() < 5_000, "this machine's clock is Postgres's: {skew} ms");
    assert_eq!(alive().await, 1);
    database.advance(Duration::from_secs(31)).await;
    assert_eq!(alive().await, 0);
    let skew = database.store.beat(None).await.unwrap();
    assert!(skew.abs() < 5_000, "a moved clock is no wrong clock: {skew} ms");
    assert_eq!(alive().await, 1);
    database.store.leave().await.unwrap();
    assert_eq!(alive().await, 0);
}

#[tokio::test]
async fn the_dead_are_forgotten_after_a_day() {
    let database = TestDatabase::new().await;
    database.store.beat(None).await.unwrap();
    database.advance(Duration::from_secs(86_340)).await;
    assert_eq!(database.store.prune().await.unwrap(), 0);
    database.advance(Duration::from_secs(61)).await;
    assert_eq!(database.store.prune().await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_past_its_retention_goes_and_the_rest_stays() {
    let (database, _) = seeded().await;
    let store = &database.store;
    assert_eq!(store.retire(Keep::default()).await.unwrap(), Retired::default());
    say(
        &database.pool,
        "insert into message_day values (1, 'ask', '2020-01-01', 1), (1, 'ask', '2040-01-01', 1);
         insert into day_count values (1, 'checkmobile', '2020-01-01', 1);
         insert into hold_event (platform_id, at, event, check_name, note, said_by) values
            (1, clock() - interval '731 days', 'paused', 'ask', '', 'me'), (1, clock() - interval '729 days', 'resumed', 'ask', '', 'me');
         insert into quota (platform_id, appid, endpoint, asked_at) values
            (1, 'wxmini1', 'checkmobile', '2020-01-01'), (1, 'wxmini2', 'checkmobile', clock());
         insert into merchant_closure values
            (1, 'wxmini1', 'wxamplink', '2020-01-01', '2020-01-01', 'quota_day', 45009),
            (1, 'wxmini2', 'checkmobile', clock(), clock(), 'quota_day', 45009);
         insert into failure (platform_id, appid, failed_at, check_name, endpoint, class)
         select 1, 'wxmini1', clock() - interval '8 days', 'phone', 'checkmobile', 'transient' from generate_series(1, 5001);
         insert into callback_snapshot (platform_id, appid, valid_from, valid_to, state, digest)
         values (1, 'wxmini1', '2020-01-01', '2020-01-02', 'absent', 'x');
         insert into callback_change (platform_id, appid, changed_at, field) values (1, 'wxmini1', '2020-01-02', 'state');
         insert into intent (platform_id, purpose, appid, number, made_at, deadline_at, process_id) values
            (1, 'ask', 'wxmini2', 1, clock() - interval '401 days', clock(), '00000000-0000-0000-0000-000000000001'),
            (1, 'ask', 'wxmini2', 2, clock() - interval '399 days', clock(), '00000000-0000-0000-0000-000000000001');
         insert into authorization_event (platform_id, appid, info_type, event_at, state, settled_at) values
            (1, 'wxmini1', 'unauthorized', '2020-01-01', 'done', clock() - interval '91 days'),
            (1, 'wxmini1', 'unauthorized', '2020-01-02', 'done', clock() - interval '89 days');
         insert into authorization_event (platform_id, appid, info_type, event_at, received_at, state, due_at) values
            (1, 'wxmini1', 'authorized', '2020-01-03', clock() - interval '1 year', 'pending', clock());
         insert into taken_push (platform_id, msg_signature, taken_at) values
            (1, 'old', clock() - interval '61 min'), (1, 'young', clock() - interval '59 min');
         insert into run (run_id, platform_id, checks, started_at, deadline_at, state, ended_at) values
            ('00000000-0000-0000-0000-00000000000b', 1, '{phone}', clock() - interval '401 days', clock(), 'complete', clock()),
            ('00000000-0000-0000-0000-00000000000c', 1, '{phone}', clock() - interval '401 days', clock(), 'open', null);
         insert into coverage values ('00000000-0000-0000-0000-00000000000b', 'phone', 0, 0, 0, 0, 0, 0)",
    )
    .await;
    let retired = store.retire(Keep::default()).await.unwrap();
    let expected = Retired {
        runs: 1,
        failures: 5_001,
        changes: 2,
        intents: 1,
        day_counts: 2,
        hold_events: 1,
        events: 1,
        pushes: 1,
        quotas: 2,
    };
    assert_eq!(retired, expected);
    assert_eq!(store.retire(Keep::default()).await.unwrap(), Retired::default());
}

#[tokio::test]
async fn a_process_that_claimed_shows_when() {
    let database = TestDatabase::new().await;
    let store = &database.store;
    let claimed_at = store.read_clock().await.unwrap();
    store.beat(Some(claimed_at)).await.unwrap();
    store.beat(None).await.unwrap();
    let id = store.process_id().to_string();
    let own = ViewWish { equal: Some(("process_id", &id)), ..ViewWish::default() };
    let rows = store.read_view("processes", own).await.unwrap().unwrap();
    let cell = |name: &str| rows.rows[0][rows.columns.iter().position(|column| column.name == name).unwrap()].clone();
    assert_eq!(cell("alive").as_deref(), Some("true"));
    assert_eq!(cell("last_claim_at"), Some(claimed_at.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
}

#[tokio::test]
async fn a_schema_that_no_longer_tolerates_this_binary_is_refused_and_one_that_does_is_not() {
    let database = TestDatabase::new().await;
    say(&database.pool, "insert into schema_step (step, tolerates) values (98, 1)").await;
    database.store.migrate().await.unwrap();
    say(&database.pool, "insert into schema_step (step, tolerates) values (99, 99)").await;
    let refusal = database.store.migrate().await.unwrap_err().to_string();
    assert!(refusal.contains("schema step 99") && refusal.contains("install the newer wxpatrol"), "{refusal}");
}

#[tokio::test]
async fn the_runbook_is_this_program_s_but_where_a_newer_one_has_been() {
    let database = TestDatabase::new().await;
    let strange = "select count(*) from wxpatrol_data.errcode where errcode = 987654";
    let count = async || sqlx::query_scalar::<_, i64>(strange).fetch_one(&database.pool).await.unwrap();
    let write =
        "insert into errcode select 987654, endpoint, class, meaning_zh, meaning_en, remedy_zh, remedy_en, actor
                   from errcode where errcode = 61004 limit 1";
    say(&database.pool, write).await;
    database.store.migrate().await.unwrap();
    assert_eq!(count().await, 1, "a command that only shows something writes the runbook");
    database.store.renew_runbook().await.unwrap();
    assert_eq!(count().await, 0);
    say(&database.pool, write).await;
    let newer = "insert into _migration (version, description, success, checksum, execution_time)
                 values (99990101000000, 'newer', true, '\\x00', 1)";
    say(&database.pool, newer).await;
    database.store.renew_runbook().await.unwrap();
    assert_eq!(count().await, 1, "an older program takes a newer one's runbook away");
}
