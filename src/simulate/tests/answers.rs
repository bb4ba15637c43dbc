//! What is asked about merchants: phones, callback configurations, and links with their administrators.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn only_a_pushed_check_of_a_missing_phone_is_an_ask() {
    let caller = Caller::new().await;
    caller.world.unbind_phone(&mp(0)).unwrap();
    assert_eq!(caller.phone(&mp(0), false).await["has_mobile"], false);
    assert_eq!(caller.phone(&mp(1), true).await["has_mobile"], true);
    assert_eq!(caller.world.asks(), []);
    caller.phone(&mp(0), true).await;
    caller.phone(&mp(0), true).await;
    assert_eq!(caller.world.asks().len(), 2);
    caller.world.set_throttle_asks(true);
    assert_eq!(code(&caller.phone(&mp(0), true).await), -601_026);
    caller.world.advance(Duration::from_secs(24 * 3600));
    assert_eq!(code(&caller.phone(&mp(0), true).await), 0);
    caller.world.bind_phone(&mp(0)).unwrap();
    assert_eq!(caller.phone(&mp(0), true).await["has_mobile"], true);
    let asks = caller.world.asks();
    assert_eq!(asks.len(), 3);
    assert!(asks[2].at_micros - asks[1].at_micros >= 24 * 3600 * 1_000_000);
}

#[tokio::test]
async fn a_callback_configuration_keeps_its_meaning_until_it_is_changed() {
    let caller = Caller::with(Plan { mini_programs: 64, ..Plan::default() }).await;
    let canonical = |answer: &Value| {
        let mut data: Value = serde_json::from_str(&answer.to_string().replace("_path \"", "_path\"")).unwrap();
        if let Some(callbacks) = data["data"]["function_config"]["callbacks"].as_array_mut() {
            callbacks.sort_by_key(Value::to_string);
        }
        // The rid is the only part of an error that differs from call to call.
        if code(&data) == 0 { data } else { data["errcode"].clone() }
    };
    let (mut shapes, mut orders) = (BTreeSet::new(), 0);
    for n in 0..64 {
        let first = caller.account("/tcb/getcallbackconfig", &mp(n), json!({})).await;
        let second = caller.account("/tcb/getcallbackconfig", &mp(n), json!({})).await;
        assert_eq!(canonical(&first), canonical(&second));
        orders += usize::from(code(&first) == 0 && first != second);
        shapes.insert(canonical(&first).to_string());
        caller.world.change_callback(&mp(n)).unwrap();
        let changed = caller.account("/tcb/getcallbackconfig", &mp(n), json!({})).await;
        assert_ne!(canonical(&first), canonical(&changed));
    }
    assert!(shapes.len() > 30 && shapes.contains("-601034"), "{shapes:?}");
    assert!(orders > 10);
    caller.world.set_callback(&mp(1), Some(json!({"x": 1}))).unwrap();
    assert_eq!(caller.account("/tcb/getcallbackconfig", &mp(1), json!({})).await["data"], json!({"x": 1}));
    caller.world.set_callback(&mp(1), None).unwrap();
    assert_eq!(code(&caller.account("/tcb/getcallbackconfig", &mp(1), json!({})).await), -601_034);
}

#[tokio::test]
async fn an_invitation_passes_both_administrators() {
    let caller = Caller::new().await;
    assert_eq!(caller.status(0, 1).await, None);
    assert_eq!(caller.invite(0, 1).await, 0);
    assert_eq!(caller.invite(0, 1).await, 89010);
    assert_eq!(caller.statuses(0, 1, 4).await, [Some(12), Some(2), Some(1), Some(1)]);
    assert_eq!(caller.invite(0, 1).await, 89015);
    assert_eq!(caller.world.invitations().len(), 1);
    assert!(!caller.world.invitations()[0].notify_users);
    assert_eq!(caller.world.links(&oa(0)).unwrap(), [(mp(1), 1)].into());
    assert!(caller.world.unlink(&oa(0), &mp(1)).unwrap());
    assert_eq!(caller.status(0, 1).await, None);
}

