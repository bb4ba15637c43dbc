//! What the platform's event URL is told, when it is told again, and the codes that come along.

use super::*;

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
    assert_eq!(code(&caller.post("/cgi-bin/component/api_component_token", &body).await), 61005);
    let mut strange = body.clone();
    strange["component_verify_ticket"] = json!("ticket@@@strange");
    assert_eq!(code(&caller.post("/cgi-bin/component/api_component_token", &strange).await), 61006);
}

#[tokio::test]
async fn pushes_by_the_real_clock_are_dated_by_it_whatever_the_simulated_one_says() {
    for (pushes_by_real_clock, shifted) in [(true, false), (false, true)] {
        let caller = Caller::with(Plan { pushes_by_real_clock, ..no_odd_callbacks() }).await;
        let (url, told) = listener(0).await;
        caller.world.set_receiver(ReceiverUrl { url: Some(url), plain_json: true, automatic: false }).unwrap();
        caller.world.advance(Duration::from_secs(30 * 24 * 3600));
        caller.world.push(&push("unauthorized", Some(mp(1)))).await.unwrap();
        let message: Value = serde_json::from_str(&gauge::hold(&told)[0].1).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(message["CreateTime"].as_u64().unwrap() > now + 24 * 3600, shifted);
    }
}

#[tokio::test]
async fn tickets_that_were_stopped_stay_stopped_though_the_platform_listens_elsewhere() {
    let caller = Caller::new().await;
    let (url, _told) = listener(0).await;
    let receiver = ReceiverUrl { url: Some(url), plain_json: true, automatic: false };
    caller.world.set_receiver(receiver.clone()).unwrap();
    caller.world.stop_tickets();
    caller.world.set_receiver(ReceiverUrl { url: None, ..receiver.clone() }).unwrap();
    caller.world.set_receiver(receiver).unwrap();
    let plan = caller.world.plan();
    let ask = json!({"component_appid": plan.component_appid, "component_secret": plan.component_appsecret});
    let answer = caller.post("/cgi-bin/component/api_start_push_ticket", &ask).await;
    assert_eq!(answer["errmsg"], "ok", "they were stopped until now");
    let forged = Push { fault: Some(Fault::ForgedSignature), ..push("unauthorized", Some(mp(1))) };
    assert_eq!(caller.world.push(&forged).await, Err(WorldError::NotSealed));
    assert_eq!(caller.world.push(&Push::default()).await, Err(WorldError::NothingToTell));
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
