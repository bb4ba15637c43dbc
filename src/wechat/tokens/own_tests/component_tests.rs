//! The platform's own token: who may have another one bought, and what happens while none can be had.

use super::*;
use crate::domain::Endpoint::{self, ApiGetAuthorizerInfo};

#[tokio::test]
async fn a_dead_component_token_is_refreshed_once_and_the_refresh_repeated_once() {
    for code in [40001, 42001, 40014, 42006] {
        let world = World::new().await;
        world.script.next(ApiAuthorizerToken, refused(code));
        assert_eq!(text(&world.fresh(None).await.unwrap()), "fake-token-2", "{code}");
        assert_eq!(counts(&world), (2, 2));
        assert_eq!(world.script.calls(ApiAuthorizerToken)[1].query["component_access_token"], "fake-component-2");
    }
}

/// A merchant of its own, with its refresh token.
async fn fresh_of(world: &World, appid: &str) -> Result<StoredToken, CallError> {
    world.vault.with(&Holder::Merchant(appid.to_owned()), |row| row.refresh_token = Some("fake-refresh".to_owned()));
    world.wire.tokens().fresh(&world.platform, appid, None).await
}

#[tokio::test]
async fn one_merchant_that_refuses_two_component_tokens_hurts_itself_alone_and_has_no_third_one_bought() {
    let world = World::new().await;
    for _ in 0..3 {
        world.script.next(ApiAuthorizerToken, refused(40001));
    }
    assert!(matches!(fault(world.fresh(None).await), TokenFault::CoolingDown { .. }));
    assert_eq!(counts(&world), (2, 2));
    assert!(world.vault.merchant(|row| !row.leased && row.lost.is_none() && row.cooling.take().is_some()));
    // It is remembered: the next refusal stands at once.
    assert!(matches!(fault(world.fresh(None).await), TokenFault::CoolingDown { .. }));
    assert_eq!(counts(&world), (2, 3));
    assert!(fresh_of(&world, "wx2222222222222222").await.is_ok());
}

/// How it ends for three merchants that refuse every component token.
async fn three_refuse(world: &World) -> Vec<TokenFault> {
    let mut faults = Vec::new();
    for appid in ["wx1111111111111112", "wx1111111111111113", "wx1111111111111114"] {
        for _ in 0..2 {
            world.script.next(ApiAuthorizerToken, refused(40001));
        }
        faults.push(fault(fresh_of(world, appid).await));
        // The time between two purchases is over.
        world.vault.with(&Holder::Component, |row| row.refused_at = None);
    }
    faults
}

#[tokio::test]
async fn three_merchants_that_refuse_two_component_tokens_hurt_themselves_alone_while_the_list_takes_them() {
    for listed in [json!({"total_count": 0}), refused(48001), away()] {
        let world = World::new().await;
        world.script.next(Endpoint::ApiGetAuthorizerList, listed);
        let faults = three_refuse(&world).await;
        assert!(faults.iter().all(|fault| matches!(fault, TokenFault::CoolingDown { .. })), "{faults:?}");
        assert_eq!(world.script.calls(Endpoint::ApiGetAuthorizerList).len(), 1);
        assert!(fresh_of(&world, "wx2222222222222222").await.is_ok());
    }
}

#[tokio::test]
async fn three_merchants_that_refuse_two_component_tokens_and_the_list_are_a_fault_of_the_platform() {
    let world = World::new().await;
    world.script.next(Endpoint::ApiGetAuthorizerList, refused(40001));
    let faults = three_refuse(&world).await;
    assert!(matches!(faults[1], TokenFault::CoolingDown { .. }), "{faults:?}");
    let TokenFault::Platform { errcode, reason, certain } = &faults[2] else { panic!("{faults:?}") };
    assert_eq!((*errcode, *certain), (Some(40001), true));
    assert!(reason.contains("another system"), "{reason}");
}

#[tokio::test]
async fn a_list_that_refuses_a_token_that_was_replaced_meanwhile_proves_nothing() {
    let world = World::new().await;
    world.script.next(Endpoint::ApiGetAuthorizerList, refused(40001));
    let vault = Arc::clone(&world.vault);
    world.script.meanwhile(Endpoint::ApiGetAuthorizerList, move || {
        vault.with(&Holder::Component, |row| {
            row.version += 1;
            row.token = Some(("fake-elsewhere".to_owned(), Instant::now() + Duration::from_secs(7200)));
        });
    });
    let faults = three_refuse(&world).await;
    assert!(faults.iter().all(|fault| matches!(fault, TokenFault::CoolingDown { .. })), "{faults:?}");
    assert_eq!(world.script.calls(Endpoint::ApiGetAuthorizerList).len(), 1);
}

