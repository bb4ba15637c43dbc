//! `demo`: made-up merchants, two runs a day apart, and what an operator would look at. Nothing to set up, nothing real is
//! called.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{App, AppError, Exit, once, printed, private, watch};
use crate::{
    cli::Demo,
    config::{Config, NewMerchants},
    domain::CheckName,
    ops::{
        print::{Format, Table},
        report,
    },
    private_postgres::{Durability, Options, Sources, Wanted, demo_data_dir},
    simulate::{LinkMode, Plan, SimulatedWechat, World},
    store::{
        Store,
        runs::{RunState, RunWish},
    },
};

/// From the first run to the second.
const A_DAY: Duration = Duration::from_secs(24 * 3600 + 600);

/// Shows the product.
pub(super) async fn show(flags: &Demo, format: Format, stop: CancellationToken) -> Result<Exit, AppError> {
    let official_accounts = (flags.merchants / 10).max(1);
    let mini_programs = flags.merchants.saturating_sub(official_accounts).max(1);
    let plan = Plan {
        mini_programs,
        official_accounts,
        phone_missing_share: 0.3,
        approve_official_account_after_polls: 0,
        approve_mini_program_after_polls: 1,
        quirks: true,
        ..Plan::default()
    };
    let wechat = SimulatedWechat::start(([127, 0, 0, 1], 0).into(), plan.clone())
        .map_err(|error| AppError::Input(format!("the simulated WeChat can not listen on this machine: {error}")))?;
    say(&format!("simulated WeChat with {mini_programs} mini programs and {official_accounts} official accounts"));
    let options = Options { durability: Durability::Full, sources: Sources::MayInstall, wanted: Wanted::Any };
    let folder = demo_data_dir().map_err(|error| AppError::Input(error.to_string()))?;
    let server = private::start(&folder, options).await?;
    let database = format!("demo_{}", uuid::Uuid::now_v7().simple());
    Store::create_database(&server.url("postgres"), &database).await?;
    let app = App::open(config(&server.url(&database), &wechat, &plan)?, format, stop, "demo").await;
    let shown = match app {
        Ok(app) => {
            let shown = two_runs(&app, &wechat.world(), mini_programs, official_accounts).await;
            app.store.close().await;
            shown
        }
        Err(error) => Err(error),
    };
    Store::drop_database(&server.url("postgres"), &database).await?;
    wechat.stop().await;
    shown
}

fn say(line: &str) {
    tell!("demo: {line}");
}

/// The configuration of the demo: its own database and WeChat, no quiet hours, limits high enough for a short look.
fn config(url: &str, wechat: &SimulatedWechat, plan: &Plan) -> Result<Config, AppError> {
    let mut key = [0_u8; 32];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut key);
    let mut variables = vec![
        ("DATABASE_URL".to_owned(), url.to_owned()),
        ("WXPATROL_ENCRYPTION_KEY".to_owned(), STANDARD.encode(key)),
        ("WXPATROL_WECHAT_BASE_URL".to_owned(), wechat.base_url()),
        ("WXPATROL_COMPONENT_APPID".to_owned(), plan.component_appid.clone()),
        ("WXPATROL_COMPONENT_APPSECRET".to_owned(), plan.component_appsecret.clone()),
        ("WXPATROL_VERIFY_TICKET".to_owned(), plan.verify_ticket.clone()),
        ("WXPATROL_QUIET_HOURS".to_owned(), String::new()),
        ("WXPATROL_LIMIT_WXAMPLINK_MERCHANT".to_owned(), "20/s".to_owned()),
    ];
    for endpoint in [
        "CHECKMOBILE",
        "GETCALLBACKCONFIG",
        "WXAMPLINK",
        "WXAMPLINKGET",
        "API_AUTHORIZER_TOKEN",
        "API_GET_AUTHORIZER_INFO",
        "API_GET_AUTHORIZER_LIST",
    ] {
        variables.push((format!("WXPATROL_LIMIT_{endpoint}"), "200/s".to_owned()));
    }
    let lookup = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let config = Config::from_vars(lookup, variables.iter().map(|(name, _)| name.clone()))?;
    debug_assert_eq!(config.new_merchants, NewMerchants::Active);
    Ok(config)
}

