//! One cluster and its server: makes it, starts it, asks whether it answers, stops it, and sets the guard that stops it
//! when its last user is gone.
//!
//! The guard is a shell that waits for an exclusive lock on `users.lock` and then stops the server. Users hold that file
//! shared, and the system drops a dead process's locks, so nobody has to end tidily. The guard gets both lock files as
//! open streams: it needs no right to open them, and `guard.lock` stays locked exactly as long as it lives, so whoever
//! joins can tell that a guard is missing and set a new one. Where flock(1) is missing (macOS), perl takes the same lock.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::account::Account;
use super::error::PrivatePostgresError;
use super::folders::{open_file, remove_folder};
use super::process::{Finished, finish, on_search_path};
use super::programs::Programs;
use super::{Durability, ROLE, Stop};

/// Beyond this the log is set aside at the next start, and the one before it is dropped.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// For recovery after a crash; an ordinary start takes a tenth of a second.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A number that no process ever has: the greatest of its type, while numbers end far below.
const NO_PROCESS: i32 = i32::MAX;

/// `exec 1>&-` lets go of `guard.lock` before the end lets go of `users.lock`: who gets the latter must not take this
/// guard for a living one.
const GUARD: &str = r#"
trap '' HUP INT
if command -v flock >/dev/null 2>&1; then flock -x 0
else perl -MFcntl=:flock -e 'flock(STDIN, LOCK_EX) or exit 1'
fi || exit 1
for how in fast immediate; do
    ( [ -z "$4" ] || export LD_LIBRARY_PATH="$4"
      exec "$1" -D "$2" -s -w -t 60 -m "$how" stop ) >/dev/null 2>&1 && break
done
rmdir "$3" 2>/dev/null
exec 1>&-
"#;

/// What the server says to a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It takes connections.
    Ready,
    /// It is starting, recovering or stopping.
    NotNow,
    /// Nobody listens.
    Nobody,
}

/// Knocks as a client would, because a listening socket alone does not tell a server that is about to end.
pub(super) fn knock(socket_folder: &Path) -> Answer {
    let Ok(mut stream) = UnixStream::connect(socket_folder.join(".s.PGSQL.5432")) else { return Answer::Nobody };
    let parameters = format!("user\0{ROLE}\0database\0postgres\0\0");
    let length = u32::try_from(parameters.len() + 8).expect("a short text");
    let mut hello = length.to_be_bytes().to_vec();
    hello.extend(196_608_u32.to_be_bytes());
    hello.extend(parameters.as_bytes());
    let mut kind = [0];
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| stream.write_all(&hello))
        .and_then(|()| stream.read_exact(&mut kind));
    match (asked, kind) {
        (Ok(()), [b'R']) => {
            // The polite end of a session. Whether it arrives does not matter any more.
            drop(stream.write_all(&[b'X', 0, 0, 0, 4]));
            Answer::Ready
        }
        (Ok(()), [b'E']) => {
            let mut text = Vec::new();
            drop(stream.take(4096).read_to_end(&mut text));
            // 57P03 is "cannot connect now". Any other refusal, such as too many connections, comes from a running server.
            if text.windows(6).any(|window| window == b"C57P03") { Answer::NotNow } else { Answer::Ready }
        }
        _ => Answer::NotNow,
    }
}

/// Knocks until the answer is final.
pub(super) fn await_answer(socket_folder: &Path) -> Answer {
    let started = Instant::now();
    loop {
        match knock(socket_folder) {
            Answer::NotNow if started.elapsed() < ANSWER_TIME_MAX => std::thread::sleep(Duration::from_millis(20)),
            answer => return answer,
        }
    }
}

/// A cluster with the programs and the user that serve it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) data_dir: PathBuf,
    pub(super) account: Account,
    pub(super) programs: Programs,
    pub(super) socket_folder: PathBuf,
    pub(super) durability: Durability,
}

/// Where the cluster lies in a data folder. It appears there whole or not at all.
pub(super) fn cluster(data_dir: &Path) -> PathBuf {
    data_dir.join("pg")
}

