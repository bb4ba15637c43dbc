//! The pages against the program: what they show must run, and what the program has must be in them.
#![cfg(feature = "demo")]

#[expect(dead_code, reason = "other tests use more of it")]
#[path = "it/world/postgres.rs"]
mod postgres;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use chrono::{Datelike as _, TimeDelta, Utc};
use postgres::TestDatabase;
use sqlx::{AssertSqlSafe, Executor as _};
use wxpatrol::config::{Config, Source};

const PAGES: [&str; 2] = ["README.md", "README.zh-CN.md"];

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The fenced blocks of one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(name)) if name == language => open = Some(String::new()),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// The cells of every table row.
fn rows(page: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    page.lines().filter(|line| line.starts_with("| ")).map(cells).collect()
}

/// What stands in backticks at the head of the table rows, and the row with it.
fn named_rows(page: &str) -> Vec<(String, Vec<String>)> {
    let name = |row: &Vec<String>| row[0].strip_prefix('`')?.split('`').next().map(str::to_owned);
    rows(page).into_iter().filter_map(|row| Some((name(&row)?, row))).collect()
}

#[tokio::test]
async fn every_query_of_the_readmes_runs_on_the_migrated_schema() {
    let database = TestDatabase::new().await;
    let queries = blocks(&text(PAGES[0]), "sql");
    assert_eq!(queries.len(), 10);
    for query in queries {
        if let Err(error) = database.pool.execute(AssertSqlSafe(query.clone())).await {
            panic!("{error}\n{query}");
        }
    }
}

#[test]
fn both_readmes_show_the_same_queries_and_outputs() {
    let [english, chinese] = PAGES.map(text);
    for language in ["sql", "text"] {
        assert_eq!(blocks(&english, language), blocks(&chinese, language));
    }
}

#[tokio::test]
async fn both_readmes_list_every_view() {
    let database = TestDatabase::new().await;
    let views: Vec<String> = sqlx::query_scalar("select viewname::text from pg_views where schemaname = 'wxpatrol'")
        .fetch_all(&database.pool)
        .await
        .expect("the catalog answers");
    assert!(!views.is_empty());
    for page in PAGES {
        let named: BTreeSet<String> = named_rows(&text(page)).into_iter().map(|(name, _)| name).collect();
        for view in &views {
            assert!(named.contains(view), "{page} does not list the view {view}");
        }
    }
}

#[test]
fn both_readmes_list_every_variable_with_its_default_and_no_other() {
    let config = Config::from_vars(|_| None, Vec::new()).expect("nothing need be set");
    for page in PAGES {
        let listed: Vec<(String, Vec<String>)> = named_rows(&text(page))
            .into_iter()
            .filter(|(name, row)| row.len() == 3 && (name.starts_with("WXPATROL_") || name == "DATABASE_URL"))
            .filter(|(name, row)| row[0] == format!("`{name}`"))
            .collect();
        let names: BTreeSet<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        let known: BTreeSet<&str> = config.settings().iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names, known, "{page}");
        for setting in config.settings() {
            // The data folder depends on who asks.
            if setting.source != Source::Default || setting.value == "not set" || setting.name == "WXPATROL_DATA_DIR" {
                continue;
            }
            let (_, row) = listed.iter().find(|(name, _)| *name == setting.name).expect("it is listed");
            assert_eq!(row[1], format!("`{}`", setting.value), "{page}: {}", setting.name);
        }
        let example: Vec<String> = text(".env.example")
            .lines()
            .filter_map(|line| line.strip_prefix('#')?.split_once('='))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.starts_with("WXPATROL_") && !name.contains(' '))
            .collect();
        assert!(example.iter().all(|name| names.contains(name.as_str())), "{page}");
    }
}

#[test]
fn both_readmes_list_every_command_and_every_control_path() {
    let help = text("tests/frozen/help.snap");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"run"));
    let simulate = text("src/simulate/mod.rs");
    let paths: Vec<&str> = simulate
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|line| line.split('`').next())
        .filter(|path| path.starts_with("GET ") || path.starts_with("POST "))
        .collect();
    assert!(paths.len() > 30);
    for page in PAGES {
        let text = text(page);
        for command in &commands {
            assert!(text.contains(&format!("`wxpatrol {command}")), "{page} does not list `wxpatrol {command}`");
        }
        for path in &paths {
            assert!(text.contains(&format!("| `{path}` |")), "{page} does not list {path}");
        }
    }
}

/// What a sentence of a page names in backticks, from its first word to the end of the paragraph.
fn named_after(page: &str, begins: &str) -> BTreeSet<String> {
    let paragraph = page.split("\n\n").find(|paragraph| paragraph.starts_with(begins));
    let names = paragraph.unwrap_or_default().split('`').skip(1).step_by(2);
    names.filter(|name| name.starts_with("wxpatrol_")).map(str::to_owned).collect()
}

