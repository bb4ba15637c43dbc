//! Installs the distribution's own Postgres, or pip where that one is too old: the last step of the ladder, for root on
//! Debian and its kin, and only when the caller allowed it. Always said aloud before it happens.

use std::path::Path;

use nix::unistd::geteuid;

use super::apt::Apt;
use super::folders::lock_fetches;
use super::programs::MAJOR_MIN;

/// Debian's packages make and start a cluster of their own unless this folder says otherwise.
const CREATE_CLUSTER_FOLDER: &str = "/etc/postgresql-common/createcluster.d";

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
    let apt = Apt::of_the_system().ok_or("apt: no apt-get here")?;
    let _lock = lock_fetches(cache)?;
    if let Some(installed) = there() {
        return Ok(installed);
    }
    say(
        "installing the system's Postgres packages: apt-get update, apt-get install postgresql (about 490 MB with package lists)",
    );
    let installed = apt.with_lists(|apt| {
        let install = |package: &str| apt.get(&["install", "--yes", "--no-install-recommends", package]);
        match apt.candidate("postgresql") {
            Some(major) if major < MAJOR_MIN => {
                say(&format!(
                    "the system has Postgres {major}, which is too old: apt-get install python3-pip instead, to fetch another"
                ));
                install("python3-pip").map(|()| Installed::Pip)
            }
            _ => without_a_cluster(|| install("postgresql")).map(|()| Installed::Postgres),
        }
    });
    installed.map_err(|reason| format!("apt: {reason}"))
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
