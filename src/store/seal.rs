//! Tokens at rest: AES-256-GCM, a fresh nonce for each text, bound to its place by the associated data.
//!
//! A sealed text is `key id (4 bytes) | nonce (12) | ciphertext and tag`. The key id is the start of the key's SHA-256,
//! so that a text sealed with another key is told from a damaged one.

use std::sync::Arc;

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use rand::Rng as _;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

use super::{Store, StoreError};
use crate::domain::PlatformId;

const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// The 32 bytes that seal tokens.
pub type SealingKey = SecretBox<[u8; 32]>;

/// Seals and opens texts. Clones share the key.
#[derive(Clone)]
pub struct Sealer {
    cipher: Arc<Aes256Gcm>,
    id: [u8; ID_BYTES],
}

/// Where a sealed text belongs: opening it anywhere else fails.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The platform's row number.
    pub platform: PlatformId,
    /// The merchant; empty for the platform itself.
    pub appid: &'a str,
    /// The column.
    pub column: &'static str,
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        format!("{}|{}|{}", self.platform, self.appid, self.column).into_bytes()
    }
}

impl Sealer {
    /// A sealer with this key.
    #[must_use]
    pub fn new(key: &SealingKey) -> Self {
        let digest = Sha256::digest(key.expose_secret());
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self { cipher: Arc::new(Aes256Gcm::new(key.expose_secret().into())), id }
    }

    /// Seals a text for its place.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, text: &SecretString) -> Vec<u8> {
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: text.expose_secret().as_bytes(), aad: &place.bytes() };
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .expect("a token is far below the size that AES-GCM can seal");
        [&self.id[..], &nonce[..], &sealed[..]].concat()
    }

    /// Opens a sealed text.
    ///
    /// # Errors
    /// The text was sealed with another key, for another place, or is damaged.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<SecretString, StoreError> {
        let at =
            || format!("{} of {}", place.column, if place.appid.is_empty() { "the platform" } else { place.appid });
        let Some((id, rest)) = sealed.split_at_checked(ID_BYTES) else {
            return Err(StoreError::Inconsistent(format!("the sealed {} is damaged", at())));
        };
        if id != self.id {
            return Err(StoreError::Inconsistent(format!(
                "the sealed {} was sealed with another WXPATROL_ENCRYPTION_KEY",
                at()
            )));
        }
        let opened = rest.split_at_checked(NONCE_BYTES).and_then(|(nonce, text)| {
            let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
            self.cipher.decrypt(&Nonce::from(nonce), Payload { msg: text, aad: &place.bytes() }).ok()
        });
        opened
            .and_then(|text| String::from_utf8(text).ok())
            .map(SecretString::from)
            .ok_or_else(|| StoreError::Inconsistent(format!("the sealed {} is damaged", at())))
    }
}

const CANARY: &str = "wxpatrol";

impl Store {
    /// Makes sure that this process seals with the key that the database was sealed with; the first process decides.
    ///
    /// # Errors
    /// The key is another one: nothing was changed.
    pub async fn check_sealing_key(&self) -> Result<(), StoreError> {
        let sealer = self.sealer()?;
        let place = Place { platform: 0, appid: "", column: "canary" };
        let canary: Vec<u8> = sqlx::query_scalar(include_str!("sql/sealing_canary.sql"))
            .bind(sealer.seal(place, &SecretString::from(CANARY)))
            .fetch_one(&self.pool)
            .await?;
        match sealer.open(place, &canary) {
            Ok(text) if text.expose_secret() == CANARY => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Inconsistent(
                "WXPATROL_ENCRYPTION_KEY is not the key that this database was sealed with: set the key that was used first"
                    .to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place { platform: 1, appid: "wxa", column: "access" };

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&SealingKey::new(Box::new([byte; 32])))
    }

    #[test]
    fn what_was_sealed_opens_at_its_place_only() {
        let sealed = sealer(1).seal(PLACE, &SecretString::from("fake token"));
        assert_eq!(sealer(1).open(PLACE, &sealed).map(|text| text.expose_secret().to_owned()).unwrap(), "fake token");
        assert!(sealer(1).open(Place { appid: "wxb", ..PLACE }, &sealed).is_err());
        assert!(sealer(1).open(Place { column: "refresh", ..PLACE }, &sealed).is_err());
    }

    #[test]
    fn another_key_is_named_as_such() {
        let sealed = sealer(1).seal(PLACE, &SecretString::from("fake token"));
        assert!(sealer(2).open(PLACE, &sealed).unwrap_err().to_string().contains("another WXPATROL_ENCRYPTION_KEY"));
    }

    #[test]
    fn damage_and_cuts_are_refused_without_a_panic() {
        let sealed = sealer(1).seal(PLACE, &SecretString::from("fake token"));
        for length in 0..sealed.len() {
            assert!(sealer(1).open(PLACE, &sealed[..length]).is_err());
        }
    }
}
