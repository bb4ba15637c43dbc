//! Tokens at rest: AES-256-GCM, a fresh nonce for each text, bound to its place by the associated data.
//!
//! A sealed text is `key id (4 bytes) | nonce (12) | ciphertext and tag`. The key id is the start of the key's SHA-256,
//! so that a text sealed with another key is told from a damaged one. A process may know several keys: it opens with each
//! of them, and seals with the one that the database is sealed with (`keys.rs`).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use rand::Rng as _;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::domain::PlatformId;

pub(super) const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// The 32 bytes that seal tokens.
pub type SealingKey = SecretBox<[u8; 32]>;

/// Which key: says nothing about the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    fn of(key: &SealingKey) -> Self {
        let digest = Sha256::digest(key.expose_secret());
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self(id)
    }

    /// The key that sealed a text; `None`: the text is too short to say.
    #[must_use]
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        sealed.first_chunk().copied().map(Self)
    }

    /// The bytes that a sealed text begins with.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Key {
    id: KeyId,
    cipher: Aes256Gcm,
}

/// Seals and opens texts. Clones share the keys, and which of them seals.
#[derive(Clone)]
pub struct Sealer(Arc<Keys>);

struct Keys {
    /// The configured key first, then the others. Never empty.
    known: Vec<Key>,
    /// The place in `known` of the key that seals.
    sealing: AtomicUsize,
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
    /// A sealer with one key.
    #[must_use]
    pub fn new(key: &SealingKey) -> Self {
        Self::with_others(key, &[])
    }

    /// A sealer that seals with `key`, until told otherwise, and opens with the others too.
    #[must_use]
    pub fn with_others(key: &SealingKey, others: &[SealingKey]) -> Self {
        let mut known: Vec<Key> = Vec::new();
        for key in std::iter::once(key).chain(others) {
            let id = KeyId::of(key);
            if known.iter().all(|known| known.id != id) {
                known.push(Key { id, cipher: Aes256Gcm::new(key.expose_secret().into()) });
            }
        }
        Self(Arc::new(Keys { known, sealing: AtomicUsize::new(0) }))
    }

    /// The key that was configured to seal.
    #[must_use]
    pub fn configured(&self) -> KeyId {
        self.0.known[0].id
    }

    /// The key that seals now.
    #[must_use]
    pub fn sealing(&self) -> KeyId {
        self.current().id
    }

    /// Every key that opens, the configured one first.
    #[must_use]
    pub fn known(&self) -> Vec<KeyId> {
        self.0.known.iter().map(|key| key.id).collect()
    }

    /// Seals with this key from now on, in every clone. `false`: it is not known, and nothing changed.
    pub(super) fn seal_with(&self, id: KeyId) -> bool {
        let place = self.0.known.iter().position(|key| key.id == id);
        place.inspect(|place| self.0.sealing.store(*place, Ordering::Relaxed)).is_some()
    }

    fn current(&self) -> &Key {
        &self.0.known[self.0.sealing.load(Ordering::Relaxed)]
    }

    /// Seals a text for its place.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, text: &SecretString) -> Vec<u8> {
        seal(self.current(), place, text)
    }

    /// Seals a text with the configured key, whichever seals otherwise.
    pub(super) fn seal_as_configured(&self, place: Place<'_>, text: &SecretString) -> Vec<u8> {
        seal(&self.0.known[0], place, text)
    }

    /// Opens a sealed text.
    ///
    /// # Errors
    /// The text was sealed with a key that is not known, for another place, or is damaged.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<SecretString, StoreError> {
        let at =
            || format!("{} of {}", place.column, if place.appid.is_empty() { "the platform" } else { place.appid });
        let damaged = || StoreError::Inconsistent(format!("the sealed {} is damaged", at()));
        let id = KeyId::of_sealed(sealed).ok_or_else(damaged)?;
        let Some(key) = self.0.known.iter().find(|key| key.id == id) else {
            return Err(StoreError::Inconsistent(format!(
                "the sealed {} was sealed with another WXPATROL_ENCRYPTION_KEY (its id is {id})",
                at()
            )));
        };
        let opened = sealed[ID_BYTES..].split_at_checked(NONCE_BYTES).and_then(|(nonce, text)| {
            let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
            key.cipher.decrypt(&Nonce::from(nonce), Payload { msg: text, aad: &place.bytes() }).ok()
        });
        opened.and_then(|text| String::from_utf8(text).ok()).map(SecretString::from).ok_or_else(damaged)
    }
}

fn seal(key: &Key, place: Place<'_>, text: &SecretString) -> Vec<u8> {
    let mut nonce = [0_u8; NONCE_BYTES];
    rand::rng().fill_bytes(&mut nonce);
    let payload = Payload { msg: text.expose_secret().as_bytes(), aad: &place.bytes() };
    let sealed =
        key.cipher.encrypt(&Nonce::from(nonce), payload).expect("a token is far below the size that AES-GCM can seal");
    [key.id.bytes(), &nonce[..], &sealed[..]].concat()
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
    fn an_old_key_opens_what_it_sealed_and_the_configured_one_seals() {
        let key = |byte: u8| SealingKey::new(Box::new([byte; 32]));
        let text = SecretString::from("fake token");
        let old = sealer(1).seal(PLACE, &text);
        let both = Sealer::with_others(&key(2), &[key(1), key(2)]);
        assert_eq!(both.known(), [sealer(2).configured(), sealer(1).configured()], "a key given twice is one key");
        assert!(both.open(PLACE, &old).is_ok());
        assert_eq!(KeyId::of_sealed(&both.seal(PLACE, &text)), Some(sealer(2).configured()));
        let clone = both.clone();
        assert!(both.seal_with(sealer(1).configured()), "every clone seals with the same key");
        assert!(sealer(1).open(PLACE, &clone.seal(PLACE, &text)).is_ok());
        assert!(sealer(2).open(PLACE, &clone.seal_as_configured(PLACE, &text)).is_ok());
        assert!(!both.seal_with(sealer(3).configured()));
        assert_eq!(both.sealing(), sealer(1).configured());
    }

    #[test]
    fn damage_and_cuts_are_refused_without_a_panic() {
        let sealed = sealer(1).seal(PLACE, &SecretString::from("fake token"));
        for length in 0..sealed.len() {
            assert!(sealer(1).open(PLACE, &sealed[..length]).is_err());
        }
    }
}
