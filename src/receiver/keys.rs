//! The keys that a platform and WeChat share for events, and where they are looked up.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, alphabet, engine::general_purpose};
use secrecy::{ExposeSecretMut, SecretBox, SecretString};

use crate::{domain::PlatformId, store::StoreError};

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
        let decoded = secrecy::ExposeSecret::expose_secret(&decoded);
        Ok(Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(&decoded[..32]))))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        secrecy::ExposeSecret::expose_secret(&self.0)
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
}

/// Where the keys of each platform are looked up, at every push.
#[async_trait]
pub trait KeyRing: Send + Sync {
    /// The platform of an appid, `None` when it receives no events here.
    ///
    /// # Errors
    /// Postgres did not answer: WeChat is told to come again.
    async fn recipient(&self, component_appid: &str) -> Result<Option<Arc<Recipient>>, StoreError>;
}

/// The one platform of the configuration.
pub struct OnePlatform {
    /// Its appid.
    pub component_appid: String,
    /// The platform.
    pub recipient: Arc<Recipient>,
}

#[async_trait]
impl KeyRing for OnePlatform {
    async fn recipient(&self, component_appid: &str) -> Result<Option<Arc<Recipient>>, StoreError> {
        Ok((component_appid == self.component_appid).then(|| Arc::clone(&self.recipient)))
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
