//! How WeChat seals a push: its own second reading of the rules, down to the blocks, so that it shares no mistake with
//! the program that opens it.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use sha1::{Digest as _, Sha1};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The 32 bytes of an EncodingAESKey: 43 digits of six bits each, the last two bits of which are of no use.
#[must_use]
pub fn key_bytes(encoding_aes_key: &str) -> Option<[u8; 32]> {
    let mut bits = Vec::with_capacity(43 * 6);
    for letter in encoding_aes_key.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        bits.extend((0..6).rev().map(|place| digit >> place & 1 == 1));
    }
    if bits.len() != 43 * 6 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, eight) in key.iter_mut().zip(bits.chunks(8)) {
        *byte = eight.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit));
    }
    Some(key)
}

/// The frame around a message: random bytes, its length, itself, the appid, and padding to whole 32 bytes.
#[must_use]
pub fn framed(random: [u8; 16], message: &[u8], appid: &str) -> Vec<u8> {
    let mut text = random.to_vec();
    text.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    text.extend(message);
    text.extend(appid.as_bytes());
    let missing = 32 - text.len() % 32;
    text.resize(text.len() + missing, u8::try_from(missing).unwrap_or(0));
    text
}

/// Cipher block chaining by hand. A last block that is not whole is left out.
#[must_use]
pub fn chained(key: &[u8; 32], text: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new(&Array::from(*key));
    let mut before = [0; 16];
    before.copy_from_slice(&key[..16]);
    let mut sealed = Vec::with_capacity(text.len());
    for plain in text.chunks_exact(16) {
        let mut block = Array::from(before);
        for (byte, with) in block.iter_mut().zip(plain) {
            *byte ^= with;
        }
        cipher.encrypt_block(&mut block);
        before = block.into();
        sealed.extend(before);
    }
    sealed
}

/// Base64 with its padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |sum, place| sum << 8 | u32::from(three.get(place).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = ALPHABET[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The signature of a push, in hexadecimal.
#[must_use]
pub fn signature(token: &str, timestamp: &str, nonce: &str, encrypt: &str) -> String {
    let mut parts = [token.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), encrypt.as_bytes()];
    parts.sort();
    Sha1::digest(parts.concat()).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

    #[test]
    fn a_message_is_sealed_to_the_letter_as_openssl_seals_it() {
        let fixture = include_str!("../../tests/fixtures/events.txt");
        let ticket: Vec<&str> = fixture.lines().find(|line| line.starts_with("ticket ")).unwrap().split(' ').collect();
        let message = "<xml><AppId><![CDATA[wxfa4e000000000000]]></AppId>\n<CreateTime>1760000000</CreateTime>\n\
                       <InfoType><![CDATA[component_verify_ticket]]></InfoType>\n\
                       <ComponentVerifyTicket><![CDATA[ticket@@@fake-by-openssl]]></ComponentVerifyTicket>\n</xml>";
        let text = framed(*b"0123456789abcdef", message.as_bytes(), "wxfa4e000000000000");
        let encrypt = base64(&chained(&key_bytes(KEY).unwrap(), &text));
        assert_eq!(encrypt, ticket[4]);
        assert_eq!(signature("spamtest", ticket[1], ticket[2], &encrypt), ticket[3]);
    }

    #[test]
    fn padding_never_is_nothing() {
        for length in 0..64 {
            let text = framed([0; 16], &vec![b'a'; length], "");
            let padding = *text.last().unwrap();
            assert!((1..=32).contains(&padding) && text.len().is_multiple_of(32), "{length}");
        }
    }

    #[test]
    fn a_key_of_another_length_or_alphabet_is_none() {
        assert_eq!(key_bytes(KEY).map(|key| key[..3].to_vec()), Some(vec![0x69, 0xb7, 0x1d]));
        assert_eq!((key_bytes(&KEY[1..]), key_bytes(&KEY.replace('a', "-"))), (None, None));
    }

    #[test]
    fn base64_pads_to_whole_fours() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }
}
