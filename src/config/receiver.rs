//! The receiver of authorization events: where it listens, and what it shares with WeChat.

use std::net::SocketAddr;

use secrecy::{ExposeSecret, SecretString};

use super::{
    reader::{GivenSecret, Reader},
    values,
};
use crate::receiver::{EventKey, EventKeys};

/// The receiver of authorization events.
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What the platform of the variables shares with WeChat; `None`: what is stored of it.
    pub keys: Option<EventKeys>,
    /// Whether plain JSON, which nobody signed, may be believed.
    pub plain_json: bool,
}

const ADDR: &str = "WXPATROL_RECEIVER_ADDR";
const TOKEN: &str = "WXPATROL_RECEIVER_TOKEN";
const KEY: &str = "WXPATROL_RECEIVER_AES_KEY";
const JSON: &str = "WXPATROL_RECEIVER_JSON";

/// `None`: this process receives nothing. `platform`: whether the variables name a platform, whose keys these are.
pub(super) fn receiver<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>, platform: bool) -> Option<ReceiverSettings> {
    let meaning = "where the receiver of authorization events listens; not set: there is none";
    let addr = r.optional(ADDR, "127.0.0.1:9465", meaning, values::socket_addr);
    let faults_before = r.faults.len();
    let token = r.secret(TOKEN, "the token of message verification, which signs events; it goes before a stored one");
    let key =
        r.secret(KEY, "the EncodingAESKey of message encryption, which seals events; it goes before a stored one");
    let meaning = "on: plain JSON events, which nobody signs, are believed; only for a private network";
    let plain_json = r.or_default(JSON, "off", meaning, |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    });
    if r.faults.len() == faults_before {
        let missing = |name: &str, other: &str| format!("(or {name}_FILE) must be set when {other} is");
        match (&token, &key) {
            (Some(_), Some(_)) | (None, None) => {}
            (Some(given), None) => r.fault(KEY, None, missing(KEY, &given.variable), None),
            (None, Some(given)) => r.fault(TOKEN, None, missing(TOKEN, &given.variable), None),
        }
        if let Some(given) = token.as_ref().or(key.as_ref()).filter(|_| !platform) {
            let rule = "must not be set without WXPATROL_COMPONENT_APPID, whose keys these are";
            r.fault(&given.variable, None, rule, Some("WXPATROL_COMPONENT_APPID=wx0123456789abcdef".to_owned()));
        }
    }
    let mut checked = |given: Option<GivenSecret>, rule: fn(&SecretString) -> Result<(), String>| {
        let given = given?;
        match rule(&given.secret) {
            Ok(()) => Some(given.secret),
            Err(rule) => {
                r.fault(&given.variable, None, rule, None);
                None
            }
        }
    };
    let (token, key) = (checked(token, values::event_token), checked(key, values::event_key));
    let keys = token.zip(key).and_then(|(token, key)| {
        let key = EventKey::parse(key.expose_secret()).ok()?;
        Some(EventKeys { token, key })
    });
    Some(ReceiverSettings { addr: addr?, keys, plain_json })
}
