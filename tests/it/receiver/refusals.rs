//! What is not believed, not taken for want of a database or of keys, and never shown.

use wxpatrol::simulate::Fault;

use super::*;

#[tokio::test]
async fn every_fault_is_refused_with_a_4xx_and_changes_no_row() {
    let world = World::synced(plan(3, 1)).await;
    let (world, program, address) = listening(world, false).await;
    let merchant = Plan::mini_program(1);
    taken(&world, push("component_verify_ticket", None)).await;
    taken(&world, push("unauthorized", Some(&Plan::mini_program(2)))).await;
    let before = rows(&world).await;
    let faults = [
        (Fault::Replayed, 409),
        (Fault::ForgedSignature, 403),
        (Fault::WrongAppid, 403),
        (Fault::OtherPlatform, 403),
        (Fault::StaleTimestamp, 403),
        (Fault::Truncated, 400),
        (Fault::BadPadding, 400),
        (Fault::BadBase64, 400),
        (Fault::EntityExpansion, 400),
        (Fault::DeepNesting, 400),
        (Fault::MissingField, 400),
        (Fault::Oversized, 413),
    ];
    for (fault, status) in faults {
        for event in [push("unauthorized", Some(&merchant)), push("component_verify_ticket", None)] {
            if fault == Fault::Replayed && event.appid.is_none() {
                continue;
            }
            let pushed = world.wechat.push(&Push { fault: Some(fault), ..event }).await.unwrap();
            assert_eq!(pushed.status, status, "{fault:?}: {pushed:?}");
            assert!(pushed.answer.starts_with("refused: "), "{pushed:?}");
        }
    }
    let nested = format!("<xml>{}{}</xml>", "<a>".repeat(9_000), "</a>".repeat(9_000));
    let bomb = "<!DOCTYPE xml [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><xml><AppId>&b;</AppId></xml>";
    let json = format!("{{\"AppId\": \"{}\", \"InfoType\": \"unauthorized\"}}", world.wechat.plan().component_appid);
    let large = "x".repeat(3 << 20);
    for (body, expected) in
        [("", 400), ("\u{0}", 400), ("<xml>", 400), (&nested, 400), (bomb, 400), (&json, 403), (&large, 413)]
    {
        let (status, _) = request(&address, "POST /any/path?timestamp=1&nonce=2&msg_signature=3", body).await;
        assert_eq!(status, expected, "{}", &body[..body.len().min(60)]);
    }
    assert_eq!(request(&address, "GET /wechat/events", "").await.0, 405);
    assert_eq!(rows(&world).await, before);
    ended(program).await;
}

