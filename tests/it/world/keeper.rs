//! An existing platform that keeps its tokens and hands them out over HTTP, well or badly.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
};
use serde_json::json;
use tokio::net::TcpListener;
use wxpatrol::simulate;

use super::World;

/// What its callers must send.
pub const BEARER: &str = "planted-bearer";
/// What stands in its address.
pub const KEY: &str = "planted-address-key";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// With the token that it keeps; it gets one when it has none.
    Well,
    /// With what it has, for ever.
    WithoutRefreshing,
    Status(u16),
    Page,
    Nothing,
    Endlessly,
    Slowly,
    Elsewhere,
}

struct Inner {
    wechat: Arc<simulate::World>,
    manner: Mutex<Manner>,
    /// Of those for whom it answers in another manner.
    manners: Mutex<BTreeMap<String, Manner>>,
    /// By path.
    kept: Mutex<BTreeMap<String, String>>,
    asked: Mutex<BTreeMap<String, u32>>,
    strangers: AtomicU32,
}

/// The platform's token service. It ends with the test's runtime.
#[derive(Clone)]
pub struct Keeper {
    inner: Arc<Inner>,
    base: String,
}

impl Keeper {
    /// A service beside this WeChat.
    pub async fn new(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(world, listener)
    }

    /// The same at an address of one's own.
    pub fn on(world: &World, listener: TcpListener) -> Self {
        let inner = Arc::new(Inner {
            wechat: Arc::clone(&world.wechat),
            manner: Mutex::new(Manner::Well),
            manners: Mutex::default(),
            kept: Mutex::default(),
            asked: Mutex::default(),
            strangers: AtomicU32::new(0),
        });
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, base }
    }

    /// Where a merchant's token is.
    pub fn url(&self) -> String {
        format!("{}/{{component_appid}}/{{appid}}?key={KEY}", self.base)
    }

    /// Where the platform's own token is.
    pub fn component_url(&self) -> String {
        format!("{}/{{component_appid}}?key={KEY}", self.base)
    }

    pub fn answers(&self, manner: Manner) {
        *self.inner.manner.lock().unwrap() = manner;
    }

    /// How it answers for one merchant alone.
    pub fn answers_of(&self, appid: &str, manner: Manner) {
        self.inner.manners.lock().unwrap().insert(appid.to_owned(), manner);
    }

    /// Gets new tokens for everybody when they are next asked for.
    pub fn refreshes(&self) {
        self.inner.kept.lock().unwrap().clear();
    }

    /// How often it was asked for each holder.
    pub fn asked(&self) -> BTreeMap<String, u32> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// The tokens that it has handed out and still keeps.
    pub fn tokens(&self) -> Vec<String> {
        self.inner.kept.lock().unwrap().values().cloned().collect()
    }

    /// How often it was asked without its bearer secret or its key.
    pub fn strangers(&self) -> u32 {
        self.inner.strangers.load(Ordering::Relaxed)
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {BEARER}")) || request.uri().query() != Some(&format!("key={KEY}")) {
        inner.strangers.fetch_add(1, Ordering::Relaxed);
    }
    let mut parts = request.uri().path().trim_start_matches('/').split('/');
    let component = parts.next().unwrap_or_default().to_owned();
    let holder = parts.next().map_or(component, str::to_owned);
    *inner.asked.lock().unwrap().entry(holder.clone()).or_default() += 1;
    let say = |status: u16, body: String| {
        Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Body::from(body)).unwrap()
    };
    let own = inner.manners.lock().unwrap().get(&holder).copied();
    let manner = own.unwrap_or(*inner.manner.lock().unwrap());
    match manner {
        Manner::Well | Manner::WithoutRefreshing => {}
        Manner::Status(status) => return say(status, "planted-answer".to_owned()),
        Manner::Page => return say(200, "<html>planted-answer</html>".to_owned()),
        Manner::Nothing => return say(200, String::new()),
        Manner::Endlessly => return say(200, format!("{{\"access_token\": \"{}\"}}", "x".repeat(1 << 20))),
        Manner::Slowly => tokio::time::sleep(Duration::from_secs(30)).await,
        Manner::Elsewhere => {
            let mut elsewhere = say(302, "planted-answer".to_owned());
            elsewhere.headers_mut().insert("location", "http://127.0.0.1:1/planted-answer".parse().unwrap());
            return elsewhere;
        }
    }
    let mut kept = inner.kept.lock().unwrap();
    if !kept.contains_key(&holder) {
        let token = match inner.wechat.issue_live_token(&holder) {
            Ok((token, _)) => token,
            Err(_) if holder == inner.wechat.plan().component_appid => inner.wechat.issue_component_token().0,
            Err(_) => return say(404, "unknown".to_owned()),
        };
        kept.insert(holder.clone(), token);
    }
    say(200, json!({"access_token": kept[&holder], "expires_in": 7200}).to_string())
}