#[test]
fn both_readmes_list_every_metric_and_no_other() {
    let mut counted = BTreeSet::new();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files.iter().filter(|file| *file != "src/telemetry.rs") {
        let text = text(file);
        for (at, _) in text.match_indices("\"wxpatrol_") {
            let before = text[..at].trim_end();
            if ["counter!(", "gauge!(", "histogram!("].iter().any(|call| before.ends_with(call)) {
                counted.extend(text[at + 1..].split('"').next().map(str::to_owned));
            }
        }
    }
    assert!(counted.len() > 5, "{counted:?}");
    for (page, begins) in PAGES.iter().zip(["Metrics:", "指标有："]) {
        assert_eq!(named_after(&text(page), begins), counted, "{page}");
    }
}

/// The lines of a coverage and of the counts at the end, with one blank between words.
fn figures(text: &str) -> Vec<String> {
    let told = |line: &&str| {
        ["phone", "ask", "callback", "links", "invite"].iter().any(|check| line.starts_with(&format!(" {check} ")))
            || line.starts_with("demo: the simulated WeChat counts")
    };
    text.lines().filter(told).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_demo_counts_what_the_readmes_show() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    // From one month to the next WeChat's quotas begin anew, and some invitations go out on the second day.
    let beijing = |hours: i64| (Utc::now() + TimeDelta::hours(8 + hours)).month();
    let month_ends = beijing(0) != beijing(26);
    let demo = Command::new(env!("CARGO_BIN_EXE_wxpatrol"))
        .arg("demo")
        .env("WXPATROL_DATA_DIR", folder.path().join("data"))
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{errors}");
    // What a person has in the usual folder is not touched by a test.
    let cluster = folder.path().join("data/demo/pg");
    assert!(cluster.is_dir(), "{errors}");
    let seen = figures(&format!("{}\n{errors}", String::from_utf8_lossy(&demo.stdout)));
    let shown = figures(&blocks(&text(PAGES[0]), "text").concat());
    assert!(shown.len() >= 8, "{shown:?}");
    for line in shown.iter().filter(|line| !(month_ends && line.contains("invitations"))) {
        assert!(seen.contains(line), "the demo does not show {line:?}, but {seen:#?}");
    }
    wait_for_the_end_of(&cluster);
}

/// The server ends a moment after the demo; then its folder can go.
fn wait_for_the_end_of(cluster: &Path) {
    let waited = Instant::now();
    while cluster.join("postmaster.pid").exists() {
        assert!(waited.elapsed() < Duration::from_secs(60), "the server of the demo does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_the_demo_prints_for_programs_is_json_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let demo = Command::new(env!("CARGO_BIN_EXE_wxpatrol"))
        .args(["demo", "--merchants", "40", "--json"])
        .env("WXPATROL_DATA_DIR", folder.path().join("data"))
        .output()
        .expect("the program starts");
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    let tables: serde_json::Value = serde_json::from_slice(&demo.stdout).expect("it is JSON");
    let names: Vec<&String> = tables.as_object().expect("an object of tables").keys().collect();
    assert_eq!(names, ["attention", "callback_changes", "first_run", "link_funnel", "missing_phone", "second_run"]);
    assert_eq!(tables["second_run"].as_array().map(Vec::len), Some(5));
    wait_for_the_end_of(&folder.path().join("data/demo/pg"));
}

#[test]
fn the_table_of_link_states_is_the_frozen_matrix() {
    let snapshot =
        text("src/domain/snapshots/wxpatrol__domain__link__tests__the_matrix_of_moves_is_the_frozen_one.snap");
    let frozen: BTreeSet<String> = snapshot.lines().filter(|line| line.contains(" -> ")).map(str::to_owned).collect();
    let table: Vec<Vec<String>> = rows(&text("ARCHITECTURE.md"))
        .into_iter()
        .skip_while(|row| !row[0].starts_with("from"))
        // Its states are bold; the tables after it are none of its rows.
        .take_while(|row| row[0].starts_with("from") || row[0].starts_with("**"))
        .collect();
    let (events, states) = table.split_first().expect("ARCHITECTURE.md holds the table");
    let mut shown = BTreeSet::new();
    for row in states {
        let state = row[0].trim_matches('*');
        for (event, next) in events.iter().zip(row).skip(1) {
            let next = if next == "·" { state } else { next };
            shown.insert(format!("{state} + {event} -> {next}"));
        }
    }
    assert_eq!(shown, frozen);
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let of_tests = name == "tests" || name == "tests.rs" || name.ends_with("_tests.rs");
        if of_tests {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            found.push(path.strip_prefix(root).expect("it lies below").display().to_string());
        }
    }
}

#[test]
fn the_code_map_names_every_source_file_and_no_other() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let found: BTreeSet<String> = found.into_iter().collect();
    let mapped: BTreeSet<String> = named_rows(&text("ARCHITECTURE.md"))
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("src/") && name.ends_with(".rs"))
        .collect();
    let missing: Vec<&String> = found.difference(&mapped).collect();
    let gone: Vec<&String> = mapped.difference(&found).collect();
    assert!(missing.is_empty() && gone.is_empty(), "add to the code map: {missing:?}; take out: {gone:?}");
}
