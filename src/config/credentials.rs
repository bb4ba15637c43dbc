//! What opens doors: the database, the platform, the key. Their values are in no setting and in no fault.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::{
    PlatformSettings,
    reader::{Reader, Source},
    values,
};
use crate::domain::appid::appid;

/// Where Postgres is, and where a private one keeps its data.
pub(super) fn database<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>) -> (Option<SecretString>, PathBuf) {
    const EXAMPLE: &str = "DATABASE_URL=postgres://wxpatrol@localhost/wxpatrol";
    let url = r.text("DATABASE_URL");
    let source = if url.is_some() { Source::Environment } else { Source::Default };
    // The URL holds a password more often than not, so it is treated as a secret throughout.
    r.remember("DATABASE_URL", if url.is_some() { "set" } else { "not set" }, source, "where Postgres is");
    if let Some(rule) = url.as_deref().and_then(|url| values::postgres_url(url).err()) {
        r.fault("DATABASE_URL", None, rule, Some(EXAMPLE.to_owned()));
    }
    let private = r.or_default(
        "WXPATROL_PRIVATE_POSTGRES",
        "on",
        "whether a private Postgres is started when DATABASE_URL is not set",
        |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("must be on or off".to_owned()),
        },
    );
    if url.is_none() && !private {
        let rule = "must be set, because WXPATROL_PRIVATE_POSTGRES=off refuses the private Postgres";
        r.fault("DATABASE_URL", None, rule, Some(EXAMPLE.to_owned()));
    } else if url.is_none() && !cfg!(feature = "demo") {
        let rule = "must be set: this program was built without the private Postgres";
        r.fault("DATABASE_URL", None, rule, Some(EXAMPLE.to_owned()));
    }
    let default = default_data_dir(r.text("XDG_DATA_HOME"), r.text("HOME"), running_as_root());
    let data_dir = r.or_default(
        "WXPATROL_DATA_DIR",
        &default.to_string_lossy(),
        "where the private Postgres keeps its data",
        |text| Ok(PathBuf::from(text)),
    );
    // Read by the private Postgres itself, which tests and the demo use without a configuration.
    let programs = r.text("WXPATROL_POSTGRES_BIN");
    let source = if programs.is_some() { Source::Environment } else { Source::Default };
    let meaning = "a folder with initdb, pg_ctl and postgres for the private Postgres";
    r.remember("WXPATROL_POSTGRES_BIN", programs.as_deref().unwrap_or("not set"), source, meaning);
    (url.map(SecretString::from), data_dir)
}

/// Root's home is closed to the user that Postgres must run as, so root's data goes to the system's state folder.
pub(super) fn default_data_dir(xdg: Option<String>, home: Option<String>, root: bool) -> PathBuf {
    let data = xdg.map(PathBuf::from).or_else(|| home.map(|home| PathBuf::from(home).join(".local/share")));
    match data.filter(|data| data.is_absolute() && !root) {
        Some(data) => data.join("wxpatrol"),
        None => PathBuf::from("/var/lib/wxpatrol"),
    }
}

#[cfg(feature = "demo")]
fn running_as_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Without the private Postgres nothing is kept in the data folder.
#[cfg(not(feature = "demo"))]
fn running_as_root() -> bool {
    false
}

const APPID: &str = "WXPATROL_COMPONENT_APPID";

/// Whether the variables name a platform.
pub(super) fn platform_named<L: Fn(&str) -> Option<String>>(r: &Reader<L>) -> bool {
    r.text(APPID).is_some()
}

