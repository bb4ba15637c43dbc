//! Odd answers: each hides what it should and nothing else, and the script says which call gets which.

use super::*;

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
async fn quirks_are_few_deterministic_and_never_more_than_answers() {
    let plan = Plan { quirks: true, mini_programs: 2000, ..Plan::default() };
    let odd = |plan: &Plan| -> Vec<u32> {
        (0..2000).filter(|n| Oddity::by_nature(plan, *n, Endpoint::Checkmobile, false, true).is_some()).collect()
    };
    assert_eq!(odd(&plan), odd(&plan.clone()));
    assert!((20..200).contains(&odd(&plan).len()));
    // Calls that message somebody meet only what leaves open whether they did, and only once.
    let plan_of = &plan;
    let messaged =
        |first| (0..2000).filter_map(move |n| Oddity::by_nature(plan_of, n, Endpoint::Checkmobile, true, first));
    assert!((5..100).contains(&messaged(true).count()));
    assert!(messaged(true).all(|oddity| oddity != Oddity::ExtraFields && oddity != Oddity::Errcode(50002)));
    assert_eq!(messaged(false).count(), 0);
    let caller = Caller::with(plan.clone()).await;
    let cards = caller.world.merchants();
    assert_eq!(cards.len(), 2010);
    let strange = cards.iter().filter(|card| card.nick_name.chars().any(|c| !c.is_ascii() || c.is_control())).count();
    assert!((20..100).contains(&strange), "{strange}");
}
