//! Tokens over real HTTP, against a scripted WeChat and a vault in memory.

mod component_tests;

use std::collections::HashMap;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::fixture::{APPID, World};
use super::*;
use crate::domain::Class;
use crate::domain::Endpoint::{ApiAuthorizerToken, ApiComponentToken, CheckMobile};
use crate::domain::ports::Holder;

fn text(token: &StoredToken) -> &str {
    token.access_token.expose_secret()
}

fn fault(result: Result<StoredToken, CallError>) -> TokenFault {
    match result {
        Err(error @ CallError::NoToken(_)) => {
            assert!(error.certainly_not_made());
            let CallError::NoToken(fault) = error else { unreachable!() };
            fault
        }
        other => panic!("{other:?}"),
    }
}

fn refused(code: i64) -> Value {
    json!({"errcode": code, "errmsg": "x rid: aa-bb-cc"})
}

fn counts(world: &World) -> (usize, usize) {
    (world.script.calls(ApiComponentToken).len(), world.script.calls(ApiAuthorizerToken).len())
}

#[tokio::test]
async fn many_who_want_a_token_cause_one_refresh() {
    let world = World::new().await;
    let wanted = futures_util::future::join_all((0..64).map(|_| world.fresh(None))).await;
    assert!(wanted.iter().all(|token| text(token.as_ref().unwrap()) == "fake-token-1"));
    assert_eq!(counts(&world), (1, 1));
    let call = &world.script.calls(ApiAuthorizerToken)[0];
    assert_eq!(call.query["component_access_token"], "fake-component-1");
    assert_eq!(
        call.body,
        json!({"component_appid": "wx9999999999999999", "authorizer_appid": APPID, "authorizer_refresh_token": "fake-refresh-0"})
    );
    assert_eq!(world.vault.merchant(|row| row.refresh_token.clone()).as_deref(), Some("fake-refresh-1"));
    let Keeper::Own(own) = &world.wire.tokens().0 else { panic!("the tokens are our own") };
    assert!(lock(&own.0.flights).is_empty());
}

#[tokio::test]
async fn a_stored_token_is_used_until_its_margin() {
    let world = World::new().await;
    let stored = world.vault.put("fake-stored", Duration::from_secs(3600));
    assert_eq!(text(&world.fresh(Some(stored)).await.unwrap()), "fake-stored");
    assert_eq!(counts(&world), (0, 0));
    let stored = world.vault.put("fake-old", Duration::from_secs(200));
    assert_eq!(text(&world.fresh(Some(stored)).await.unwrap()), "fake-token-1");
}

#[tokio::test]
async fn the_margin_shrinks_with_the_lifetime() {
    let world = World::new().await;
    let short = json!({"authorizer_access_token": "fake-short", "expires_in": "8"});
    world.script.next(ApiAuthorizerToken, short);
    let token = world.fresh(None).await.unwrap();
    assert_eq!(text(&world.fresh(Some(token)).await.unwrap()), "fake-short");
    assert_eq!(counts(&world), (1, 1));
    assert_eq!(world.vault.merchant(|row| row.refresh_token.clone()).as_deref(), Some("fake-refresh-0"));
}

#[tokio::test]
async fn a_token_inside_the_margin_is_used_while_another_process_refreshes() {
    let world = World::new().await;
    let stored = world.vault.put("fake-old", Duration::from_secs(200));
    world.vault.merchant(|row| row.leased = true);
    assert_eq!(text(&world.fresh(Some(stored)).await.unwrap()), "fake-old");
    let over = world.vault.put("fake-over", Duration::ZERO);
    assert_eq!(fault(world.fresh(Some(over)).await), TokenFault::BeingRefreshed);
}

#[tokio::test]
async fn a_refused_token_that_somebody_replaced_causes_no_refresh() {
    let world = World::new().await;
    let used = world.vault.put("fake-used", Duration::from_secs(3600));
    world.vault.put("fake-newer", Duration::from_secs(3600));
    let other = world.wire.tokens().after_refusal(&world.platform, APPID, &used).await.unwrap();
    assert_eq!((text(&other.token), other.contested, counts(&world)), ("fake-newer", false, (0, 0)));
    let other = world.wire.tokens().after_refusal(&world.platform, APPID, &other.token).await.unwrap();
    assert_eq!((text(&other.token), counts(&world)), ("fake-token-1", (1, 1)));
}