#[tokio::test]
async fn a_list_that_never_answers_proves_nothing_and_is_waited_for_no_longer_than_a_call() {
    let world = World::with(Duration::from_millis(400), HashMap::new()).await;
    world.script.next(Endpoint::ApiGetAuthorizerList, Value::Null);
    let faults = three_refuse(&world).await;
    assert!(faults.iter().all(|fault| matches!(fault, TokenFault::CoolingDown { .. })), "{faults:?}");
}

#[tokio::test]
async fn refusals_in_a_row_have_one_component_token_bought_and_wait_for_the_next() {
    let world = World::new().await;
    world.script.next(ApiAuthorizerToken, refused(42001));
    assert!(world.fresh(None).await.is_ok());
    assert_eq!(counts(&world), (2, 2));
    world.script.next(ApiAuthorizerToken, refused(42001));
    let TokenFault::NoComponent { wait, reason, refused } = fault(fresh_of(&world, "wx2222222222222222").await) else {
        panic!("it does not wait")
    };
    assert!(wait > Duration::from_secs(20) && !refused, "{wait:?}");
    assert!(reason.contains("WeChat refused the platform's own token"), "{reason}");
    assert_eq!(counts(&world), (2, 3));
}

#[tokio::test]
async fn an_info_that_one_merchant_refuses_buys_one_component_token_and_no_other() {
    let world = World::new().await;
    let info = async || world.wire.authorizer_info(&world.platform, APPID).await;
    for _ in 0..6 {
        world.script.next(ApiGetAuthorizerInfo, refused(40001));
    }
    for _ in 0..5 {
        let error = info().await.unwrap_err();
        assert_eq!((error.class(), error.errcode()), (Class::Token, Some(40001)));
        world.vault.with(&Holder::Component, |row| row.refused_at = None);
    }
    assert_eq!(counts(&world), (2, 0), "one to begin with, one on its word");
    assert_eq!(world.script.calls(ApiGetAuthorizerInfo).len(), 6);
}

#[tokio::test]
async fn a_list_that_is_refused_needs_nobody_s_word() {
    let world = World::new().await;
    world.vault.odd.lock().unwrap().insert(APPID.to_owned());
    world.script.next(Endpoint::ApiGetAuthorizerList, refused(42001));
    world.script.next(Endpoint::ApiGetAuthorizerList, json!({"total_count": 0}));
    assert!(world.wire.authorizer_list(&world.platform, 0, 500).await.is_ok());
    assert_eq!(counts(&world), (2, 0));
}

#[tokio::test]
async fn a_component_token_that_another_process_buys_is_waited_for_and_not_bought_again() {
    let world = World::new().await;
    let used = world.wire.tokens().component(&world.platform).await.unwrap();
    world.vault.with(&Holder::Component, |row| row.leased = true);
    let bought = async {
        tokio::task::yield_now().await;
        world.vault.with(&Holder::Component, |row| {
            row.version += 1;
            row.token = Some(("fake-elsewhere".to_owned(), Instant::now() + Duration::from_secs(7200)));
        });
    };
    let waits = world.wire.tokens().component_after_refusal(&world.platform, &used, None);
    let (token, ()) = tokio::join!(waits, bought);
    assert_eq!(text(&token.unwrap().unwrap().token), "fake-elsewhere");
    assert_eq!(counts(&world), (1, 0));
}

fn away() -> Value {
    json!("WeChat answers nothing that can be read")
}

/// A live token of the merchant, and a component token; both are dead, and no other component token can be had.
async fn all_dead(merchants: &[&str]) -> World {
    let world = World::new().await;
    world.wire.tokens().component(&world.platform).await.unwrap();
    for appid in merchants {
        world.vault.with(&Holder::Merchant((*appid).to_owned()), |row| {
            row.refresh_token = Some("fake-refresh-0".to_owned());
        });
        world.script.next(ApiAuthorizerToken, refused(40001));
    }
    world.script.next(ApiComponentToken, away());
    world
}

#[tokio::test]
async fn a_component_token_that_three_merchants_refused_is_not_called_with_while_no_other_can_be_had() {
    let merchants = ["wx1111111111111112", "wx1111111111111113", "wx1111111111111114"];
    let world = all_dead(&merchants).await;
    for appid in merchants {
        let fault = fault(fresh_of(&world, appid).await);
        assert!(matches!(fault, TokenFault::NoComponent { refused: false, .. }), "{fault:?}");
    }
    assert_eq!(counts(&world), (2, 3), "one try for another component token, which cools down");
    for _ in 0..5 {
        assert!(matches!(fault(world.fresh(None).await), TokenFault::NoComponent { .. }));
    }
    assert_eq!(counts(&world), (2, 3), "nobody calls with the refused one");
    // Another process has bought one.
    world.vault.with(&Holder::Component, |row| {
        row.version += 1;
        row.token =
            Some(("fake-component-of-another".to_owned(), tokio::time::Instant::now() + Duration::from_secs(7200)));
    });
    assert!(world.fresh(None).await.is_ok());
}

