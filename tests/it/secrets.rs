//! Promise 8: no secret in any log, error, panic, table or page, at the loudest log level and with the oddest answers.
//!
//! One world is lived through twice, once with each form of the log. Everything that the program prints, logs, stores and
//! serves meanwhile is searched for everything that is secret, in every form that a leak can have.

mod needles;
mod values;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::DateTime;
use nix::sys::signal::Signal;
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use wxpatrol::{
    config::Config,
    domain::ports::{Cause, NewToken, RefreshClaim, RefreshLease, Refreshed, StoredToken},
    simulate::{Endpoint, Oddity, Plan, Rule},
    store::merchants::MerchantRow,
};

use crate::world::{Ended, World, free_address, pair, plan, until};
use needles::Needles;
use values::*;

/// A platform with planted secrets that logs all it can.
async fn planted(format: &str) -> World {
    let plan = Plan {
        component_appsecret: COMPONENT_SECRET.to_owned(),
        verify_ticket: TICKET.to_owned(),
        rotate_refresh_tokens: true,
        ..plan(ODDITIES.len().try_into().unwrap(), 4)
    };
    let world = World::new(plan).await;
    let mut url = url::Url::parse(&world.database.url()).unwrap();
    url.set_password(Some(PASSWORD)).unwrap();
    world
        .with("DATABASE_URL", url.as_str())
        .with("WXPATROL_ENCRYPTION_KEY", &STANDARD.encode(KEY))
        .with("WXPATROL_LOG", "trace")
        .with("WXPATROL_LOG_FORMAT", format)
}

/// Looks at everything that happens in a world.
struct Watch {
    world: World,
    needles: Needles,
}

impl Watch {
    fn on(world: World) -> Self {
        Self { world, needles: Needles::of(&secrets()) }
    }

    fn look(&self, place: &str, text: &str) {
        if let Some((name, form)) = self.needles.found_in(text) {
            panic!("a {name} is in {place}, {form}");
        }
    }

    /// Runs the program to its end, whatever that is, and looks at all it said.
    async fn run(&self, settings: &[(&str, &str)], arguments: &[&str], input: &str) -> Ended {
        let ended = self.world.program_reading_with(settings, arguments, input).await;
        let named: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
        self.look(&format!("{arguments:?} with {named:?}"), &ended.everything());
        ended
    }

    async fn done(&self, arguments: &[&str]) {
        self.fed(arguments, "").await;
    }

    async fn fed(&self, arguments: &[&str], input: &str) {
        let ended = self.run(&[], arguments, input).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.everything());
    }

    /// A page of the status server.
    async fn page(&self, address: &str, path: &str) -> String {
        let page = page(address, path).await;
        self.look(path, &page);
        page
    }

    /// Every table and view, whole; bytes show as hexadecimal digits.
    async fn tables(&self, when: &str) {
        let world = &self.world;
        let tables = world
            .texts(
                "select format('%I.%I', table_schema, table_name) from information_schema.tables
                  where table_schema in ('wxpatrol', 'wxpatrol_data')",
            )
            .await;
        assert!(tables.len() > 30, "{tables:?}");
        for table in tables.iter().map(String::as_str).chain(["pg_stat_activity"]) {
            let rows = world.texts(&format!("select t::text from {table} t")).await.join("\n");
            self.look(&format!("{table} {when}"), &rows);
        }
    }

    /// What failed calls left behind does not keep the next ones from being made, and the next needs a component token.
    async fn begin_anew(&self) {
        self.say(
            "update wxpatrol_data.credential
                set failures = 0, cool_until = null, failure_reason = null, lost_reason = null, leased_until = null;
             update wxpatrol_data.credential set access_sealed = null, access_expires_at = null where appid = '';
             update wxpatrol_data.platform
                set halted_at = null, halt_reason = null, halt_errcode = null, probe_at = null;
             update wxpatrol_data.merchant set info_at = null, info_tried_at = null;
             delete from wxpatrol_data.closure",
        )
        .await;
    }

    /// What only a test says.
    async fn say(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&self.world.database.pool).await.unwrap();
    }
}

