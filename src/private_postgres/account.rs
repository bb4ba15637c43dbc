//! Who the server runs as. Postgres refuses root, so root's server belongs to another user; everybody else's is their own.
//! Nothing here looks for programs: "may not become that user" must never look like "is not installed".

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User, geteuid};

use super::error::PrivatePostgresError;
use super::process::{Finished, finish};

/// The user of the server, and how to start something as that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    /// We are root and have to become this user.
    drops: bool,
}

impl Account {
    /// The owner of the cluster, if there is one; else, for root, `postgres` or `nobody`. The owner comes first because
    /// a later installed package may add the user `postgres` beside a cluster that belongs to `nobody`.
    pub(super) fn choose(cluster: &Path) -> Result<Self, PrivatePostgresError> {
        let owner = std::fs::symlink_metadata(cluster).ok().map(|found| (found.uid(), found.gid()));
        let me = geteuid();
        if !me.is_root() {
            return match owner {
                Some((owner, _)) if owner != me.as_raw() => {
                    Err(PrivatePostgresError::ForeignCluster { folder: cluster.to_owned(), owner })
                }
                _ => Ok(Self::of(me.as_raw(), nix::unistd::getegid().as_raw(), false)),
            };
        }
        match owner {
            Some((0, _)) => Err(PrivatePostgresError::NotACluster { folder: cluster.to_owned() }),
            Some((uid, gid)) => Ok(Self::of(uid, gid, true)),
            None => ["postgres", "nobody"]
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .filter(|user| !user.uid.is_root())
                .map(|user| Self::of(user.uid.as_raw(), user.gid.as_raw(), true))
                .ok_or(PrivatePostgresError::NoServerUser),
        }
    }

    fn of(uid: u32, gid: u32, drops: bool) -> Self {
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        Self { uid, gid, name, drops }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A command as this user, in `/` (the current folder may be closed to it), with an environment in which no
    /// `PG...` variable of the caller can bend what the programs do.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env_clear().env("LC_ALL", "C");
        for kept in ["PATH", "LD_LIBRARY_PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if self.drops {
            // The standard library also clears the supplementary groups when it changes the user as root.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Tries to become the user, with a command that cannot fail for another reason.
    pub(super) fn prove(&self) -> Result<(), PrivatePostgresError> {
        if !self.drops {
            return Ok(());
        }
        let reason = match finish(self.command("/bin/sh").args(["-c", ":"])) {
            Ok(Finished { success: true, .. }) => return Ok(()),
            Ok(Finished { output, .. }) => output,
            Err(source) => source.to_string(),
        };
        Err(PrivatePostgresError::CannotDropRoot { user: self.name.clone(), reason })
    }

    /// `Some(folder)`: the first folder on the way to `folder`, itself included, that the user may not enter. Asks the
    /// system by trying, so that access lists and mounts count too.
    pub(super) fn closed_on_the_way(&self, folder: &Path) -> Option<PathBuf> {
        if !self.drops {
            return None;
        }
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        let tried = finish(
            self.command("/bin/sh")
                .args([
                    "-c",
                    r#"for folder; do cd "$folder" 2>/dev/null || { printf %s "$folder"; exit 1; }; done"#,
                    "sh",
                ])
                .args(&way),
        );
        match tried {
            Ok(Finished { success: true, .. }) => None,
            Ok(Finished { output, .. }) => Some(PathBuf::from(output)),
            Err(_) => Some(folder.to_owned()),
        }
    }

    /// The way to `folder` as a result.
    pub(super) fn enters(&self, folder: &Path) -> Result<(), PrivatePostgresError> {
        match self.closed_on_the_way(folder) {
            None => Ok(()),
            Some(closed) => Err(PrivatePostgresError::NotPassable { user: self.name.clone(), folder: closed }),
        }
    }

    /// Gives a file or folder that root just made to the user.
    pub(super) fn own(&self, path: &Path) -> Result<(), PrivatePostgresError> {
        if !self.drops {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .map_err(PrivatePostgresError::io("hand over", path))
    }
}
