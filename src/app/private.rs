//! The database when none is named: the private Postgres in the data folder, and a key that is made once beside it.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::{AppError, copy_key};
use crate::{
    config::Config,
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Wanted},
    store::SealingKey,
};

/// Where Postgres is, the key that seals its tokens, and the private server when it is one.
pub(super) async fn database(
    config: &Config,
) -> Result<(SecretString, Option<SealingKey>, Option<PrivatePostgres>), AppError> {
    if let Some(url) = &config.database_url {
        return Ok((url.clone(), config.encryption_key.as_ref().map(copy_key), None));
    }
    let options = Options { durability: Durability::Full, sources: Sources::MayFetch, wanted: Wanted::Any };
    let server = start(&config.data_dir, options).await?;
    let key = match &config.encryption_key {
        Some(key) => copy_key(key),
        None => kept_key(&config.data_dir.join("encryption.key"))?,
    };
    Ok((SecretString::from(server.url("postgres")), Some(key), Some(server)))
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

/// The key in a file that only its owner can read; made when there is none.
fn kept_key(path: &Path) -> Result<SealingKey, AppError> {
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
            Ok(SecretBox::new(Box::new(bytes)))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = SecretString::from(fs::read_to_string(path).map_err(|error| fault("can not be read", &error))?);
            let decoded =
                STANDARD.decode(text.expose_secret().trim()).map_err(|error| fault("is no base64", &error))?;
            let key: [u8; 32] = decoded.try_into().map_err(|_| fault("is damaged", &"it does not hold 32 bytes"))?;
            Ok(SecretBox::new(Box::new(key)))
        }
        Err(error) => Err(fault("can not be made", &error)),
    }
}
