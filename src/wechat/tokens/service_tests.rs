//! The source over real HTTP: every way in which it can answer, and what is never said of it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::net::TcpListener;

use super::service::{TokenService, TokenServiceSettings, TokenTemplate};
use super::*;
use crate::domain::ports::{ForeignToken, Holder, SourceFault};

const COMPONENT: &str = "wx9999999999999999";
const KEY: &str = "planted-key";

/// What arrived: path with query, and the bearer.
type Arrived = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A service that always answers this.
async fn serving(status: u16, headers: &'static [(&'static str, &'static str)], body: Vec<u8>) -> (String, Arrived) {
    let arrived = Arrived::default();
    let noted = Arc::clone(&arrived);
    let router = Router::new().fallback(move |request: Request| {
        let header = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        lock(&noted).push((request.uri().to_string(), header));
        let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::from(body.clone())).unwrap();
        async move { response }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, arrived)
}

fn settings(base: &str) -> TokenServiceSettings {
    TokenServiceSettings {
        merchant: TokenTemplate::parse(&format!("{base}/of/{{component_appid}}/{{appid}}?key={KEY}"), true).unwrap(),
        component: None,
        bearer: Some("planted-bearer".to_owned().into()),
        pointer: "/data/token".to_owned(),
        component_pointer: "/component_access_token".to_owned(),
        expiry_pointer: "/data/ends".to_owned(),
    }
}

async fn ask(base: &str, appid: &str) -> Result<Option<ForeignToken>, SourceFault> {
    let service = TokenService::new(settings(base)).unwrap();
    service.token(COMPONENT, &Holder::Merchant(appid.to_owned())).await
}

#[tokio::test]
async fn a_token_and_its_end_are_read_where_the_pointers_say() {
    let body = json!({"data": {"token": " fake-token ", "ends": "3600"}, "access_token": "fake-other"});
    let (base, arrived) = serving(200, &[], body.to_string().into_bytes()).await;
    let token = ask(&base, "wx1111111111111111").await.unwrap().unwrap();
    assert_eq!(token.access_token.expose_secret(), "fake-token");
    assert_eq!(token.good_for, Some(Duration::from_secs(3600)));
    let expected = format!("/of/{COMPONENT}/wx1111111111111111?key={KEY}");
    assert_eq!(*lock(&arrived), [(expected, Some("Bearer planted-bearer".to_owned()))]);
}

#[tokio::test]
async fn an_appid_can_not_leave_its_place_in_the_address() {
    let body = json!({"data": {"token": "fake"}}).to_string().into_bytes();
    let (base, arrived) = serving(200, &[], body).await;
    for (appid, path) in [
        ("a/../b?c#d&e=f", "a%2F%2E%2E%2Fb%3Fc%23d%26e%3Df"),
        ("{appid}", "%7Bappid%7D"),
        ("小店", "%E5%B0%8F%E5%BA%97"),
        ("wx-1_2", "wx-1_2"),
    ] {
        assert!(ask(&base, appid).await.unwrap().is_some());
        let (uri, _) = lock(&arrived).pop().unwrap();
        assert_eq!(uri, format!("/of/{COMPONENT}/{path}?key={KEY}"));
    }
    for dots in [".", "..", ""] {
        assert!(ask(&base, dots).await.unwrap().is_none());
    }
    assert!(lock(&arrived).is_empty());
}

#[tokio::test]
async fn the_platform_s_own_token_has_its_own_address_and_name() {
    let body = json!({"component_access_token": "fake-component", "data": {"token": "fake-merchant"}});
    let (base, arrived) = serving(200, &[], body.to_string().into_bytes()).await;
    let without = TokenService::new(settings(&base)).unwrap();
    assert!(!without.knows_the_platform() && without.token(COMPONENT, &Holder::Component).await.unwrap().is_none());
    let component = Some(TokenTemplate::parse(&format!("{base}/own/{{component_appid}}"), false).unwrap());
    let with = TokenService::new(TokenServiceSettings { component, ..settings(&base) }).unwrap();
    let token = with.token(COMPONENT, &Holder::Component).await.unwrap().unwrap();
    assert_eq!((token.access_token.expose_secret(), token.good_for), ("fake-component", None));
    assert_eq!(lock(&arrived)[0].0, format!("/own/{COMPONENT}"));
}

