//! Tickets and authorization events: what WeChat pushes is taken once and in its order, nothing that is forged changes a
//! row, and what follows from an event survives the process that answered it.

mod exchanges;
mod halves;
mod refusals;
mod tickets;

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use wxpatrol::{
    domain::{CheckName, ports::TokenVault as _},
    receiver::{EventKey, EventKeys, EveryPlatform, Receiver},
    simulate::{Endpoint, Plan, Push, ReceiverUrl},
};

use crate::world::{Program, World, free_address, plan, until};

const HOUR: Duration = Duration::from_secs(3600);

/// The same world with a receiver on this address, and no schedule that would mix in.
fn receiving(world: World, address: &str) -> World {
    let plan = world.wechat.plan().clone();
    world
        .unattended_without_schedules()
        .with("WXPATROL_RECEIVER_ADDR", address)
        .with("WXPATROL_RECEIVER_TOKEN", &plan.event_token)
        .with("WXPATROL_RECEIVER_AES_KEY", &plan.event_aes_key)
}

/// The program at work, and WeChat told where it listens.
async fn listening(world: World, automatic: bool) -> (World, Program, String) {
    let address = free_address();
    let world = receiving(world, &address);
    let program = world.spawn(&["run"]);
    until("the receiver listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let url = Some(format!("http://{address}/wechat/events"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: false, automatic }).unwrap();
    (world, program, address)
}

async fn ended(program: Program) {
    program.signal(Signal::SIGTERM);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
}

fn push(info_type: &str, appid: Option<&str>) -> Push {
    Push { info_type: info_type.to_owned(), appid: appid.map(str::to_owned), ..Push::default() }
}

async fn taken(world: &World, push: Push) {
    let pushed = world.wechat.push(&push).await.unwrap();
    assert!(pushed.taken(), "{push:?}: {pushed:?}");
}

async fn stored_ticket(world: &World) -> Option<String> {
    let ticket = world.database.store.ticket(world.platform().await).await.unwrap();
    ticket.map(|(ticket, _)| ticket.expose_secret().to_owned())
}

async fn settled(world: &World, events: usize) {
    world
        .until(&format!(
            "select count(*) filter (where state <> 'pending') >= {events} and bool_and(state <> 'pending')
               from wxpatrol_data.authorization_event"
        ))
        .await;
}

/// Everything that a push could change, as text.
async fn rows(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["platform", "merchant", "credential", "authorization_event", "taken_push", "item"] {
        rows.extend(world.texts(&format!("select t::text from wxpatrol_data.{table} t order by 1")).await);
    }
    rows
}

/// One request by hand: the status, and the body of the answer.
async fn request(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// A receiver in this process: where it listens, and what ends it.
async fn receiver_here(world: &World, plain_json: bool) -> (String, CancellationToken) {
    let plan = world.wechat.plan();
    let keys = EventKeys { token: plan.event_token.clone().into(), key: EventKey::parse(&plan.event_aes_key).unwrap() };
    let configured = Some((plan.component_appid.clone(), keys));
    world.platform().await;
    let ring = EveryPlatform::new(world.database.store.clone(), configured, true);
    let stop = CancellationToken::new();
    let receiver = Receiver::new(world.database.store.clone(), Arc::new(ring), plain_json, watch::channel(()).0);
    let (addr, serving) = receiver.serve(([127, 0, 0, 1], 0).into(), stop.clone()).await.unwrap();
    tokio::spawn(serving);
    let url = Some(format!("http://{addr}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json, automatic: false }).unwrap();
    (addr.to_string(), stop)
}

#[tokio::test]
async fn a_merchant_that_authorizes_is_patrolled_by_the_next_run_with_the_token_that_came_along() {
    let world = World::new(plan(4, 1)).await;
    let new = Plan::mini_program(3);
    world.wechat.withdraw(&new).unwrap();
    world.sync().await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant").await, 4);
    let (world, program, _) = listening(world, true).await;
    world.wechat.authorize(&new).unwrap();
    settled(&world, 1).await;
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["done"]);
    let known = format!("select kind from wxpatrol_data.merchant where appid = '{new}' and nickname is not null");
    assert_eq!(world.texts(&known).await, ["mini_program"]);
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 1);
    ended(program).await;
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 4);
    assert_eq!(world.wechat.refreshes().get(&new), None, "the exchange brought a token that is good for two hours");
}

#[tokio::test]
async fn a_merchant_that_withdraws_is_skipped_its_tokens_are_gone_and_its_history_stays() {
    let world = World::synced(plan(3, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let gone = Plan::mini_program(1);
    let (world, program, _) = listening(world, true).await;
    world.wechat.withdraw(&gone).unwrap();
    let withdrawn = format!("select withdrawn_at is not null from wxpatrol_data.merchant where appid = '{gone}'");
    world.until(&withdrawn).await;
    let tokens = format!(
        "select count(*) from wxpatrol_data.credential
          where appid = '{gone}' and (access_sealed is not null or refresh_sealed is not null)"
    );
    assert_eq!(world.count(&tokens).await, 0);
    ended(program).await;
    let calls = world.wechat.arrived(Endpoint::Checkmobile);
    world.pass(30 * 24 * HOUR).await;
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 2);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), calls + 2, "it is not called any more");
    assert_eq!(world.outcomes(CheckName::Phone).await[&gone], "skipped withdrawn");
    assert_eq!(world.count(&format!("select count(*) from wxpatrol_data.phone where appid = '{gone}'")).await, 1);
}

