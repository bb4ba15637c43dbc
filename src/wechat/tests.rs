//! The wire as a whole: a merchant's call with its one repeat, and the platform's own calls.

use std::collections::HashMap;

use secrecy::ExposeSecret;
use serde_json::json;

use super::fixture::{APPID, World};
use super::*;
use crate::domain::Endpoint::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_refused_token_is_refreshed_and_the_call_repeated_once() {
    for code in [40001, 42001, 40014] {
        let world = World::new().await;
        let stored = world.vault.put("fake-stored", HOUR);
        world.script.next(CheckMobile, json!({"errcode": code}));
        let answer = world.ask(Some(stored)).await;
        assert_eq!(answer.result, Ok(Reply::CheckMobile { has_mobile: true }));
        let tokens: Vec<_> =
            world.script.calls(CheckMobile).iter().map(|call| call.query["access_token"].clone()).collect();
        assert_eq!(tokens, ["fake-stored", "fake-token-1"]);
    }
}

#[tokio::test]
async fn a_token_refused_twice_is_refused() {
    let world = World::new().await;
    for _ in 0..3 {
        world.script.next(CheckMobile, json!({"errcode": 40001}));
    }
    let answer = world.ask(None).await;
    assert_eq!(answer.result.map_err(|error| error.class()), Err(Class::Token));
    assert_eq!((world.script.calls(CheckMobile).len(), world.script.calls(ApiAuthorizerToken).len()), (2, 2));
}

#[tokio::test]
async fn only_a_token_answer_is_repeated() {
    for code in [-1, -1000, 45011, 48001, 61003, 61004, 777] {
        let world = World::new().await;
        world.script.next(CheckMobile, json!({"errcode": code}));
        assert_eq!(world.ask(None).await.result.map_err(|error| error.errcode()), Err(Some(code)));
        assert_eq!(world.script.calls(CheckMobile).len(), 1, "{code}");
    }
}

#[tokio::test]
async fn without_a_slot_the_refusal_stands() {
    let world = World::new().await;
    world.wire.pace().close(1, CheckMobile, HOUR);
    world.script.next(CheckMobile, json!({"errcode": 40001}));
    let answer = world.ask(None).await;
    assert_eq!(answer.result.map_err(|error| error.class()), Err(Class::Token));
    assert_eq!(world.script.calls(CheckMobile).len(), 1);
}

#[tokio::test]
async fn nothing_is_called_after_the_deadline() {
    let world = World::new().await;
    let stored = world.vault.put("fake-stored", HOUR);
    let request = Request::GetCallbackConfig;
    for stored in [Some(stored), None] {
        let answer = world.wire.call_with_token(&world.platform, APPID, stored, &request, Instant::now()).await;
        assert!(answer.result.unwrap_err().certainly_not_made());
    }
    assert_eq!(world.script.calls(GetCallbackConfig).len(), 0);
}

#[tokio::test]
async fn a_merchant_without_a_token_is_not_called() {
    let world = World::new().await;
    world.vault.merchant(|row| row.withdrawn = true);
    let answer = world.ask(None).await;
    assert_eq!(answer.result, Err(CallError::NoToken(TokenFault::Withdrawn)));
    assert_eq!((answer.latency, world.script.calls(CheckMobile).len()), (Duration::ZERO, 0));
}

#[tokio::test]
async fn the_repeat_takes_a_permit_of_its_own() {
    let limits = HashMap::from([(CheckMobile, Some("1/min".parse().unwrap()))]);
    let world = World::with(Duration::from_secs(10), limits).await;
    let _first = world.wire.pace().permit(1, CheckMobile).await.unwrap();
    world.script.next(CheckMobile, json!({"errcode": 40001}));
    let stored = world.vault.put("fake-stored", HOUR);
    let deadline = Instant::now() + Duration::from_secs(3);
    let request = Request::CheckMobile { push_tmpl: false };
    let answer = world.wire.call_with_token(&world.platform, APPID, Some(stored), &request, deadline).await;
    assert_eq!(answer.result.map_err(|error| error.class()), Err(Class::Token), "the next slot is a minute away");
    assert_eq!(world.script.calls(CheckMobile).len(), 1);
}

#[tokio::test]
async fn the_authorizer_list_is_read_page_by_page() {
    let world = World::new().await;
    world.script.next(ApiGetAuthorizerList, json!({"errcode": 42001}));
    world.script.next(
        ApiGetAuthorizerList,
        json!({"total_count": "3", "list": [
            {"authorizer_appid": "wxa", "refresh_token": "fake-refresh-a", "auth_time": 1_600_000_000},
            {"authorizer_appid": "wxb", "refresh_token": "", "auth_time": null},
            {"refresh_token": "fake-nobody"}]}),
    );
    let page = world.wire.authorizer_list(&world.platform, 0, 9999).await.unwrap();
    assert_eq!((page.total, page.held, page.entries.len()), (Some(3), 3, 2));
    let refresh_token = page.entries[0].refresh_token.as_ref().map(ExposeSecret::expose_secret);
    assert_eq!((refresh_token, page.entries[0].authorized_at_secs), (Some("fake-refresh-a"), Some(1_600_000_000)));
    assert!(page.entries[1].refresh_token.is_none());
    let calls = world.script.calls(ApiGetAuthorizerList);
    assert_eq!(calls.len(), 2, "a dead component token is refreshed once");
    assert_eq!(calls[1].body, json!({"component_appid": "wx9999999999999999", "offset": 0, "count": 500}));
    assert_eq!(calls[1].query["component_access_token"], "fake-component-2");
    world.script.next(ApiGetAuthorizerList, json!({"total_count": 3}));
    assert_eq!(world.wire.authorizer_list(&world.platform, 500, 500).await.unwrap().held, 0);
    world.script.next(ApiGetAuthorizerList, json!({"errcode": 0, "errmsg": "ok"}));
    assert!(world.wire.authorizer_list(&world.platform, 0, 500).await.is_err(), "an answer without a list is no page");
}