/// The platform, whole or not at all; without a secret when another system keeps the tokens.
pub(super) fn platform<L: Fn(&str) -> Option<String>>(
    r: &mut Reader<L>,
    external_tokens: bool,
) -> Option<PlatformSettings> {
    const SECRET: &str = "WXPATROL_COMPONENT_APPSECRET";
    const TICKET: &str = "WXPATROL_VERIFY_TICKET";
    let named = platform_named(r);
    let faults_before = r.faults.len();
    let component_appid = r.optional(
        APPID,
        "wx0123456789abcdef",
        "the appid of the platform that is named here; `wxpatrol platform add` adds others",
        appid,
    );
    let secret = r.secret(SECRET, "that platform's secret; it goes before a stored one");
    let (verify_ticket, verify_ticket_file) = ticket(r, TICKET);
    let secret_refused = r.faults.iter().skip(faults_before).any(|fault| fault.variable.starts_with(SECRET));
    if named && secret.is_none() && !secret_refused && !external_tokens {
        r.fault(SECRET, None, format!("(or {SECRET}_FILE) must be set when {APPID} is"), None);
    }
    if !named && (secret.is_some() || verify_ticket.is_some() || verify_ticket_file.is_some()) {
        let rule = format!("must be set when {} is", if secret.is_some() { SECRET } else { TICKET });
        r.fault(APPID, None, rule, Some(format!("{APPID}=wx0123456789abcdef")));
    }
    if secret.is_none() && !external_tokens {
        return None;
    }
    Some(PlatformSettings {
        component_appid: component_appid?,
        secret: secret.map(|given| given.secret),
        verify_ticket,
        verify_ticket_file,
    })
}

/// A ticket to begin with, or the file that another system keeps the newest one in. Such a file is no secret that is read
/// once: it changes, and may be away for a moment, so it is read where tickets are kept.
fn ticket<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>, name: &str) -> (Option<SecretString>, Option<PathBuf>) {
    let file_name = format!("{name}_FILE");
    let (direct, path) = (r.text(name), r.text(&file_name));
    let source = |given: bool| if given { Source::Environment } else { Source::Default };
    let shown = if direct.is_some() { "set" } else { "not set" };
    let meaning = "a verify ticket to begin with; ignored once a newer one is stored";
    r.remember(name, shown, source(direct.is_some()), meaning);
    let meaning = "a file that another system keeps the newest verify ticket in; read again when it changes";
    // What is no path may be the ticket itself.
    let shown = path.as_deref().map(|path| if path.contains('/') { path } else { "set" });
    r.remember(&file_name, shown.unwrap_or("not set"), source(path.is_some()), meaning);
    if direct.is_some() && path.is_some() {
        r.fault(&file_name, None, format!("must not be set together with {name}: keep one of them"), None);
    }
    (direct.map(SecretString::from), path.map(PathBuf::from))
}

/// The key that seals tokens; `needed` when no private Postgres keeps one beside it.
pub(super) fn encryption_key<L: Fn(&str) -> Option<String>>(
    r: &mut Reader<L>,
    needed: bool,
) -> Option<SecretBox<[u8; 32]>> {
    const KEY: &str = "WXPATROL_ENCRYPTION_KEY";
    const MAKE_ONE: &str = "the output of: openssl rand -base64 32";
    let faults_before = r.faults.len();
    let given = r.secret(KEY, "the key that seals tokens at rest: 32 bytes in base64");
    let Some(given) = given else {
        if needed && r.faults.len() == faults_before {
            let rule = format!(
                "(or {KEY}_FILE) must be set when DATABASE_URL is; make it once and keep it, because stored tokens are \
                 unreadable without it"
            );
            r.fault(KEY, None, rule, Some(MAKE_ONE.to_owned()));
        }
        return None;
    };
    match values::encryption_key(&given.secret) {
        Ok(key) if key.expose_secret().iter().all(|byte| *byte == 0) => {
            r.fault(&given.variable, None, "must not be all zeros", Some(MAKE_ONE.to_owned()));
            None
        }
        Ok(key) => Some(key),
        Err(rule) => {
            r.fault(&given.variable, None, rule, Some(MAKE_ONE.to_owned()));
            None
        }
    }
}

/// Keys that still open what they sealed, in any order; the configured key may be among them.
pub(super) fn old_keys<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>) -> Vec<SecretBox<[u8; 32]>> {
    const OLD: &str = "WXPATROL_ENCRYPTION_KEYS_OLD";
    let meaning =
        "keys that still open what they sealed, while `wxpatrol keys rotate` replaces them: commas between them";
    let Some(given) = r.secret(OLD, meaning) else { return Vec::new() };
    let texts = given.secret.expose_secret().split([',', ' ', '\t', '\r', '\n']).filter(|text| !text.is_empty());
    let mut keys = Vec::new();
    for (number, text) in (1..).zip(texts) {
        match values::encryption_key(&SecretString::from(text)) {
            Ok(key) => keys.push(key),
            Err(rule) => r.fault(&given.variable, None, format!("key {number} of them {rule}"), None),
        }
    }
    keys
}
