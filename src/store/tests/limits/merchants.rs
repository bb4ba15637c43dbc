//! What WeChat says of limits to its merchants' tokens, and the limit that each merchant has of its own.

use super::*;
use crate::{
    domain::Class,
    store::{
        claim::ClaimWish,
        limits::{QUESTIONS_A_DAY, QuotaSaid},
    },
};

async fn said(still: &Still, appid: &str, platform_rate: Option<(i64, i64)>, rate: Option<(i64, i64)>) {
    sqlx::query("insert into wxpatrol_data.quota (platform_id, appid, endpoint, asked_at) values ($1, $2, $3, $4)")
        .bind(still.platform)
        .bind(appid)
        .bind(ENDPOINT.name())
        .bind(still.now)
        .execute(&still.database.pool)
        .await
        .unwrap();
    let store = &still.database.store;
    let quota = QuotaSaid { day: Some((5_000, 12)), rate, platform_rate };
    store.keep_quota(still.platform, appid, ENDPOINT, Ok(quota)).await.unwrap();
    store.learn_limits(still.platform, ENDPOINT).await.unwrap();
}

#[tokio::test]
async fn what_wechat_says_tightens_a_limit_never_loosens_one_and_is_forgotten_after_two_days() {
    let (mut still, set) = Still::warmed("100/s").await;
    said(&still, "wx1", Some((300, 60)), None).await;
    assert_eq!(still.pace(&set).await.0, 0.01, "one merchant alone slows nobody");
    said(&still, "wx2", Some((1_200, 60)), Some((60, 60))).await;
    assert_eq!(still.pace(&set).await.0, 0.05, "of two the more lenient");
    said(&still, "wx3", Some((600, 60)), None).await;
    assert_eq!(still.pace(&set).await, (0.1, 2), "of three the middle one, in slices of a quarter of a second");
    assert_eq!(still.one("learned_per_minute").await.as_deref(), Some("600.00"));
    assert_eq!(still.one("merchant_learned_per_minute").await.as_deref(), Some("300.00"));
    let stricter = still.limits("2/s");
    assert_eq!(still.pace(&stricter).await.0, 0.5);
    still.pass(TimeDelta::hours(49)).await;
    still.database.store.learn_limits(still.platform, ENDPOINT).await.unwrap();
    assert_eq!(still.pace(&set).await.0, 0.01);
    // Zero or missing is unknown.
    said(&still, "wx4", None, None).await;
    said(&still, "wx5", None, None).await;
    assert_eq!(still.one("learned_per_minute").await, None);
}

#[tokio::test]
async fn a_day_has_three_questions_about_an_endpoint_and_a_merchant_one_whoever_asks() {
    let (database, platform) = seeded().await;
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind) select 1, 'wx' || n, 'mini_program' from generate_series(1, 9) n;
         insert into item (platform_id, appid, check_name, due_at, due_since, outcome)
         select 1, 'wx' || n, 'phone', clock() + interval '1 day', clock(), 'done' from generate_series(1, 9) n",
    )
    .await;
    let other = database.another_store().await;
    let question = async |store: &Store| store.take_question(platform, ENDPOINT, CheckName::Phone).await.unwrap();
    let (one, two) = tokio::join!(
        async { [question(&database.store).await, question(&database.store).await, question(&database.store).await] },
        async { [question(&other).await, question(&other).await, question(&other).await] },
    );
    let mut asked: Vec<String> = one.into_iter().chain(two).flatten().collect();
    asked.sort();
    asked.dedup();
    // A collision of two processes on one merchant may cost a question, never add one.
    assert!(!asked.is_empty() && asked.len() <= QUESTIONS_A_DAY as usize, "{asked:?}");
    assert_eq!(question(&other).await, None);
    database.advance(Duration::from_secs(86_400)).await;
    say(&database.pool, "update platform set halted_at = clock(), halt_reason = 'x', probe_at = clock()").await;
    assert_eq!(question(&other).await, None, "nobody asks while the platform is halted");
    say(&database.pool, "update platform set halted_at = null, halt_reason = null, probe_at = null").await;
    assert!(question(&other).await.is_some());
    say(&database.pool, "insert into hold (platform_id, endpoint, reason) values (1, 'quota_get', 'enough')").await;
    assert_eq!(question(&other).await, None, "an operator's hold is kept");
}

#[tokio::test]
async fn a_merchant_s_closure_waits_with_what_the_merchant_has_on_that_endpoint_and_with_nothing_else() {
    let (database, platform) = seeded().await;
    let until = database.store.read_clock().await.unwrap() + TimeDelta::hours(3);
    let waiting = "select array_agg(check_name || ' ' || appid order by check_name, appid) from wxpatrol_data.item
                    where free_at = $1 and due_at >= $1";
    for (endpoint, appid) in [(Endpoint::CheckMobile, "wxmini1"), (Endpoint::WxampLink, "wxoa")] {
        database.store.close_merchant(platform, appid, endpoint, until, Class::QuotaDay).await.unwrap();
    }
    let items: Vec<String> = sqlx::query_scalar(waiting).bind(until).fetch_one(&database.pool).await.unwrap();
    assert_eq!(items, ["ask wxmini1", "invite wxoa", "invite wxoa", "phone wxmini1"]);
    let shorter = until - TimeDelta::hours(1);
    database.store.close_merchant(platform, "wxmini1", ENDPOINT, shorter, Class::QuotaMinute).await.unwrap();
    let items: Vec<String> = sqlx::query_scalar(waiting).bind(until).fetch_one(&database.pool).await.unwrap();
    assert_eq!(items.len(), 4, "a longer closure is not shortened");
    let closed: i64 = sqlx::query_scalar("select merchants_closed from wxpatrol.limits where endpoint = 'checkmobile'")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(closed, 1);
}

#[tokio::test]
async fn what_a_dead_process_may_have_called_waits_for_the_merchant_s_limit_after_its_lease() {
    let (database, platform) = seeded().await;
    let (lease, minute) = (Duration::from_secs(60), Duration::from_secs(60));
    let other = database.another_store().await;
    for (check, gate) in [(CheckName::Callback, None), (CheckName::Ask, Some(CheckName::Phone))] {
        let wish = ClaimWish { platform, gate, lease, merchant_interval: minute, ..claim_of(check, 9) };
        say(&database.pool, "update item set due_at = clock(), outcome = null where appid = 'wxmini2'").await;
        assert_eq!(database.store.claim(wish).await.unwrap().len(), 1, "{check}");
        // It dies here. Its lease is over, the merchant's minute is not.
        database.advance(lease + Duration::from_secs(1)).await;
        assert_eq!(other.claim(wish).await.unwrap().len(), 0, "{check}");
        database.advance(minute).await;
        assert_eq!(other.claim(wish).await.unwrap().len(), 1, "{check}");
    }
}