pub(crate) async fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// What is set wrongly is refused, and not repeated.
async fn wrong_settings(watch: &Watch) {
    let password: String = url::form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect();
    let database = |start: &str, end: &str| format!("{start}me:{password}@{end}");
    for (name, value) in [
        ("DATABASE_URL", database("postgres://", "127.0.0.1:9/nowhere")),
        ("DATABASE_URL", database("mysql://", "127.0.0.1/nowhere")),
        ("DATABASE_URL", database("postgres://", "127.0.0.1:no-port/nowhere")),
        ("DATABASE_URL", format!("me:{PASSWORD}@127.0.0.1")),
        ("DATABASE_URL", format!("postgres://me:/{PASSWORD}@127.0.0.1:9/nowhere")),
        ("DATABASE_URL", format!("postgres://me:?{PASSWORD}@127.0.0.1:9/nowhere")),
        ("DATABASE_URL", format!("postgres://me:#{PASSWORD}@127.0.0.1:9/nowhere")),
        ("DATABASE_URL", format!("postgres://me@127.0.0.1:9/nowhere?passwd={password}")),
        ("WXPATROL_WECHAT_BASE_URL", format!("https://me:{PROXY_PASSWORD}@127.0.0.1")),
        ("WXPATROL_WECHAT_BASE_URL", format!("https://127.0.0.1/?key={PROXY_PASSWORD}")),
        ("WXPATROL_ENCRYPTION_KEY", NO_KEY.to_owned()),
        ("WXPATROL_ENCRYPTION_KEYS_OLD", format!("{},{NO_KEY}", STANDARD.encode(OLD_KEY))),
        ("WXPATROL_COMPONENT_SECRET", MISSPELT.to_owned()),
        ("WXPATROL_COMPONENT_APPSECRET_FILE", "/nowhere/at/all".to_owned()),
        ("WXPATROL_COMPONENT_APPSECRET_FILE", MISSPELT.to_owned()),
    ] {
        for command in [&["--once"][..], &["config", "--json"], &["doctor"]] {
            let ended = watch.run(&[(name, &value)], command, "").await;
            if name != "DATABASE_URL" || command == ["--once"] {
                assert_eq!(ended.code, Some(2), "{name}: {}", ended.everything());
            }
        }
    }
}

/// The platform's own calls are refused, cut and spoilt, and repeat what they were asked.
async fn platform_calls_fail(watch: &Watch, half: usize) {
    let wechat = &watch.world.wechat;
    for (endpoint, oddity) in PLATFORM_ODDITIES.into_iter().skip(half).step_by(2) {
        watch.begin_anew().await;
        wechat.script(Rule::new(oddity).on(endpoint).times(1)).unwrap();
        let before = wechat.arrived(endpoint);
        watch.run(&[], &["sync"], "").await;
        assert!(wechat.arrived(endpoint) > before, "{endpoint:?} {oddity:?} was met");
        watch.tables("after a failed call of the platform").await;
    }
    wechat.clear_script();
    watch.begin_anew().await;
    wechat.script(Rule::new(Oddity::Echo(40125)).on(Endpoint::ApiComponentToken).times(1)).unwrap();
    let halted = watch.run(&[("WXPATROL_COMPONENT_APPSECRET", WRONG_SECRET)], &["--once"], "").await;
    assert_ne!(halted.code, Some(0), "{}", halted.everything());
    watch.begin_anew().await;
    let refused = watch.run(&[("WXPATROL_WECHAT_BASE_URL", "http://127.0.0.1:9")], &["sync"], "").await;
    assert_ne!(refused.code, Some(0), "{}", refused.everything());
    watch.begin_anew().await;
}