#[tokio::test]
async fn a_token_refused_long_before_its_end_is_booked_as_taken_away_when_the_new_one_works() {
    for (good_for_secs, second, booked) in [
        (3600, json!({"errcode": 0, "has_mobile": true}), vec![1]),
        (3600, json!({"errcode": 61007}), vec![1]),
        (3600, refused(40001), vec![]),
        (3600, json!({"errcode": -1}), vec![]),
        (590, json!({"errcode": 0, "has_mobile": true}), vec![]),
    ] {
        let world = World::new().await;
        let stored = world.vault.put("fake-stored", Duration::from_secs(good_for_secs));
        world.script.next(CheckMobile, refused(40001));
        world.script.next(CheckMobile, second.clone());
        // What is inside the margin would be refreshed before it is used.
        let Keeper::Own(own) = &world.wire.tokens().0 else { panic!("the tokens are our own") };
        own.0.merchant_lifetime_secs.store(600, std::sync::atomic::Ordering::Relaxed);
        world.ask(Some(stored)).await;
        assert_eq!(world.script.calls(CheckMobile).len(), 2);
        assert_eq!(world.vault.merchant(|row| row.contested.clone()), booked, "{good_for_secs} s, then {second}");
    }
}

#[tokio::test]
async fn a_token_that_we_replaced_ourselves_is_not_booked_as_taken_away() {
    let world = World::new().await;
    let used = world.vault.put("fake-used", Duration::from_secs(3600));
    world.vault.put("fake-newer", Duration::from_secs(3600));
    world.script.next(CheckMobile, refused(40001));
    assert!(world.ask(Some(used)).await.result.is_ok());
    assert!(world.vault.merchant(|row| row.contested.is_empty()));
    assert_eq!(counts(&world), (0, 0));
}

#[tokio::test]
async fn a_refresh_that_wechat_means_is_settled_by_its_code_and_not_asked_again_soon() {
    let world = World::new().await;
    world.script.next(ApiAuthorizerToken, refused(50002));
    for _ in 0..2 {
        let TokenFault::Refused { errcode, class, .. } = fault(world.fresh(None).await) else { panic!("not refused") };
        assert_eq!((errcode, class), (50002, Class::Human));
    }
    assert_eq!(world.script.calls(ApiAuthorizerToken).len(), 1);
    assert!(world.vault.merchant(|row| row.lost.is_none()));
}

#[tokio::test]
async fn a_refresh_token_that_came_while_an_older_one_was_refused_is_not_lost() {
    let world = World::new().await;
    world.vault.merchant(|row| row.comes_meanwhile = Some("fake-refresh-9".to_owned()));
    world.script.next(ApiAuthorizerToken, refused(61023));
    assert_eq!(fault(world.fresh(None).await), TokenFault::BeingRefreshed);
    assert!(world.fresh(None).await.is_ok());
    let calls = world.script.calls(ApiAuthorizerToken);
    assert_eq!(calls[1].body["authorizer_refresh_token"], "fake-refresh-9");
}

#[tokio::test]
async fn a_refresh_token_that_came_meanwhile_is_not_overwritten_by_the_answer_to_an_older_one() {
    let world = World::new().await;
    world.vault.merchant(|row| row.comes_meanwhile = Some("fake-refresh-9".to_owned()));
    assert!(world.fresh(None).await.is_ok());
    assert_eq!(world.vault.merchant(|row| row.refresh_token.clone()).as_deref(), Some("fake-refresh-9"));
}

#[tokio::test]
async fn tokens_that_were_bought_together_are_not_refreshed_together() {
    let world = World::new().await;
    let Keeper::Own(own) = &world.wire.tokens().0 else { panic!("the tokens are our own") };
    let margin = |n: u32| own.0.margin(1, &Holder::Merchant(format!("wx{n:016}")));
    let margins: std::collections::BTreeSet<Duration> = (0..1000).map(margin).collect();
    assert!(margins.len() > 200, "{} moments for a thousand merchants", margins.len());
    assert!(margins.iter().all(|margin| (Duration::from_secs(300)..=MARGIN_MAX).contains(margin)));
    assert_eq!(margin(7), margin(7), "every process refreshes a merchant at the same moment");
    assert_ne!(own.0.margin(1, &Holder::Component), own.0.margin(2, &Holder::Component));
}

#[tokio::test]
async fn a_refused_refresh_token_waits_for_the_list_and_is_lost_when_the_vault_says_so() {
    for code in [61023, 42002] {
        let world = World::new().await;
        world.script.next(ApiAuthorizerToken, refused(code));
        assert!(matches!(fault(world.fresh(None).await), TokenFault::Recovering(_)));
        assert!(world.vault.merchant(|row| row.lost.clone()).unwrap().contains(&code.to_string()));
        assert!(matches!(fault(world.fresh(None).await), TokenFault::Lost(_)));
        assert_eq!(counts(&world), (1, 1));
    }
}

#[tokio::test]
async fn a_missing_refresh_token_waits_for_the_list_without_a_call() {
    let world = World::new().await;
    world.vault.merchant(|row| row.refresh_token = None);
    assert!(matches!(fault(world.fresh(None).await), TokenFault::Recovering(_)));
    assert_eq!(counts(&world), (1, 0));
}

