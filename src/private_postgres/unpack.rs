//! Fetches the distribution's own Postgres packages with apt and unpacks them into the private cache, for whoever may install
//! nothing and has neither pip nor npm. apt checks them by the distribution's keys; no script of a package is run, and
//! nothing is installed. Needs the time zones of the system, which these programs read there and nowhere else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Apt;
use super::fetch::{open_up, run};
use super::folders::{in_work_folder, lock_fetches, make_folder, remove_folder, replace_folder};
use super::programs::{MAJOR_MIN, Programs};

const DPKG_DEB: &str = "/usr/bin/dpkg-deb";
/// A zone that the product's own statements name.
const A_TIME_ZONE: &str = "/usr/share/zoneinfo/Asia/Shanghai";
/// Of the C library only the system's fits the system's loader.
const C_LIBRARY: &str = "libc6_";

/// The programs of an earlier fetch, of this major version, or of the newest.
pub(super) fn cached(cache: &Path, major: Option<u16>) -> Option<Programs> {
    let homes = std::fs::read_dir(cache).ok()?.flatten();
    let unpacked = homes.filter_map(|home| major_of_home(&home.file_name()));
    let mut fitting: Vec<u16> = unpacked.filter(|unpacked| major.is_none_or(|major| major == *unpacked)).collect();
    fitting.sort_unstable();
    fitting.into_iter().rev().find_map(|major| programs(&home(cache, major), major).ok())
}

fn home(cache: &Path, major: u16) -> PathBuf {
    cache.join(format!("postgres-{major}-apt"))
}

fn major_of_home(name: &OsStr) -> Option<u16> {
    name.to_str()?.strip_prefix("postgres-")?.strip_suffix("-apt")?.parse().ok()
}

fn programs(home: &Path, major: u16) -> Result<Programs, String> {
    let bin = home.join(format!("usr/lib/postgresql/{major}/bin"));
    Programs::ask(&bin, libraries(home), "unpacked by apt-get and dpkg-deb into")
}

/// The folders in which packages lay libraries down: `lib` and `usr/lib`, and one for the architecture below each.
fn libraries(home: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in [home.join("usr/lib"), home.join("lib")] {
        let below = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"));
        folders.extend(below.filter(named));
        folders.push(folder);
    }
    folders.retain(|folder| {
        let mut files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().contains(".so"))
    });
    folders
}

/// Takes the programs from the cache or fetches them; `major`: of this version, `None`: of the distribution's. One process
/// fetches, the others wait for it and find them. The error is a short reason.
pub(super) fn unpack(cache: &Path, major: Option<u16>, say: &dyn Fn(&str)) -> Result<Programs, String> {
    let _lock = lock_fetches(cache)?;
    if let Some(programs) = cached(cache, major) {
        return Ok(programs);
    }
    let told = |reason: String| format!("apt, to unpack: {reason}");
    let major = in_work_folder(cache, |work| unpack_into(work, cache, major, say)).map_err(told)?;
    programs(&home(cache, major), major).map_err(told)
}

/// Whether all of them find their libraries.
fn prove(tree: &Path, major: u16) -> Result<(), String> {
    let programs = programs(tree, major)?;
    ["initdb", "pg_ctl"].iter().try_for_each(|name| {
        let mut program = Command::new(programs.program(name));
        programs.lend_libraries(&mut program);
        run(program.arg("--version"))
    })
}

/// The work itself, and which major version there is now.
fn unpack_into(work: &Path, cache: &Path, major: Option<u16>, say: &dyn Fn(&str)) -> Result<u16, String> {
    let io = |error: std::io::Error| error.to_string();
    let (lists, archives, tree) = (work.join("lists"), work.join("cache/archives"), work.join("tree"));
    for folder in [&lists.join("partial"), &archives.join("partial"), &tree] {
        make_folder(folder, 0o700).map_err(|error| error.to_string())?;
    }
    let apt = Apt::apart(&lists, &work.join("cache")).ok_or("no apt-get here")?;
    if !Path::new(DPKG_DEB).exists() {
        return Err("no dpkg-deb here".to_owned());
    }
    if !Path::new(A_TIME_ZONE).exists() {
        return Err(format!("its programs need the system's time zones, and there is no {A_TIME_ZONE}"));
    }
    let whose = major.map_or_else(|| "the distribution's Postgres".to_owned(), |major| format!("Postgres {major}"));
    say(&format!("fetching {whose} with apt-get into {} (about 80 MB, once; nothing is installed)", cache.display()));
    let major = apt.with_lists(|apt| packages(apt, major))?;
    for archive in std::fs::read_dir(&archives).map_err(io)? {
        let archive = archive.map_err(io)?.path();
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".deb") && !name.starts_with(C_LIBRARY) {
            run(Command::new(DPKG_DEB).arg("--extract").arg(&archive).arg(&tree))?;
        }
    }
    thin(&tree, major).map_err(io)?;
    open_up(&tree, false).map_err(io)?;
    prove(&tree, major).map_err(|reason| format!("the programs do not run on this machine: {reason}"))?;
    replace_folder(&tree, &home(cache, major)).map_err(io)?;
    Ok(major)
}