async fn two_runs(app: &App, world: &World, mini_programs: u32, official_accounts: u32) -> Result<Exit, AppError> {
    let ready = app.ready().await?;
    let ticket = SecretString::from(world.plan().verify_ticket.clone());
    let synced = app.syncer(&ready).run().await.map_err(super::merchants::said)?;
    say(&format!("synced {} merchants from the authorizer list", synced.listed));
    let pairs = wishes(mini_programs, official_accounts);
    for (index, (account, mini_program)) in pairs.iter().enumerate() {
        if let Some(mode) = mode(index) {
            world.link_mode(account, mini_program, mode).map_err(|error| AppError::Incomplete(error.to_string()))?;
        }
    }
    app.store.want(ready.platform.id, &pairs, "demo", false).await?;
    say(&format!("{} pairs of official account and mini program are wanted", pairs.len()));

    say("first run");
    let (first, _) = run(app).await?;
    a_day_passes(app, world, &pairs).await?;
    // The receiver would have handed over a hundred tickets meanwhile.
    app.store.keep_ticket(ready.platform.id, &ticket, false).await?;
    say("second run, a day later");
    let (second, ended) = run(app).await?;

    // For programs everything at the end, as other commands print several tables.
    let mut tables = vec![("first_run", first), ("second_run", second)];
    for (name, rows_max) in [("missing_phone", 8), ("callback_changes", 8), ("link_funnel", 20), ("attention", 12)] {
        if let Some(mut table) = report::report(&app.store, None, name).await? {
            if app.format != Format::Table {
                tables.push((name, table));
                continue;
            }
            let more = table.rows.len().saturating_sub(rows_max);
            table.rows.truncate(rows_max);
            app.print(&table)?;
            let more = if more > 0 { format!("and {more} more: wxpatrol report {name}\n\n") } else { "\n".to_owned() };
            printed(&more)?;
        }
    }
    if app.format != Format::Table {
        app.print_all(&tables)?;
    }
    let readout = world.readout();
    say(&format!(
        "the simulated WeChat counts {} asks (at most {} to one merchant) and {} invitations (at most {} to one pair)",
        readout.asks, readout.asks_of_one_merchant_max, readout.invitations, readout.invitations_of_one_pair_max
    ));
    Ok(ended)
}

/// One run to its end, and its coverage, which people see at once.
async fn run(app: &App) -> Result<(Table, Exit), AppError> {
    let wish = RunWish {
        checks: CheckName::ALL.to_vec(),
        merchants: None,
        all: false,
        dry_run: false,
        deadline: Duration::from_secs(3600),
    };
    // Each run has an engine of its own, as each `--once` has.
    let ready = app.ready().await?;
    let run = app.store.open_run(ready.platform.id, &wish).await?;
    let ended = watch::one(&ready.platform.component_appid, &app.patrol(&ready, true), run).await?;
    let coverage = app.store.coverage(run).await?;
    let table = once::coverage_table(run, &coverage);
    if app.format == Format::Table {
        app.print(&table)?;
        printed("\n")?;
    }
    match ended {
        Some((RunState::Complete, _)) if coverage.iter().all(|row| row.adds_up()) => Ok((table, Exit::Done)),
        Some((state, reason)) => Err(AppError::Incomplete(format!("the run ended {state:?}: {reason:?}"))),
        None => Err(AppError::Incomplete("the run was interrupted".to_owned())),
    }
}

/// Every official account wants two mini programs.
fn wishes(mini_programs: u32, official_accounts: u32) -> Vec<(String, String)> {
    let pair = |account: u32, nth: u32| {
        (Plan::official_account(account), Plan::mini_program((account * 2 + nth) % mini_programs))
    };
    (0..official_accounts).flat_map(|account| (0..2.min(mini_programs)).map(move |nth| pair(account, nth))).collect()
}

/// What the administrators of the first pairs do; the others agree.
fn mode(index: usize) -> Option<LinkMode> {
    match index % 12 {
        1 => Some(LinkMode::AlreadyLinked),
        3 => Some(LinkMode::MiniProgramRefuses),
        5 => Some(LinkMode::Stalls),
        7 => Some(LinkMode::Answers(89_245)),
        9 => Some(LinkMode::NoConfirmation),
        10 => Some(LinkMode::Answers(89_007)),
        _ => None,
    }
}

/// Some administrators bind a phone, some configurations change, some links are approved; the clock moves on by a day.
async fn a_day_passes(app: &App, world: &World, pairs: &[(String, String)]) -> Result<(), AppError> {
    let said = |error: crate::simulate::WorldError| AppError::Incomplete(error.to_string());
    let asked: std::collections::BTreeSet<String> = world.asks().into_iter().map(|ask| ask.appid).collect();
    for appid in asked.iter().step_by(3) {
        world.bind_phone(appid).map_err(said)?;
    }
    for (_, mini_program) in pairs.iter().step_by(5) {
        world.change_callback(mini_program).map_err(said)?;
    }
    for (account, mini_program) in pairs.iter().step_by(2) {
        world.approve(account, mini_program).map_err(said)?;
    }
    world.advance(A_DAY);
    app.store.rehearse(A_DAY).await?;
    say("a day passes: some administrators bind their phone, some configurations change, some links are approved");
    Ok(())
}
