//! The simulated WeChat over real HTTP: each endpoint, the token rules, limits, links, every oddity, the read-out.

mod answers;
mod component;
mod oddities;
mod platforms;
mod push;

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
    for (path, body, word) in [
        ("limit", json!({"endpoint": "checkmobile", "per_secnd": 5}), "per_secnd"),
        ("callback", json!({"appid": mp(0), "dat": {}}), "dat"),
        ("script", json!({"oddity": "reset", "calls": 0}), "at least one"),
        ("script", json!({"oddity": {"http_status": 99}}), "between 200 and 599"),
        ("account_status", json!({"appid": mp(0), "status": 200}), "1, 14, 16, 18 or 19"),
        ("push", json!({}), "the platform listens"),
    ] {
        let refused = caller.post(&format!("/_sim/{path}"), &body).await;
        assert!(refused["error"].as_str().is_some_and(|error| error.contains(word)), "{path}: {refused}");
    }
    for (path, status) in [
        ("links?appid=wxnobody", 422),
        ("merchants?offset=-5", 400),
        ("worst_window?endpoint=checkmobile&seconds=NaN", 400),
        ("advance", 404),
    ] {
        assert_eq!(caller.get(&format!("/_sim/{path}")).await.0, status, "{path}");
    }
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
