//! Where things lie: the data folder, the cache of fetched programs, the socket folder, the lock files.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use super::account::Account;
use super::error::PrivatePostgresError;

/// Socket paths are cut at 104 bytes on some systems; `/.s.PGSQL.5432` and the end are part of them.
const SOCKET_FOLDER_BYTES_MAX: usize = 85;

/// The data folder when nothing else is said: root's is system-wide, because the server's user must come to it and may
/// not enter root's home; a user's is in the XDG data folder, or in the temporary folder for a user without a home.
pub fn default_data_dir() -> PathBuf {
    if geteuid().is_root() {
        return PathBuf::from("/var/lib/wxpatrol");
    }
    below_home("XDG_DATA_HOME", ".local/share").unwrap_or_else(|| own_temp("data"))
}

/// The places for fetched programs, best first. The last one is for users without a home.
fn cache_candidates() -> Vec<PathBuf> {
    let usual = if geteuid().is_root() {
        Some(PathBuf::from("/var/cache/wxpatrol"))
    } else {
        below_home("XDG_CACHE_HOME", ".cache")
    };
    usual.into_iter().chain([own_temp("cache")]).collect()
}

fn below_home(variable: &str, otherwise: &str) -> Option<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    std::env::var_os(variable)
        .and_then(absolute)
        .or_else(|| {
            std::env::var_os("HOME").and_then(absolute).filter(|home| home.is_dir()).map(|home| home.join(otherwise))
        })
        .map(|folder| folder.join("wxpatrol"))
}

fn own_temp(purpose: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wxpatrol-{purpose}-{}", geteuid()))
}

/// The first cache folder that can be had. It must be ours and closed to the pens of others: programs are run from it.
pub(super) fn cache_dir() -> Result<PathBuf, PrivatePostgresError> {
    let mut refusal = None;
    for folder in cache_candidates() {
        match make_folder(&folder, 0o755).and_then(|()| ours_alone(&folder, "keep programs in")) {
            Ok(()) => return Ok(folder),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.expect("there is always at least one candidate"))
}

/// Refuses a folder that others may write to, or that somebody else made in the place where we look.
fn ours_alone(folder: &Path, doing: &'static str) -> Result<(), PrivatePostgresError> {
    let found = std::fs::symlink_metadata(folder).map_err(PrivatePostgresError::io("look at", folder))?;
    if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let reason = std::io::Error::other("it is not a folder that only we may write to");
    Err(PrivatePostgresError::io(doing, folder)(reason))
}

/// The data folder of the demo, beside an operator's own: below the one that `WXPATROL_DATA_DIR` names, else below the
/// default one; for a user whose home can not be written to, in the temporary folder.
pub fn demo_data_dir() -> Result<PathBuf, PrivatePostgresError> {
    if let Some(named) = std::env::var_os("WXPATROL_DATA_DIR").filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named).join("demo"));
    }
    first_writable(&default_data_dir().join("demo"), own_temp("demo"))
}

/// The usual folder, if a data folder can be had there.
pub(super) fn first_writable(usual: &Path, otherwise: PathBuf) -> Result<PathBuf, PrivatePostgresError> {
    if make_folder(usual, data_dir_mode()).and_then(|()| open_file(&usual.join("start.lock"))).is_ok() {
        return Ok(usual.to_owned());
    }
    make_folder(&otherwise, data_dir_mode())?;
    ours_alone(&otherwise, "keep data in")?;
    Ok(otherwise)
}

/// How open a data folder is made: the user of root's server must come through it.
pub(super) fn data_dir_mode() -> u32 {
    if geteuid().is_root() { 0o711 } else { 0o700 }
}