#[tokio::test]
async fn news_that_come_late_change_nothing() {
    let world = World::synced(plan(3, 1)).await;
    let (world, program, _) = listening(world, false).await;
    let appid = Plan::mini_program(1);
    let ago = |info_type: &str, seconds_ago: i64| Push { seconds_ago, ..push(info_type, Some(&appid)) };
    taken(&world, ago("updateauthorized", 60)).await;
    taken(&world, push("component_verify_ticket", None)).await;
    settled(&world, 1).await;
    let ticket = stored_ticket(&world).await;
    let standing = async || {
        world
            .texts(
                "select concat(m.appid, m.withdrawn_at, m.authorized_at, m.event_at, c.version, c.refresh_sealed)
                   from wxpatrol_data.merchant m left join wxpatrol_data.credential c using (platform_id, appid) order by 1",
            )
            .await
    };
    let before = standing().await;
    taken(&world, ago("unauthorized", 3_600)).await;
    taken(&world, ago("authorized", 300)).await;
    taken(&world, Push { seconds_ago: 700, ..push("component_verify_ticket", None) }).await;
    settled(&world, 3).await;
    assert_eq!(standing().await, before);
    assert_eq!(stored_ticket(&world).await, ticket);
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 1);
    ended(program).await;
}

#[tokio::test]
async fn the_same_event_under_a_new_signature_is_answered_well_and_worked_on_once() {
    let world = World::synced(plan(3, 1)).await;
    let (world, program, _) = listening(world, false).await;
    let merchant = Plan::mini_program(1);
    let created_at = Some(world.database.store.now().timestamp());
    let event = Push { created_at, ..push("updateauthorized", Some(&merchant)) };
    for _ in 0..3 {
        taken(&world, event.clone()).await;
        settled(&world, 1).await;
    }
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 1);
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["done"]);
    ended(program).await;
}

#[tokio::test]
async fn one_address_receives_for_every_platform_with_keys_of_its_own() {
    let world = World::twins(plan(2, 1)).await;
    let (world, program, address) = listening(world, false).await;
    let second = Arc::clone(&world.others[0]);
    let url = Some(format!("http://{address}/"));
    second.set_receiver(ReceiverUrl { url, plain_json: false, automatic: false }).unwrap();
    let ticket = push("component_verify_ticket", None);
    let refused = second.push(&ticket).await.unwrap();
    assert_eq!((refused.status, refused.taken()), (403, false), "its keys are not known yet");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (token, key) = (file("token", &second.plan().event_token), file("key", &second.plan().event_aes_key));
    world.add(&second, &["--event-token-file", &token, "--event-key-file", &key]).await;
    // Of two tickets of one second the one that came first stays: the next push has another.
    let row = world.database.store.platforms().await.unwrap();
    let row = row.into_iter().find(|row| row.component_appid == second.plan().component_appid).unwrap();
    until("the new keys are in use", async || {
        let taken = second.push(&ticket).await.unwrap().taken();
        let stored = world.database.store.ticket(row.id).await.unwrap().unwrap().0;
        taken && stored.expose_secret() == second.newest_ticket()
    })
    .await;
    taken(&world, ticket.clone()).await;
    let merchant = Plan::mini_program(1);
    assert!(second.push(&push("unauthorized", Some(&merchant))).await.unwrap().taken());
    let withdrawn =
        "select p.component_appid from wxpatrol_data.merchant m join wxpatrol_data.platform p using (platform_id)
                      where m.withdrawn_at is not null";
    assert_eq!(world.texts(withdrawn).await, [second.plan().component_appid.clone()]);
    let rows = world.database.store.platforms().await.unwrap();
    for platform in [&world.wechat, &second] {
        let row = rows.iter().find(|row| row.component_appid == platform.plan().component_appid).unwrap();
        let stored = world.database.store.ticket(row.id).await.unwrap().unwrap().0;
        assert_eq!(stored.expose_secret(), platform.newest_ticket());
    }
    ended(program).await;
}

#[tokio::test]
async fn while_another_system_keeps_the_tokens_no_ticket_and_no_code_is_kept_and_merchants_are_noticed() {
    let world = World::new(plan(3, 1)).await;
    let platform = world.platform().await;
    let store = &world.database.store;
    let ring = EveryPlatform::new(store.clone(), None, false);
    let stop = CancellationToken::new();
    let receiver = Receiver::new(store.clone(), Arc::new(ring), true, watch::channel(()).0);
    let (addr, serving) = receiver.serve(([127, 0, 0, 1], 0).into(), stop.clone()).await.unwrap();
    tokio::spawn(serving);
    let url = Some(format!("http://{addr}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: true, automatic: false }).unwrap();
    taken(&world, push("component_verify_ticket", None)).await;
    taken(&world, push("authorized", Some(&Plan::mini_program(0)))).await;
    assert!(store.ticket(platform).await.unwrap().is_none());
    assert_eq!(store.own_tokens(platform).await.unwrap(), wxpatrol::store::foreign::OwnTokens::default());
    let noted = "select concat(state, code_sealed) from wxpatrol_data.authorization_event";
    assert_eq!(world.texts(noted).await, ["pending"]);
    assert_eq!(world.texts("select appid from wxpatrol_data.merchant").await, [Plan::mini_program(0)]);
    stop.cancel();
}