#[tokio::test]
async fn each_link_mode_decides_its_own_way() {
    let caller = Caller::new().await;
    for (n, mode, answered, seen) in [
        (1, LinkMode::NoConfirmation, 0, [Some(12), Some(1), Some(1)]),
        (2, LinkMode::AtOnce, 0, [Some(1), Some(1), Some(1)]),
        (3, LinkMode::OfficialAccountRefuses, 0, [Some(12), None, None]),
        (4, LinkMode::MiniProgramRefuses, 0, [Some(12), Some(2), Some(3)]),
        (5, LinkMode::Stalls, 0, [Some(12), Some(12), Some(12)]),
        (6, LinkMode::AlreadyLinked, 89015, [Some(1), Some(1), Some(1)]),
        (7, LinkMode::Status(77), 0, [Some(77), Some(77), Some(77)]),
        (8, LinkMode::Answers(89245), 89245, [None, None, None]),
    ] {
        caller.world.link_mode(&oa(1), &mp(n), mode).unwrap();
        assert_eq!(caller.invite(1, n).await, answered, "{mode:?}");
        assert_eq!(caller.statuses(1, n, 3).await, seen, "{mode:?}");
    }
    assert!(caller.world.approve(&oa(1), &mp(5)).unwrap());
    assert_eq!(caller.status(1, 5).await, Some(2));
    assert_eq!(caller.invite(1, 19).await, 0);
    let target = |appid: String| json!({"appid": appid, "notify_users": 0, "show_profile": 0});
    let path = "/cgi-bin/wxopen/wxamplink";
    assert_eq!(code(&caller.account(path, &oa(1), target(mp(20))).await), 40013);
    assert_eq!(code(&caller.account(path, &oa(1), target(oa(2))).await), -1);
    assert_eq!(code(&caller.account(path, &oa(1), json!({"appid": mp(1)})).await), 40097);
}

#[tokio::test]
async fn approvals_by_hand_lead_on_in_every_mode() {
    let caller = Caller::new().await;
    for (n, mode, approved, seen) in [
        (1, LinkMode::NoConfirmation, 1, [Some(1), Some(1)]),
        (2, LinkMode::OfficialAccountRefuses, 2, [Some(2), Some(1)]),
        (3, LinkMode::MiniProgramRefuses, 2, [Some(2), Some(3)]),
    ] {
        caller.world.link_mode(&oa(1), &mp(n), mode).unwrap();
        assert_eq!(caller.invite(1, n).await, 0);
        assert!(caller.world.approve(&oa(1), &mp(n)).unwrap());
        assert_eq!(caller.world.links(&oa(1)).unwrap()[&mp(n)], approved, "{mode:?}");
        assert_eq!(caller.statuses(1, n, 2).await, seen, "{mode:?}");
    }
    // What is decided otherwise while an invitation is out holds for it.
    assert_eq!(caller.invite(1, 4).await, 0);
    caller.world.link_mode(&oa(1), &mp(4), LinkMode::AtOnce).unwrap();
    assert_eq!(caller.status(1, 4).await, Some(1));
}

#[tokio::test]
async fn a_merchant_s_token_has_one_name_and_dies_when_it_withdraws() {
    let caller = Caller::new().await;
    let token = caller.live(&mp(1));
    let body = json!({"push_tmpl": false});
    let call = async |name: &str| code(&caller.post(&format!("/tcb/checkmobile?{name}={token}"), &body).await);
    assert_eq!((call("component_access_token").await, call("access_token").await), (41001, 0));
    caller.world.withdraw(&mp(1)).unwrap();
    assert_eq!(call("access_token").await, 61003);
    caller.world.authorize(&mp(1)).unwrap();
    assert_eq!(call("access_token").await, 42001);
}

#[tokio::test]
async fn the_list_says_when_a_merchant_authorized_last() {
    let caller = Caller::new().await;
    let listed = async || {
        let list = caller.component("api_get_authorizer_list", json!({"offset": 1, "count": 1})).await;
        list["list"][0]["auth_time"].as_i64().unwrap()
    };
    let first = listed().await;
    caller.world.update_authorization(&mp(1), &[49]).unwrap();
    assert!(listed().await > first);
    // Who withdrew is not back because it is said to have changed what it grants.
    caller.world.withdraw(&mp(2)).unwrap();
    caller.world.update_authorization(&mp(2), &[49]).unwrap();
    assert!(caller.world.merchant_card(&mp(2)).unwrap().withdrawn);
}