#[tokio::test]
async fn the_kind_of_an_account_is_told_by_its_objects() {
    for (part, kind) in [
        (json!({"MiniProgramInfo": {"network": {}}}), AccountKind::MiniProgram),
        (json!({"MiniProgramInfo": null}), AccountKind::OfficialAccount),
        (json!({"nick_name": "Demo shop"}), AccountKind::OfficialAccount),
        (json!({"channels_info": {}}), AccountKind::Other),
        (json!({"store_info": {}}), AccountKind::Other),
        (json!({"talent_info": {}}), AccountKind::Other),
        (json!({"supplier_info": {}}), AccountKind::Other),
    ] {
        let world = World::new().await;
        world.script.next(ApiGetAuthorizerInfo, json!({"authorizer_info": part}));
        assert_eq!(world.wire.authorizer_info(&world.platform, APPID).await.unwrap().kind, kind, "{part}");
    }
    let world = World::new().await;
    world.script.next(ApiGetAuthorizerInfo, json!({"authorizer_info": {}}));
    assert!(world.wire.authorizer_info(&world.platform, APPID).await.is_err(), "an empty object tells no kind");
}

#[tokio::test]
async fn what_is_known_about_a_merchant_is_read() {
    let world = World::new().await;
    world.script.next(
        ApiGetAuthorizerInfo,
        json!({
            "authorizer_info": {
                "nick_name": "Demo shop", "user_name": "gh_0123456789ab", "principal_name": "Demo Ltd",
                "account_status": 1, "MiniProgramInfo": {}, "basic_config": {"is_phone_configured": true}
            },
            "authorization_info": {
                "authorizer_appid": APPID, "authorizer_refresh_token": "",
                "func_info": [{"funcscope_category": {"id": 49}}, {"funcscope_category": {"id": "33"}}, {}, 7]
            }
        }),
    );
    let info = world.wire.authorizer_info(&world.platform, APPID).await.unwrap();
    assert_eq!(info.nickname.as_deref(), Some("Demo shop"));
    assert_eq!(info.principal_name.as_deref(), Some("Demo Ltd"));
    assert_eq!((info.account_status, info.phone_configured), (Some(1), Some(true)));
    assert_eq!(info.permission_sets, Some(vec![33, 49]));
    assert!(info.refresh_token.is_none());
    world.script.next(ApiGetAuthorizerInfo, json!({"errcode": 61003}));
    let error = world.wire.authorizer_info(&world.platform, APPID).await.unwrap_err();
    assert_eq!(error.class(), Class::Withdrawn);
}

#[tokio::test]
async fn tickets_are_asked_for_with_the_secret_under_its_other_name() {
    let world = World::new().await;
    let answer = world.wire.wechat().start_push_ticket(&world.platform).await.unwrap();
    assert_eq!(answer, PushTicket::Started);
    let call = &world.script.calls(ApiStartPushTicket)[0];
    assert_eq!(call.body, json!({"component_appid": "wx9999999999999999", "component_secret": "fake-secret"}));
    assert!(call.query.is_empty());
    world.script.next(ApiStartPushTicket, json!({"errcode": 0, "errmsg": "in a normal state"}));
    assert_eq!(world.wire.wechat().start_push_ticket(&world.platform).await.unwrap(), PushTicket::Running);
}

#[tokio::test]
async fn a_code_is_exchanged_with_the_component_token_and_again_only_when_that_token_was_refused() {
    let world = World::new().await;
    let code = SecretString::from("queryauthcode@@@fake");
    world.script.next(ApiQueryAuth, json!({"errcode": 42001}));
    world.script.next(
        ApiQueryAuth,
        json!({"authorization_info": {"authorizer_appid": APPID, "authorizer_access_token": "fake-first",
            "expires_in": 7200, "authorizer_refresh_token": "fake-refresh",
            "func_info": [{"funcscope_category": {"id": 49}}]}}),
    );
    let authorization = world.wire.query_auth(&world.platform, APPID, &code).await.unwrap();
    assert_eq!(authorization.access_token.unwrap().0.expose_secret(), "fake-first");
    assert_eq!(authorization.refresh_token.unwrap().expose_secret(), "fake-refresh");
    assert_eq!(authorization.permission_sets, Some(vec![49]));
    let calls = world.script.calls(ApiQueryAuth);
    assert_eq!(calls.len(), 2);
    let expected = json!({"component_appid": "wx9999999999999999", "authorization_code": "queryauthcode@@@fake"});
    assert!(calls.iter().all(|call| call.body == expected && call.query.contains_key("component_access_token")));
    world.script.next(ApiQueryAuth, json!({"errcode": 61009}));
    let refused = world.wire.query_auth(&world.platform, APPID, &code).await.unwrap_err();
    assert_eq!((refused.errcode(), refused.class()), (Some(61009), Class::Bug));
    assert_eq!(world.script.calls(ApiQueryAuth).len(), 3);
}