#[tokio::test]
async fn a_merchant_that_withdrew_is_withdrawn() {
    let world = World::new().await;
    world.script.next(ApiAuthorizerToken, refused(61003));
    assert_eq!(fault(world.fresh(None).await), TokenFault::Withdrawn);
    assert!(world.vault.merchant(|row| row.withdrawn));
}

#[tokio::test]
async fn a_missing_ticket_says_what_to_do() {
    let world = World::new().await;
    *world.vault.ticket.lock().unwrap() = None;
    let reason = "no component_verify_ticket is stored: run `wxpatrol ticket -` or set WXPATROL_VERIFY_TICKET";
    let expected = TokenFault::Platform { errcode: None, reason: reason.to_owned(), certain: true };
    assert_eq!(fault(world.fresh(None).await), expected);
    assert_eq!(counts(&world), (0, 0));
}

#[tokio::test]
async fn a_fault_of_the_platform_names_the_remedy() {
    for (endpoint, code, word) in [
        (ApiComponentToken, 61004, "allow list"),
        (ApiComponentToken, 40001, "WXPATROL_COMPONENT_APPSECRET"),
        (ApiComponentToken, 45009, "clear_quota/v2"),
        (ApiComponentToken, 40013, "WXPATROL_COMPONENT_APPID"),
        (ApiAuthorizerToken, 45009, "clear_quota/v2"),
        (ApiAuthorizerToken, 61004, "allow list"),
    ] {
        let world = World::new().await;
        world.script.next(endpoint, refused(code));
        let TokenFault::Platform { errcode, reason, .. } = fault(world.fresh(None).await) else { panic!("{code}") };
        assert_eq!(errcode, Some(code));
        assert!(reason.contains(word), "{reason}");
        assert!(world.vault.merchant(|row| !row.leased && row.lost.is_none()), "{code}");
    }
}

#[tokio::test]
async fn an_answer_without_a_token_is_not_stored() {
    for body in [json!({"expires_in": 7200}), json!({"authorizer_access_token": "", "expires_in": 7200}), json!({})] {
        let world = World::new().await;
        world.script.next(ApiAuthorizerToken, body);
        assert!(matches!(fault(world.fresh(None).await), TokenFault::CoolingDown { .. }));
        assert!(world.vault.merchant(|row| row.token.is_none() && row.cooling.is_some() && !row.leased));
        assert!(matches!(fault(world.fresh(None).await), TokenFault::CoolingDown { .. }));
        assert_eq!(world.script.calls(ApiAuthorizerToken).len(), 1, "a failed refresh cools down");
    }
}

#[tokio::test]
async fn a_refresh_that_times_out_is_a_call_that_was_not_made() {
    let world = World::with(Duration::from_millis(100), HashMap::new()).await;
    // The time is the refresh's alone: the platform's token is there.
    world.vault.with(&Holder::Component, |row| {
        row.version = 1;
        row.token = Some(("fake-component".into(), Instant::now() + Duration::from_secs(7200)));
    });
    world.script.next(ApiAuthorizerToken, Value::Null);
    assert!(matches!(fault(world.fresh(None).await), TokenFault::CoolingDown { .. }));
}

#[tokio::test]
async fn one_merchant_that_is_told_to_slow_down_closes_nothing_and_cools_down_nobody() {
    let world = World::new().await;
    world.script.next(ApiAuthorizerToken, refused(45011));
    let TokenFault::SlowedDown { errcode, .. } = fault(world.fresh(None).await) else { panic!("not slowed down") };
    assert_eq!(errcode, Some(45011));
    assert!(world.fresh(None).await.is_ok());
    assert_eq!(world.script.calls(ApiAuthorizerToken).len(), 2);
}

#[tokio::test]
async fn a_closed_token_endpoint_is_no_failure_of_a_merchant() {
    let world = World::new().await;
    world.wire.pace().close(world.platform.id, ApiAuthorizerToken, Duration::from_secs(3600));
    let TokenFault::SlowedDown { errcode, .. } = fault(world.fresh(None).await) else { panic!("not slowed down") };
    assert_eq!(errcode, None);
    assert!(world.vault.merchant(|row| !row.leased && row.cooling.is_none() && row.lost.is_none()));
    assert_eq!(world.script.calls(ApiAuthorizerToken).len(), 0);
}

#[tokio::test]
async fn a_refresh_goes_on_when_whoever_wanted_it_has_gone() {
    let world = World::new().await;
    assert!(tokio::time::timeout(Duration::ZERO, world.fresh(None)).await.is_err());
    let stored = async {
        while world.vault.merchant(|row| row.token.is_none()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), stored).await.expect("the refresh was lost");
    assert_eq!(counts(&world), (1, 1));
}

#[tokio::test]
async fn the_wire_shows_no_secret() {
    let world = World::new().await;
    let shown = format!("{:?} {:?} {:?}", world.wire, world.platform, world.fresh(None).await);
    for secret in ["fake-secret", "fake-token", "fake-refresh", "fake-component"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
