//! What a secret looks like when it leaks: as it is, escaped, percent-encoded, in hexadecimal digits, in base64.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

/// Something that must never be seen.
pub struct Secret {
    /// What it is, for the message of a failed test.
    pub name: &'static str,
    /// The secret itself, or a part of it that every one of its kind has.
    pub bytes: Vec<u8>,
}

impl Secret {
    pub fn new(name: &'static str, secret: impl Into<Vec<u8>>) -> Self {
        Self { name, bytes: secret.into() }
    }
}

/// Secrets in every form in which they are looked for.
pub struct Needles(Vec<(&'static str, &'static str, String)>);

impl Needles {
    pub fn of(secrets: &[Secret]) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            assert!(secret.bytes.len() >= 7, "a short secret is found everywhere: {}", secret.name);
            let mut known = BTreeSet::new();
            for (form, text) in forms(&secret.bytes) {
                if known.insert(text.clone()) {
                    needles.push((secret.name, form, text));
                }
            }
        }
        Self(needles)
    }

    /// The first secret that a text holds: its name, and the form it has there.
    pub fn found_in(&self, text: &str) -> Option<(&'static str, &'static str)> {
        self.0.iter().find(|(_, _, needle)| text.contains(needle)).map(|(name, form, _)| (*name, *form))
    }
}

fn forms(secret: &[u8]) -> Vec<(&'static str, String)> {
    let mut forms = Vec::new();
    if let Ok(text) = std::str::from_utf8(secret) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string().trim_matches('"').to_owned();
        forms.push(("as it is", text.to_owned()));
        forms.push(("escaped", quoted(text)));
        forms.push(("escaped twice", quoted(&quoted(text))));
        forms.push(("escaped by Debug", format!("{text:?}").trim_matches('"').to_owned()));
    }
    let percent: String = url::form_urlencoded::byte_serialize(secret).collect();
    forms.push(("percent-encoded in small letters", in_small_letters(&percent)));
    forms.push(("percent-encoded", percent));
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    forms.push(("in hexadecimal", hexadecimal.to_uppercase()));
    forms.push(("in hexadecimal", hexadecimal));
    for shift in 0..3 {
        forms.push(("in base64", core(STANDARD.encode(shifted(secret, shift)), shift)));
        forms.push(("in base64 for addresses", core(URL_SAFE.encode(shifted(secret, shift)), shift)));
    }
    forms
}

/// `%2F` as `%2f`.
fn in_small_letters(percent: &str) -> String {
    let mut parts = percent.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        text.push_str(&format!("%{}{rest}", code.to_lowercase()));
    }
    text
}

/// The secret behind this many other bytes: base64 depends on where in the whole it begins.
fn shifted(secret: &[u8], shift: usize) -> Vec<u8> {
    [&[0_u8, 0][..shift], secret].concat()
}

/// What of the base64 depends on the secret alone.
fn core(encoded: String, shift: usize) -> String {
    let whole = encoded.trim_end_matches('=');
    let behind = if whole.len() == encoded.len() { 0 } else { 1 };
    let before = [0, 2, 3][shift];
    whole[before..whole.len() - behind].to_owned()
}

#[test]
fn a_leak_is_found_in_each_of_its_forms_wherever_it_begins() {
    let secret = "planted@@@secret/with:odd\"signs";
    let needles = Needles::of(&[Secret::new("planted", secret)]);
    for before in ["", "a", "ab", "abc"] {
        let whole = format!("{before}{secret}behind");
        for leak in [
            whole.clone(),
            format!("{whole:?}"),
            serde_json::json!({ "inner": serde_json::json!({ "text": whole }).to_string() }).to_string(),
            url::form_urlencoded::byte_serialize(whole.as_bytes()).collect::<String>(),
            url::form_urlencoded::byte_serialize(whole.as_bytes())
                .collect::<String>()
                .replace("%2F", "%2f")
                .replace("%3A", "%3a"),
            whole.bytes().map(|byte| format!("{byte:02x}")).collect(),
            whole.bytes().map(|byte| format!("{byte:02X}")).collect(),
            STANDARD.encode(&whole),
            URL_SAFE.encode(&whole),
        ] {
            assert_eq!(needles.found_in(&leak).map(|(name, _)| name), Some("planted"), "{leak}");
        }
    }
    assert_eq!(needles.found_in("planted@@@secret with other signs"), None);
}
