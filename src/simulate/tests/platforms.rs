//! Several platforms in one simulation: each with merchants, limits and scripts of its own.

use super::*;

/// Two platforms with merchants of the same appids, and a caller of each.
async fn two() -> [Caller; 2] {
    let plan = Plan { limits: [("checkmobile".to_owned(), 2)].into(), ..no_odd_callbacks() };
    let second = Plan { limits: std::collections::BTreeMap::new(), ..plan.clone() }.as_platform(1);
    let server = SimulatedWechat::start_with("127.0.0.1:0".parse().unwrap(), plan, vec![second]).unwrap();
    let server = Arc::new(server);
    let [first, second] = server.worlds().try_into().ok().unwrap();
    [Caller::of(Arc::clone(&server), first).await, Caller::of(server, second).await]
}

#[tokio::test]
async fn two_platforms_have_merchants_tokens_and_phones_of_their_own() {
    let [first, second] = two().await;
    second.world.unbind_phone(&mp(0)).unwrap();
    assert_eq!(first.phone(&mp(0), true).await["has_mobile"], true);
    assert_eq!(second.phone(&mp(0), true).await["has_mobile"], false);
    assert_eq!((first.world.asks().len(), second.world.asks().len()), (0, 1));
    // A refresh token of the one is none of the other's.
    let strange = refresh_token(&first.world, &mp(0));
    assert_eq!(code(&second.refresh(&mp(0), &strange).await), 61023);
    assert!(first.refresh(&mp(0), &strange).await["authorizer_access_token"].is_string());
    // A secret, too: the body names the platform that refuses it.
    let mixed = json!({"component_appid": second.world.plan().component_appid,
        "component_appsecret": first.world.plan().component_appsecret,
        "component_verify_ticket": second.world.plan().verify_ticket});
    assert_eq!(code(&second.post("/cgi-bin/component/api_component_token", &mixed).await), 40125);
    second.world.withdraw(&mp(1)).unwrap();
    assert_eq!(code(&second.phone(&mp(1), false).await), 61003);
    assert_eq!(code(&first.phone(&mp(1), false).await), 0);
}

#[tokio::test]
async fn a_limit_and_a_script_are_those_of_one_platform() {
    let [first, second] = two().await;
    second.world.script(Rule::new(Oddity::Errcode(61004)).on(Endpoint::Getcallbackconfig)).unwrap();
    for n in 0..3 {
        assert_eq!(code(&second.phone(&mp(n), false).await), 0);
    }
    // On a loaded machine more than a second can lie between three calls, so call until three come close enough.
    let mut calls = 1;
    while code(&first.phone(&mp(0), false).await) != 45011 {
        calls += 1;
        assert!(calls < 1_000, "no limit is kept");
    }
    assert!(calls >= 3);
    let asked = async |caller: &Caller| code(&caller.account("/tcb/getcallbackconfig", &mp(0), json!({})).await);
    assert_eq!((asked(&first).await, asked(&second).await), (0, 61004));
    assert_eq!((first.world.arrived(Endpoint::Checkmobile), second.world.arrived(Endpoint::Checkmobile)), (calls, 3));
}

#[tokio::test]
async fn control_paths_are_about_the_platform_that_the_query_names() {
    let [first, second] = two().await;
    let appid = second.world.plan().component_appid.clone();
    let (_, listed) = first.get("/_sim/platforms").await;
    assert_eq!(listed[1], json!({"component_appid": appid, "merchants": 24}));
    first.post(&format!("/_sim/withdraw?platform={appid}"), &json!({"appid": mp(3)})).await;
    let withdrawn = |world: &World| world.merchant_card(&mp(3)).unwrap().withdrawn;
    assert_eq!((withdrawn(&first.world), withdrawn(&second.world)), (false, true));
    assert_eq!(first.get("/_sim/plan").await.1["component_appid"], first.world.plan().component_appid);
    let (status, refusal) = first.get("/_sim/plan?platform=wx0000000000000000").await;
    assert_eq!((status, &refusal["error"]), (422, &json!("wx0000000000000000 is no platform of this simulation")));
    let twice = Plan::default();
    assert!(SimulatedWechat::start_with("127.0.0.1:0".parse().unwrap(), twice.clone(), vec![twice]).is_err());
}
