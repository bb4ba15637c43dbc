//! Installs the distribution's own Postgres, or pip where that one is too old: the last step of the ladder, for root on
//! Debian and its kin, and only when the caller allowed it. Always said aloud before it happens.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;

use super::folders::open_file;
use super::process::{Finished, finish, finish_within};
use super::programs::MAJOR_MIN;

/// Debian's packages make and start a cluster of their own unless this folder says otherwise.
const CREATE_CLUSTER_FOLDER: &str = "/etc/postgresql-common/createcluster.d";
/// A slow mirror takes its time, and an installation that is killed in the middle leaves a system to be mended.
const TIME_MAX: Duration = Duration::from_secs(1800);

/// What an installation has brought.
pub(super) enum Installed {
    /// The programs are where `programs` looks.
    Postgres,
    /// The means to fetch them: the system's own are too old.
    Pip,
}

/// The error is a short reason. `there` tells what another process has brought while this one waited its turn.
pub(super) fn install(
    cache: &Path,
    there: &dyn Fn() -> Option<Installed>,
    say: &dyn Fn(&str),
) -> Result<Installed, String> {
    if !geteuid().is_root() {
        return Err("apt: only root installs".to_owned());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("apt: no apt-get here".to_owned());
    }
    let lock = open_file(&cache.join("fetch.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if let Some(installed) = there() {
        return Ok(installed);
    }
    say(
        "installing the system's Postgres packages: apt-get update, apt-get install postgresql (about 490 MB with package lists)",
    );
    // One list of somebody else's that can not be had fails the whole update, and what we want may be in the others.
    let updated = apt(&["update"]);
    let installed = match candidate() {
        Some(major) if major < MAJOR_MIN => {
            say(&format!(
                "the system has Postgres {major}, which is too old: apt-get install python3-pip instead, to fetch another"
            ));
            apt_install("python3-pip").map(|()| Installed::Pip)
        }
        _ => without_a_cluster(|| apt_install("postgresql")).map(|()| Installed::Postgres),
    };
    match (installed, updated) {
        (Ok(installed), _) => Ok(installed),
        (Err(reason), Ok(())) => Err(format!("apt: {reason}")),
        (Err(reason), Err(before)) => Err(format!("apt: {reason}; its lists could not be renewed before: {before}")),
    }
}

/// The major version that the system would install; `None`: apt does not know, and will say why.
fn candidate() -> Option<u16> {
    let mut policy = Command::new("/usr/bin/apt-cache");
    let told = finish(policy.args(["policy", "postgresql"]).env("LC_ALL", "C")).ok()?;
    major_of_candidate(&told.output)
}

fn major_of_candidate(policy: &str) -> Option<u16> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn without_a_cluster(install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(CREATE_CLUSTER_FOLDER).map_err(told)?;
    let drop_in = Path::new(CREATE_CLUSTER_FOLDER).join("wxpatrol.conf");
    std::fs::write(&drop_in, "create_main_cluster = false\n").map_err(told)?;
    let installed = install();
    // It has done its work; a later installation by the operator should behave as Debian documents it.
    std::fs::remove_file(&drop_in).map_err(told)?;
    installed
}

fn apt_install(package: &str) -> Result<(), String> {
    apt(&["install", "--yes", "--no-install-recommends", package])
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut apt = Command::new("/usr/bin/apt-get");
    // The system may be installing something of its own, as it does after it was started.
    apt.args(["-o", "DPkg::Lock::Timeout=120"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    match finish_within(TIME_MAX, &mut apt) {
        Ok(Finished { success: true, .. }) => Ok(()),
        Ok(Finished { output, .. }) => Err(output.lines().last().unwrap_or("it gave no reason").to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_a_candidate_is_read() {
        let policy = |candidate: &str| {
            format!("postgresql:\n  Installed: (none)\n  Candidate: {candidate}\n  Version table:\n     14+238 500\n")
        };
        assert_eq!(major_of_candidate(&policy("14+238")), Some(14));
        assert_eq!(major_of_candidate(&policy("17+278.pgdg22.04+1")), Some(17));
        assert_eq!(major_of_candidate(&policy("(none)")), None);
        assert_eq!(major_of_candidate(""), None);
    }
}
