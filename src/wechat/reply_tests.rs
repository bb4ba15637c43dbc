//! Every oddity of a body that was seen or is feared, each with what must come of it.

use serde_json::json;

use super::*;
use crate::domain::{Endpoint, errcode};

const CHECK: Request = Request::CheckMobile { push_tmpl: false };

fn link_request() -> Request {
    Request::WxampLink { mini_program: "wx1111111111111111".to_owned(), notify_users: false, show_profile: false }
}

fn reply(request: &Request, body: impl AsRef<[u8]>) -> Result<Reply, CallError> {
    read(request, body.as_ref()).0
}

fn unreadable(result: Result<Reply, CallError>) -> bool {
    matches!(result, Err(CallError::Unreadable(_)))
}

fn configured(body: impl AsRef<[u8]>) -> Value {
    match reply(&Request::GetCallbackConfig, body) {
        Ok(Reply::Callback(Callback::Configured(config))) => serde_json::from_str(config.text()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_phone_is_read_however_the_switch_is_written() {
    for (text, has_mobile) in
        [("true", true), ("false", false), ("1", true), ("0", false), ("\"true\"", true), ("\"0\"", false)]
    {
        let body = format!(r#"{{"errcode":0,"errmsg":"ok","has_mobile":{text},"new_field":[1]}}"#);
        assert_eq!(reply(&CHECK, body), Ok(Reply::CheckMobile { has_mobile }), "{text}");
    }
}

#[test]
fn a_success_without_errcode_is_a_success() {
    assert_eq!(reply(&CHECK, r#"{"has_mobile":true}"#), Ok(Reply::CheckMobile { has_mobile: true }));
    assert_eq!(reply(&link_request(), r#"{"errmsg":"ok"}"#), Ok(Reply::Linked(LinkAnswer::Sent)));
}

#[test]
fn a_success_without_has_mobile_is_unreadable() {
    for body in [r#"{"errcode":0}"#, r#"{"errcode":0,"has_mobile":null}"#, r#"{"errcode":0,"has_mobile":{}}"#] {
        assert!(unreadable(reply(&CHECK, body)), "{body}");
    }
}

#[test]
fn what_is_no_answer_of_wechat_is_unreadable() {
    for request in [CHECK, Request::GetCallbackConfig, link_request(), Request::WxampLinkGet] {
        for body in [
            "",
            "  \n",
            "<html>busy</html>",
            "[]",
            "[0,\"ok\"]",
            "null",
            "\"ok\"",
            "0",
            "{}",
            r#"{"a":1}"#,
            r#"{"errcode":0"#,
            r#"{"errcode":{}}"#,
            r#"{"errcode":"many"}"#,
            "\u{feff}",
        ] {
            assert!(unreadable(reply(&request, body)), "{body} on {request:?}");
        }
    }
}

#[test]
fn an_errcode_as_text_is_an_errcode() {
    let result = reply(&CHECK, r#"{"errcode":"61007","errmsg":"api is unauthorized rid: 61725984-6126f6f9-040f19c4"}"#);
    let Err(CallError::Refused { errcode, class, rid, .. }) = result else { panic!("{result:?}") };
    assert_eq!((errcode, class, rid.as_deref()), (61007, Class::Permission, Some("61725984-6126f6f9-040f19c4")));
}

#[test]
fn a_whole_number_with_a_point_is_an_integer_and_a_broken_one_is_not() {
    let errcode = |number: &str| reply(&CHECK, format!(r#"{{"errcode":{number},"has_mobile":true}}"#));
    assert_eq!(errcode("0.0"), Ok(Reply::CheckMobile { has_mobile: true }));
    assert_eq!(errcode("4.8001e4").unwrap_err().errcode(), Some(48001));
    for odd in ["48001.5", "1e300", "18446744073709551615"] {
        assert!(unreadable(errcode(odd)), "{odd}");
    }
}

#[test]
fn odd_fields_do_not_hide_an_errcode() {
    let body = r#"{"errcode":40001,"errmsg":["x"],"has_mobile":[{}],"data":"","wxopens":7}"#;
    for request in [CHECK, Request::GetCallbackConfig, Request::WxampLinkGet] {
        assert_eq!(reply(&request, body).map_err(|error| error.class()), Err(Class::Token));
    }
}

#[test]
fn an_errmsg_is_bounded_and_plain() {
    let body = json!({"errcode": -1, "errmsg": format!("a\u{7}\n{}", "长".repeat(500))}).to_string();
    let Err(CallError::Refused { errmsg, .. }) = reply(&CHECK, body) else { panic!("a success") };
    assert_eq!(errmsg.chars().count(), 200);
    assert!(!errmsg.chars().any(char::is_control));
}

#[test]
fn an_invitation_that_is_out_or_done_is_no_refusal() {
    for (code, answer) in [
        (0, LinkAnswer::Sent),
        (89010, LinkAnswer::Pending),
        (89035, LinkAnswer::Pending),
        (89015, LinkAnswer::Already),
    ] {
        let body = json!({"errcode": code, "errmsg": "has linked wxa hint: [x]"}).to_string();
        assert_eq!(reply(&link_request(), body), Ok(Reply::Linked(answer)), "{code}");
    }
    let refused = reply(&link_request(), r#"{"errcode":89245}"#);
    assert_eq!(refused.map_err(|error| error.class()), Err(errcode::classify(Endpoint::WxampLink, 89245)));
}

#[test]
fn no_links_are_written_in_five_ways() {
    for body in [
        r#"{"errcode":0}"#,
        r#"{"errcode":0,"wxopens":null}"#,
        r#"{"errcode":0,"wxopens":{}}"#,
        r#"{"errcode":0,"wxopens":{"items":[]}}"#,
        r#"{"errcode":0,"wxopens":{"items":null}}"#,
    ] {
        assert_eq!(reply(&Request::WxampLinkGet, body), Ok(Reply::Links(Vec::new())), "{body}");
    }
    assert!(unreadable(reply(&Request::WxampLinkGet, r#"{"errcode":0,"wxopens":{"items":"x"}}"#)));
    assert!(unreadable(reply(&Request::WxampLinkGet, r#"{"errcode":0,"wxopens":[]}"#)));
}

#[test]
fn a_bad_nickname_does_not_hide_the_other_links() {
    let mut body =
        br#"{"errcode":0,"wxopens":{"items":[{"status":"12","appid":"wxaaaaaaaaaaaaaaaa","nickname":"a"#.to_vec();
    body.extend_from_slice(b"\x00\x01\xff\xfe\"},");
    body.extend_from_slice(
        br#"7,{"nickname":"nobody"},{"status":1,"appid":"wxbbbbbbbbbbbbbbbb","selected":1,"email":"ops@example.com"}]}}"#,
    );
    let Ok(Reply::Links(links)) = reply(&Request::WxampLinkGet, body) else { panic!("no links") };
    let seen: Vec<_> = links.iter().map(|link| (link.appid.as_str(), link.status)).collect();
    assert_eq!(seen, [("wxaaaaaaaaaaaaaaaa", 12), ("wxbbbbbbbbbbbbbbbb", 1)]);
    assert!(!format!("{links:?}").contains("example.com"));
}

#[test]
fn equal_configurations_have_one_form() {
    let one = configured(
        r#"{"errcode":0,"data":{"function_config":{"enable":false,"callbacks":[
            {"msgType":"text","event":"","env":"e","functionName":"kf","enable":true},
            {"msgType":"event","event":"x","env":"e","functionName":"kf","enable":"0"}]},
            "container_config":{"enable":1,"qbase_env":"e","qbase_container_path ":"/wx","text_mode":"1"},"later":null}}"#,
    );
    let other = configured(
        r#"{"data":{"later":null,"container_config":{"text_mode":1,"qbase_container_path":"/wx","qbase_env":"e","enable":true},
            "function_config":{"callbacks":[
            {"enable":false,"functionName":"kf","env":"e","event":"x","msgType":"event"},
            {"msgType":"text","event":"","env":"e","functionName":"kf","enable":true}],"enable":"false"}},"errcode":"0"}"#,
    );
    assert_eq!(one.to_string(), other.to_string());
    assert_eq!(one["function_config"]["callbacks"][0]["msgType"], "event");
    assert!(one.as_object().is_some_and(|fields| fields.contains_key("later")));
}

#[test]
fn a_configuration_that_never_was_is_absent_however_it_is_written() {
    for body in [
        r#"{"errcode":0}"#,
        r#"{"errcode":0,"data":null}"#,
        r#"{"errcode":0,"data":{}}"#,
        r#"{"errcode":0,"data":{"function_config":null,"container_config":null}}"#,
    ] {
        assert_eq!(reply(&Request::GetCallbackConfig, body), Ok(Reply::Callback(Callback::Absent)), "{body}");
    }
    assert!(unreadable(reply(&Request::GetCallbackConfig, r#"{"errcode":0,"data":[]}"#)));
}

#[test]
fn a_nul_in_a_configuration_is_kept() {
    let config = configured(b"{\"errcode\":0,\"data\":{\"container_config\":{\"qbase_env\":\"a\0b\"}}}");
    assert_eq!(config["container_config"]["qbase_env"], "a\0b");
}

#[test]
fn an_unknown_cloud_code_does_not_apply() {
    let result = reply(&Request::GetCallbackConfig, r#"{"errcode":-501007,"errmsg":"x"}"#);
    assert_eq!(result.map_err(|error| error.class()), Err(Class::NotApplicable));
}

#[test]
fn a_quota_of_zero_is_no_quota() {
    let request = Request::QuotaGet { about: Endpoint::CheckMobile };
    let body = r#"{"errcode":0,"quota":{"daily_limit":0,"used":0,"remain":0},
        "component_rate_limit":{"call_count":"300","refresh_second":60}}"#;
    let expected = Quota { day: None, rate: None, component_rate: Some(Frequency { calls: 300, window_secs: 60 }) };
    assert_eq!(reply(&request, body), Ok(Reply::Quota(expected)));
}

#[test]
fn an_invitation_carries_numbers_and_messages_nobody_unless_told() {
    assert_eq!(
        String::from_utf8(link_request().body()).unwrap(),
        r#"{"appid":"wx1111111111111111","notify_users":0,"show_profile":0}"#
    );
}

#[test]
fn a_name_cut_in_the_middle_of_an_emoji_is_read() {
    let body = br#"{"errcode":0,"wxopens":{"items":[
        {"status":1,"appid":"wxaaaaaaaaaaaaaaaa","nickname":"a\ud83d"},
        {"status":1,"appid":"wxbbbbbbbbbbbbbbbb","nickname":"\ud83d\ude00\u00e9\"\q"}]}}"#;
    let Ok(Reply::Links(links)) = reply(&Request::WxampLinkGet, body) else { panic!("no links") };
    let names: Vec<_> = links.iter().map(|link| link.nickname.as_deref()).collect();
    assert_eq!(names, [Some("a\u{fffd}"), Some("\u{1f600}\u{e9}\"\\q")]);
}

proptest::proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let mut quoted = b"{\"errmsg\":\"".to_vec();
        quoted.extend_from_slice(&bytes);
        quoted.extend_from_slice(b"\",\"errcode\":0,\"has_mobile\":true}");
        let _result = reply(&CHECK, &bytes);
        let _result = reply(&CHECK, quoted);
    }
}
