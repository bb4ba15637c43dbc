//! The private Postgres as its users see it, with real servers. Each test has its own data folder. A second process is
//! this test program itself, run again for one ignored test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::folders::first_writable;
use super::*;

const OPTIONS: Options = Options { durability: Durability::None, sources: Sources::MayInstall, wanted: Wanted::Any };
const DATA_DIR: &str = "WXPATROL_TEST_SECOND_PROCESS_DATA_DIR";

/// A data folder that the server's user may enter, also when we are root.
fn data_dir() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn join(folder: &TempDir) -> PrivatePostgres {
    PrivatePostgres::join_or_start(folder.path(), OPTIONS, &|_| {}).unwrap()
}

fn refusal(folder: &Path, options: Options) -> String {
    PrivatePostgres::join_or_start(folder, options, &|_| {}).unwrap_err().to_string()
}

fn query(postgres: &PrivatePostgres, sql: &'static str) -> Result<String, sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&postgres.url("postgres")).await?;
        sqlx::query_scalar(sql).fetch_one(&mut connection).await
    })
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(180), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the guard to finish, so that the folder can go.
fn wait_for_the_end(folder: &TempDir, socket_folder: &Path) {
    wait_until("the server is gone", || !folder.path().join("pg/postmaster.pid").exists());
    wait_until("the socket folder is gone", || !socket_folder.exists());
}

fn end(folder: &TempDir, postgres: PrivatePostgres) {
    let socket_folder = postgres.server.socket_folder.clone();
    drop(postgres);
    wait_for_the_end(folder, &socket_folder);
}