#[tokio::test]
async fn plain_json_is_taken_only_where_it_is_switched_on() {
    let world = World::synced(plan(3, 1)).await;
    let (address, stop) = receiver_here(&world, true).await;
    taken(&world, push("component_verify_ticket", None)).await;
    assert_eq!(stored_ticket(&world).await, Some(world.wechat.newest_ticket()));
    taken(&world, push("unauthorized", Some(&Plan::mini_program(0)))).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where withdrawn_at is not null").await, 1);
    // Sealed pushes are understood beside it.
    let url = Some(format!("http://{address}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: false, automatic: false }).unwrap();
    taken(&world, push("unauthorized", Some(&Plan::mini_program(1)))).await;
    stop.cancel();

    let before = rows(&world).await;
    let (address, _stop) = receiver_here(&world, false).await;
    let url = Some(format!("http://{address}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: true, automatic: false }).unwrap();
    let pushed = world.wechat.push(&push("unauthorized", Some(&Plan::mini_program(2)))).await.unwrap();
    assert_eq!((pushed.status, pushed.answer.as_str()), (403, "refused: plain JSON is switched off\n"));
    assert_eq!(rows(&world).await, before);
}

#[tokio::test]
async fn while_the_database_is_away_wechat_is_told_to_come_again() {
    let world = World::synced(plan(1, 1)).await;
    let (_, _stop) = receiver_here(&world, false).await;
    world.database.store.close().await;
    let pushed = world.wechat.push(&push("component_verify_ticket", None)).await.unwrap();
    assert_eq!((pushed.status, pushed.answer.as_str()), (503, "the database is away: come again\n"));
}

#[tokio::test]
async fn pushes_that_can_not_be_kept_are_counted_and_not_said_one_by_one() {
    let world = World::synced(plan(1, 1)).await;
    let (world, program, _) = listening(world, false).await;
    sqlx::raw_sql("alter table wxpatrol_data.taken_push rename to away").execute(&world.database.pool).await.unwrap();
    for _ in 0..40 {
        let pushed = world.wechat.push(&push("unauthorized", Some(&Plan::mini_program(0)))).await.unwrap();
        assert_eq!(pushed.status, 503, "{pushed:?}");
    }
    program.signal(Signal::SIGTERM);
    let said = program.ended().await.stderr;
    let lines = said.lines().filter(|line| line.contains("a push could not be kept")).count();
    // One for each ten seconds that the pushes took.
    assert!((1..10).contains(&lines), "{lines} lines");
    assert!(said.contains("\"not_kept_so_far\":1") || said.contains("not_kept_so_far=1"), "{said}");
}

#[tokio::test]
async fn a_receiver_without_its_keys_is_refused_at_the_start() {
    let world = receiving(World::new(plan(1, 1)).await, "127.0.0.1:0");
    let half = world.without("WXPATROL_RECEIVER_AES_KEY");
    let ended = half.program(&["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("WXPATROL_RECEIVER_AES_KEY: (or "), "{}", ended.stderr);
    let none = half.without("WXPATROL_RECEIVER_TOKEN");
    let ended = none.program(&["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("no platform has the keys"), "{}", ended.stderr);
    let taken_address = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken_address.local_addr().unwrap().to_string();
    let world = receiving(World::new(plan(1, 1)).await, &address);
    let ended = world.program(&["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("the receiver can not listen on"), "{}", ended.stderr);
}

#[tokio::test]
async fn no_secret_of_a_push_shows_in_a_log_or_in_a_table() {
    for format in ["text", "json"] {
        let world = World::new(plan(2, 1)).await.with("WXPATROL_LOG", "trace").with("WXPATROL_LOG_FORMAT", format);
        let new = Plan::mini_program(1);
        world.wechat.withdraw(&new).unwrap();
        world.sync().await;
        let (world, program, _) = listening(world, false).await;
        world.wechat.authorize(&new).unwrap();
        let code = "queryauthcode@@@planted-code";
        taken(
            &world,
            Push { secret: Some("ticket@@@planted-ticket".to_owned()), ..push("component_verify_ticket", None) },
        )
        .await;
        taken(&world, Push { secret: Some(code.to_owned()), ..push("authorized", Some(&new)) }).await;
        for fault in [Fault::ForgedSignature, Fault::WrongAppid, Fault::BadPadding, Fault::MissingField] {
            world.wechat.push(&Push { fault: Some(fault), ..push("authorized", Some(&new)) }).await.unwrap();
        }
        settled(&world, 1).await;
        program.signal(Signal::SIGTERM);
        let mut places = vec![("the log".to_owned(), program.ended().await.everything())];
        assert!(places[0].1.len() > 10_000, "the log is loud");
        for table in ["platform", "merchant", "credential", "authorization_event", "taken_push"] {
            places.push((
                table.to_owned(),
                world.texts(&format!("select t::text from wxpatrol_data.{table} t")).await.join("\n"),
            ));
        }
        let plan = world.wechat.plan();
        let secrets = [
            &plan.event_token,
            &plan.event_aes_key,
            "planted-ticket",
            "planted-code",
            "sim-code-",
            "sim-rt-",
            "sim-at-",
        ];
        for (place, text) in places {
            for secret in secrets {
                let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(secret) && !text.contains(&hexadecimal), "{secret} is in {place}");
            }
        }
    }
}
