//! The simulated WeChat over real HTTP: each endpoint, the token rules, limits, links, every oddity, the read-out.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

struct Caller {
    server: Arc<SimulatedWechat>,
    world: Arc<World>,
    http: reqwest::Client,
    component: String,
}

fn mp(n: u32) -> String {
    Plan::mini_program(n)
}

fn oa(n: u32) -> String {
    Plan::official_account(n)
}

fn no_odd_callbacks() -> Plan {
    Plan { mini_programs: 20, official_accounts: 4, phone_missing_share: 0.0, ..Plan::default() }
}

impl Caller {
    async fn with(plan: Plan) -> Self {
        let server = SimulatedWechat::start("127.0.0.1:0".parse().unwrap(), plan).unwrap();
        let world = server.world();
        Self::of(Arc::new(server), world).await
    }

    async fn of(server: Arc<SimulatedWechat>, world: Arc<World>) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        let mut caller = Self { world, server, http, component: String::new() };
        let body = json!({"component_appid": caller.world.plan().component_appid,
            "component_appsecret": caller.world.plan().component_appsecret,
            "component_verify_ticket": caller.world.plan().verify_ticket});
        let answer = caller.post("/cgi-bin/component/api_component_token", &body).await;
        caller.component = answer["component_access_token"].as_str().unwrap().to_owned();
        caller
    }

    async fn new() -> Self {
        Self::with(no_odd_callbacks()).await
    }

    async fn raw(&self, path_and_query: &str, body: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{path_and_query}", self.server.base_url());
        self.http.post(url).body(body.to_owned()).send().await
    }

    async fn post(&self, path_and_query: &str, body: &Value) -> Value {
        let response = self.raw(path_and_query, &body.to_string()).await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn get(&self, path_and_query: &str) -> (u16, Value) {
        let response = self.http.get(format!("{}{path_and_query}", self.server.base_url())).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    /// A component call with the fresh component token.
    async fn component(&self, name: &str, mut body: Value) -> Value {
        body["component_appid"] = self.world.plan().component_appid.clone().into();
        let path = format!("/cgi-bin/component/{name}?component_access_token={}", self.component);
        self.post(&path, &body).await
    }

    fn live(&self, appid: &str) -> String {
        self.world.issue_live_token(appid).unwrap().0
    }

    /// An account call with a fresh token.
    async fn account(&self, path: &str, appid: &str, body: Value) -> Value {
        let token = self.live(appid);
        self.post(&format!("{path}?access_token={token}"), &body).await
    }

    async fn phone(&self, appid: &str, push_tmpl: bool) -> Value {
        self.account("/tcb/checkmobile", appid, json!({"push_tmpl": push_tmpl})).await
    }

    async fn invite(&self, n_oa: u32, n_mp: u32) -> i64 {
        let body = json!({"appid": mp(n_mp), "notify_users": 0, "show_profile": "1"});
        code(&self.account("/cgi-bin/wxopen/wxamplink", &oa(n_oa), body).await)
    }

    /// Status by appid as `wxamplinkget` shows it.
    async fn status(&self, n_oa: u32, n_mp: u32) -> Option<u64> {
        let list = self.account("/cgi-bin/wxopen/wxamplinkget", &oa(n_oa), json!({})).await;
        assert_eq!(code(&list), 0);
        let items = list["wxopens"]["items"].as_array().cloned().unwrap_or_default();
        items.iter().find(|item| item["appid"] == mp(n_mp).as_str()).map(|item| item["status"].as_u64().unwrap())
    }

    async fn statuses(&self, n_oa: u32, n_mp: u32, polls: usize) -> Vec<Option<u64>> {
        let mut seen = Vec::new();
        for _ in 0..polls {
            seen.push(self.status(n_oa, n_mp).await);
        }
        seen
    }

    async fn refresh(&self, appid: &str, refresh_token: &str) -> Value {
        let body = json!({"authorizer_appid": appid, "authorizer_refresh_token": refresh_token});
        self.component("api_authorizer_token", body).await
    }
}

fn code(answer: &Value) -> i64 {
    answer.get("errcode").map_or(0, |code| code.as_i64().unwrap())
}

fn refresh_token(world: &World, appid: &str) -> String {
    world.merchant_card(appid).unwrap().refresh_token
}

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
    assert_eq!(caller.world.links(&oa(0)), [(mp(1), 1)].into());
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
async fn beyond_the_limit_of_a_second_calls_answer_45011() {
    let caller = Caller::with(Plan { limits: [("checkmobile".to_owned(), 1)].into(), ..no_odd_callbacks() }).await;
    let mut good = 0;
    // On a loaded machine more than a second can lie between two calls, so call until two come close enough.
    while code(&caller.phone(&mp(0), true).await) != 45011 {
        good += 1;
    }
    let counts = caller.world.counts(Endpoint::Checkmobile);
    assert_eq!((counts.arrived, counts.ok, counts.by_errcode[&45011]), (good + 1, good, 1));
    assert!(counts.worst_second >= 2);
    caller.world.set_limit(Endpoint::Checkmobile, None);
    for _ in 0..3 {
        assert_eq!(code(&caller.phone(&mp(0), false).await), 0);
    }
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
async fn every_readable_oddity_still_holds_the_answer() {
    let caller = Caller::new().await;
    let path = format!("/tcb/checkmobile?access_token={}", caller.live(&mp(0)));
    let bytes = async |oddity| {
        caller.world.script(Rule::new(oddity).of(mp(0)).on(Endpoint::Checkmobile).times(1)).unwrap();
        let response = caller.raw(&path, "{}").await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, response.bytes().await.unwrap().to_vec())
    };
    let answer = async |oddity| serde_json::from_slice::<Value>(&bytes(oddity).await.1).unwrap();
    let text = answer(Oddity::ErrcodeAsString).await;
    assert_eq!((&text["errcode"], &text["has_mobile"]), (&json!("0"), &json!(true)));
    assert_eq!(answer(Oddity::MissingErrcode).await, json!({"has_mobile": true}));
    assert!(answer(Oddity::ExtraFields).await["added_in_2031"].is_object());
    assert_eq!(answer(Oddity::DelayMs(1)).await["has_mobile"], true);
    let (kind, body) = bytes(Oddity::WrongContentType).await;
    assert!(kind.starts_with("text/html") && serde_json::from_slice::<Value>(&body).is_ok());
    let (_, body) = bytes(Oddity::InvalidUtf8).await;
    assert!(std::str::from_utf8(&body).is_err());
    let lossy: Value = serde_json::from_str(&String::from_utf8_lossy(&body)).unwrap();
    assert_eq!(lossy["has_mobile"], true);
    let (_, body) = bytes(Oddity::RawControlCharacters).await;
    assert!(body.contains(&7) && serde_json::from_slice::<Value>(&body).is_err());
    let counts = caller.world.counts(Endpoint::Checkmobile);
    assert_eq!((counts.arrived, counts.ok), (7, 7));
}

#[tokio::test]
async fn an_echo_repeats_the_whole_request_and_has_no_effect() {
    let caller = Caller::new().await;
    caller.world.unbind_phone(&mp(0)).unwrap();
    let token = caller.live(&mp(0));
    let path = format!("/tcb/checkmobile?access_token={token}");
    for (oddity, status) in [(Oddity::Echo(40001), 200), (Oddity::EchoPage(502), 502)] {
        caller.world.script(Rule::new(oddity).times(1)).unwrap();
        let response = caller.raw(&path, r#"{"push_tmpl":true,"words":"sent in the body"}"#).await.unwrap();
        assert_eq!(response.status(), status);
        let text = response.text().await.unwrap();
        assert!(text.contains(&token) && text.contains("sent in the body"), "{text}");
        assert_eq!(text.contains(r#""errcode":40001"#), status == 200, "{text}");
    }
    assert_eq!(caller.world.asks().len(), 1, "a page may have had its effect, an error has none");
}

#[tokio::test]
async fn every_unreadable_oddity_hides_the_answer_and_nothing_else() {
    let caller = Caller::new().await;
    caller.world.unbind_phone(&mp(0)).unwrap();
    let path = format!("/tcb/checkmobile?access_token={}", caller.live(&mp(0)));
    let ask = async |oddity| {
        caller.world.script(Rule::new(oddity).times(1)).unwrap();
        caller.raw(&path, r#"{"push_tmpl":true}"#).await
    };
    let reset = ask(Oddity::Reset).await.unwrap_err();
    assert!(!reset.is_timeout() && reset.status().is_none());
    assert_eq!(caller.world.asks().len(), 1);
    let page = ask(Oddity::HttpStatus(503)).await.unwrap();
    assert_eq!(page.status(), 503);
    assert!(page.text().await.unwrap().starts_with("<html>"));
    assert_eq!(ask(Oddity::EmptyBody).await.unwrap().text().await.unwrap(), "");
    let half = ask(Oddity::TruncatedJson).await.unwrap().bytes().await.unwrap();
    assert!(!half.is_empty() && serde_json::from_slice::<Value>(&half).is_err());
    assert!(ask(Oddity::Oversized).await.unwrap().bytes().await.unwrap().len() > 1 << 20);
    assert_eq!(ask(Oddity::Redirect).await.unwrap().status(), 302);
    caller.world.script(Rule::new(Oddity::Hang).times(1)).unwrap();
    let hanging = caller.http.post(format!("{}{path}", caller.server.base_url())).body("{}");
    let hanging = tokio::spawn(hanging.send());
    while caller.world.counts(Endpoint::Checkmobile).unreadable < 7 {
        tokio::task::yield_now().await;
    }
    assert!(!hanging.is_finished());
    hanging.abort();
    let counts = caller.world.counts(Endpoint::Checkmobile);
    assert_eq!((counts.arrived, counts.ok, counts.unreadable), (7, 0, 7));
    assert_eq!(caller.world.answered_well(Endpoint::Checkmobile), Vec::<String>::new());
    assert_eq!(caller.world.asks().len(), 6);
}

#[tokio::test]
async fn an_unheard_call_has_no_effect_and_a_scripted_errcode_neither() {
    let caller = Caller::new().await;
    caller.world.unbind_phone(&mp(0)).unwrap();
    let path = format!("/tcb/checkmobile?access_token={}", caller.live(&mp(0)));
    caller.world.script(Rule::new(Oddity::Reset).of(mp(0)).times(1).unheard()).unwrap();
    caller.raw(&path, r#"{"push_tmpl":true}"#).await.unwrap_err();
    caller.world.script(Rule::new(Oddity::Errcode(-1000)).on(Endpoint::Checkmobile)).unwrap();
    for _ in 0..3 {
        assert_eq!(code(&caller.phone(&mp(0), true).await), -1000);
    }
    assert_eq!(caller.world.asks(), []);
    caller.world.clear_script();
    assert_eq!(code(&caller.phone(&mp(0), true).await), 0);
    let unknown = caller.world.script(Rule::new(Oddity::Reset).of("wx0"));
    assert_eq!(unknown, Err(WorldError::UnknownMerchant("wx0".to_owned())));
}

#[tokio::test]
async fn the_narrower_rule_comes_first_and_rules_are_used_up_in_order() {
    let caller = Caller::new().await;
    let script = |rule| caller.world.script(rule).unwrap();
    script(Rule::new(Oddity::Errcode(1)).times(1));
    script(Rule::new(Oddity::Errcode(2)).times(1));
    script(Rule::new(Oddity::Errcode(3)).on(Endpoint::Checkmobile).times(1));
    script(Rule::new(Oddity::Errcode(4)).of(mp(0)).times(1));
    script(Rule::new(Oddity::Errcode(5)).of(mp(0)).on(Endpoint::Checkmobile).times(1));
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(code(&caller.phone(&mp(0), false).await));
    }
    assert_eq!(codes, [5, 4, 3, 1, 2, 0]);
}

#[tokio::test]
async fn the_readout_counts_what_happened() {
    let caller = Caller::new().await;
    caller.world.unbind_phone(&mp(0)).unwrap();
    caller.phone(&mp(0), true).await;
    caller.phone(&mp(1), false).await;
    caller.invite(0, 1).await;
    caller.refresh(&mp(0), &refresh_token(&caller.world, &mp(0))).await;
    let (status, told) = caller.get("/_sim/readout").await;
    assert_eq!(status, 200);
    let readout = caller.world.readout();
    assert_eq!(serde_json::from_value::<Readout>(told).unwrap(), readout);
    assert_eq!((readout.asks, readout.invitations, readout.refreshes), (1, 1, 1));
    assert_eq!(readout.endpoints["checkmobile"].ok, 2);
    assert!(readout.concurrent_calls_max >= 1);
    assert_eq!(caller.world.answered_well(Endpoint::Checkmobile), [mp(0), mp(1)]);
    assert_eq!(caller.world.arrivals(Endpoint::Checkmobile).len(), 2);
    caller.world.reset_counts();
    caller.world.set_record_arrivals(false);
    caller.phone(&mp(1), false).await;
    let counts = caller.world.counts(Endpoint::Checkmobile);
    assert_eq!((counts.arrived, counts.arrivals_not_kept, counts.worst_second), (1, 1, 0));
}

#[tokio::test]
async fn every_control_path_of_the_table_answers() {
    let caller = Caller::new().await;
    let table = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    let mut paths = 0;
    for line in table {
        let (method, path) = line.split_once('`').unwrap().0.split_once(' ').unwrap();
        let url = format!("{}/_sim/{path}", caller.server.base_url());
        let request = if method == "GET" { caller.http.get(url) } else { caller.http.post(url) };
        assert_ne!(request.send().await.unwrap().status(), 404, "{path}");
        paths += 1;
    }
    // The arms of the two matches in control.rs that name a path.
    let arms = include_str!("control.rs").lines().filter(|line| line.starts_with("        \"") && line.contains("=>"));
    assert_eq!(paths, arms.count());
    let body = json!({"oddity": {"errcode": -1}, "endpoint": "checkmobile", "calls": 1});
    assert_eq!(caller.post("/_sim/script", &body).await, json!({"ok": true}));
    assert_eq!(code(&caller.phone(&mp(0), false).await), -1);
    let body = json!({"official_account": oa(0), "mini_program": mp(0), "mode": {"answers": 89407}});
    assert_eq!(caller.post("/_sim/link_mode", &body).await, json!({"ok": true}));
    assert_eq!(caller.invite(0, 0).await, 89407);
    let unknown = caller.post("/_sim/bind_phone", &json!({"appid": oa(0)})).await;
    assert_eq!(unknown["error"], format!("{} is of the wrong kind for this", oa(0)));
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

#[tokio::test]
async fn quirks_are_few_deterministic_and_never_more_than_answers() {
    let plan = Plan { quirks: true, mini_programs: 2000, ..Plan::default() };
    let odd = |plan: &Plan| -> Vec<u32> {
        (0..2000).filter(|n| Oddity::by_nature(plan, *n, Endpoint::Checkmobile, true).is_some()).collect()
    };
    assert_eq!(odd(&plan), odd(&plan.clone()));
    assert!((20..200).contains(&odd(&plan).len()));
    let caller = Caller::with(plan).await;
    let cards = caller.world.merchants();
    assert_eq!(cards.len(), 2010);
    let strange = cards.iter().filter(|card| card.nick_name.chars().any(|c| !c.is_ascii() || c.is_control())).count();
    assert!((20..100).contains(&strange), "{strange}");
}

#[tokio::test]
async fn stopping_cuts_a_call_that_hangs() {
    let caller = Caller::new().await;
    caller.world.script(Rule::new(Oddity::Hang)).unwrap();
    let path = format!("{}/tcb/checkmobile?access_token={}", caller.server.base_url(), caller.live(&mp(0)));
    let hanging = tokio::spawn(caller.http.post(path).body("{}").send());
    while caller.world.arrived(Endpoint::Checkmobile) == 0 {
        tokio::task::yield_now().await;
    }
    Arc::into_inner(caller.server).unwrap().stop().await;
    assert!(!hanging.await.unwrap().unwrap_err().is_timeout());
}

#[test]
fn windows_and_shares_are_counted_at_their_edges() {
    let second = Duration::from_secs(1);
    assert_eq!(gauge::worst_window(&[], second), 0);
    assert_eq!(gauge::worst_window(&[0, 999_999, 1_000_000, 1_500_000], second), 3);
    assert_eq!(gauge::worst_window(&[0, 1_000_000], second), 1);
    assert_eq!(gauge::used_share(&[0, 500_000, 1_000_000], 3, 2.0), Some(1.0));
    assert_eq!(gauge::used_share(&[5], 1, 2.0), None);
}

#[tokio::test]
async fn a_plan_survives_json_and_one_that_cannot_be_is_refused() {
    let plan =
        Plan { limits: [("wxamplink".to_owned(), 1)].into(), latency: Duration::from_millis(5), ..Plan::default() };
    let again: Plan = serde_json::from_value(serde_json::to_value(&plan).unwrap()).unwrap();
    assert_eq!(format!("{plan:?}"), format!("{again:?}"));
    let wrong = Plan { limits: [("nothing".to_owned(), 1)].into(), ..Plan::default() };
    assert!(SimulatedWechat::start("127.0.0.1:0".parse().unwrap(), wrong).is_err());
    let crowd = Plan { mini_programs: u32::MAX, official_accounts: 1, ..Plan::default() };
    assert!(SimulatedWechat::start("127.0.0.1:0".parse().unwrap(), crowd).is_err());
}

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
    let codes = [first.phone(&mp(0), false).await, first.phone(&mp(1), false).await, first.phone(&mp(2), false).await];
    assert_eq!(codes.each_ref().map(code), [0, 0, 45011]);
    let asked = async |caller: &Caller| code(&caller.account("/tcb/getcallbackconfig", &mp(0), json!({})).await);
    assert_eq!((asked(&first).await, asked(&second).await), (0, 61004));
    assert_eq!((first.world.arrived(Endpoint::Checkmobile), second.world.arrived(Endpoint::Checkmobile)), (3, 3));
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

fn push(info_type: &str, appid: Option<String>) -> Push {
    Push { info_type: info_type.to_owned(), appid, ..Push::default() }
}

/// A platform that keeps what it is told: queries and bodies. It is busy for the first few pushes.
async fn listener(busy: usize) -> (String, Arc<std::sync::Mutex<Vec<(String, String)>>>) {
    let told = Arc::<std::sync::Mutex<Vec<(String, String)>>>::default();
    let kept = Arc::clone(&told);
    let app = Router::new().fallback(move |uri: axum::http::Uri, body: String| {
        let mut told = gauge::hold(&kept);
        told.push((uri.query().unwrap_or_default().to_owned(), body));
        let answer = if told.len() > busy { "success" } else { "busy" };
        async move { answer }
    });
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, app).await });
    (url, told)
}

#[tokio::test]
async fn a_code_is_good_once_for_an_hour_and_only_while_it_is_the_newest() {
    let caller = Caller::new().await;
    let place = caller.world.place(&mp(1)).unwrap();
    let exchange = async |code: &str| caller.component("api_query_auth", json!({"authorization_code": code})).await;
    let (old, new) = (caller.world.issue_code(place), caller.world.issue_code(place));
    assert_eq!(code(&exchange(&old).await), 61009);
    let answer = exchange(&new).await["authorization_info"].clone();
    assert_eq!(answer["authorizer_appid"], mp(1));
    assert_eq!(answer["authorizer_refresh_token"], refresh_token(&caller.world, &mp(1)));
    assert_eq!(answer["func_info"][3], json!({"funcscope_category": {"id": 49}}));
    let token = answer["authorizer_access_token"].as_str().unwrap();
    let path = format!("/tcb/checkmobile?access_token={token}");
    assert_eq!(code(&caller.post(&path, &json!({"push_tmpl": false})).await), 0);
    assert_eq!(code(&exchange(&new).await), 61009);
    assert_eq!(code(&exchange("queryauthcode@@@sim-code-x-1").await), 61009);
    let late = caller.world.issue_code(place);
    caller.world.advance(Duration::from_secs(3600));
    assert_eq!(code(&exchange(&late).await), 61010);
    caller.world.withdraw(&mp(1)).unwrap();
    assert_eq!(code(&exchange(&caller.world.issue_code(place)).await), 61003);
}

#[tokio::test]
async fn an_account_without_api_rights_gets_no_tokens() {
    let caller = Caller::new().await;
    caller.world.set_api_rights(&mp(1), false).unwrap();
    let fresh = caller.world.issue_code(caller.world.place(&mp(1)).unwrap());
    let answer = caller.component("api_query_auth", json!({"authorization_code": fresh})).await;
    let names: Vec<&String> = answer["authorization_info"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["authorizer_appid", "func_info"]);
}

#[tokio::test]
async fn a_pushed_ticket_is_taken_for_twelve_hours() {
    let caller = Caller::new().await;
    let (url, told) = listener(1).await;
    caller.world.set_receiver(ReceiverUrl { url: Some(url), plain_json: true, automatic: false }).unwrap();
    let pushed = caller.world.push(&push("component_verify_ticket", None)).await.unwrap();
    assert_eq!((pushed.status, pushed.answer.as_str(), pushed.taken()), (200, "busy", false));
    let message: Value = serde_json::from_str(&gauge::hold(&told)[0].1).unwrap();
    assert_eq!(message["ComponentVerifyTicket"], caller.world.newest_ticket());
    assert!(message["CreateTime"].is_i64());
    let plan = caller.world.plan();
    let body = json!({"component_appid": plan.component_appid, "component_appsecret": plan.component_appsecret,
        "component_verify_ticket": caller.world.newest_ticket()});
    assert_eq!(code(&caller.post("/cgi-bin/component/api_component_token", &body).await), 0);
    caller.world.advance(Duration::from_secs(12 * 3600));
    assert_eq!(code(&caller.post("/cgi-bin/component/api_component_token", &body).await), 61006);
}

#[tokio::test]
async fn events_are_told_by_themselves_and_again_until_they_are_taken() {
    let caller = Caller::new().await;
    let (url, told) = listener(2).await;
    let receiver = json!({"url": url, "automatic": true});
    assert_eq!(caller.post("/_sim/receiver", &receiver).await, json!({"ok": true}));
    caller.world.stop_tickets();
    caller.world.withdraw(&mp(2)).unwrap();
    let tries = || -> Vec<Pushed> {
        caller.world.pushes().into_iter().filter(|pushed| pushed.info_type == "unauthorized").collect()
    };
    while !tries().last().is_some_and(Pushed::taken) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(tries().len() >= 2, "a ticket may have found the platform busy once");
    let told = gauge::hold(&told).clone();
    assert!(
        told.iter().all(|(query, body)| query.contains("msg_signature=") && body.contains("<Encrypt>")),
        "{told:?}"
    );
    assert_ne!(told[0].0, told[1].0, "each try has a signature of its own");
    let unheard = caller.post("/_sim/push", &json!({"info_type": "unauthorized", "appid": "wxnobody"})).await;
    assert_eq!(unheard["error"], "wxnobody is no merchant of this simulation");
    let nowhere = caller.post("/_sim/receiver", &json!({"url": "https://example.com"})).await;
    assert_eq!(nowhere["error"], "the receiver's URL must begin with http:// and name a host");
}

#[tokio::test]
async fn a_ticket_is_pushed_every_ten_minutes_while_it_is_not_stopped() {
    let caller = Caller::new().await;
    let (url, told) = listener(0).await;
    caller.world.set_receiver(ReceiverUrl { url: Some(url), plain_json: true, automatic: true }).unwrap();
    let until = async |pushes: usize| {
        while gauge::hold(&told).len() < pushes {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(1).await;
    caller.world.advance(Duration::from_secs(600));
    until(2).await;
    assert_eq!(caller.world.newest_ticket(), format!("{}@1", caller.world.plan().verify_ticket));
    let plan = caller.world.plan();
    let ask = json!({"component_appid": plan.component_appid, "component_secret": plan.component_appsecret});
    let ask = async || caller.post("/cgi-bin/component/api_start_push_ticket", &ask).await;
    assert_eq!(ask().await["errmsg"], "in a normal state");
    caller.world.stop_tickets();
    caller.world.advance(Duration::from_secs(600));
    assert_eq!(ask().await["errmsg"], "ok");
    until(3).await;
}

#[tokio::test]
async fn a_replayed_push_is_the_last_one_to_the_letter() {
    let caller = Caller::new().await;
    let (url, told) = listener(1).await;
    let nothing = caller.world.push(&push("unauthorized", Some(mp(1)))).await;
    assert_eq!(nothing, Err(WorldError::NoReceiver));
    caller.world.set_receiver(ReceiverUrl { url: Some(url), plain_json: false, automatic: false }).unwrap();
    caller.world.push(&push("unauthorized", Some(mp(1)))).await.unwrap();
    let replayed = Push { fault: Some(Fault::Replayed), ..Push::default() };
    assert!(caller.world.push(&replayed).await.unwrap().taken());
    let told = gauge::hold(&told).clone();
    assert_eq!(told[0], told[1]);
    assert_eq!(caller.world.pushes().len(), 2);
}
