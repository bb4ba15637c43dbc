//! The key that seals: a wrong one is found at the start, and another one takes its place while processes work.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::signal::Signal;
use wxpatrol::simulate::Plan;

use crate::world::{Ended, Program, World, plan, until};

/// 32 bytes of 7: the key of every test's world.
const OLD: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
/// 32 bytes of 8.
const NEW: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
/// The new key, and the old one to open with.
const BOTH: [(&str, &str); 2] = [("WXPATROL_ENCRYPTION_KEY", NEW), ("WXPATROL_ENCRYPTION_KEYS_OLD", OLD)];
const NEW_ONLY: [(&str, &str); 1] = [("WXPATROL_ENCRYPTION_KEY", NEW)];

/// A platform whose refresh tokens change with each refresh, so that one that is not stored well is a merchant lost.
async fn rotating() -> World {
    let plan = Plan { rotate_refresh_tokens: true, token_overlap: Duration::ZERO, ..plan(30, 2) };
    let mut world = World::synced(plan).await.with("WXPATROL_SCHEDULE_CALLBACK", "* * * * * *");
    for schedule in ["PHONE", "ASK", "LINKS", "INVITE", "SYNC"] {
        world = world.with(&format!("WXPATROL_SCHEDULE_{schedule}"), "off");
    }
    world
}

async fn alive(world: &World, processes: i64) {
    until("the workers live", async || world.count("select count(*) from wxpatrol_data.process").await == processes)
        .await;
}

/// Which keys have sealed something, by id.
async fn keys_in_tables(world: &World) -> Vec<String> {
    world
        .texts(
            "select distinct encode(substr(sealed, 1, 4), 'hex')
               from (select access_sealed as sealed from wxpatrol_data.credential
                     union all select refresh_sealed from wxpatrol_data.credential
                     union all select ticket_sealed from wxpatrol_data.platform
                     union all select canary from wxpatrol_data.sealing_key) s
              where sealed is not null
              order by 1",
        )
        .await
}

/// Until `enough`, every token dies and every merchant is read, again and again: each call needs a refresh, by whichever
/// process. Nobody is killed: a refresh whose answer is lost would lose the merchant. Dead tokens halt nobody, however often
/// they die.
async fn stir(world: &World, enough: impl Fn() -> bool) {
    while !enough() {
        world.wechat.expire_all_tokens();
        // The time between two purchases of the platform's own token is over.
        sqlx::raw_sql("update wxpatrol_data.credential set refused_at = null where appid = ''")
            .execute(&world.database.pool)
            .await
            .unwrap();
        patrolled(world, &BOTH, &["--once", "--all", "--check", "callback"]).await;
    }
}

/// One run to its end.
async fn patrolled(world: &World, settings: &[(&str, &str)], arguments: &[&str]) {
    let once = world.program_with(settings, arguments).await;
    assert_eq!(once.code, Some(0), "{}", once.everything());
}

fn refreshes(world: &World) -> u32 {
    world.wechat.refreshes().values().sum()
}

async fn stopped(program: Program) {
    program.signal(Signal::SIGTERM);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
}

fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert_eq!(ended.stdout, "", "nothing is half done");
    for word in words {
        assert!(ended.stderr.contains(word), "it does not say {word:?}: {}", ended.stderr);
    }
    for never in [OLD, NEW, "panicked"] {
        assert!(!ended.stderr.contains(never), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_key_is_replaced_while_workers_work_and_every_token_still_opens() {
    let world = rotating().await;
    let before = keys_in_tables(&world).await;
    // The new key arrives at one worker after the other. Until all have it, the old one seals.
    let (behind, first) = (world.spawn(&["run"]), world.spawn_with(&BOTH, &["run"]));
    alive(&world, 2).await;
    stir(&world, || refreshes(&world) > 120).await;
    assert_eq!(keys_in_tables(&world).await, before);
    let refused = world.program_with(&BOTH, &["keys", "rotate"]).await;
    assert_refused(&refused, &["live processes do not have WXPATROL_ENCRYPTION_KEY", "run"]);
    assert_eq!(keys_in_tables(&world).await, before);

    stopped(behind).await;
    let second = world.spawn_with(&BOTH, &["run"]);
    alive(&world, 2).await;
    let refreshed_before = refreshes(&world);
    let over = AtomicBool::new(false);
    let rotating = async {
        let rotated = world.program_with(&BOTH, &["keys", "rotate"]).await;
        over.store(true, Ordering::Relaxed);
        rotated
    };
    let (rotated, ()) = tokio::join!(rotating, stir(&world, || over.load(Ordering::Relaxed)));
    assert_eq!(rotated.code, Some(0), "{}", rotated.everything());
    assert!(rotated.stderr.contains("nothing is left of other keys"), "{}", rotated.stderr);
    assert!(refreshes(&world) > refreshed_before, "tokens were refreshed meanwhile");
    let after = keys_in_tables(&world).await;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(after, before);
    stopped(first).await;
    stopped(second).await;

    let again = world.program_with(&BOTH, &["keys", "rotate"]).await;
    assert_eq!(again.code, Some(0), "{}", again.everything());
    world.wechat.expire_all_tokens();
    patrolled(&world, &NEW_ONLY, &["--once", "--all", "--check", "callback", "--fail-on", "failed"]).await;
    let lost = "select count(*) from wxpatrol_data.credential where lost_reason is not null or failures > 0";
    assert_eq!(world.count(lost).await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where outcome = 'failed'").await, 0);

    let late = world.program(&["--once"]).await;
    assert_refused(&late, &["WXPATROL_ENCRYPTION_KEY is not the key that this database was sealed with", &after[0]]);
}

#[tokio::test]
async fn the_list_of_keys_counts_what_each_has_sealed() {
    let world = World::synced(plan(5, 1)).await;
    let listed = async |settings: &[(&str, &str)]| {
        let listed = world.program_with(settings, &["keys", "list", "--json"]).await;
        assert_eq!(listed.code, Some(0), "{}", listed.everything());
        serde_json::from_str::<serde_json::Value>(&listed.stdout).unwrap()
    };
    let counted = |listed: &serde_json::Value, column: &str| -> Vec<(String, i64)> {
        let rows = listed["values"].as_array().unwrap().iter().filter(|row| row["column_name"] == column);
        rows.map(|row| (row["key_id"].to_string(), row["sealed_values"].as_i64().unwrap())).collect()
    };
    let before = listed(&BOTH).await;
    assert_eq!(before["keys"][0]["set_as"], "WXPATROL_ENCRYPTION_KEY");
    assert_eq!((&before["keys"][0]["in_use"], &before["keys"][0]["sealed_values"]), (&false.into(), &0.into()));
    assert_eq!(
        (&before["keys"][1]["set_as"], &before["keys"][1]["in_use"]),
        (&"WXPATROL_ENCRYPTION_KEYS_OLD".into(), &true.into())
    );
    let old = before["keys"][1]["key_id"].to_string();
    assert_eq!(counted(&before, "credential.refresh_sealed"), [(old.clone(), 6)]);

    let rotated = world.program_with(&BOTH, &["keys", "rotate", "--json"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.everything());
    let rows: serde_json::Value = serde_json::from_str(&rotated.stdout).unwrap();
    let refresh =
        rows.as_array().unwrap().iter().find(|row| row["column_name"] == "credential.refresh_sealed").unwrap();
    assert_eq!((&refresh["resealed"], &refresh["left"], &refresh["unreadable"]), (&6.into(), &0.into(), &0.into()));
    let after = listed(&NEW_ONLY).await;
    assert_eq!(after["keys"].as_array().unwrap().len(), 1, "{after}");
    assert_ne!(counted(&after, "credential.refresh_sealed")[0].0, old);

    // What a third key sealed is named, and left alone.
    world
        .texts("update wxpatrol_data.credential set refresh_sealed = '\\xdeadbeef00' where refresh_sealed is not null and appid = (select min(appid) from wxpatrol_data.merchant) returning appid")
        .await;
    let stuck = world.program_with(&NEW_ONLY, &["keys", "rotate"]).await;
    assert_eq!(stuck.code, Some(1), "{}", stuck.everything());
    assert!(stuck.stderr.contains("1 values open with none of the keys that are set"), "{}", stuck.stderr);
    let foreign = listed(&NEW_ONLY).await;
    assert_eq!((&foreign["keys"][1]["key_id"], &foreign["keys"][1]["set_as"]), (&"deadbeef".into(), &"not set".into()));
}

#[tokio::test]
async fn every_fault_of_the_key_is_one_sentence_before_anything_is_done() {
    let world = World::synced(plan(2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (empty, short, gone) = (file("empty", " \n"), file("short", "AAAA\n"), folder.path().join("gone"));
    let directory = folder.path().to_str().unwrap().to_owned();
    let (key, key_file, old) =
        ("WXPATROL_ENCRYPTION_KEY", "WXPATROL_ENCRYPTION_KEY_FILE", "WXPATROL_ENCRYPTION_KEYS_OLD");
    let long = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let two = format!("{OLD},not-a-key");
    for (settings, words) in [
        (
            vec![(key, "")],
            vec!["WXPATROL_ENCRYPTION_KEY:", "must be set when DATABASE_URL is", "openssl rand -base64 32"],
        ),
        (vec![(key, "c2hvcnQ=")], vec!["WXPATROL_ENCRYPTION_KEY:", "must be 32 bytes in base64"]),
        (vec![(key, long)], vec!["must be 32 bytes in base64"]),
        (vec![(key, "?no-base64-at-all?")], vec!["must be 32 bytes in base64"]),
        (vec![(key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")], vec!["must not be all zeros"]),
        (
            vec![(key, ""), (key_file, gone.to_str().unwrap())],
            vec!["WXPATROL_ENCRYPTION_KEY_FILE", "must name a file that can be read"],
        ),
        (vec![(key, ""), (key_file, &directory)], vec!["must name a file that can be read"]),
        (vec![(key, ""), (key_file, &empty)], vec!["it is empty"]),
        (vec![(key, ""), (key_file, &short)], vec!["WXPATROL_ENCRYPTION_KEY_FILE", "must be 32 bytes in base64"]),
        (vec![(key_file, &short)], vec!["must not be set together with WXPATROL_ENCRYPTION_KEY"]),
        (vec![(old, &two)], vec!["WXPATROL_ENCRYPTION_KEYS_OLD", "key 2 of them must be 32 bytes in base64"]),
        (vec![(key, NEW)], vec!["WXPATROL_ENCRYPTION_KEY is not the key that this database was sealed with"]),
        (
            vec![(key, NEW), (old, NEW)],
            vec!["WXPATROL_ENCRYPTION_KEY is not the key that this database was sealed with"],
        ),
    ] {
        for command in [&["--once"][..], &["status"], &["keys", "rotate"]] {
            assert_refused(&world.program_with(&settings, command).await, &words);
        }
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.run").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.process").await, 0, "who was refused is on no list");
}

#[tokio::test]
async fn a_rotation_that_ends_in_the_middle_says_that_something_was_done_and_goes_on_later() {
    let world = World::synced(plan(3, 1)).await;
    // The first sealed values go through, those of a later column do not.
    let barred = "create function public.barred() returns trigger language plpgsql as
                  $$ begin raise exception 'Postgres is going away' using errcode = '57P01'; end $$;
                  create trigger barred before update of refresh_sealed on wxpatrol_data.credential
                  for each row execute function public.barred()";
    sqlx::raw_sql(barred).execute(&world.database.pool).await.unwrap();
    let ended = world.program_with(&BOTH, &["keys", "rotate"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.everything());
    for word in ["is in use from now on", "Postgres is going away", "`wxpatrol keys rotate` goes on with what is left"]
    {
        assert!(ended.stderr.contains(word), "it does not say {word:?}: {}", ended.stderr);
    }
    sqlx::raw_sql("drop function public.barred() cascade").execute(&world.database.pool).await.unwrap();
    let again = world.program_with(&BOTH, &["keys", "rotate"]).await;
    assert_eq!(again.code, Some(0), "{}", again.everything());
    assert_eq!(world.program_with(&NEW_ONLY, &["status"]).await.code, Some(0));
}

#[tokio::test]
async fn keys_come_from_files_one_a_line() {
    let world = World::synced(plan(2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old");
    fs::write(&path, format!("{NEW}=\n{OLD}\n")).unwrap();
    let settings = [("WXPATROL_ENCRYPTION_KEY", NEW), ("WXPATROL_ENCRYPTION_KEYS_OLD_FILE", path.to_str().unwrap())];
    let rotated = world.program_with(&settings, &["keys", "rotate"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.everything());
    assert_eq!(world.program_with(&NEW_ONLY, &["status"]).await.code, Some(0));
}

#[tokio::test]
async fn a_private_postgres_whose_key_is_gone_says_so_and_makes_no_other() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let world = World::new(plan(1, 1)).await;
    // What leads to the Postgres programs that this test program itself found or fetched.
    let found_by = ["PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "LD_LIBRARY_PATH", "WXPATROL_POSTGRES_BIN"];
    let found_by: Vec<(&str, String)> =
        found_by.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect();
    let mut settings =
        vec![("DATABASE_URL", ""), ("WXPATROL_ENCRYPTION_KEY", ""), ("WXPATROL_DATA_DIR", data.to_str().unwrap())];
    settings.extend(found_by.iter().map(|(name, value)| (*name, value.as_str())));
    // What a person has set for another server does not lead astray.
    settings.push(("PGPORT", "9"));
    let first = world.program_with(&settings, &["status"]).await;
    assert_eq!(first.code, Some(0), "{}", first.everything());
    let key = data.join("encryption.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let refused = world.program_with(&settings, &["status"]).await;
    assert_refused(&refused, &["the encryption key of this private Postgres is gone from", "put it back"]);
    assert!(!key.exists(), "a wrong key beside the data would pass for the right one");
    fs::write(&key, kept).unwrap();
    assert_eq!(world.program_with(&settings, &["status"]).await.code, Some(0));
}
