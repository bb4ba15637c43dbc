//! What holds for every push to the event URL, whatever its bytes: the fuzz target and a property test of the ordinary
//! tests both call it.

use chrono::{DateTime, Utc};
use wxpatrol::{
    receiver::{BODY_BYTES_MAX, Envelope, EventKey, EventKeys, Received, Refusal, WINDOW},
    simulate::sealing::{base64, chained, framed, key_bytes, signature},
};

/// The platform that pushes are for.
pub const PLATFORM: &str = "wxfa4e000000000000";
/// Its token.
pub const TOKEN: &str = "fakeEventToken";
/// Its EncodingAESKey.
pub const KEY: &str = "fakeEncodingAESKeyOfTheSimulatedWeChat00000";
/// When pushes come, in seconds since 1970.
pub const NOW: i64 = 1_760_000_000;

/// A push as it is posted.
#[derive(Clone, Debug)]
pub struct Push {
    pub timestamp: String,
    pub nonce: String,
    pub signature: String,
    pub encrypt: String,
}

/// The push of a ciphertext, signed as it must be.
pub fn signed(encrypt: String) -> Push {
    let (timestamp, nonce) = (NOW.to_string(), "1320562132".to_owned());
    let signature = signature(TOKEN, &timestamp, &nonce, &encrypt);
    Push { timestamp, nonce, signature, encrypt }
}

/// The push of a message, sealed and signed as WeChat does it.
pub fn sealed(message: &[u8]) -> Push {
    signed(base64(&chained(&key(), &framed(*b"0123456789abcdef", message, PLATFORM))))
}

fn key() -> [u8; 32] {
    key_bytes(KEY).expect("the key is one")
}

fn keys() -> EventKeys {
    EventKeys { token: TOKEN.into(), key: EventKey::parse(KEY).expect("the key is one") }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).expect("it is an instant")
}

impl Push {
    /// The query that it comes with.
    pub fn query(&self) -> String {
        let Self { timestamp, nonce, signature, .. } = self;
        format!("timestamp={timestamp}&nonce={nonce}&encrypt_type=aes&msg_signature={signature}")
    }

    /// Its body.
    pub fn body(&self) -> String {
        format!("<xml><AppId><![CDATA[{PLATFORM}]]></AppId><Encrypt><![CDATA[{}]]></Encrypt></xml>", self.encrypt)
    }

    /// What the receiver makes of it.
    pub fn read(&self) -> Result<Received, Refusal> {
        read(&self.query(), self.body().as_bytes())
    }
}

/// What the receiver makes of these bytes.
pub fn read(query: &str, body: &[u8]) -> Result<Received, Refusal> {
    let envelope = Envelope::read(body)?;
    let _shown = format!("{envelope:?}");
    envelope.open(query, Some(&keys()), true, now())
}

/// The bytes, as the body of a push, as its query, as a ciphertext, as what is inside of one, and as the message inside
/// of that: each is read or refused, and nothing panics.
pub fn holds_for(bytes: &[u8]) {
    let honest = sealed(b"<xml></xml>");
    let whole_blocks = || bytes.iter().copied().chain([0; 16]).take(bytes.len().div_ceil(16) * 16).collect::<Vec<u8>>();
    check(&read(&honest.query(), bytes), bytes.len());
    check(&read(&String::from_utf8_lossy(bytes), honest.body().as_bytes()), 0);
    check(&signed(base64(bytes)).read(), 0);
    check(&signed(base64(&chained(&key(), &whole_blocks()))).read(), 0);
    check(&sealed(bytes).read(), 0);
}

fn check(result: &Result<Received, Refusal>, body_bytes: usize) {
    match result {
        Ok(received) => {
            assert_eq!(received.event.component_appid, PLATFORM);
            assert!(received.event.created_at <= now() + WINDOW);
            assert!(body_bytes <= BODY_BYTES_MAX);
            let _shown = format!("{:?}", received.event);
        }
        Err(refusal) => {
            assert!((400..500).contains(&refusal.status()));
            // Fixed words: nothing of what was sent comes back.
            assert!(refusal.to_string().len() < 100 && !refusal.word().is_empty());
        }
    }
}