/// Every merchant's calls are refused, cut and spoilt, and repeat what they were asked; refreshes too.
async fn merchants_calls_fail(watch: &Watch) {
    let world = &watch.world;
    for (program, oddity) in (0..).zip(ODDITIES) {
        let appid = Plan::mini_program(program);
        world.wechat.script(Rule::new(oddity).of(&appid).on(Endpoint::Checkmobile).times(2)).unwrap();
        world.wechat.script(Rule::new(oddity).of(&appid).on(Endpoint::Getcallbackconfig).times(2)).unwrap();
        if program % 3 == 0 && oddity != Oddity::Hang {
            world.wechat.script(Rule::new(oddity).of(&appid).on(Endpoint::ApiAuthorizerToken).times(1)).unwrap();
        }
    }
    for (account, oddity) in
        (0..4).zip([Oddity::Echo(61003), Oddity::Echo(45011), Oddity::EchoPage(502), Oddity::Echo(-1)])
    {
        world
            .wechat
            .script(Rule::new(oddity).of(Plan::official_account(account)).on(Endpoint::Wxamplink).times(1))
            .unwrap();
    }
    let expire = world.wechat.refreshes().len();
    watch.run(&[], &["--once", "--deadline", "13s"], "").await;
    assert!(world.wechat.refreshes().len() > expire, "tokens were refreshed");
    world.wechat.expire_all_tokens();
    // What a slow machine does not come to before the deadline is met by the next run.
    let mut classes = Vec::new();
    for _ in 0..9 {
        watch.run(&[], &["--once", "--all", "--deadline", "5s"], "").await;
        classes = world.texts("select distinct class from wxpatrol_data.failure order by class").await;
        if classes.len() >= 8 {
            break;
        }
    }
    assert!(classes.len() >= 8, "calls failed in many ways: {classes:?}");
    watch.tables("after the calls failed").await;
    world.wechat.clear_script();
}

/// Everything that a person can ask for.
async fn operators_ask(watch: &Watch, outputs: &[&str]) {
    let (world, program) = (&watch.world, Plan::mini_program(4));
    watch.fed(&["ticket", "-"], OTHER_TICKET).await;
    watch.fed(&["ticket", "-"], TICKET).await;
    watch.run(&[], &["ticket", "-"], " \n").await;
    let refused = watch.run(&[], &["ticket", TICKET], "").await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    for (form, list) in [
        ("csv", format!("appid,refresh_token\n{IMPORTED},{program}\n")),
        ("csv", format!("appid,refresh_token,kind\n{program},{IMPORTED},{IMPORTED}\n")),
        ("csv", format!("appid,{IMPORTED}\n{program},{IMPORTED},{IMPORTED}\n")),
        ("csv", format!("appid,refresh_token,account_status\n{program},x,{IMPORTED}\n")),
        ("jsonl", format!("{{\"appid\": \"{program}\", \"refresh_token\": \"{IMPORTED}\"\n")),
        ("jsonl", format!("{{\"appid\": \"{IMPORTED}\", \"refresh_token\": [\"{IMPORTED}\"]}}\n")),
        ("jsonl", format!("{{\"appid\": \"{program}\", \"kind\": \"{IMPORTED}\"}}\n")),
        ("jsonl", format!("\"{IMPORTED}\"\n")),
    ] {
        let refused = watch.run(&[], &["import", "-", "--format", form], &list).await;
        assert_eq!(refused.code, Some(2), "{list}: {}", refused.everything());
    }
    let list = format!("appid,refresh_token\n{program},{IMPORTED}\n");
    watch.fed(&["import", "-", "--format", "csv", "--dry-run"], &list).await;
    watch.fed(&["import", "-", "--format", "csv"], &list).await;
    let (account, wanted) = pair(1, 5);
    watch.done(&["want", &account, &wanted]).await;
    watch.done(&["pause", "--merchant", &program, "--note", "why"]).await;
    watch.done(&["resume", "--merchant", &program]).await;
    watch.done(&["unwant", &account, &wanted]).await;
    watch.run(&[], &["ask", &program], "").await;
    watch.run(&[], &["forget", &program], "").await;
    watch.done(&["migrate", "--print"]).await;
    watch.done(&["migrate", "--roles", "--print"]).await;
    watch.done(&["migrate"]).await;
    let mut asked: Vec<Vec<String>> = [
        &["config"][..],
        &["status"],
        &["runs", "100"],
        &["report"],
        &["keys", "list"],
        &["schedule"],
        &["platform", "list"],
        &["merchant", &program],
        &["merchant", &account],
        &["doctor"],
        &["--once", "--dry-run", "--deadline", "5s"],
    ]
    .iter()
    .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
    .collect();
    let views = world.texts("select viewname::text from pg_views where schemaname = 'wxpatrol'").await;
    asked.extend(views.into_iter().map(|view| vec!["report".to_owned(), view]));
    for output in outputs {
        for words in &asked {
            let arguments: Vec<&str> =
                words.iter().map(String::as_str).chain([*output]).filter(|word| !word.is_empty()).collect();
            let ended = watch.run(&[], &arguments, "").await;
            // A doctor who finds a fault says 2.
            let worst = if arguments[0] == "doctor" { 2 } else { 1 };
            assert!(ended.code.is_some_and(|code| code <= worst), "{arguments:?}: {}", ended.everything());
        }
    }
}

