//! Bad input: one clear sentence on stderr, exit code 2, and no row changed.

use nix::sys::signal::Signal;
use wxpatrol::{domain::CheckName, simulate::Plan};

use crate::world::{Ended, World, plan};

const STRANGER: &str = "wx00000000deadbeef";

/// All rows that a command could change, as one text.
async fn rows(world: &World) -> String {
    let mut rows = Vec::new();
    for table in ["run", "item", "hold", "wish", "link", "intent", "merchant", "phone", "credential", "platform"] {
        rows.extend(world.texts(&format!("select t::text from wxpatrol_data.{table} t order by 1")).await);
    }
    rows.join("\n")
}

/// The program refuses, says these words, and leaves every row as it was.
async fn assert_refused(world: &World, arguments: &[&str], input: &str, words: &[&str]) {
    let before = rows(world).await;
    let ended = world.program_reading(arguments, input).await;
    assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.everything());
    for word in words {
        assert!(ended.stderr.contains(word), "{arguments:?} does not say {word:?}: {}", ended.stderr);
    }
    assert_eq!(ended.stdout, "", "{arguments:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(rows(world).await, before, "{arguments:?} changed a row");
}

async fn known() -> World {
    let world = World::synced(plan(3, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world
}

#[tokio::test]
async fn a_stranger_is_refused_by_every_command_that_names_merchants() {
    let world = known().await;
    let (account, program) = (Plan::official_account(0), Plan::mini_program(0));
    for arguments in [
        &["--once", "--merchant", STRANGER][..],
        &["want", &account, STRANGER],
        &["want", STRANGER, &program],
        &["ask", STRANGER],
        &["pause", "--merchant", STRANGER],
        &["resume", "--merchant", STRANGER],
    ] {
        assert_refused(&world, arguments, "", &[STRANGER]).await;
    }
    assert_refused(&world, &["unwant", &account, &program], "", &["not wanted"]).await;
    assert_refused(&world, &["want", &program, &account], "", &["no official account"]).await;
    assert_refused(&world, &["resume", "--check", "ask"], "", &["nothing is held"]).await;
}

#[tokio::test]
async fn a_list_with_one_bad_line_changes_nothing_and_the_line_is_named() {
    let world = known().await;
    let (account, program) = (Plan::official_account(0), Plan::mini_program(0));
    let import = ["import", "-", "--format", "csv"];
    let csv = format!("appid,refresh_token\n{program},refreshtoken@@@fake\nno appid,x\n");
    assert_refused(&world, &import, &csv, &["line 3"]).await;
    assert_refused(&world, &import, "appid,refresh_token\nwx1111111111111111\n", &["line 2", "fields"]).await;
    assert_refused(&world, &import, "nickname\nnobody\n", &["appid"]).await;
    let pairs = format!("{account},{program}\n{account}\n");
    assert_refused(&world, &["want", "--from", "-"], &pairs, &["line 2"]).await;
    let appids = format!("{program}\n{STRANGER}\n");
    assert_refused(&world, &["ask", "--from", "-"], &appids, &[STRANGER]).await;
    assert_refused(&world, &["ask", "--from", "-"], "", &["empty"]).await;
    assert_refused(&world, &["ticket", "-"], " \n", &["ticket"]).await;
}

#[tokio::test]
async fn a_folder_that_is_given_for_a_file_is_one_sentence_and_not_read_for_ever() {
    let world = known().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for arguments in [
        &["import", folder, "--format", "jsonl"][..],
        &["import", folder, "--format", "csv"],
        &["want", "--from", folder],
        &["ask", "--from", folder],
    ] {
        assert_refused(&world, arguments, "", &["can not be read"]).await;
    }
}

#[tokio::test]
async fn an_import_may_begin_with_a_byte_order_mark() {
    let world = known().await;
    let file = "\u{feff}{\"appid\": \"wx00000000000000aa\", \"kind\": \"mini_program\"}\n";
    let ended = world.program_reading(&["import", "-", "--format", "jsonl"], file).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where appid = 'wx00000000000000aa'").await, 1);
}

#[tokio::test]
async fn an_import_that_names_the_platform_itself_stores_nothing() {
    let world = known().await;
    let platform = Plan::default().component_appid;
    let file = format!("appid\n{STRANGER}\n{platform}\n");
    assert_refused(&world, &["import", "-", "--format", "csv"], &file, &[&platform, "is a platform", "take these out"])
        .await;
}

#[tokio::test]
async fn a_quote_that_its_line_does_not_close_is_named_and_nobody_behind_it_is_swallowed() {
    let world = known().await;
    let import = ["import", "-", "--format", "csv"];
    let [first, second, third] = ["wxaaaaaaaaaaaaaab4", "wxaaaaaaaaaaaaaab5", "wxaaaaaaaaaaaaaab6"];
    for (lines, number) in [
        (format!("{first},\"abc\n{second},foo\n{third},foo\n"), 2),
        // A later quote closes it, and nothing is left over.
        (format!("{first},foo\n{second},\"abc\n{third},foo\"\n"), 3),
        (format!("{first},foo\n\n{second},foo\n{third},\"abc"), 5),
    ] {
        let words = [&format!("line {number}: a quote opens here that this line does not close"), "nothing was stored"];
        let csv = format!("appid,nickname\n{lines}");
        assert_refused(&world, &import, &csv, &words).await;
        let dry_run = [&import[..], &["--dry-run"]].concat();
        assert_refused(&world, &dry_run, &csv, &words).await;
    }
    let header = format!("appid,\"nickname\n{first},foo\n");
    assert_refused(&world, &import, &header, &["line 1: a quote opens here"]).await;
    for (header, words) in [
        ("appid,kind,kind", "names the column kind twice"),
        ("appid,nick_name,authorizer_appid", "names the column appid twice"),
    ] {
        assert_refused(&world, &import, &format!("{header}\n{first},,\n"), &[words, "leave one of them out"]).await;
    }
    let (account, program) = (Plan::official_account(0), Plan::mini_program(0));
    let pairs = format!("{account},{program}\n{account},\"{program}\n{account},{program}\n");
    let words = ["line 2: a list holds appids without quotes"];
    for command in ["want", "unwant"] {
        assert_refused(&world, &[command, "--from", "-"], &pairs, &words).await;
    }
    let appids = format!("{program}\n\"{program}\n{account}\n");
    for command in ["ask", "pause", "resume"] {
        assert_refused(&world, &[command, "--from", "-"], &appids, &words).await;
    }
    let closed = format!("appid,nickname\n{first},\"a, \"\"b\"\"\"\n");
    let ended = world.program_reading(&import, &closed).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("import: 1 merchant stored"), "{}", ended.stderr);
    let nickname = format!("select nickname from wxpatrol_data.merchant where appid = '{first}'");
    assert_eq!(world.texts(&nickname).await, ["a, \"b\""]);
}

#[tokio::test]
async fn a_wrong_flag_is_refused_with_what_would_be_right() {
    let world = known().await;
    assert_refused(&world, &["--once", "--check", "phones"], "", &["phones", "callback"]).await;
    assert_refused(&world, &["--once", "--merchant", "not-an-appid"], "", &["appid"]).await;
    assert_refused(&world, &["--check", "phone"], "", &["--once"]).await;
    assert_refused(&world, &["report", "nonsense"], "", &["nonsense", "wxpatrol report"]).await;
    assert_refused(&world, &["frobnicate"], "", &["frobnicate"]).await;
    assert_refused(&world, &["pause", "--schedule", "nightly"], "", &["nightly", "callback", "sync"]).await;
    assert_refused(&world, &["pause", "--schedule", "ask", "--check", "ask"], "", &["--schedule", "--check"]).await;
    assert_refused(&world, &["pause", "--schedule", "ask", "--until", "2020-01-01"], "", &["past"]).await;
    assert_refused(&world, &["resume", "--schedule", "ask"], "", &["nothing is held"]).await;
    let (account, program) = (Plan::official_account(0), Plan::mini_program(0));
    let links = &["pause", "--merchant", &program, "--check", "links"];
    assert_refused(&world, links, "", &[&program, "is a mini program", "links is about each official account"]).await;
    let phone = &["pause", "--merchant", &program, "--merchant", &account, "--check", "phone"];
    assert_refused(&world, phone, "", &[&account, "is an official account", "nothing was changed"]).await;
}

#[tokio::test]
async fn wrong_settings_are_refused_all_at_once_with_name_rule_and_example() {
    let world = known().await.with("WXPATROL_LIMIT_CHECKMOBILE", "fast").with("WXPATROL_LEASE", "5s");
    let words = ["WXPATROL_LIMIT_CHECKMOBILE", "200/s", "WXPATROL_LEASE", "30s"];
    assert_refused(&world, &["--once"], "", &words).await;
    for (name, limit, rule) in [
        ("WXPATROL_LIMIT_CHECKMOBILE", "0/s", "above zero"),
        ("WXPATROL_LIMIT_WXAMPLINK", "5/s, 6/s", "a rate and a count a day"),
        ("WXPATROL_LIMIT_CHECKMOBILE", "unlimited shadow", "above zero"),
        ("WXPATROL_LIMIT_CHECKMOBILE_MERCHANT", "1/s shadow", "must not be in shadow"),
        ("WXPATROL_LEARN_LIMITS", "maybe", "on or off"),
    ] {
        let world = known().await.with(name, limit);
        assert_refused(&world, &["--once"], "", &[name, rule]).await;
    }
}

/// What is said about one variable: one line, that names it and says what would be right.
fn sentence(ended: &Ended, variable: &str) -> String {
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(&format!("{variable}="))).collect();
    assert_eq!(lines.len(), 1, "one line for {variable}: {}", ended.stderr);
    lines[0].to_owned()
}