/// A process that uses the server until it is killed.
fn second_process(folder: &TempDir) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "private_postgres::tests::the_second_process", "--ignored", "--nocapture"])
        .env(DATA_DIR, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_until_joined(child: &mut Child) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("joined")), "the second process could not join");
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "run by other tests as their second process"]
fn the_second_process() {
    let Some(folder) = std::env::var_os(DATA_DIR) else { return };
    let _postgres = PrivatePostgres::join_or_start(Path::new(&folder), OPTIONS, &|_| {}).unwrap();
    println!("joined");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn the_server_outlives_its_killed_starter_and_ends_with_its_last_user() {
    let folder = data_dir();
    let mut starter = second_process(&folder);
    wait_until_joined(&mut starter);
    let postgres = join(&folder);
    let born = query(&postgres, "select pg_postmaster_start_time()::text").unwrap();
    kill(starter);
    assert_eq!(query(&postgres, "select pg_postmaster_start_time()::text").unwrap(), born);
    end(&folder, postgres);
}

#[test]
fn the_server_ends_when_its_only_user_is_killed_and_starts_again_for_the_next() {
    let folder = data_dir();
    let mut only = second_process(&folder);
    wait_until_joined(&mut only);
    let socket_folder = running(folder.path()).unwrap().unwrap().socket_folder;
    kill(only);
    wait_for_the_end(&folder, &socket_folder);
    let postgres = join(&folder);
    assert_eq!(query(&postgres, "show timezone").unwrap(), "UTC");
    end(&folder, postgres);
}

#[test]
fn eight_processes_at_once_share_one_server() {
    let folder = data_dir();
    let mut children: Vec<Child> = (0..8).map(|_| second_process(&folder)).collect();
    children.iter_mut().for_each(wait_until_joined);
    let postgres = join(&folder);
    children.into_iter().for_each(kill);
    assert_eq!(query(&postgres, "select count(*)::text from pg_database where datname = 'postgres'").unwrap(), "1");
    let log = std::fs::read_to_string(folder.path().join("postgres.log")).unwrap();
    assert_eq!(log.matches("database system is ready to accept connections").count(), 1, "{log}");
    end(&folder, postgres);
}

#[test]
fn joining_again_right_after_the_last_user_left_always_finds_a_guarded_server() {
    let folder = data_dir();
    let mut postgres = join(&folder);
    for _ in 0..4 {
        let socket_folder = postgres.server.socket_folder.clone();
        drop(postgres);
        // Not waited for: the guard may be anywhere between its first and its last step.
        postgres = join(&folder);
        assert_eq!(query(&postgres, "select 'here'").unwrap(), "here");
        assert_eq!(postgres.server.socket_folder, socket_folder);
    }
    end(&folder, postgres);
}

#[test]
fn a_half_made_cluster_is_replaced() {
    let folder = data_dir();
    std::fs::create_dir(folder.path().join("pg.new")).unwrap();
    std::fs::write(folder.path().join("pg.new/PG_VERSION"), "15\n").unwrap();
    let postgres = join(&folder);
    assert!(!folder.path().join("pg.new").exists());
    assert_eq!(query(&postgres, "select 'here'").unwrap(), "here");
    end(&folder, postgres);
}

#[test]
fn a_restart_keeps_the_socket_and_the_data() {
    let folder = data_dir();
    let postgres = join(&folder);
    query(&postgres, "with made as (select set_config('a.b', 'c', false)) select 'here' from made").unwrap();
    let born = query(&postgres, "select pg_postmaster_start_time()::text").unwrap();
    for how in [Stop::Immediate, Stop::Fast] {
        postgres.restart(how).unwrap();
        assert_ne!(query(&postgres, "select pg_postmaster_start_time()::text").unwrap(), born);
    }
    end(&folder, postgres);
}

#[test]
fn a_server_whose_socket_was_swept_away_is_replaced() {
    let folder = data_dir();
    let first = join(&folder);
    std::fs::remove_dir_all(&first.server.socket_folder).unwrap();
    let second = join(&folder);
    assert_eq!(query(&second, "select 'here'").unwrap(), "here");
    drop(first);
    end(&folder, second);
}

#[test]
fn a_process_that_got_the_number_of_a_dead_server_is_left_alone() {
    let folder = data_dir();
    let postgres = join(&folder);
    let Server { socket_folder, account, .. } = postgres.server.clone();
    let left = [cluster(&postgres.server.data_dir).join("postmaster.pid"), socket_folder.join(".s.PGSQL.5432.lock")];
    let texts = left.clone().map(|path| std::fs::read_to_string(path).unwrap());
    end(&folder, postgres);

    // As a loss of power leaves them. The stranger is of the server's user, as only such a one can be taken for the server.
    let mut stranger =
        account.command("/bin/sh").args(["-c", "read line; exit 7"]).stdin(Stdio::piped()).spawn().unwrap();
    super::socket_folder(&folder.path().canonicalize().unwrap(), &account).unwrap();
    for (path, text) in left.iter().zip(&texts) {
        let (_, rest) = text.split_once('\n').unwrap();
        std::fs::write(path, format!("{}\n{rest}", stranger.id())).unwrap();
        account.own(path).unwrap();
    }
    let postgres = join(&folder);
    assert_eq!(query(&postgres, "select 'here'").unwrap(), "here");
    end(&folder, postgres);
    drop(stranger.stdin.take());
    assert_eq!(stranger.wait().unwrap().code(), Some(7), "it was left alone, so it ended by itself");
}

#[test]
fn a_server_under_way_is_not_taken_for_a_stranger() {
    let folder = data_dir();
    let postgres = join(&folder);
    let pid_file = cluster(&postgres.server.data_dir).join("postmaster.pid");
    let before = std::fs::read(&pid_file).unwrap();
    postgres.server.forget_dead().unwrap();
    assert_eq!(std::fs::read(&pid_file).unwrap(), before);
    assert_eq!(query(&postgres, "select 'here'").unwrap(), "here");
    end(&folder, postgres);
}

#[test]
fn a_strict_file_mask_of_root_does_not_keep_the_server_out() {
    let folder = data_dir();
    let below = folder.path().join("a/b");
    let mut strict = Command::new("/bin/sh")
        .args(["-c", r#"umask 077; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "private_postgres::tests::the_second_process", "--ignored", "--nocapture"])
        .env(DATA_DIR, &below)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_joined(&mut strict);
    let socket_folder = running(&below.canonicalize().unwrap()).unwrap().unwrap().socket_folder;
    kill(strict);
    wait_until("the server is gone", || !below.join("pg/postmaster.pid").exists() && !socket_folder.exists());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    let parent = if geteuid().is_root() { 0o755 } else { 0o700 };
    assert_eq!((mode(&folder.path().join("a")), mode(&below)), (parent, data_dir_mode()));
    assert_eq!(mode(folder.path()), 0o711, "what was there stays as it was");
}

#[test]
fn a_folder_that_can_not_be_written_to_is_passed_over_for_the_demo() {
    let folder = data_dir();
    let (usual, otherwise) = (folder.path().join("usual"), folder.path().join("otherwise"));
    assert_eq!(first_writable(&usual, otherwise.clone()).unwrap(), usual);
    assert!(!otherwise.exists());
    // A file in the place of a parent keeps root out, too.
    let barred = usual.join("start.lock/demo");
    assert_eq!(first_writable(&barred, otherwise.clone()).unwrap(), otherwise);
    std::fs::set_permissions(&otherwise, std::fs::Permissions::from_mode(0o777)).unwrap();
    let sentence = first_writable(&barred, otherwise).unwrap_err().to_string();
    assert!(sentence.contains("only we may write to"), "{sentence}");
}

#[test]
fn a_socket_folder_that_others_may_enter_is_refused() {
    // An installation may add the user whose socket folder this is about: it comes first.
    let warm = data_dir();
    end(&warm, join(&warm));
    let folder = data_dir();
    let canonical = folder.path().canonicalize().unwrap();
    let account = Account::choose(&cluster(&canonical)).unwrap();
    let socket_folder = socket_folder(&canonical, &account).unwrap();
    std::fs::set_permissions(&socket_folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let sentence = refusal(folder.path(), OPTIONS);
    assert!(sentence.contains(&format!("the socket folder {} is not", socket_folder.display())), "{sentence}");
    std::fs::remove_dir(&socket_folder).unwrap();

    // Root can also make one that belongs to somebody else.
    if geteuid().is_root() {
        std::fs::create_dir(&socket_folder).unwrap();
        std::fs::set_permissions(&socket_folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(refusal(folder.path(), OPTIONS), sentence);
        std::fs::remove_dir(&socket_folder).unwrap();
    }
}

#[test]
fn a_cluster_of_a_version_that_is_not_here_is_named_and_left_alone() {
    let folder = data_dir();
    let pg = folder.path().canonicalize().unwrap().join("pg");
    let account = Account::choose(&pg).unwrap();
    std::fs::create_dir(&pg).unwrap();
    std::fs::write(pg.join("PG_VERSION"), "9\n").unwrap();
    account.own(&pg).unwrap();
    let sentence = refusal(folder.path(), OPTIONS);
    // The second is what is said when WXPATROL_POSTGRES_BIN rules the search.
    let expected = ["is of Postgres 9, and programs of that version were not found", "is not of version 9"];
    assert!(expected.iter().any(|expected| sentence.contains(expected)), "{sentence}");
    assert!(pg.join("PG_VERSION").exists());
    let sentence = refusal(folder.path(), Options { wanted: Wanted::Major(15), ..OPTIONS });
    assert!(sentence.contains("its data is of Postgres 9, and version 15 is wanted"), "{sentence}");
}

#[test]
fn a_folder_in_the_place_of_the_cluster_is_not_touched() {
    let folder = data_dir();
    let pg = folder.path().join("pg");
    let account = Account::choose(&pg).unwrap();
    std::fs::create_dir(&pg).unwrap();
    std::fs::write(pg.join("letters"), "dear").unwrap();
    account.own(&pg).unwrap();
    assert!(refusal(folder.path(), OPTIONS).contains("is not a Postgres cluster"));
    assert!(pg.join("letters").exists());
}

#[test]
fn a_careful_user_does_not_join_a_careless_server() {
    let folder = data_dir();
    let postgres = join(&folder);
    let sentence = refusal(folder.path(), Options { durability: Durability::Full, ..OPTIONS });
    assert!(sentence.contains("may lose what it is given"), "{sentence}");
    end(&folder, postgres);
}

#[test]
fn root_is_told_which_folder_keeps_the_server_out() {
    if !geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let sentence = refusal(&closed.path().join("below"), OPTIONS);
    let expected = format!("who may not enter {};", closed.path().canonicalize().unwrap().display());
    assert!(sentence.contains(&expected), "{sentence}");
}

#[test]
fn nothing_found_is_one_sentence_with_ways_out() {
    let sentence = PrivatePostgresError::NoPrograms { tried: "pip: no python3 here".to_owned() }.to_string();
    for part in ["(pip: no python3 here)", "install Postgres 15", "DATABASE_URL", "WXPATROL_POSTGRES_BIN", "pip", "npm"]
    {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(!sentence.contains('\n'));
}