/// The key is replaced: refused and done.
async fn keys_change(watch: &Watch) {
    let (new, old) = (STANDARD.encode(OLD_KEY), STANDARD.encode(KEY));
    let refused = watch.run(&[("WXPATROL_ENCRYPTION_KEY", &new)], &["status"], "").await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    let settings = [("WXPATROL_ENCRYPTION_KEY", new.as_str()), ("WXPATROL_ENCRYPTION_KEYS_OLD", &old)];
    let rotated = watch.run(&settings, &["keys", "rotate", "--json"], "").await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.everything());
    let settings = [("WXPATROL_ENCRYPTION_KEY", old.as_str()), ("WXPATROL_ENCRYPTION_KEYS_OLD", &new)];
    let back = watch.run(&settings, &["keys", "rotate"], "").await;
    assert_eq!(back.code, Some(0), "{}", back.everything());
}

/// It runs unattended, shows its pages, and panics.
async fn unattended(watch: &mut Watch) {
    let address = free_address();
    for check in ["PHONE", "ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"] {
        watch.world.set(&format!("WXPATROL_SCHEDULE_{check}"), "* * * * * *");
    }
    watch.world.set("WXPATROL_STATUS_ADDR", &address);
    let run = watch.world.spawn(&["run"]);
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let busy = async || page(&address, "/metrics").await.contains("wxpatrol_runs_total");
    until("work shows in the metrics", busy).await;
    for path in ["/healthz", "/readyz", "/metrics", "/", "/nothing?access_token=x"] {
        watch.page(&address, path).await;
    }
    run.signal(Signal::SIGTERM);
    watch.look("run", &run.ended().await.everything());

    // A clock beyond all calendars is a panic, here in the middle of the work and with tokens in hand.
    let wechat = &watch.world.wechat;
    wechat.set_latency(Duration::from_millis(300));
    let run = watch.world.spawn(&["run"]);
    let refreshed = wechat.arrived(Endpoint::ApiAuthorizerToken);
    watch.world.database.advance(Duration::from_secs(25 * 3600)).await;
    until("tokens are refreshed", async || wechat.arrived(Endpoint::ApiAuthorizerToken) > refreshed).await;
    watch.say("update wxpatrol_data.rehearsal_clock set shift = shift + interval '265000 years'").await;
    until("it is gone", async || TcpStream::connect(&address).await.is_err()).await;
    let ended = run.ended().await;
    watch.look("a panic", &ended.everything());
    assert!(ended.stderr.contains("panicked at"), "{}", ended.stderr);
    watch.say("update wxpatrol_data.rehearsal_clock set shift = shift - interval '265000 years'").await;
}

