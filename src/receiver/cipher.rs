//! WeChat's message encryption: the signature over a shared token, and AES-256-CBC with a frame of its own.
//!
//! The plaintext is `16 random bytes | length of the message, 4 bytes, big-endian | message | appid`, filled up to a
//! multiple of 32 bytes as in PKCS#7. The initialisation vector is the start of the key. Source: WeChat's documentation
//! of message encryption and its published sample.

use aes::Aes256;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::NoPadding};
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

use super::{keys::EventKey, refusal::Refusal};

/// Padding never fills more than this.
const PADDING_MAX: usize = 32;
/// Random bytes and length before the message.
const HEAD: usize = 16 + 4;

/// What is inside of a ciphertext.
pub(super) struct Opened {
    /// The message.
    pub message: Vec<u8>,
    /// Whom it is for.
    pub appid: Vec<u8>,
}

/// Whether `claimed` (hexadecimal) is the signature of these parts, compared in constant time.
pub(super) fn signature_fits(claimed: &str, token: &str, timestamp: &str, nonce: &str, encrypt: &str) -> bool {
    let mut parts = [token, timestamp, nonce, encrypt];
    parts.sort_unstable();
    let mut digest = Sha1::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    let expected: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    expected.as_bytes().ct_eq(claimed.as_bytes()).into()
}

/// Opens a ciphertext. Every fault is the same refusal, so that nobody learns from it how far a forgery came.
pub(super) fn open(key: &EventKey, encrypt: &str) -> Result<Opened, Refusal> {
    decrypt(key, encrypt).ok_or(Refusal::Undecipherable)
}

fn decrypt(key: &EventKey, encrypt: &str) -> Option<Opened> {
    let mut bytes = STANDARD.decode(encrypt).ok()?;
    let key = key.bytes();
    let decryptor = cbc::Decryptor::<Aes256>::new_from_slices(key, &key[..16]).ok()?;
    let plaintext = decryptor.decrypt_padded::<NoPadding>(&mut bytes).ok()?;
    let plaintext = unpadded(plaintext)?;
    let length: [u8; 4] = plaintext.get(16..HEAD)?.try_into().ok()?;
    let end = HEAD.checked_add(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
    let message = plaintext.get(HEAD..end)?.to_vec();
    Some(Opened { message, appid: plaintext.get(end..)?.to_vec() })
}

fn unpadded(plaintext: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*plaintext.last()?);
    let (text, filling) = plaintext.split_at_checked(plaintext.len().checked_sub(padding)?)?;
    let whole = (1..=PADDING_MAX).contains(&padding) && filling.iter().all(|byte| usize::from(*byte) == padding);
    whole.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "demo")]
    proptest::proptest! {
        #[test]
        fn what_wechat_seals_opens_to_the_same_message_and_appid(
            message in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            appid in "[ -~]{0,40}",
            random in proptest::array::uniform16(proptest::num::u8::ANY),
            digits in "[A-Za-z0-9]{43}",
        ) {
            use crate::simulate::sealing::{base64, chained, framed, key_bytes};
            let sealed = base64(&chained(&key_bytes(&digits).unwrap(), &framed(random, &message, &appid)));
            let opened = open(&EventKey::parse(&digits).unwrap(), &sealed).unwrap();
            proptest::prop_assert_eq!(opened.message, message);
            proptest::prop_assert_eq!(opened.appid, appid.as_bytes());
        }
    }

    #[test]
    fn padding_is_believed_only_when_it_is_whole() {
        let padded = |text: &[u8], padding: &[u8]| unpadded(&[text, padding].concat()).map(<[u8]>::to_vec);
        assert_eq!(padded(b"text", &[1]), Some(b"text".to_vec()));
        assert_eq!(padded(b"text", &[32; 32]), Some(b"text".to_vec()));
        assert_eq!(padded(b"", &[2, 2]), Some(Vec::new()));
        for bad in [&[0][..], &[33; 33], &[2, 3, 3], &[255], &[]] {
            assert_eq!(padded(b"te", bad), None, "{bad:?}");
        }
    }
}