#[tokio::test]
async fn a_component_token_that_one_merchant_refused_serves_the_others_while_no_other_can_be_had() {
    let world = all_dead(&[APPID]).await;
    assert!(matches!(fault(world.fresh(None).await), TokenFault::NoComponent { .. }));
    for other in ["wx2222222222222221", "wx2222222222222222"] {
        world
            .vault
            .with(&Holder::Merchant(other.to_owned()), |row| row.refresh_token = Some("fake-refresh-0".to_owned()));
        assert!(fresh_of(&world, other).await.is_ok());
    }
}

#[tokio::test]
async fn a_dead_token_that_can_not_be_replaced_is_called_with_once() {
    let world = all_dead(&[APPID]).await;
    let used = world.vault.put("fake-dead", Duration::from_secs(7200));
    world.script.next(CheckMobile, refused(40001));
    let answer = world.ask(Some(used)).await;
    assert!(
        matches!(&answer.result, Err(CallError::NoToken(TokenFault::NoComponent { refused: true, .. }))),
        "{answer:?}"
    );
    assert!(world.vault.merchant(|row| row.token.is_none()), "it is known to be dead");
    world.script.next(ApiAuthorizerToken, refused(40001));
    assert!(matches!(
        world.ask(None).await.result,
        Err(CallError::NoToken(TokenFault::NoComponent { refused: false, .. }))
    ));
    assert_eq!(world.script.calls(CheckMobile).len(), 1);
}

#[tokio::test]
async fn the_component_token_is_kept_over_many_merchants() {
    let world = World::new().await;
    for n in 0..5 {
        let appid = format!("wx{n:016}");
        world.vault.with(&Holder::Merchant(appid.clone()), |row| row.refresh_token = Some("fake-refresh".to_owned()));
        world.wire.tokens().fresh(&world.platform, &appid, None).await.unwrap();
    }
    assert_eq!(counts(&world), (1, 5));
    assert_eq!(
        world.script.calls(ApiComponentToken)[0].body,
        json!({"component_appid": "wx9999999999999999", "component_appsecret": "fake-secret", "component_verify_ticket": "ticket@@@fake"})
    );
}

#[tokio::test]
async fn a_component_token_that_was_found_and_is_dead_as_well_halts_nobody_and_has_another_one_bought() {
    let world = World::new().await;
    world.wire.tokens().component(&world.platform).await.unwrap();
    for appid in ["wx1111111111111112", "wx1111111111111113", "wx1111111111111114"] {
        // Another process bought one, which has died since; this one knows only the one before it.
        world.vault.with(&Holder::Component, |row| {
            row.version += 1;
            row.token = Some((format!("fake-found-{appid}"), Instant::now() + Duration::from_secs(7200)));
            row.refused_at = None;
        });
        for _ in 0..2 {
            world.script.next(ApiAuthorizerToken, refused(40001));
        }
        let fault = fault(fresh_of(&world, appid).await);
        assert!(matches!(fault, TokenFault::BeingRefreshed), "{fault:?}");
        assert!(fresh_of(&world, appid).await.is_ok(), "the one that was bought works");
    }
    assert_eq!(counts(&world), (4, 9), "one bought for each that was dead");
    assert!(world.vault.odd.lock().unwrap().is_empty(), "the merchants said nothing of themselves");
}

#[tokio::test]
async fn a_component_token_that_another_process_found_dead_is_not_called_with_here() {
    let world = World::new().await;
    let dead = world.wire.tokens().component(&world.platform).await.unwrap();
    *world.vault.dead.lock().unwrap() = Some(dead.version);
    assert!(world.fresh(None).await.is_ok());
    assert_eq!(counts(&world), (2, 1));
    assert_eq!(world.script.calls(ApiAuthorizerToken)[0].query["component_access_token"], "fake-component-2");
}

#[tokio::test]
async fn a_component_token_that_three_merchants_refused_is_told_to_every_process() {
    let merchants = ["wx1111111111111112", "wx1111111111111113", "wx1111111111111114"];
    let world = all_dead(&merchants).await;
    let used = world.wire.tokens().component(&world.platform).await.unwrap();
    for (appid, told) in merchants.iter().zip([None, None, Some(used.version)]) {
        assert!(fresh_of(&world, appid).await.is_err());
        assert_eq!(*world.vault.dead.lock().unwrap(), told, "{appid}");
    }
}