/// Makes the folder and its parents if they are not there; existing ones are left as they are.
pub(super) fn make_folder(folder: &Path, mode: u32) -> Result<(), PrivatePostgresError> {
    let there = |folder: &Path| folder.as_os_str().is_empty() || folder.is_dir();
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !there(folder)).collect();
    // The folder itself comes last: whoever finds it finds its parents open. `a/..` is there as soon as `a` is.
    for made in missing.into_iter().rev().filter(|folder| folder.file_name().is_some()) {
        match DirBuilder::new().mode(0o755).create(made) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && made.is_dir() => {}
            made_now => made_now.map_err(PrivatePostgresError::io("make", made))?,
        }
        // Root's file mask may be strict, and another user must come through. A user's own mask is respected.
        let open = if made == folder { Some(mode) } else { geteuid().is_root().then_some(0o755) };
        if let Some(mode) = open {
            std::fs::set_permissions(made, Permissions::from_mode(mode))
                .map_err(PrivatePostgresError::io("open up", made))?;
        }
    }
    Ok(())
}

/// Opens a file of the data folder, making it if needed. It belongs to whoever owns the folder, so that root's visit
/// does not lock the owner out; a symbolic link in its place is refused.
pub(super) fn open_file(path: &Path) -> Result<File, PrivatePostgresError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(PrivatePostgresError::io("open", path))?;
    if geteuid().is_root()
        && let Some(folder) = path.parent()
    {
        let owner = std::fs::metadata(folder).map_err(PrivatePostgresError::io("look at", folder))?;
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))
            .map_err(PrivatePostgresError::io("hand over", path))?;
    }
    Ok(file)
}

/// A short folder for the socket, the same for the same data folder and user, open to that user (and root) alone.
/// It lies in the temporary folder, because the data folder's own path may be too long for a socket.
pub(super) fn socket_folder(data_dir: &Path, account: &Account) -> Result<PathBuf, PrivatePostgresError> {
    let mut digest = Sha256::new();
    digest.update(data_dir.as_os_str().as_encoded_bytes());
    digest.update([0]);
    digest.update(account.uid().to_be_bytes());
    let name = format!("wxpatrol-{}", &hex(&digest.finalize())[..16]);

    let plain = |path: &Path| {
        path.to_str()
            .is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_.-+".contains(&byte)))
    };
    let folder = [std::env::temp_dir(), PathBuf::from("/tmp")]
        .into_iter()
        .filter(|temp| temp.is_absolute() && account.closed_on_the_way(temp).is_none())
        .map(|temp| temp.join(&name))
        // The path goes through the command line of pg_ctl, and so through a shell.
        .find(|folder| folder.as_os_str().len() <= SOCKET_FOLDER_BYTES_MAX && plain(folder))
        .unwrap_or_else(|| Path::new("/tmp").join(&name));

    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => account.own(&folder)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PrivatePostgresError::io("make", &folder)(error)),
    }
    check_socket_folder(&folder, account)?;
    Ok(folder)
}

/// Refuses a socket folder in which somebody else could listen in the server's stead.
pub(super) fn check_socket_folder(folder: &Path, account: &Account) -> Result<(), PrivatePostgresError> {
    let sound = std::fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == account.uid() && found.mode() & 0o077 == 0);
    if sound {
        return Ok(());
    }
    Err(PrivatePostgresError::ForeignSocketFolder { folder: folder.to_owned(), user: account.name().to_owned() })
}

/// Removes a folder with all that is in it, if it is there.
pub(super) fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a whole folder in the place of another, which may not be there.
pub(super) fn replace_folder(whole: &Path, place: &Path) -> std::io::Result<()> {
    remove_folder(place)?;
    std::fs::rename(whole, place)
}

/// Works in an empty folder of the cache, which goes afterwards. Call it with the lock of the fetches in hand: what is there
/// before is what a killed one left behind.
pub(super) fn in_work_folder<T>(cache: &Path, work: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
    let folder = cache.join("fetch.new");
    remove_folder(&folder).map_err(|error| error.to_string())?;
    let worked = make_folder(&folder, 0o700).map_err(|error| error.to_string()).and_then(|()| work(&folder));
    let swept = remove_folder(&folder).map_err(|error| error.to_string());
    worked.and_then(|done| swept.map(|()| done))
}

/// Waits until nobody else fetches into the cache, or installs. The error is a short reason.
pub(super) fn lock_fetches(cache: &Path) -> Result<File, String> {
    let lock = open_file(&cache.join("fetch.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    Ok(lock)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
