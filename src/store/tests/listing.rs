use std::{collections::HashMap, time::Duration};

use super::*;
use crate::domain::message::{MessagePolicy, Permission};

fn policies(per_day: Option<u32>) -> HashMap<CheckName, MessagePolicy> {
    let cooldown = Duration::from_secs(7 * 86_400);
    let ask = MessagePolicy { cooldown, messages_max: Some(3), per_day, quiet_hours: None };
    let invite = MessagePolicy { messages_max: None, ..ask.clone() };
    HashMap::from([(CheckName::Ask, ask), (CheckName::Invite, invite)])
}

async fn listed(database: &TestDatabase, per_day: Option<u32>) -> Vec<(String, &'static str)> {
    let candidates = database.store.would_message(1, &policies(per_day), None, 100).await.unwrap();
    let named = candidates.into_iter().map(|candidate| {
        let name = format!("{} {} {}", candidate.check, candidate.appid, candidate.counterpart);
        let reason = match candidate.decision {
            Permission::Granted => "granted",
            Permission::Later { reason, .. } | Permission::No { reason } => reason,
        };
        (name.trim_end().to_owned(), reason)
    });
    named.collect()
}

fn expected<const N: usize>(rows: [(&str, &'static str); N]) -> Vec<(String, &'static str)> {
    rows.map(|(name, reason)| (name.to_owned(), reason)).into()
}

#[tokio::test]
async fn each_candidate_is_listed_with_the_answer_that_a_real_message_would_get() {
    let (database, _) = seeded().await;
    say(&database.pool, "delete from hold").await;
    let rows = expected([
        ("ask wxmini2", "granted"),
        ("ask wxmini1", "cooldown"),
        ("invite wxoa wxmini1", "endpoint_closed"),
        ("invite wxoa wxmini2", "blocked"),
    ]);
    assert_eq!(listed(&database, None).await, rows);
    say(
        &database.pool,
        "delete from closure; delete from intent;
         update item set free_at = clock() + interval '3 hours' where check_name = 'phone' and appid = 'wxmini2'",
    )
    .await;
    let rows = expected([
        ("ask wxmini2", "merchant_limit"),
        // It sleeps at a maximum that allows one now: it wakes when a run begins.
        ("ask wxmini1", "granted"),
        ("invite wxoa wxmini1", "granted"),
        ("invite wxoa wxmini2", "blocked"),
    ]);
    assert_eq!(listed(&database, None).await, rows);
}

#[tokio::test]
async fn the_cap_of_the_day_is_used_up_in_the_order_of_claiming() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "delete from hold; delete from intent; delete from wish;
         update item set outcome = null, reason = null, due_at = clock() - interval '1 s' where check_name = 'ask';
         update item set due_at = clock() - interval '2 s' where check_name = 'ask' and appid = 'wxmini2';
         insert into message_day values (1, 'ask', (clock() at time zone 'Asia/Shanghai')::date, 4)",
    )
    .await;
    let rows = expected([("ask wxmini2", "granted"), ("ask wxmini1", "day_cap")]);
    assert_eq!(listed(&database, Some(5)).await, rows);
}

#[tokio::test]
async fn holds_of_merchants_and_endpoints_are_listed_as_held() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "delete from hold; insert into hold (appid) values ('wxmini2'); insert into hold (endpoint) values ('wxamplink')",
    )
    .await;
    let said = listed(&database, None).await;
    assert!(said.contains(&("ask wxmini2".to_owned(), "held")), "{said:?}");
    assert!(said.contains(&("invite wxoa wxmini1".to_owned(), "held")), "{said:?}");
}

#[tokio::test]
async fn what_was_refused_is_listed_so_until_it_is_looked_at_again() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "delete from hold; delete from closure;
         update item set outcome = 'skipped', reason = 'permission', due_at = clock() + interval '1 h'
          where check_name = 'ask' and appid = 'wxmini2';
         update merchant set kind = 'official_account' where appid = 'wxmini1'",
    )
    .await;
    let said = listed(&database, None).await;
    assert!(said.contains(&("ask wxmini2".to_owned(), "permission")), "{said:?}");
    assert!(said.contains(&("invite wxoa wxmini1".to_owned(), "not_a_mini_program")), "{said:?}");
    database.advance(Duration::from_secs(2 * 3600)).await;
    let said = listed(&database, None).await;
    assert!(said.contains(&("ask wxmini2".to_owned(), "granted")), "{said:?}");
}

#[tokio::test]
async fn an_item_that_is_not_due_yet_is_listed_so() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "update item set due_at = clock() + interval '1 h' where check_name = 'ask' and appid = 'wxmini2'",
    )
    .await;
    let said = listed(&database, None).await;
    assert!(said.contains(&("ask wxmini2".to_owned(), "not_due")), "{said:?}");
}