async fn nothing_shows(format: &str, half: usize, outputs: &[&str]) {
    let mut watch = Watch::on(planted(format).await);
    let first = watch.run(&[], &["sync"], "").await;
    assert!(first.stderr.len() > 10_000, "the log is loud: {}", first.stderr);
    wrong_settings(&watch).await;
    platform_calls_fail(&watch, half).await;
    watch.done(&["sync"]).await;
    for number in 0..4 {
        let (account, program) = pair(number, number + 4);
        watch.done(&["want", &account, &program]).await;
    }
    merchants_calls_fail(&watch).await;
    operators_ask(&watch, outputs).await;
    keys_change(&watch).await;
    unattended(&mut watch).await;
    watch.tables("at the end").await;
}

#[tokio::test]
async fn no_secret_shows_anywhere_when_the_log_is_text() {
    nothing_shows("text", 0, &["", "--csv"]).await;
}

#[tokio::test]
async fn no_secret_shows_anywhere_when_the_log_is_json() {
    nothing_shows("json", 1, &["--json"]).await;
}

#[tokio::test]
#[should_panic(expected = "a refresh token is in wxpatrol_data.merchant")]
async fn a_secret_that_is_put_into_a_table_is_found() {
    let watch = Watch::on(planted("text").await);
    watch.done(&["sync"]).await;
    let leak = watch.world.wechat.merchants()[0].refresh_token.clone();
    let encoded = STANDARD.encode(format!("not for everybody: {leak}"));
    watch.world.texts(&format!("update wxpatrol_data.merchant set nickname = '{encoded}' returning appid")).await;
    watch.tables("with a leak").await;
}

#[test]
fn what_holds_a_secret_does_not_show_it_when_it_is_shown() {
    let needles = Needles::of(&secrets());
    let secret = || SecretString::from(COMPONENT_SECRET);
    let password: String = url::form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect();
    let variables = [
        ("DATABASE_URL", format!("postgres://me:{password}@127.0.0.1/x")),
        ("WXPATROL_ENCRYPTION_KEY", STANDARD.encode(KEY)),
        ("WXPATROL_ENCRYPTION_KEYS_OLD", STANDARD.encode(OLD_KEY)),
        ("WXPATROL_COMPONENT_APPID", "wx0123456789abcdef".to_owned()),
        ("WXPATROL_COMPONENT_APPSECRET", COMPONENT_SECRET.to_owned()),
        ("WXPATROL_VERIFY_TICKET", TICKET.to_owned()),
    ];
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let config = Config::from_vars(lookup, variables.iter().map(|(name, _)| (*name).to_owned())).unwrap();
    let token = StoredToken { access_token: secret(), good_for: Duration::ZERO, version: 1 };
    let lease = RefreshLease {
        fence: 1,
        refresh_token: Some(secret()),
        refresh_version: 1,
        component_refused: None,
        taken_at: DateTime::UNIX_EPOCH,
    };
    let refreshed = Refreshed::Token(NewToken {
        access_token: secret(),
        expires_in: Duration::ZERO,
        refresh_token: Some(secret()),
        cause: Cause::Ending,
    });
    let row = MerchantRow { refresh_token: Some(secret()), ..MerchantRow::default() };
    let shown = [
        format!("{config:?} {config:#?} {:?}", config.settings()),
        format!("{:?}", RefreshClaim::Newer(token)),
        format!("{:?}", RefreshClaim::Granted(lease)),
        format!("{refreshed:?} {row:?}"),
    ];
    for text in shown {
        assert!(text.contains("REDACTED") || text.contains("***") || text.contains("set"), "{text}");
        assert_eq!(needles.found_in(&text), None, "{text}");
    }
}
