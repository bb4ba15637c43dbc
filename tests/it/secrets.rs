//! Promise 8: no secret in any log, error, table or page, at the loudest log level and with the oddest answers.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use wxpatrol::simulate::{Oddity, Plan, Rule};

use crate::world::{World, plan, until};

const PASSWORD: &str = "planted-database-password";
const ODDITIES: [Oddity; 10] = [
    Oddity::Redirect,
    Oddity::Reset,
    Oddity::TruncatedJson,
    Oddity::InvalidUtf8,
    Oddity::RawControlCharacters,
    Oddity::HttpStatus(502),
    Oddity::EmptyBody,
    Oddity::Errcode(40001),
    Oddity::Errcode(61007),
    Oddity::Errcode(123_456),
];

/// A platform with planted secrets and odd answers everywhere, that logs all it can.
async fn planted(format: &str) -> World {
    let secret = "planted-component-secret".to_owned();
    let ticket = "ticket@@@planted-verify-ticket".to_owned();
    let world = World::new(Plan { component_appsecret: secret, verify_ticket: ticket, ..plan(20, 2) }).await;
    for (program, oddity) in (0..).zip(ODDITIES) {
        world.wechat.script(Rule::new(oddity).of(Plan::mini_program(program)).times(4)).unwrap();
    }
    let separator = if world.database.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}password={PASSWORD}", world.database.url());
    world.with("DATABASE_URL", &url).with("WXPATROL_LOG", "trace").with("WXPATROL_LOG_FORMAT", format)
}

/// Everything that must never be seen, each by its name.
fn secrets(world: &World) -> Vec<(&'static str, String)> {
    let plan = world.wechat.plan();
    let mut secrets = vec![
        ("component secret", plan.component_appsecret.clone()),
        ("verify ticket", plan.verify_ticket.clone()),
        ("encryption key", world.settings()["WXPATROL_ENCRYPTION_KEY"].clone()),
        ("database password", PASSWORD.to_owned()),
    ];
    for merchant in world.wechat.merchants() {
        secrets.push(("refresh token", merchant.refresh_token.clone()));
        // The newest token of each; those before it are told by their common beginning.
        let (token, _) = world.wechat.issue_live_token(&merchant.appid).unwrap();
        secrets.push(("access token", token[..token.len() - 4].to_owned()));
    }
    secrets
}

fn assert_none_in(world: &World, place: &str, text: &str) {
    for (name, secret) in secrets(world) {
        assert!(!text.contains(&secret), "a {name} is in {place}");
    }
    assert!(!text.contains("access_token="), "a query is in {place}");
}

pub(crate) async fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn nothing_shows_in(format: &str) {
    let world = planted(format).await;
    let synced = world.program(&["sync"]).await;
    assert_none_in(&world, "sync", &synced.everything());
    let once = world.program(&["--once", "--deadline", "20s"]).await;
    assert!(once.stderr.len() > 10_000, "the log is loud: {}", once.stderr);
    assert_none_in(&world, "--once", &once.everything());
    for command in [&["config"][..], &["status", "--json"], &["report", "attention"], &["report", "failures"]] {
        let shown = world.program(command).await;
        assert_eq!(shown.code, Some(0), "{}", shown.everything());
        assert_none_in(&world, &format!("{command:?}"), &shown.everything());
    }
    let tables = world
        .texts(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables
              where table_schema in ('wxpatrol', 'wxpatrol_data')",
        )
        .await;
    assert!(tables.len() > 30, "{tables:?}");
    for table in tables {
        let rows = world.texts(&format!("select t::text from {table} t")).await.join("\n");
        assert_none_in(&world, &table, &rows);
        // A row shows its bytes in hexadecimal digits.
        let hexadecimal: BTreeSet<String> = secrets(&world)
            .iter()
            .map(|(_, secret)| secret.bytes().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        assert!(!hexadecimal.iter().any(|secret| rows.contains(secret)), "a secret's bytes are in {table}");
    }
}

#[tokio::test]
async fn no_secret_shows_anywhere_when_the_log_is_text() {
    nothing_shows_in("text").await;
}

#[tokio::test]
async fn no_secret_shows_anywhere_when_the_log_is_json() {
    nothing_shows_in("json").await;
}

#[tokio::test]
async fn no_secret_shows_on_a_page_of_the_status_server() {
    let world = planted("json").await;
    world.program(&["sync"]).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let world = world.with("WXPATROL_STATUS_ADDR", &address).with("WXPATROL_SCHEDULE_PHONE", "* * * * * *");
    let unattended = world.spawn(&["run"]);
    world.until("select count(*) > 3 from wxpatrol_data.item where outcome = 'done'").await;
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let page = page(&address, path).await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert_none_in(&world, path, &page);
    }
    until("work shows in the metrics", async || page(&address, "/metrics").await.contains("wxpatrol_items_total"))
        .await;
    unattended.signal(Signal::SIGTERM);
    assert_none_in(&world, "run", &unattended.ended().await.everything());
}

#[tokio::test]
async fn no_secret_is_in_the_error_of_a_wrong_address() {
    let world = planted("text").await.with("DATABASE_URL", &format!("postgres://me:{PASSWORD}@127.0.0.1:9/nowhere"));
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert_none_in(&world, "the error", &ended.everything());
}
