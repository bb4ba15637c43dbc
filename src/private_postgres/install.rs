//! Installs the distribution's own Postgres: the last step of the ladder, for root on Debian and its kin, and only when
//! the caller allowed it. Always said aloud before it happens.

use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;

use super::folders::open_file;
use super::process::finish;

/// Debian's packages make and start a cluster of their own unless this folder says otherwise.
const CREATE_CLUSTER_FOLDER: &str = "/etc/postgresql-common/createcluster.d";

/// The error is a short reason. On success the programs are where `programs` looks; which version is up to the system.
/// `there` tells whether another process has installed them while this one waited its turn.
pub(super) fn install(cache: &Path, there: &dyn Fn() -> bool, say: &dyn Fn(&str)) -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("apt: only root installs".to_owned());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("apt: no apt-get here".to_owned());
    }
    let lock = open_file(&cache.join("fetch.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if there() {
        return Ok(());
    }
    say(
        "installing the system's Postgres packages: apt-get update, apt-get install postgresql (about 490 MB with package lists)",
    );
    let told = |error: std::io::Error| format!("apt: {error}");
    std::fs::create_dir_all(CREATE_CLUSTER_FOLDER).map_err(told)?;
    let drop_in = Path::new(CREATE_CLUSTER_FOLDER).join("wxpatrol.conf");
    std::fs::write(&drop_in, "create_main_cluster = false\n").map_err(told)?;
    let installed = apt(&["update"]).and_then(|()| apt(&["install", "--yes", "--no-install-recommends", "postgresql"]));
    // It has done its work; a later installation by the operator should behave as Debian documents it.
    std::fs::remove_file(&drop_in).map_err(told)?;
    installed
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    match finish(Command::new("/usr/bin/apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive")) {
        Ok(finished) if finished.success => Ok(()),
        Ok(finished) => Err(format!("apt: {}", finished.output.lines().last().unwrap_or("it gave no reason"))),
        Err(error) => Err(format!("apt: {error}")),
    }
}
