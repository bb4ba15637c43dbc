//! What commands that change something answer to a program: one row, and nothing but that on stdout.

use serde_json::{Value, json};
use wxpatrol::{domain::CheckName, simulate::Plan};

use crate::world::{World, pair, plan};

/// The one row of a command that ended well, and the sentence for people.
async fn answer(world: &World, arguments: &[&str], input: &str) -> (Value, String) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let ended = world.program_reading(&arguments, input).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.everything());
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(rows.len(), 1, "{arguments:?}: {rows:?}");
    (rows[0].clone(), ended.stderr)
}

#[tokio::test]
async fn a_program_is_answered_in_one_row_and_a_person_in_a_sentence() {
    let world = World::synced(Plan { phone_missing_share: 1.0, ..plan(3, 1) }).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let (account, program) = pair(0, 0);
    let (_, other) = pair(0, 1);
    let wished = |new: u32, before: u32, dry: bool| json!({"new": new, "wanted_before": before, "dry_run": dry});
    // What a list names twice counts once.
    let pairs = format!("{account},{program}\n{account},{other}\n{account},{program}\n");
    assert_eq!(answer(&world, &["want", "--from", "-", "--dry-run"], &pairs).await.0, wished(2, 0, true));
    assert_eq!(answer(&world, &["want", &account, &program], "").await.0, wished(1, 0, false));
    let (row, said) = answer(&world, &["want", "--from", "-"], &pairs).await;
    assert_eq!(row, wished(1, 1, false));
    assert!(said.contains("want: 1 pair new, 1 wanted before"), "{said}");
    assert_eq!(
        answer(&world, &["unwant", &account, &other], "").await.0,
        json!({"wanted_no_more": 1, "dry_run": false})
    );
    let twice = format!("{program}\n{program}\n");
    assert_eq!(answer(&world, &["ask", "--from", "-"], &twice).await.0, json!({"granted": 1, "now_due": 0}));
    assert_eq!(answer(&world, &["pause", "--check", "ask"], "").await.0, json!({"new": 1, "renewed": 0}));
    assert_eq!(answer(&world, &["pause", "--check", "ask"], "").await.0, json!({"new": 0, "renewed": 1}));
    assert_eq!(answer(&world, &["resume", "--check", "ask"], "").await.0, json!({"ended": 1}));
    let merchants = "appid,kind\nwx00000000000000ff,\nwx00000000000000fe,mini_program\n";
    let imported = |dry: bool| json!({"merchants": 2, "without_kind": 1, "dry_run": dry});
    let import = ["import", "-", "--format", "csv"];
    assert_eq!(answer(&world, &[&import[..], &["--dry-run"]].concat(), merchants).await.0, imported(true));
    assert_eq!(answer(&world, &import, merchants).await.0, imported(false));
    // One that is known with its kind lacks none.
    let known = format!("appid\n{program}\n");
    let kept = json!({"merchants": 1, "without_kind": 0, "dry_run": false});
    assert_eq!(answer(&world, &import, &known).await.0, kept);
    assert_eq!(answer(&world, &["ticket", "-"], "ticket@@@fake").await.0, json!({"stored": true}));
    assert_eq!(answer(&world, &["migrate"], "").await.0["up_to_date"], true);
    let platform = world.wechat.plan().component_appid.clone();
    let became = |word: &str| json!({"platform": platform, "became": word});
    assert_eq!(answer(&world, &["platform", "disable", &platform], "").await.0, became("disabled"));
    assert_eq!(answer(&world, &["platform", "disable", &platform], "").await.0, became("unchanged"));
    assert_eq!(answer(&world, &["platform", "enable", &platform], "").await.0, became("enabled"));
    // CSV has the same row, and a table for people is none of theirs.
    let csv = world.program(&["pause", "--check", "ask", "--csv"]).await;
    assert_eq!(csv.stdout.trim_end(), "new,renewed\n1,0", "{}", csv.everything());
    let person = world.program(&["resume", "--check", "ask"]).await;
    assert_eq!((person.stdout.as_str(), person.code), ("", Some(0)), "{}", person.everything());
}

#[tokio::test]
async fn a_command_that_is_refused_answers_nothing_on_stdout() {
    let world = World::synced(plan(1, 0)).await;
    let refused = world.program(&["ask", "wx00000000000000ff", "--json"]).await;
    assert_eq!((refused.stdout.as_str(), refused.code), ("", Some(2)), "{}", refused.everything());
}
