//! Every way a call can fail, over real HTTP on the loopback, and a search for the token in all that comes out.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Query, Request as HttpRequest};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::any;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const MARKER: &str = "FAKE-TOKEN-MARKER";
const CHECK: Request = Request::CheckMobile { push_tmpl: true };

fn token() -> SecretString {
    SecretString::from(MARKER)
}

fn quick() -> Timeouts {
    Timeouts { connect: Duration::from_millis(500), total: Duration::from_millis(500) }
}

fn client(base: &str, timeouts: Timeouts) -> Wechat {
    Wechat::new(base.parse().unwrap(), timeouts).unwrap()
}

/// Serves a router on the loopback; the base URL.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Answers every connection with these bytes after reading something, then closes it.
async fn serve_raw(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(answer).await;
        }
    });
    format!("http://{address}")
}

/// An address on which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn answering(body: impl Into<Vec<u8>>) -> Router {
    let body = body.into();
    Router::new().fallback(any(move || async move { body }))
}

#[tokio::test]
async fn a_call_posts_json_with_its_token_in_the_query() {
    let seen = Arc::new(Mutex::new(None));
    let record = Arc::clone(&seen);
    let router = Router::new().route(
        "/prefix/tcb/checkmobile",
        axum::routing::post(
            move |Query(query): Query<Vec<(String, String)>>, request: HttpRequest<HttpBody>| async move {
                let kind = request.headers()["content-type"].to_str().unwrap().to_owned();
                let body = axum::body::to_bytes(request.into_body(), 1024).await.unwrap();
                *record.lock().unwrap() = Some((query, kind, body.to_vec()));
                r#"{"errcode":0,"errmsg":"ok rid: aa-bb-cc","has_mobile":false}"#
            },
        ),
    );
    let base = serve(router).await;
    let answer = client(&format!("{base}/prefix/"), Timeouts::default()).call(&token(), &CHECK).await;
    assert_eq!(answer.result, Ok(Reply::CheckMobile { has_mobile: false }));
    assert_eq!(answer.rid.as_deref(), Some("aa-bb-cc"));
    let (query, kind, body) = seen.lock().unwrap().take().unwrap();
    assert_eq!(query, [("access_token".to_owned(), MARKER.to_owned())]);
    assert_eq!(kind, "application/json");
    assert_eq!(body, br#"{"push_tmpl":true}"#);
}

#[tokio::test]
async fn a_refused_connection_was_certainly_not_made() {
    let answer = client(&nobody().await, Timeouts::default()).call(&token(), &CHECK).await;
    let error = answer.result.unwrap_err();
    assert!(matches!(error, CallError::NotConnected(_)), "{error:?}");
    assert!(error.certainly_not_made());
}

#[tokio::test]
async fn silence_is_a_time_out_and_may_have_been_made() {
    let base = serve(Router::new().fallback(any(std::future::pending::<String>))).await;
    let error = client(&base, quick()).call(&token(), &CHECK).await.result.unwrap_err();
    assert_eq!(error, CallError::TimedOut(Duration::from_millis(500)));
    assert!(!error.certainly_not_made());
    let error =
        client(&base, quick()).call_within(&token(), &CHECK, Duration::from_millis(20)).await.result.unwrap_err();
    assert_eq!(error, CallError::TimedOut(Duration::from_millis(20)));
}

#[tokio::test]
async fn a_connection_cut_off_is_broken_and_may_have_been_made() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"errcode\":0", b"nonsense\r\n\r\n"] {
        let error =
            client(&serve_raw(answer).await, Timeouts::default()).call(&token(), &CHECK).await.result.unwrap_err();
        assert!(matches!(error, CallError::Broken(_)), "{error:?}");
        assert!(!error.certainly_not_made());
    }
}

