//! apt, as root uses it for the system, or with lists and archives of one's own, for which no right is needed.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Finished, finish, finish_within};

const APT_GET: &str = "/usr/bin/apt-get";
/// A slow mirror takes its time, and an installation that is killed in the middle leaves a system to be mended.
const TIME_MAX: Duration = Duration::from_secs(1800);

/// apt with the options that say whose lists and archives it works on.
pub(super) struct Apt {
    options: Vec<OsString>,
}

impl Apt {
    /// The system's own; `None`: there is no apt here.
    pub(super) fn of_the_system() -> Option<Self> {
        // The system may be installing something of its own, as it does after it was started.
        Path::new(APT_GET).exists().then(|| Self { options: vec!["-o".into(), "DPkg::Lock::Timeout=120".into()] })
    }

    /// One with lists and a cache in these folders, beside the system's sources, keys, and knowledge of what is installed. It
    /// can download, and install nothing; hooks that the system sets on an update of lists are run all the same. `None`: there is no
    /// apt here.
    pub(super) fn apart(lists: &Path, cache: &Path) -> Option<Self> {
        let folder = |name: &str, folder: &Path| {
            let mut option = OsString::from(name);
            option.push(folder);
            option
        };
        let settings = [
            folder("Dir::State::lists=", lists),
            folder("Dir::Cache=", cache),
            // The locks are the system's, and what they guard is not touched.
            "Debug::NoLocking=true".into(),
            // Downloads are made by the user who runs this, who may write to these folders.
            "APT::Sandbox::User=".into(),
            "Acquire::Retries=1".into(),
            "Acquire::http::Timeout=15".into(),
            "Acquire::https::Timeout=15".into(),
        ];
        let options = settings.into_iter().flat_map(|setting| ["-o".into(), setting]).collect();
        Path::new(APT_GET).exists().then_some(Self { options })
    }

    /// Runs apt-get to its end. The error is a short reason.
    pub(super) fn get(&self, arguments: &[&str]) -> Result<(), String> {
        let mut apt = Command::new(APT_GET);
        apt.args(&self.options).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        match finish_within(TIME_MAX, &mut apt) {
            Ok(Finished { success: true, .. }) => Ok(()),
            Ok(Finished { output, .. }) => Err(output.lines().last().unwrap_or("it gave no reason").to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Renews the lists and does what wants them. One list of somebody else's that can not be had fails the whole renewal, and what
    /// is wanted may be in the others: it is told only where the work fails too.
    pub(super) fn with_lists<T>(&self, work: impl FnOnce(&Self) -> Result<T, String>) -> Result<T, String> {
        let renewed = self.get(&["update"]);
        work(self).map_err(|reason| match renewed {
            Ok(()) => reason,
            Err(before) => format!("{reason}; its lists could not be renewed before: {before}"),
        })
    }

    /// The major version of a package that would be taken; `None`: there is none, or apt does not know, and will say why.
    pub(super) fn candidate(&self, package: &str) -> Option<u16> {
        let mut policy = Command::new("/usr/bin/apt-cache");
        let told = finish(policy.args(&self.options).args(["policy", package]).env("LC_ALL", "C")).ok()?;
        major_of_candidate(&told.output)
    }
}

fn major_of_candidate(policy: &str) -> Option<u16> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
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
