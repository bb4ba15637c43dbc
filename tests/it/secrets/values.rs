//! What is secret, and the odd answers that could bring it to light.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use wxpatrol::simulate::{Endpoint, Oddity};

use super::needles::Secret;

pub(super) const COMPONENT_SECRET: &str = "planted-component-secret/1+2=3";
pub(super) const TICKET: &str = "ticket@@@planted-verify-ticket/+=";
pub(super) const OTHER_TICKET: &str = "ticket@@@planted-later-ticket/+=";
pub(super) const PASSWORD: &str = "planted-database:password@/%";
pub(super) const KEY: [u8; 32] = *b"planted-key-of-32-bytes-\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7";
pub(super) const OLD_KEY: [u8; 32] = *b"planted-older-key-32-bytes\xf0\xf1\xf2\xf3\xf4\xf5";
pub(super) const IMPORTED: &str = "refreshtoken@@@planted-imported-token";
/// What a person sets wrongly is as secret as what is right.
pub(super) const WRONG_SECRET: &str = "planted-but-wrong-component-secret";
pub(super) const NO_KEY: &str = "planted-text-that-is-no-key";
pub(super) const MISSPELT: &str = "planted-under-a-misspelt-name";
pub(super) const PROXY_PASSWORD: &str = "planted-proxy-password";

/// Everything that must never be seen. What wxpatrol learns to hold has its line here, and is planted by `planted`: the
/// receiver's token and AES key, the bearer of an external token service.
pub(super) fn secrets() -> Vec<Secret> {
    vec![
        Secret::new("component secret", COMPONENT_SECRET),
        Secret::new("verify ticket", TICKET),
        Secret::new("verify ticket", OTHER_TICKET),
        Secret::new("encryption key", KEY),
        Secret::new("encryption key", STANDARD.encode(KEY)),
        Secret::new("old encryption key", OLD_KEY),
        Secret::new("old encryption key", STANDARD.encode(OLD_KEY)),
        Secret::new("database password", PASSWORD),
        Secret::new("imported refresh token", IMPORTED),
        // The simulated WeChat's tokens all begin so.
        Secret::new("component token", "sim-ct-"),
        Secret::new("access token", "sim-at-wx"),
        Secret::new("refresh token", "sim-rt-wx"),
        Secret::new("wrong component secret", WRONG_SECRET),
        Secret::new("text that is no key", NO_KEY),
        Secret::new("secret under a misspelt name", MISSPELT),
        Secret::new("proxy password", PROXY_PASSWORD),
        // No address with its query shows, whatever the token in it.
        Secret::new("query", "access_token="),
    ]
}

/// One for each mini program; those that repeat what they were asked come with each class.
pub(super) const ODDITIES: [Oddity; 22] = [
    Oddity::Reset,
    Oddity::Hang,
    Oddity::Redirect,
    Oddity::TruncatedJson,
    Oddity::InvalidUtf8,
    Oddity::RawControlCharacters,
    Oddity::Oversized,
    Oddity::EmptyBody,
    Oddity::ExtraFields,
    Oddity::HttpStatus(502),
    Oddity::EchoPage(200),
    Oddity::EchoPage(404),
    Oddity::Echo(-1),
    Oddity::Echo(40001),
    Oddity::Echo(42001),
    Oddity::Echo(45009),
    Oddity::Echo(47001),
    Oddity::Echo(48001),
    Oddity::Echo(50002),
    Oddity::Echo(61003),
    Oddity::Echo(61007),
    Oddity::Echo(123_456),
];

/// How the platform's own calls are answered. Each costs seconds of cool-down, so every second one is for each form of the
/// log.
pub(super) const PLATFORM_ODDITIES: [(Endpoint, Oddity); 24] = [
    (Endpoint::ApiComponentToken, Oddity::Echo(40125)),
    (Endpoint::ApiComponentToken, Oddity::Echo(61004)),
    (Endpoint::ApiComponentToken, Oddity::Echo(61005)),
    (Endpoint::ApiComponentToken, Oddity::Echo(-1)),
    (Endpoint::ApiComponentToken, Oddity::Echo(45009)),
    (Endpoint::ApiComponentToken, Oddity::Echo(47001)),
    (Endpoint::ApiComponentToken, Oddity::Echo(123_456)),
    (Endpoint::ApiComponentToken, Oddity::EchoPage(200)),
    (Endpoint::ApiComponentToken, Oddity::EchoPage(502)),
    (Endpoint::ApiComponentToken, Oddity::Reset),
    (Endpoint::ApiComponentToken, Oddity::TruncatedJson),
    (Endpoint::ApiComponentToken, Oddity::EmptyBody),
    (Endpoint::ApiGetAuthorizerList, Oddity::Echo(40001)),
    (Endpoint::ApiGetAuthorizerList, Oddity::Echo(61004)),
    (Endpoint::ApiGetAuthorizerList, Oddity::Echo(-1)),
    (Endpoint::ApiGetAuthorizerList, Oddity::EchoPage(502)),
    (Endpoint::ApiGetAuthorizerList, Oddity::TruncatedJson),
    (Endpoint::ApiGetAuthorizerList, Oddity::Reset),
    (Endpoint::ApiGetAuthorizerInfo, Oddity::Echo(40001)),
    (Endpoint::ApiGetAuthorizerInfo, Oddity::Echo(61004)),
    (Endpoint::ApiGetAuthorizerInfo, Oddity::Echo(61003)),
    (Endpoint::ApiGetAuthorizerInfo, Oddity::Echo(123_456)),
    (Endpoint::ApiGetAuthorizerInfo, Oddity::EchoPage(200)),
    (Endpoint::ApiGetAuthorizerInfo, Oddity::TruncatedJson),
];
