//! The database when none is named: the private Postgres in the data folder, and a key that is made once beside it.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::{AppError, copy_key};
use crate::{
    config::Config,
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Wanted},
    store::{SealingKey, StoreError},
};

/// Where Postgres is, and what belongs to it.
pub(super) struct Database {
    /// Its address.
    pub(super) url: SecretString,
    /// The key that seals its tokens.
    pub(super) key: Option<SealingKey>,
    /// The private server, when it is one.
    pub(super) server: Option<PrivatePostgres>,
    /// Where a key was made just now, because there was none.
    pub(super) key_made: Option<PathBuf>,
}

/// The database of a configuration; starts the private one when no other is named.
pub(super) async fn database(config: &Config) -> Result<Database, AppError> {
    if let Some(url) = &config.database_url {
        let key = config.encryption_key.as_ref().map(copy_key);
        return Ok(Database { url: url.clone(), key, server: None, key_made: None });
    }
    let options = Options { durability: Durability::Full, sources: Sources::MayFetch, wanted: Wanted::Any };
    let server = start(&config.data_dir, options).await?;
    let path = config.data_dir.join("encryption.key");
    let (key, made) = match &config.encryption_key {
        Some(key) => (copy_key(key), false),
        None => kept_key(&path)?,
    };
    let url = SecretString::from(server.url("postgres"));
    Ok(Database { url, key: Some(key), server: Some(server), key_made: made.then_some(path) })
}

/// A key that was made just now is not the one of a database that was sealed before: it goes again, so that nobody takes it
/// for the right one.
pub(super) fn key_is_gone(made: Option<&Path>, error: StoreError) -> StoreError {
    // Whatever else went wrong says nothing of the key, and it may have sealed something by now.
    let (Some(path), StoreError::Inconsistent(_)) = (made, &error) else { return error };
    fs::remove_file(path).ok();
    StoreError::Inconsistent(format!(
        "the encryption key of this private Postgres is gone from {}: put it back, or set WXPATROL_ENCRYPTION_KEY to it",
        path.display()
    ))
}

/// Starts or joins the private Postgres of a folder, and says so on stderr.
pub(super) async fn start(folder: &Path, options: Options) -> Result<PrivatePostgres, AppError> {
    let folder = folder.to_owned();
    let say = |line: &str| tell!("private Postgres: {line}");
    tokio::task::spawn_blocking(move || PrivatePostgres::join_or_start(&folder, options, &say))
        .await
        .map_err(|error| AppError::Incomplete(format!("starting the private Postgres ended in a bug: {error}")))?
        .map_err(|error| AppError::Input(error.to_string()))
}

/// The key in a file that only its owner can read, and whether it was made now because there was none. Several may come at
/// once: all get the key of the first one.
fn kept_key(path: &Path) -> Result<(SealingKey, bool), AppError> {
    if let Some(key) = read_key(path)? {
        return Ok((key, false));
    }
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    match put_whole(path, &STANDARD.encode(bytes)) {
        Ok(()) => {
            tell!("private Postgres: made an encryption key at {}", path.display());
            Ok((SecretBox::new(Box::new(bytes)), true))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read_key(path)? {
            Some(key) => Ok((key, false)),
            None => Err(key_fault(path, "was taken away", &error)),
        },
        Err(error) => Err(key_fault(path, "can not be made", &error)),
    }
}

/// `None`: there is no such file.
fn read_key(path: &Path) -> Result<Option<SealingKey>, AppError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(key_fault(path, "can not be read", &error)),
    };
    let decoded =
        STANDARD.decode(text.expose_secret().trim()).map_err(|error| key_fault(path, "is no base64", &error))?;
    let key: [u8; 32] = decoded.try_into().map_err(|_| key_fault(path, "is damaged", &"it does not hold 32 bytes"))?;
    Ok(Some(SecretBox::new(Box::new(key))))
}

fn key_fault(path: &Path, what: &str, error: &dyn std::fmt::Display) -> AppError {
    AppError::Input(format!("the encryption key at {} {what}: {error}", path.display()))
}

/// Makes a file that appears whole or not at all, and never in the place of another one. Its first name is nobody else's: a
/// process id comes again, and two containers with one volume may have the same.
fn put_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", uuid::Uuid::now_v7().simple()));
    let fresh = PathBuf::from(name);
    let put = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&fresh, path));
    fs::remove_file(&fresh).ok();
    put?;
    // What it seals is flushed as well: after a loss of power the key must not be what is missing.
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, thread};

    use super::*;

    #[test]
    fn starters_at_once_get_one_key_and_leave_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.key");
        let got: Vec<([u8; 32], bool)> = thread::scope(|scope| {
            let starters: Vec<_> = (0..8).map(|_| scope.spawn(|| kept_key(&path).unwrap())).collect();
            let keys = starters.into_iter().map(|starter| starter.join().unwrap());
            keys.map(|(key, made)| (*key.expose_secret(), made)).collect()
        });
        assert!(got.iter().all(|(key, _)| *key == got[0].0));
        assert_eq!(got.iter().filter(|(_, made)| *made).count(), 1);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["encryption.key"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_a_key_that_does_not_fit_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.key");
        kept_key(&path).unwrap();
        let away = key_is_gone(Some(&path), StoreError::Postgres("the connection broke".to_owned()));
        assert_eq!(away.to_string(), StoreError::Postgres("the connection broke".to_owned()).to_string());
        assert!(path.exists(), "it may have sealed something");
        let gone = key_is_gone(Some(&path), StoreError::Inconsistent("another key".to_owned()));
        assert!(gone.to_string().contains("is gone from"), "{gone}");
        assert!(!path.exists());
    }
}
