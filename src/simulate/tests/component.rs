//! The platform's own endpoints: tokens and how they end, the list of its merchants, who withdrew, and quotas.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn a_component_token_needs_the_right_appid_secret_and_ticket() {
    let caller = Caller::new().await;
    let plan = caller.world.plan().clone();
    let path = "/cgi-bin/component/api_component_token";
    let right = json!({"component_appid": plan.component_appid, "component_appsecret": plan.component_appsecret,
        "component_verify_ticket": plan.verify_ticket});
    let answer = caller.post(path, &right).await;
    assert_eq!(answer["expires_in"], 7200);
    assert_eq!(answer.get("errcode"), None);
    for (field, wrong, errcode) in [
        ("component_appsecret", json!("wrong"), 40125),
        ("component_verify_ticket", json!("wrong"), 61006),
        ("component_appid", json!("wx0000"), 40013),
        ("component_appid", Value::Null, 41018),
        ("component_appsecret", Value::Null, 41004),
    ] {
        let mut body = right.clone();
        body[field] = wrong;
        let answer = caller.post(path, &body).await;
        assert_eq!(code(&answer), errcode, "{field}");
        assert!(answer["errmsg"].as_str().unwrap().contains(" rid: "));
    }
    assert_eq!(caller.world.component_token_fetches(), 2);
    let push = json!({"component_appid": plan.component_appid, "component_secret": plan.component_appsecret});
    let path = "/cgi-bin/component/api_start_push_ticket";
    assert_eq!(caller.post(path, &push).await["errmsg"], "ok");
    assert_eq!(caller.post(path, &push).await["errmsg"], "in a normal state");
}

#[tokio::test]
async fn a_refresh_needs_the_right_refresh_token_and_keeps_the_old_access_token_for_five_minutes() {
    let caller = Caller::new().await;
    let refresh = refresh_token(&caller.world, &mp(1));
    let first = caller.refresh(&mp(1), &refresh).await;
    assert_eq!(first["authorizer_refresh_token"], refresh.as_str());
    let path = format!("/tcb/checkmobile?access_token={}", first["authorizer_access_token"].as_str().unwrap());
    assert_eq!(code(&caller.post(&path, &json!({})).await), 0);
    caller.refresh(&mp(1), &refresh).await;
    assert_eq!(code(&caller.post(&path, &json!({})).await), 0);
    caller.world.advance(Duration::from_secs(301));
    assert_eq!(code(&caller.post(&path, &json!({})).await), 40001);
    assert_eq!(code(&caller.refresh(&mp(1), "wrong").await), 61023);
    assert_eq!(code(&caller.refresh(&mp(2), &refresh).await), 61023);
    assert_eq!(caller.world.refreshes(), [(mp(1), 2)].into());
}

