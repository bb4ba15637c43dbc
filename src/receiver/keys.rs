//! The keys that a platform and WeChat share for events, and where they are looked up.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use base64::{Engine as _, alphabet, engine::general_purpose};
use secrecy::{ExposeSecret as _, ExposeSecretMut, SecretBox, SecretString};
use tokio::sync::Mutex;

use crate::{
    domain::PlatformId,
    store::{Store, StoreError},
};

/// What WeChat encrypts events with: the 32 bytes of an EncodingAESKey.
pub struct EventKey(SecretBox<[u8; 32]>);

impl EventKey {
    /// Reads an EncodingAESKey: 43 characters of base64, with or without the `=` that WeChat leaves out. Its last
    /// character may carry two bits that no byte has room for: WeChat draws all 43 at random.
    ///
    /// # Errors
    /// The rule, as half a sentence; never the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule =
            || "must be the EncodingAESKey of the platform's message encryption: 43 letters and digits".to_owned();
        let lenient = general_purpose::GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
        let engine = general_purpose::GeneralPurpose::new(&alphabet::STANDARD, lenient);
        let digits = text.strip_suffix('=').unwrap_or(text);
        if digits.len() != 43 {
            return Err(rule());
        }
        let mut decoded = SecretBox::<[u8; 33]>::new(Box::new([0; 33]));
        match engine.decode_slice(digits, decoded.expose_secret_mut()) {
            Ok(32) => {}
            Ok(_) | Err(_) => return Err(rule()),
        }
        let decoded = decoded.expose_secret();
        Ok(Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(&decoded[..32]))))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl Clone for EventKey {
    fn clone(&self) -> Self {
        Self(SecretBox::new(Box::new(*self.bytes())))
    }
}

impl std::fmt::Debug for EventKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKey(***)")
    }
}

/// What a platform and WeChat share for events.
#[derive(Debug, Clone)]
pub struct EventKeys {
    /// The token of message verification, which signs.
    pub token: SecretString,
    /// The key of message encryption.
    pub key: EventKey,
}

/// A platform that receives events.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Its row number.
    pub platform: PlatformId,
    /// What it shares with WeChat; `None`: it takes plain JSON only.
    pub keys: Option<EventKeys>,
    /// Whether wxpatrol keeps its tokens itself; otherwise another system does, and tickets and codes are not for us.
    pub own_tokens: bool,
}

/// Where the keys of each platform are looked up, at every push.
#[async_trait]
pub trait KeyRing: Send + Sync {
    /// The platform of an appid, `None` when there is none such.
    ///
    /// # Errors
    /// Postgres did not answer: WeChat is told to come again.
    async fn recipient(&self, component_appid: &str) -> Result<Option<Arc<Recipient>>, StoreError>;
}

/// Recipients by appid.
pub type Recipients = HashMap<String, Arc<Recipient>>;

/// Every platform that is stored, read again now and then. What the configuration says of one goes before what is stored
/// of it.
pub struct EveryPlatform {
    store: Store,
    configured: Option<(String, EventKeys)>,
    own_tokens: bool,
    known: Mutex<Option<(Instant, Arc<Recipients>)>>,
}

/// What is stored is believed for so long: whoever posts nonsense has Postgres asked this often at most.
const BELIEVED: Duration = Duration::from_secs(5);

impl EveryPlatform {
    /// The platforms of `store`; `configured` are the keys of one of them, by its appid.
    #[must_use]
    pub fn new(store: Store, configured: Option<(String, EventKeys)>, own_tokens: bool) -> Self {
        Self { store, configured, own_tokens, known: Mutex::default() }
    }

    /// All of them.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn recipients(&self) -> Result<Arc<Recipients>, StoreError> {
        let mut known = self.known.lock().await;
        if let Some((_, recipients)) = known.as_ref().filter(|(read_at, _)| read_at.elapsed() < BELIEVED) {
            return Ok(Arc::clone(recipients));
        }
        let mut recipients = Recipients::new();
        for row in self.store.platforms().await? {
            let configured = self.configured.as_ref().filter(|(appid, _)| *appid == row.component_appid);
            let keys = match configured {
                Some((_, keys)) => Some(keys.clone()),
                None => self.stored(row.id).await?,
            };
            let recipient = Recipient { platform: row.id, keys, own_tokens: self.own_tokens };
            recipients.insert(row.component_appid, Arc::new(recipient));
        }
        let recipients = Arc::new(recipients);
        *known = Some((Instant::now(), Arc::clone(&recipients)));
        Ok(recipients)
    }

    /// The appids of those whose keys are not known, in order: sealed events for them are refused.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn without_keys(&self) -> Result<Vec<String>, StoreError> {
        let recipients = self.recipients().await?;
        let mut lacking: Vec<String> =
            recipients.iter().filter(|(_, known)| known.keys.is_none()).map(|(appid, _)| appid.clone()).collect();
        lacking.sort_unstable();
        Ok(lacking)
    }

    /// The stored keys; those that can not be opened are none, so that they stand in no other platform's way.
    async fn stored(&self, platform: PlatformId) -> Result<Option<EventKeys>, StoreError> {
        let secrets = match self.store.event_secrets(platform).await {
            Ok(secrets) => secrets,
            Err(error @ StoreError::Inconsistent(_)) => {
                tracing::error!(platform.id = platform, %error, "the keys of its event URL can not be read");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let key = secrets.encoding_aes_key.and_then(|key| EventKey::parse(key.expose_secret()).ok());
        Ok(secrets.token.zip(key).map(|(token, key)| EventKeys { token, key }))
    }
}

#[async_trait]
impl KeyRing for EveryPlatform {
    async fn recipient(&self, component_appid: &str) -> Result<Option<Arc<Recipient>>, StoreError> {
        Ok(self.recipients().await?.get(component_appid).map(Arc::clone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_its_padding_and_with_bits_that_no_byte_has_room_for() {
        // From WeChat's published sample: its last letter is G, which carries two bits too many.
        let sample = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
        let key = EventKey::parse(sample).unwrap();
        assert_eq!(key.bytes()[..4], [0x69, 0xb7, 0x1d, 0x79]);
        assert_eq!(EventKey::parse(&format!("{sample}=")).unwrap().bytes(), key.bytes());
        let canonical = format!("{}E", &sample[..42]);
        assert_eq!(EventKey::parse(&canonical).unwrap().bytes(), key.bytes());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for bad in ["", "short", &"a".repeat(42), &"a".repeat(44), &"ü".repeat(21), &format!("{}-", "a".repeat(42))] {
            let rule = EventKey::parse(bad).unwrap_err();
            assert!(bad.is_empty() || !rule.contains(bad), "{rule}");
        }
        assert_eq!(format!("{:?}", EventKey::parse(&"a".repeat(43)).unwrap()), "EventKey(***)");
    }
}