#[tokio::test]
async fn a_limit_of_zero_a_short_lease_and_a_schedule_that_never_fires_are_each_one_sentence_and_said_at_once() {
    let faults = [
        ("WXPATROL_LIMIT_CHECKMOBILE", "0/s", &["a count above zero", "200/s"][..]),
        ("WXPATROL_LIMIT_WXAMPLINK", "0/day", &["a count above zero", "10000/day"]),
        ("WXPATROL_LEASE", "12s", &["at least 30s", "the slowest call (10s) must fit into it", "WXPATROL_LEASE=60s"]),
        ("WXPATROL_SCHEDULE_CALLBACK", "0 0 31 4 *", &["must fire some day", "WXPATROL_SCHEDULE_CALLBACK=0 3 * * *"]),
    ];
    let world = known().await;
    for (variable, value, words) in faults {
        let ended = world.program_with(&[(variable, value)], &["run"]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.everything());
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        let said = sentence(&ended, variable);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let all = faults.map(|(variable, value, _)| (variable, value));
    let ended = world.program_with(&all, &["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert_eq!(ended.stderr.lines().count(), faults.len(), "{}", ended.stderr);
    for (variable, _, words) in faults {
        let said = sentence(&ended, variable);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.process where purpose = 'run'").await, 0);
}

#[tokio::test]
async fn the_shortest_lease_that_is_taken_outlasts_the_slowest_call() {
    let world = known().await.with("WXPATROL_LEASE", "30s");
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
}

#[tokio::test]
async fn a_second_process_with_another_key_is_refused_at_start_and_the_first_works_on() {
    let world = known().await.unattended_without_schedules().with("WXPATROL_SCHEDULE_PHONE", "* * * * * *");
    let first = world.spawn(&["run"]);
    world.until("select exists (select from wxpatrol_data.process where purpose = 'run')").await;
    let other = [("WXPATROL_ENCRYPTION_KEY", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg")];
    for command in [&["run"][..], &["--once"]] {
        let second = world.program_with(&other, command).await;
        assert_eq!(second.code, Some(2), "{}", second.everything());
        let told: Vec<&str> = second.stderr.lines().filter(|line| line.starts_with("wxpatrol: ")).collect();
        assert_eq!(told.len(), 1, "{}", second.stderr);
        for word in ["WXPATROL_ENCRYPTION_KEY is not the key", "set the one in use", "wxpatrol keys rotate"] {
            assert!(told[0].contains(word), "does not say {word:?}: {}", second.stderr);
        }
    }
    let ticks = world.count("select count(*) from wxpatrol.ticks where state = 'complete'").await;
    world.until(&format!("select count(*) > {ticks} from wxpatrol.ticks where state = 'complete'")).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.process where purpose = 'run'").await, 1);
    first.signal(Signal::SIGTERM);
    let ended = first.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
}

#[tokio::test]
async fn a_schedule_that_never_fires_is_refused_at_start_with_one_sentence() {
    let world = known().await.with("WXPATROL_SCHEDULE_PHONE", "0 0 30 2 *");
    assert_refused(&world, &["run"], "", &["WXPATROL_SCHEDULE_PHONE", "this expression never does"]).await;
    let world = world.with("WXPATROL_SCHEDULE_PHONE", "0 3 * * *").with("WXPATROL_SCHEDULE_ASK_MISSED", "catch_up:0");
    assert_refused(&world, &["run"], "", &["WXPATROL_SCHEDULE_ASK_MISSED", "catch_up: with a number from 1 to 100"])
        .await;
}

#[tokio::test]
async fn a_database_that_can_not_be_reached_is_named_without_its_password() {
    let world = known().await.with("DATABASE_URL", "postgres://me:fake-password@127.0.0.1:9/nowhere");
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("cannot connect to Postgres at 127.0.0.1:9"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("fake-password"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_anything_is_done() {
    let world = known().await.with("WXPATROL_ENCRYPTION_KEY", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg");
    for command in ["--once", "run", "sync", "status"] {
        assert_refused(&world, &[command], "", &["WXPATROL_ENCRYPTION_KEY"]).await;
        let ended = world.program(&[command]).await;
        assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_sync_that_wechat_does_not_answer_says_that_nothing_more_is_tried() {
    let world = known().await;
    world.wechat.expire_all_tokens();
    world.database.advance(std::time::Duration::from_secs(86_400)).await;
    let ticket = world.wechat.plan().verify_ticket.clone();
    let world = world.with("WXPATROL_WECHAT_BASE_URL", "http://127.0.0.1:9");
    assert_eq!(world.program_reading(&["ticket", "-"], &ticket).await.code, Some(0));
    let ended = world.program(&["sync"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.everything());
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("could not connect") && last.contains("run `wxpatrol sync` again"), "{last}");
    assert!(!last.contains("next try"), "{last}");
}

#[tokio::test]
async fn a_missing_platform_a_missing_ticket_and_no_merchants_are_each_one_sentence() {
    let world = World::new(plan(3, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("component_verify_ticket"), "{}", ended.stderr);
    let ticket = world.wechat.plan().verify_ticket.clone();
    let world = world.with("WXPATROL_VERIFY_TICKET", &ticket);
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("wxpatrol sync"), "{}", ended.stderr);
    let world = world.without("WXPATROL_COMPONENT_APPID").without("WXPATROL_COMPONENT_APPSECRET");
    let world = world.without("WXPATROL_VERIFY_TICKET");
    assert_refused(&world, &["--once"], "", &["no platform is configured", "WXPATROL_COMPONENT_APPID"]).await;
}