#[tokio::test]
async fn a_rotated_refresh_token_works_five_minutes_longer_and_a_new_authorization_ends_the_old_at_once() {
    let caller = Caller::new().await;
    caller.world.set_rotate_refresh_tokens(true);
    let old = refresh_token(&caller.world, &mp(1));
    let new = caller.refresh(&mp(1), &old).await["authorizer_refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    caller.world.set_rotate_refresh_tokens(false);
    assert_eq!(code(&caller.refresh(&mp(1), &old).await), 0);
    caller.world.advance(Duration::from_secs(301));
    assert_eq!(code(&caller.refresh(&mp(1), &old).await), 61023);
    assert_eq!(code(&caller.refresh(&mp(1), &new).await), 0);
    let current = refresh_token(&caller.world, &mp(1));
    caller.world.authorize(&mp(1)).unwrap();
    assert_eq!(code(&caller.refresh(&mp(1), &current).await), 61023);
    assert_eq!(code(&caller.refresh(&mp(1), &refresh_token(&caller.world, &mp(1))).await), 0);
}

#[tokio::test]
async fn each_fault_of_a_token_has_its_own_code() {
    let caller = Caller::new().await;
    let ask =
        async |token: &str| code(&caller.post(&format!("/tcb/checkmobile?access_token={token}"), &json!({})).await);
    assert_eq!(code(&caller.post("/tcb/checkmobile", &json!({})).await), 41001);
    assert_eq!(ask("garbage").await, 40014);
    assert_eq!(ask(&format!("sim-at-{}-9", mp(3))).await, 40014);
    assert_eq!(ask(&caller.component).await, 61015);
    assert_eq!(ask(&caller.live(&oa(0))).await, 48001);
    let token = caller.live(&mp(3));
    assert_eq!(ask(&token).await, 0);
    let path = format!("/tcb/checkmobile?access_token={token}");
    assert_eq!(caller.get(&path).await.1["errcode"], 43002);
    let broken: Value = serde_json::from_str(&caller.raw(&path, "{").await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(code(&broken), 47001);
    caller.world.advance(Duration::from_secs(7201));
    assert_eq!(ask(&token).await, 42001);
    let token = caller.live(&mp(3));
    caller.world.expire_all_tokens();
    assert_eq!(ask(&token).await, 42001);
    caller.world.set_permission_sets(&mp(3), &[18]).unwrap();
    assert_eq!(ask(&caller.live(&mp(3))).await, 61007);
    let list = format!("/cgi-bin/component/api_get_authorizer_list?component_access_token={}", caller.live(&mp(3)));
    assert_eq!(code(&caller.post(&list, &json!({})).await), 61014);
}

#[tokio::test]
async fn the_list_pages_over_all_but_the_withdrawn() {
    let plan = Plan { mini_programs: 700, official_accounts: 60, ..Plan::default() };
    let caller = Caller::with(plan).await;
    for n in [0, 1, 250, 699] {
        caller.world.withdraw(&mp(n)).unwrap();
    }
    caller.world.hide_refresh_token(&mp(2), true).unwrap();
    let mut seen = Vec::new();
    loop {
        let page = caller.component("api_get_authorizer_list", json!({"offset": seen.len(), "count": 100})).await;
        assert_eq!(page["total_count"], 756);
        let list = page["list"].as_array().unwrap().clone();
        if list.is_empty() {
            break;
        }
        seen.extend(list);
    }
    let appids: BTreeSet<_> = seen.iter().map(|one| one["authorizer_appid"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), appids.len()), (756, 756));
    assert!(!appids.contains(mp(250).as_str()));
    assert_eq!(seen[0]["refresh_token"], "");
    assert_eq!(seen[1]["refresh_token"], refresh_token(&caller.world, &mp(3)));
    let over = caller.component("api_get_authorizer_list", json!({"offset": 0, "count": 501})).await;
    assert_eq!(code(&over), 40170);
}

#[tokio::test]
async fn the_authorizer_info_tells_a_mini_program_by_its_own_object() {
    let caller = Caller::new().await;
    caller.world.unbind_phone(&mp(5)).unwrap();
    let answer = caller.component("api_get_authorizer_info", json!({"authorizer_appid": mp(5)})).await;
    assert!(answer["authorizer_info"]["MiniProgramInfo"].is_object());
    assert_eq!(answer["authorizer_info"]["basic_config"]["is_phone_configured"], false);
    assert_eq!(answer["authorizer_info"]["account_status"], 1);
    let sets = answer["authorization_info"]["func_info"].as_array().unwrap();
    assert!(sets.iter().any(|set| set["funcscope_category"]["id"] == 49));
    let answer = caller.component("api_get_authorizer_info", json!({"authorizer_appid": oa(1)})).await;
    assert_eq!(answer["authorizer_info"].get("MiniProgramInfo"), None);
    assert!(answer["authorizer_info"]["user_name"].as_str().unwrap().starts_with("gh_"));
    let unknown = caller.component("api_get_authorizer_info", json!({"authorizer_appid": mp(9999)})).await;
    assert_eq!(code(&unknown), 61003);
}

#[tokio::test]
async fn a_withdrawn_merchant_answers_61003_everywhere_until_it_authorizes_again() {
    let caller = Caller::new().await;
    let (token, refresh) = (caller.live(&mp(4)), refresh_token(&caller.world, &mp(4)));
    caller.world.withdraw(&mp(4)).unwrap();
    let path = format!("/tcb/checkmobile?access_token={token}");
    assert_eq!(code(&caller.post(&path, &json!({})).await), 61003);
    assert_eq!(code(&caller.refresh(&mp(4), &refresh).await), 61003);
    let body = json!({"authorizer_appid": mp(4)});
    assert_eq!(code(&caller.component("api_get_authorizer_info", body.clone()).await), 61003);
    caller.world.authorize(&mp(4)).unwrap();
    assert_eq!(code(&caller.component("api_get_authorizer_info", body).await), 0);
    assert_eq!(caller.phone(&mp(4), false).await["has_mobile"], true);
}

#[tokio::test]
async fn the_quota_is_told_only_to_a_token_that_fits_the_path() {
    let caller = Caller::with(Plan { limits: [("checkmobile".to_owned(), 5)].into(), ..no_odd_callbacks() }).await;
    let ask = async |appid: String, path: &str| {
        caller.account("/cgi-bin/openapi/quota/get", &appid, json!({"cgi_path": path})).await
    };
    assert_eq!(ask(mp(0), "/tcb/checkmobile").await["component_rate_limit"]["call_count"], 5);
    assert_eq!(code(&ask(oa(0), "/tcb/checkmobile").await), 76022);
    assert_eq!(code(&ask(mp(0), "tcb/checkmobile").await), 76003);
    assert_eq!(code(&ask(mp(0), "/nothing").await), 76021);
}

#[tokio::test]
async fn tokens_for_many_merchants_are_live_and_count_as_no_refresh() {
    let caller = Caller::with(Plan { mini_programs: 5, official_accounts: 2, ..Plan::default() }).await;
    let issued = caller.post("/_sim/issue_live_tokens", &json!({"offset": 3, "count": 10})).await;
    let issued = issued.as_array().unwrap();
    let appids: Vec<&str> = issued.iter().map(|one| one["appid"].as_str().unwrap()).collect();
    assert_eq!(appids, [mp(3), mp(4), oa(0), oa(1)]);
    for one in &issued[..2] {
        let path = format!("/tcb/checkmobile?access_token={}", one["access_token"].as_str().unwrap());
        assert_eq!(code(&caller.post(&path, &json!({"push_tmpl": false})).await), 0);
    }
    assert_eq!(caller.world.answered_well(Endpoint::Checkmobile), [mp(3), mp(4)]);
    assert!(caller.world.refreshes().is_empty());
    let beyond = caller.post("/_sim/issue_live_tokens", &json!({"offset": 7, "count": 10})).await;
    assert_eq!(beyond, json!([]));
}
