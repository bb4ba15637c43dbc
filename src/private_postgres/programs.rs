//! Finds Postgres programs on the machine. Only looks; fetching is `fetch`, installing is `install`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::finish;

/// SQL is written for this one and later.
pub(super) const MAJOR_MIN: u16 = 15;

const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// What a folder must hold to be of use: some packages bring only two of the three.
const NAMES: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Where packages put the programs when they keep them off the search path. A star stands for part of one name.
pub(super) const LAYOUTS: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/lib/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// One set of programs that was asked for its version and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// The folder with `initdb`, `pg_ctl` and `postgres`.
    pub(super) bin: PathBuf,
    pub(super) major: u16,
    /// Folders of libraries that they need and the system has not.
    pub(super) libraries: Vec<PathBuf>,
    /// Which Postgres, from where; for people.
    pub(super) origin: String,
}

impl Programs {
    /// Asks the programs in `bin`. The error is a short reason.
    pub(super) fn ask(bin: &Path, libraries: Vec<PathBuf>, whence: &str) -> Result<Self, String> {
        let bin = bin.canonicalize().map_err(|error| error.to_string())?;
        if let Some(missing) = NAMES.iter().find(|name| !bin.join(name).is_file()) {
            return Err(format!("it has no {missing}"));
        }
        // Root may ask for the version, though it may not start a server.
        let mut postgres = Command::new(bin.join("postgres"));
        lend(&libraries, &mut postgres);
        let answer = finish(postgres.arg("--version")).map_err(|error| error.to_string())?;
        let version = answer.output.split_whitespace().nth(2).unwrap_or_default();
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        match digits.parse() {
            Ok(major) if answer.success => {
                Ok(Self { origin: format!("Postgres {version}, {whence} {}", bin.display()), bin, major, libraries })
            }
            _ => Err(format!("its postgres does not tell a version: {}", answer.output)),
        }
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Gives a command that is one of the programs the folders of libraries.
    pub(super) fn lend_libraries(&self, command: &mut Command) {
        lend(&self.libraries, command);
    }

    /// What `LD_LIBRARY_PATH` is to be for the programs; `None`: as it is.
    pub(super) fn library_path(&self) -> Option<OsString> {
        joined(&self.libraries)
    }
}

/// Folders of libraries before those that the caller's environment names.
fn joined(libraries: &[PathBuf]) -> Option<OsString> {
    let given = std::env::var_os(LIBRARY_PATH);
    let all = libraries.iter().cloned().chain(given.iter().flat_map(std::env::split_paths));
    (!libraries.is_empty()).then(|| std::env::join_paths(all).ok()).flatten()
}

fn lend(libraries: &[PathBuf], command: &mut Command) {
    if let Some(path) = joined(libraries) {
        command.env(LIBRARY_PATH, path);
    }
}

/// All sets on the machine, in the order in which they should be taken: the search path, then the known places, newest
/// first. Folders that do not answer are passed over: they were not asked for by name.
pub(super) fn on_machine(search_path: Option<&OsStr>, layouts: &[&str]) -> Vec<Programs> {
    let mut found: Vec<Programs> = Vec::new();
    let mut add = |candidates: &mut dyn Iterator<Item = PathBuf>| {
        let mut group: Vec<Programs> = Vec::new();
        for bin in candidates {
            // What the search path has are often links; the programs need the folder that they were built for.
            let Ok(initdb) = bin.join("initdb").canonicalize() else { continue };
            let Some(bin) = initdb.parent() else { continue };
            if found.iter().chain(&group).any(|known| known.bin == bin) {
                continue;
            }
            group.extend(Programs::ask(bin, Vec::new(), "from"));
        }
        group.retain(|programs| programs.major >= MAJOR_MIN);
        group.sort_by_key(|programs| std::cmp::Reverse(programs.major));
        found.extend(group);
    };
    add(&mut search_path.iter().flat_map(std::env::split_paths).filter(|folder| folder.is_absolute()));
    add(&mut layouts.iter().flat_map(|layout| expand(layout)));
    found
}

/// The folders that a layout stands for on this machine.
fn expand(layout: &str) -> Vec<PathBuf> {
    let Some((before, after)) = layout.split_once('*') else { return vec![PathBuf::from(layout)] };
    let Some((parent, prefix)) = before.rsplit_once('/') else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| match after.strip_prefix('/') {
            Some(rest) => entry.path().join(rest),
            None => entry.path(),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Programs that only tell a version.
    pub(in crate::private_postgres) fn fake(folder: &Path, version: &str) {
        std::fs::create_dir_all(folder).unwrap();
        for name in NAMES {
            let file = folder.join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::fake;
    use super::*;

    #[test]
    fn the_search_path_comes_first_then_the_newest() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().canonicalize().unwrap().join(name);
        fake(&at("path"), "15.2 (Debian)");
        fake(&at("pg-16/bin"), "16.9");
        fake(&at("pg-18/bin"), "18.4");
        fake(&at("pg-14/bin"), "14.30");
        let layout = format!("{}/pg-*/bin", root.path().display());
        let found = on_machine(Some(at("path").as_os_str()), &[&layout]);
        assert_eq!(found.iter().map(|programs| programs.major).collect::<Vec<_>>(), [15, 18, 16]);
        assert_eq!(found[0].origin, format!("Postgres 15.2, from {}", at("path").display()));
    }

    #[test]
    fn a_folder_without_pg_ctl_is_passed_over_in_a_search_and_named_when_asked_for() {
        let root = tempfile::tempdir().unwrap();
        fake(root.path(), "17.1");
        std::fs::remove_file(root.path().join("pg_ctl")).unwrap();
        assert_eq!(on_machine(Some(root.path().as_os_str()), &[]), []);
        assert_eq!(Programs::ask(root.path(), Vec::new(), "from").unwrap_err(), "it has no pg_ctl");
    }
}
