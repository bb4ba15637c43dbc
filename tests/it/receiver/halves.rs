//! Clients that send a part of a request and no more: nobody's end waits for them, and none is waited for without an end.

use std::time::Instant;

use super::*;
use crate::{secrets::page, world::PATIENCE};

/// Nothing, half a header, and a header with half a body.
const HALVES: [&str; 3] = [
    "",
    "POST /wechat/events HTTP/1.1\r\nHost: x\r\n",
    "POST /wechat/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
];

async fn sent(address: &str, half: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(half.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_signal_ends_the_program_before_clients_that_hold_parts_of_requests_open_are_cut() {
    let status = free_address();
    let world = World::synced(plan(1, 1)).await.with("WXPATROL_STATUS_ADDR", &status);
    let (_world, program, receiver) = listening(world, false).await;
    let mut held = Vec::new();
    for address in [&status, &receiver] {
        for half in HALVES {
            held.push(sent(address, half).await);
        }
    }
    assert!(page(&status, "/healthz").await.ends_with("ok\n"));
    assert_eq!(request(&receiver, "GET /", "").await.0, 405);
    let told = Instant::now();
    ended(program).await;
    // It does not wait for them to end by themselves, after a minute.
    assert!(told.elapsed() < Duration::from_secs(55), "{:?}", told.elapsed());
    drop(held);
}

#[tokio::test]
async fn a_flood_of_connections_leaves_the_process_file_descriptors_for_its_work() {
    let (world, program, receiver) = listening(World::synced(plan(1, 1)).await, false).await;
    let before = program.open_files();
    let mut held = Vec::new();
    // The system keeps a hundred more that nobody has let in yet.
    for _ in 0..320 {
        held.push(TcpStream::connect(&receiver).await.unwrap());
    }
    until("the flood is let in", async || program.open_files() > before + 200).await;
    assert!(program.open_files() < before + 270, "{}", program.open_files());
    // Nobody who says nothing keeps the others out for long.
    assert_eq!(request(&receiver, "GET /", "").await.0, 405);
    assert!(program.open_files() < before + 270, "{}", program.open_files());
    drop((held, world));
    ended(program).await;
}

#[tokio::test]
async fn a_header_that_does_not_come_to_its_end_is_not_waited_for_without_an_end() {
    let world = World::synced(plan(1, 1)).await;
    let (address, stop) = receiver_here(&world, false).await;
    let halves = (0..150).map(|_| async {
        let mut stream = sent(&address, HALVES[1]).await;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed").ok();
    });
    futures_util::future::join_all(halves).await;
    taken(&world, push("component_verify_ticket", None)).await;
    stop.cancel();
}

#[tokio::test]
async fn a_push_that_is_being_kept_when_the_receiver_is_told_to_end_is_kept_and_answered() {
    let world = World::synced(plan(1, 1)).await;
    let (_, stop) = receiver_here(&world, false).await;
    let mut holding = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table wxpatrol_data.taken_push in exclusive mode").execute(&mut *holding).await.unwrap();
    let ends = async {
        let blocked = "select exists (select from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock')";
        world.until(blocked).await;
        stop.cancel();
        holding.rollback().await.unwrap();
    };
    let ((), ()) = tokio::join!(taken(&world, push("component_verify_ticket", None)), ends);
    assert!(stored_ticket(&world).await.is_some());
}
