//! Tickets: kept from pushes or from a file, and asked for when they stop coming.

use wxpatrol::receiver::{Silence, TicketFile};

use super::*;

#[tokio::test]
async fn the_component_token_is_fetched_with_the_ticket_that_was_pushed() {
    let world = World::new(plan(5, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let (world, program, _) = listening(world, false).await;
    // It has never had a ticket, so it asks for them at once.
    until("tickets are asked for", async || world.wechat.arrived(Endpoint::ApiStartPushTicket) == 1).await;
    taken(&world, push("component_verify_ticket", None)).await;
    assert_eq!(stored_ticket(&world).await, Some(world.wechat.newest_ticket()));
    assert_ne!(world.wechat.newest_ticket(), world.wechat.plan().verify_ticket);
    ended(program).await;
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    assert_eq!(world.wechat.component_token_fetches(), 1);
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 1);
}

#[tokio::test]
async fn an_hour_without_a_ticket_makes_one_of_three_processes_ask_for_them_once() {
    let world = World::new(plan(1, 1)).await;
    let mut silences = Vec::new();
    for _ in 0..3 {
        let app = world.app().await;
        let ready = app.ready().await.unwrap();
        let (store, stop) = (app.store.clone(), CancellationToken::new());
        silences.push(Silence { store, wire: ready.wire, platform: ready.platform, stop });
    }
    let look = async || {
        futures_util::future::join_all(silences.iter().map(Silence::look)).await;
        world.wechat.arrived(Endpoint::ApiStartPushTicket)
    };
    assert_eq!(look().await, 0, "the ticket is young");
    world.database.advance(HOUR + Duration::from_secs(1)).await;
    assert_eq!((look().await, look().await), (1, 1));
    // Nothing came of it; an hour later it is asked again, and a fresh ticket ends the asking.
    world.database.advance(HOUR + Duration::from_secs(1)).await;
    assert_eq!((look().await, look().await), (2, 2));
    let ticket = world.wechat.plan().verify_ticket.clone().into();
    world.database.store.keep_ticket(world.platform().await, &ticket, false).await.unwrap();
    world.database.advance(HOUR - Duration::from_secs(60)).await;
    assert_eq!(look().await, 2);
}

#[tokio::test]
async fn tickets_that_had_stopped_are_pushed_again_after_an_hour_to_three_real_processes() {
    let world = World::synced(plan(1, 1)).await;
    let (world, first, _) = listening(world, true).await;
    world.until("select ticket_created_at is not null from wxpatrol_data.platform").await;
    let others = [(); 2].map(|()| {
        let address = free_address();
        let mut settings = world.settings().clone();
        settings.insert("WXPATROL_RECEIVER_ADDR".to_owned(), address);
        world.spawn_under(&["run"], settings)
    });
    world.until("select count(*) = 3 from wxpatrol_data.process where purpose = 'run'").await;
    world.wechat.stop_tickets();
    let old = stored_ticket(&world).await;
    world.database.advance(HOUR + Duration::from_secs(1)).await;
    world.wechat.advance(HOUR + Duration::from_secs(1));
    until("tickets are asked for", async || world.wechat.arrived(Endpoint::ApiStartPushTicket) > 0).await;
    // WeChat pushes again, and nobody has a reason to ask any more.
    until("a new ticket came", async || stored_ticket(&world).await != old).await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 1);
    for program in others.into_iter().chain([first]) {
        ended(program).await;
    }
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 1);
}

#[tokio::test]
async fn a_ticket_file_is_read_again_when_it_changes_and_keeps_the_last_good_one_otherwise() {
    let world = World::new(plan(1, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket");
    let platform = world.platform().await;
    let mut file = TicketFile::new(world.database.store.clone(), platform, path.clone());
    assert!(file.look().await.unwrap_err().to_string().contains("can not be read"));
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("ticket@@@fake-first\n");
    assert!(file.look().await.unwrap());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-first"));
    assert!(!file.look().await.unwrap(), "nothing has changed");
    for bad in ["", "  \n", "two words", &"x".repeat(5_000)] {
        write(bad);
        assert!(file.look().await.is_err(), "{bad:?}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(file.look().await.is_err());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-first"));
    // A time from last year on the file does not make a changed ticket an old one.
    write("ticket@@@fake-second");
    let last_year = std::time::SystemTime::now() - 365 * 24 * HOUR;
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(last_year).unwrap();
    assert!(file.look().await.unwrap());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-second"));
    // Another process that sees the file for the first time believes its time: the stored one is newer.
    let mut other = TicketFile::new(world.database.another_store().await, platform, path.clone());
    write("ticket@@@fake-ancient");
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(last_year).unwrap();
    assert!(!other.look().await.unwrap());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-second"));
}

#[tokio::test]
async fn the_program_follows_a_ticket_file_while_it_runs_and_says_so_when_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket");
    let shown = path.display().to_string();
    let world = World::new(plan(1, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let world = world.with("WXPATROL_VERIFY_TICKET_FILE", &shown).with("WXPATROL_SCHEDULE_SYNC", "off");
    let refused = world.program(&["--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains(&format!("WXPATROL_VERIFY_TICKET_FILE={shown}")), "{}", refused.stderr);
    std::fs::write(&path, &world.wechat.plan().verify_ticket).unwrap();
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    let program = world.spawn(&["run"]);
    world.until("select exists (select from wxpatrol_data.process where purpose = 'run')").await;
    std::fs::write(&path, "ticket@@@fake-newer").unwrap();
    until("the newer ticket is stored", async || stored_ticket(&world).await.as_deref() == Some("ticket@@@fake-newer"))
        .await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 0, "another system owns the pushes");
    ended(program).await;
}