/// The major version of the cluster, if there is one.
pub(super) fn cluster_major(data_dir: &Path) -> Result<Option<u16>, PrivatePostgresError> {
    let folder = cluster(data_dir);
    if std::fs::symlink_metadata(&folder).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    match std::fs::read_to_string(folder.join("PG_VERSION")) {
        Ok(version) => version.trim().parse().map(Some).map_err(|_| PrivatePostgresError::NotACluster { folder }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(PrivatePostgresError::NotACluster { folder }),
        Err(error) => Err(PrivatePostgresError::io("read", &folder)(error)),
    }
}

impl Server {
    /// Makes the cluster beside its place and moves it there, so that a killed attempt leaves nothing that looks whole.
    pub(super) fn make_cluster(&self) -> Result<(), PrivatePostgresError> {
        let half = self.data_dir.join("pg.new");
        remove_folder(&half).map_err(PrivatePostgresError::io("remove", &half))?;
        std::fs::create_dir(&half).map_err(PrivatePostgresError::io("make", &half))?;
        std::fs::set_permissions(&half, Permissions::from_mode(0o700))
            .map_err(PrivatePostgresError::io("close", &half))?;
        self.account.own(&half)?;
        let mut initdb = self.program("initdb");
        // Without a locale the cluster is the same on every system, and sorts by bytes.
        initdb.args(["-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions"]);
        if self.durability == Durability::None {
            initdb.arg("-N");
        }
        run("initdb", initdb.arg("-D").arg(&half))?;
        let whole = cluster(&self.data_dir);
        std::fs::rename(&half, &whole).map_err(PrivatePostgresError::io("put in place", &whole))?;
        if self.durability == Durability::Full {
            File::open(&self.data_dir)
                .and_then(|folder| folder.sync_all())
                .map_err(PrivatePostgresError::io("flush", &self.data_dir))?;
        }
        Ok(())
    }

    /// Starts the server and returns when it answers.
    pub(super) fn start(&self) -> Result<(), PrivatePostgresError> {
        let log = self.data_dir.join("postgres.log");
        if std::fs::metadata(&log).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
            std::fs::rename(&log, self.data_dir.join("postgres.log.old"))
                .map_err(PrivatePostgresError::io("set aside", &log))?;
        }
        drop(open_file(&log)?);
        self.account.own(&log)?;
        let settings: Vec<String> =
            self.settings().iter().map(|(name, value)| format!("-c {name}='{value}'")).collect();
        let mut start = self.pg_ctl();
        start.args(["-t", "60", "-l"]).arg(&log).arg("-o").arg(settings.join(" ")).arg("start");
        match run("pg_ctl start", &mut start) {
            Ok(()) => Ok(()),
            Err(PrivatePostgresError::ProgramFailed { program, output }) => {
                let log = std::fs::read(&log).unwrap_or_default();
                let lines = String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned();
                let mut last: Vec<&str> = lines.lines().rev().take(5).collect();
                last.reverse();
                Err(PrivatePostgresError::ProgramFailed {
                    program,
                    output: format!("{output}; its log: {}", last.join(" | ")),
                })
            }
            Err(other) => Err(other),
        }
    }

    /// Given on the command line at each start, so that they are those of this program, not of the one that made the
    /// cluster. No value holds a quote: the socket folder was checked, the rest is fixed.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let (connections, buffers, safe) = match self.durability {
            Durability::Full => ("100", "128MB", "on"),
            Durability::None => ("2000", "64MB", "off"),
        };
        [
            // No port that could clash or be reached; the socket's folder is closed to everyone else.
            ("listen_addresses", ""),
            ("port", "5432"),
            ("unix_socket_directories", &self.socket_folder.to_string_lossy()),
            ("unix_socket_permissions", "0700"),
            ("max_connections", connections),
            ("shared_buffers", buffers),
            ("fsync", safe),
            ("synchronous_commit", safe),
            ("full_page_writes", safe),
            ("autovacuum", safe),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            // The log stays small and free of data: starts, stops and crashes, no statements, no row values. Errors of
            // statements go to whoever sent them. `log` ranks above `error` here.
            ("logging_collector", "off"),
            ("log_min_messages", "log"),
            ("log_min_error_statement", "panic"),
            ("log_error_verbosity", "terse"),
            ("log_checkpoints", "off"),
            ("log_autovacuum_min_duration", "-1"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
    }

    /// After a power loss `postmaster.pid` may name a process that is none of ours by now: `pg_ctl stop` would signal it, and
    /// no server would start while it lives. Then the file is made to name nobody. It is not removed: by its last lines
    /// Postgres finds out whether sessions of a killed server still write to the cluster. Call it with the start lock in hand.
    pub(super) fn forget_dead(&self) -> Result<(), PrivatePostgresError> {
        let cluster = cluster(&self.data_dir);
        let path = cluster.join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
        let Some((first, rest)) = text.split_once('\n') else { return Ok(()) };
        if !first.trim().parse().is_ok_and(|process| serves_another_purpose(process, &cluster)) {
            return Ok(());
        }
        // In place, for what is there is shorter: no moment in which the file is empty.
        let nobody = format!("{NO_PROCESS}\n{rest}");
        OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .and_then(|file| file.write_all_at(nobody.as_bytes(), 0))
            .map_err(PrivatePostgresError::io("write", &path))?;
        // They name the same process, and nobody listens there.
        for left in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"].map(|name| self.socket_folder.join(name)) {
            match std::fs::remove_file(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PrivatePostgresError::io("remove", &left)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Stops the server if one runs.
    pub(super) fn stop(&self, how: Stop) -> Result<(), PrivatePostgresError> {
        // `status` ends well exactly when a server runs in the folder.
        let status =
            finish(self.pg_ctl().arg("status")).map_err(PrivatePostgresError::io("run pg_ctl on", &self.data_dir))?;
        if !status.success {
            return Ok(());
        }
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        run("pg_ctl stop", self.pg_ctl().args(["-t", "60", "-m", mode, "stop"]))
    }

    fn program(&self, name: &str) -> Command {
        let mut program = self.account.command(self.programs.program(name));
        self.programs.lend_libraries(&mut program);
        program
    }

    fn pg_ctl(&self) -> Command {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.args(["-s", "-w", "-D"]).arg(cluster(&self.data_dir));
        pg_ctl
    }

    /// Sets a guard unless one lives. Call it with the start lock and a share of `users.lock` in hand, before the server
    /// starts: then there is no moment in which a server has no guard.
    pub(super) fn ensure_guard(&self) -> Result<(), PrivatePostgresError> {
        let guard_path = self.data_dir.join("guard.lock");
        let guard_lock = open_file(&guard_path)?;
        match guard_lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(()),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(PrivatePostgresError::io("lock", &guard_path)(error));
            }
        }
        if !on_search_path("flock") && !on_search_path("perl") {
            return Err(PrivatePostgresError::NoGuard);
        }
        // Opened anew: a lock belongs to one opening of the file, and ours already holds a share.
        let users = open_file(&self.data_dir.join("users.lock"))?;
        let mut guard = self.account.command("/bin/sh");
        guard.args(["-c", GUARD, "wxpatrol-guard"]).arg(self.programs.program("pg_ctl")).arg(cluster(&self.data_dir));
        guard.arg(&self.socket_folder).arg(self.programs.library_path().unwrap_or_default());
        guard.stdin(users).stdout(guard_lock).stderr(Stdio::null());
        // Its own group: an interrupt from the keyboard is for us, not for it.
        let mut child =
            guard.process_group(0).spawn().map_err(PrivatePostgresError::io("start the guard of", &self.data_dir))?;
        // The thread only collects the guard's exit status, should this process outlive it.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}

/// Whether this process is gone, or is surely not the server of the cluster, which has the folder among its words. Where the
/// system does not tell (no `/proc`, or not for us), it may be the server.
fn serves_another_purpose(process: u32, cluster: &Path) -> bool {
    match std::fs::read(format!("/proc/{process}/cmdline")) {
        Ok(words) => !words.split(|byte| *byte == 0).any(|word| word == cluster.as_os_str().as_encoded_bytes()),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound && Path::new("/proc/self").exists(),
    }
}

fn run(name: &str, command: &mut Command) -> Result<(), PrivatePostgresError> {
    let failed = |output: String| Err(PrivatePostgresError::ProgramFailed { program: name.to_owned(), output });
    match finish(command) {
        Ok(Finished { success: true, .. }) => Ok(()),
        Ok(Finished { output, .. }) => failed(output),
        Err(error) => failed(error.to_string()),
    }
}