#[tokio::test]
async fn a_status_other_than_200_is_a_status_and_redirects_are_not_followed() {
    let error = |router| async {
        let base = serve(router).await;
        client(&base, Timeouts::default()).call(&token(), &CHECK).await.result.unwrap_err()
    };
    let busy = Router::new().fallback(any(|| async { (StatusCode::BAD_GATEWAY, "{\"errcode\":0}").into_response() }));
    assert_eq!(error(busy).await, CallError::Status(502));
    let moved = Router::new()
        .route("/elsewhere", any(|| async { r#"{"has_mobile":true}"# }))
        .fallback(any(|| async { Redirect::temporary("/elsewhere") }));
    assert_eq!(error(moved).await, CallError::Status(307));
}

#[tokio::test]
async fn a_body_is_read_up_to_one_mebibyte_and_not_a_byte_further() {
    let body = |len: usize| {
        let mut body = br#"{"has_mobile":true}"#.to_vec();
        body.resize(len, b' ');
        body
    };
    for (len, readable) in [(BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
        let base = serve(answering(body(len))).await;
        let result = client(&base, Timeouts::default()).call(&token(), &CHECK).await.result;
        assert_eq!(result.is_ok(), readable, "{len}");
        assert!(readable || matches!(result, Err(CallError::Unreadable(_))));
    }
}

#[test]
fn a_base_url_with_a_query_or_a_password_is_refused() {
    for base in ["https://h/?a=1", "https://user@h/", "https://:x@h/", "ftp://h/", "data:x", "https://h/#f"] {
        assert_eq!(
            Wechat::new(base.parse().unwrap(), Timeouts::default()).unwrap_err(),
            ClientError::BaseUrl,
            "{base}"
        );
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_failure_shows_the_token_at_any_level() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // A runtime of one thread, so that all the client's tasks log to this subscriber.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let silent = serve(Router::new().fallback(any(std::future::pending::<String>))).await;
            let mut shown = String::new();
            for base in [
                nobody().await,
                silent,
                serve_raw(b"").await,
                serve_raw(b"nonsense\r\n\r\n").await,
                serve_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"errcode\":0").await,
                serve_raw(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await,
                "https://127.0.0.1:1".to_owned(),
                "http://host.invalid".to_owned(),
                serve(answering("<html>")).await,
                serve(answering(format!(r#"{{"errcode":"{MARKER}"}}"#))).await,
                serve(answering(format!(r#"{{"errcode":40001,"errmsg":"{}{MARKER}"}}"#, "x".repeat(190)))).await,
                serve(answering(format!(r#"{{"errcode":0,"has_mobile":"{MARKER}"}}"#))).await,
                serve(answering(format!(r#"{{"errcode":40001,"errmsg":"your {MARKER} is bad rid: {MARKER}"}}"#))).await,
            ] {
                let wechat = client(&base, quick());
                let answer = wechat.call(&token(), &CHECK).await;
                let error = answer.result.clone().unwrap_err();
                tracing::warn!(?answer, %error, "a call failed");
                shown.push_str(&format!("{wechat:?} {answer:?} {error} {error:?}\n"));
            }
            // Not even the part of it that a bound leaves.
            assert!(!shown.contains(&MARKER[..10]), "{shown}");
        });
    });
    let logged = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    assert!(logged.contains("TRACE"), "nothing of the client was logged");
    assert!(!logged.contains(MARKER));
}

#[test]
fn a_refusal_is_read_without_what_was_sent_raw_or_as_in_an_address() {
    let body = serde_json::json!({
        "component_appid": "wx0123456789abcdef",
        "component_appsecret": "fake/secret+1",
        "component_verify_ticket": "ticket@@@fake",
        "authorizer_refresh_token": "refreshtoken@@@fake",
        "count": 1,
    });
    let mut secrets: Vec<&str> = secrets_of(&body).collect();
    secrets.sort_unstable();
    assert_eq!(secrets, ["fake/secret+1", "refreshtoken@@@fake", "ticket@@@fake"]);
    let said = format!("{} for wx0123456789abcdef: fake%2Fsecret%2B1 ticket%40%40%40fake {}", body, "x".repeat(190));
    let kept = secrets_of(&body).fold(said.into_bytes(), without);
    let kept = String::from_utf8(kept).unwrap();
    assert!(!kept.contains("fake") && !kept.contains("%40"), "{kept}");
    assert!(kept.contains("wx0123456789abcdef"), "what is no secret stays: {kept}");
    assert_eq!(without(b"untouched".to_vec(), ""), b"untouched");
}
