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
    let Some(path) = made else { return error };
    fs::remove_file(path).ok();
    StoreError::Inconsistent(format!(
        "the encryption key of this private Postgres is gone from {}: put it back, or set WXPATROL_ENCRYPTION_KEY to it",
        path.display()
    ))
}

/// Starts or joins the private Postgres of a folder, and says so on stderr.
pub(super) async fn start(folder: &Path, options: Options) -> Result<PrivatePostgres, AppError> {
    let folder = folder.to_owned();
    let say = |line: &str| eprintln!("private Postgres: {line}");
    tokio::task::spawn_blocking(move || PrivatePostgres::join_or_start(&folder, options, &say))
        .await
        .map_err(|error| AppError::Incomplete(format!("starting the private Postgres ended in a bug: {error}")))?
        .map_err(|error| AppError::Input(error.to_string()))
}

/// The key in a file that only its owner can read, and whether it was made now because there was none.
fn kept_key(path: &Path) -> Result<(SealingKey, bool), AppError> {
    let fault = |what: &str, error: &dyn std::fmt::Display| {
        AppError::Input(format!("the encryption key at {} {what}: {error}", path.display()))
    };
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(STANDARD.encode(bytes).as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|error| fault("can not be written", &error))?;
            eprintln!("private Postgres: made an encryption key at {}", path.display());
            Ok((SecretBox::new(Box::new(bytes)), true))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = SecretString::from(fs::read_to_string(path).map_err(|error| fault("can not be read", &error))?);
            let decoded =
                STANDARD.decode(text.expose_secret().trim()).map_err(|error| fault("is no base64", &error))?;
            let key: [u8; 32] = decoded.try_into().map_err(|_| fault("is damaged", &"it does not hold 32 bytes"))?;
            Ok((SecretBox::new(Box::new(key)), false))
        }
        Err(error) => Err(fault("can not be made", &error)),
    }
}