#[tokio::test]
async fn whoever_knows_no_token_says_so_in_one_of_these_ways() {
    for (status, body) in [
        (404, "<html>not here</html>"),
        (204, ""),
        (200, r#"{"data": {"token": null}}"#),
        (200, r#"{"data": {"token": ""}}"#),
    ] {
        let (base, _) = serving(status, &[], body.as_bytes().to_vec()).await;
        assert!(ask(&base, "wx1").await.unwrap().is_none(), "{status} {body}");
    }
}

#[tokio::test]
async fn every_answer_that_is_no_use_has_its_sentence_without_a_word_of_it() {
    let huge = format!(r#"{{"data": {{"token": "planted-token", "ends": 7200}}, "more": "{}"}}"#, "x".repeat(70_000));
    let long = json!({"data": {"token": format!("planted-token{}", "x".repeat(5000))}}).to_string();
    let location: &[(&str, &str)] = &[("location", "http://127.0.0.1:1/planted-token")];
    for (status, headers, body, words) in [
        (500, &[][..], "planted-token", "answers HTTP status 500"),
        (302, location, "planted-token", "redirect (HTTP status 302), which is not followed"),
        (401, &[], "planted-token", "check WXPATROL_TOKEN_BEARER"),
        (403, &[], "planted-token", "check WXPATROL_TOKEN_BEARER"),
        (200, &[], "", "empty body"),
        (200, &[], "  \n ", "empty body"),
        (200, &[], "<html>planted-token</html>", "a page instead of JSON"),
        (200, &[], "planted-token", "no JSON"),
        (200, &[], r#"{"data": {"token": "planted-tok"#, "no JSON"),
        (200, &[], r#"{"errcode": 1, "errmsg": "planted-token"}"#, "no text at /data/token"),
        (200, &[], r#"{"data": {"token": 7}}"#, "no text at /data/token"),
        (200, &[], r#"{"data": {"token": "planted token"}}"#, "no token"),
        (200, &[], long.as_str(), "no token"),
        (200, &[], r#"{"data": {"token": "planted-token", "ends": "planted-token"}}"#, "at /data/ends"),
        (200, &[], huge.as_str(), "more than 65536 bytes"),
    ] {
        let (base, arrived) = serving(status, headers, body.as_bytes().to_vec()).await;
        let sentence = ask(&base, "wx1").await.unwrap_err().to_string();
        assert!(sentence.starts_with("the external token source ") && sentence.contains(words), "{sentence}");
        let port = base.rsplit(':').next().unwrap();
        for secret in ["planted", KEY, port, "/of/"] {
            assert!(!sentence.contains(secret), "{sentence}");
        }
        assert_eq!(lock(&arrived).len(), 1, "it is asked once");
    }
}

#[tokio::test]
async fn a_source_that_is_not_there_or_hangs_up_has_its_sentence_without_its_address() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let refused = ask(&base, "wx1").await.unwrap_err().to_string();
    assert!(refused.contains("can not be reached"), "{refused}");
    let hangs_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = format!("http://{}", hangs_up.local_addr().unwrap());
    tokio::spawn(async move { while hangs_up.accept().await.is_ok() {} });
    let broke = ask(&there, "wx1").await.unwrap_err().to_string();
    assert!(broke.contains("broke the connection"), "{broke}");
    for sentence in [refused, broke] {
        for secret in [KEY, "planted", "/of/"] {
            assert!(!sentence.contains(secret), "{sentence}");
        }
    }
}

#[tokio::test]
async fn a_source_that_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", silent.local_addr().unwrap());
    let mut kept = Vec::new();
    let accepting = tokio::spawn(async move {
        while let Ok(connection) = silent.accept().await {
            kept.push(connection);
        }
    });
    let sentence = ask(&base, "wx1").await.unwrap_err().to_string();
    assert_eq!(sentence, "the external token source did not answer within 5 s");
    accepting.abort();
}

#[test]
fn nothing_of_a_source_shows_in_its_debug_form() {
    let service = TokenService::new(settings("http://127.0.0.1:1")).unwrap();
    let shown = format!("{service:?}");
    assert!(!shown.contains(KEY) && !shown.contains("planted-bearer"), "{shown}");
}