/// Downloads the server's package and what it needs and the system has not.
fn packages(apt: &Apt, major: Option<u16>) -> Result<u16, String> {
    let major = match major {
        Some(major) => apt.candidate(&format!("postgresql-{major}")).and(Some(major)),
        None => apt.candidate("postgresql"),
    };
    let major = major.ok_or("there is no such package")?;
    if major < MAJOR_MIN {
        return Err(format!("the distribution has Postgres {major}"));
    }
    // Again, if the system believes that it is there: we would not be here.
    let download = ["install", "--yes", "--no-install-recommends", "--download-only", "--reinstall"];
    apt.get(&[&download[..], &[&format!("postgresql-{major}")]].concat())?;
    Ok(major)
}

/// Leaves what the server needs. Its compiler of expressions goes, too: without that it is a third of the size, and compiles none.
fn thin(tree: &Path, major: u16) -> std::io::Result<()> {
    keep(tree, &["usr", "lib"])?;
    keep(&tree.join("usr"), &["lib", "share"])?;
    keep(&tree.join("usr/share"), &["postgresql"])?;
    let server = tree.join(format!("usr/lib/postgresql/{major}/lib"));
    remove_folder(&server.join("bitcode"))?;
    remove_file(&server.join("llvmjit.so"))?;
    for folder in libraries(tree) {
        for file in std::fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            if ["libLLVM", "libz3."].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                remove_file(&file.path())?;
            }
        }
    }
    Ok(())
}

/// Removes from a folder what is not named.
fn keep(folder: &Path, named: &[&str]) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if named.iter().any(|name| entry.file_name() == OsStr::new(name)) {
            continue;
        }
        if entry.file_type()?.is_dir() { remove_folder(&entry.path())? } else { remove_file(&entry.path())? }
    }
    Ok(())
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_postgres::programs::testing::fake;

    #[test]
    fn the_newest_that_fits_is_taken_from_the_cache_with_its_libraries() {
        let cache = tempfile::tempdir().unwrap();
        let at = cache.path().canonicalize().unwrap();
        for (major, version) in [(15, "15.9"), (17, "17.2")] {
            fake(&home(&at, major).join(format!("usr/lib/postgresql/{major}/bin")), version);
        }
        std::fs::create_dir(at.join("postgres-18-wheel")).unwrap();
        let library = home(&at, 15).join("usr/lib/x86_64-linux-gnu/libpq.so.5");
        std::fs::create_dir(library.parent().unwrap()).unwrap();
        std::fs::write(&library, "").unwrap();

        assert_eq!(cached(&at, None).unwrap().major, 17);
        let older = cached(&at, Some(15)).unwrap();
        assert_eq!((older.major, &*older.libraries), (15, &[library.parent().unwrap().to_owned()][..]));
        assert!(cached(&at, Some(16)).is_none());
        assert_eq!(unpack(&at, Some(15), &|_| panic!("nothing is fetched")).unwrap(), older);
    }

    #[test]
    fn of_the_packages_only_what_the_server_needs_is_kept() {
        let tree = tempfile::tempdir().unwrap();
        let kept = [
            "usr/lib/postgresql/17/bin/postgres",
            "usr/lib/postgresql/17/lib/dict_snowball.so",
            "usr/share/postgresql/17/postgres.bki",
            "usr/lib/aarch64-linux-gnu/libpq.so.5",
            "lib/aarch64-linux-gnu/libz.so.1",
        ];
        let dropped = [
            "usr/lib/postgresql/17/lib/llvmjit.so",
            "usr/lib/postgresql/17/lib/bitcode/postgres.index.bc",
            "usr/lib/aarch64-linux-gnu/libLLVM-19.so.1",
            "usr/lib/aarch64-linux-gnu/libz3.so.4",
            "usr/share/doc/postgresql/copyright",
            "usr/bin/pg_lsclusters",
            "etc/init.d/postgresql",
            "var/lib/postgresql/.keep",
        ];
        for file in kept.iter().chain(&dropped) {
            let file = tree.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        thin(tree.path(), 17).unwrap();
        let there = |file: &&str| tree.path().join(file).exists();
        assert_eq!(
            (kept.iter().filter(|file| there(file)).count(), dropped.iter().find(|file| there(file))),
            (5, None)
        );
    }
}
