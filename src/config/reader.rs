//! Reads variables one by one, and remembers each of them: its effective value, where it came from, what is wrong.
//!
//! The list of known variables is the list of those that were read, so the two cannot differ. An empty variable counts
//! as unset, because compose files and manifests cannot leave one out.

use std::{fs, path::Path};

use secrecy::SecretString;

use super::fault::Fault;

/// Where an effective value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nothing was given.
    Default,
    /// The environment.
    Environment,
}

impl Source {
    /// The word shown by `wxpatrol config`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment => "environment",
        }
    }
}

/// One line of `wxpatrol config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: String,
    /// The effective value; of a secret only `set` or `not set`.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
    /// What it means, in half a sentence.
    pub meaning: String,
}

/// A secret as it was given.
pub(super) struct GivenSecret {
    /// The variable that it came from, `..._FILE` included: the one to name in a fault.
    pub(super) variable: String,
    /// The text without white space around it.
    pub(super) secret: SecretString,
}

/// Reads variables through `lookup`.
pub(super) struct Reader<L> {
    lookup: L,
    pub(super) settings: Vec<Setting>,
    pub(super) faults: Vec<Fault>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn new(lookup: L) -> Self {
        Self { lookup, settings: Vec::new(), faults: Vec::new() }
    }

    /// The text of a variable without white space around it, `None` when it is unset or empty. It is not remembered.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A variable with a default. A refused value is a fault, and the default stands in so that reading can go on.
    pub(super) fn or_default<T>(
        &mut self,
        name: &str,
        default: &str,
        meaning: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let given = self.text(name);
        self.parsed(name, given, default, meaning, parse)
    }

    /// The same, for a variable whose empty value says something else than its absence.
    pub(super) fn or_default_unless_empty<T>(
        &mut self,
        name: &str,
        default: &str,
        meaning: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let given = (self.lookup)(name).map(|text| text.trim().to_owned());
        self.parsed(name, given, default, meaning, parse)
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        given: Option<String>,
        default: &str,
        meaning: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let source = if given.is_some() { Source::Environment } else { Source::Default };
        let text = given.as_deref().unwrap_or(default);
        self.remember(name, text, source, meaning);
        match parse(text) {
            Ok(value) => value,
            Err(rule) => {
                self.fault(name, given.filter(|text| showable(text)), rule, Some(format!("{name}={default}")));
                parse(default).expect("every default is a value that its own rule accepts")
            }
        }
    }

    /// A variable that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        example: &str,
        meaning: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(given) = self.text(name) else {
            self.remember(name, "not set", Source::Default, meaning);
            return None;
        };
        self.remember(name, &given, Source::Environment, meaning);
        match parse(&given) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.fault(name, Some(given).filter(|text| showable(text)), rule, Some(format!("{name}={example}")));
                None
            }
        }
    }

    /// A secret, from the variable itself or from the file that `..._FILE` names. A file is taken without the line
    /// break at its end.
    pub(super) fn secret(&mut self, name: &str, meaning: &str) -> Option<GivenSecret> {
        let file_name = format!("{name}_FILE");
        let direct = self.text(name);
        let path = self.text(&file_name);
        let shown = if direct.is_some() || path.is_some() { "set" } else { "not set" };
        let source = if direct.is_some() { Source::Environment } else { Source::Default };
        self.remember(name, if direct.is_some() { shown } else { "not set" }, source, meaning);
        let source = if path.is_some() { Source::Environment } else { Source::Default };
        let meaning = format!("a file that holds {name}");
        // What names no file may be the secret itself.
        let shown = path.as_deref().map(|path| if Path::new(path).exists() { path } else { "set" });
        self.remember(&file_name, shown.unwrap_or("not set"), source, &meaning);
        match (direct, path) {
            (None, None) => None,
            (Some(text), None) => Some(GivenSecret { variable: name.to_owned(), secret: text.into() }),
            (Some(_), Some(_)) => {
                self.fault(&file_name, None, format!("must not be set together with {name}: keep one of them"), None);
                None
            }
            (None, Some(path)) => match read_secret(Path::new(&path)) {
                Ok(secret) => Some(GivenSecret { variable: file_name, secret }),
                Err(reason) => {
                    let rule = format!("must name a file that can be read and is not empty ({reason})");
                    self.fault(&file_name, None, rule, Some(format!("{file_name}=/run/secrets/wxpatrol")));
                    None
                }
            },
        }
    }

    /// Remembers one line of `wxpatrol config`.
    pub(super) fn remember(&mut self, name: &str, value: &str, source: Source, meaning: &str) {
        self.settings.push(Setting {
            name: name.to_owned(),
            value: value.to_owned(),
            source,
            meaning: meaning.to_owned(),
        });
    }

    /// Notes a fault. `given` must be `None` for a secret.
    pub(super) fn fault(
        &mut self,
        variable: &str,
        given: Option<String>,
        rule: impl Into<String>,
        example: Option<String>,
    ) {
        self.faults.push(Fault { variable: variable.to_owned(), given, rule: rule.into(), example });
    }
}

/// Whether a refused text may be repeated: an address with a user or a query may hold a password or a token.
fn showable(text: &str) -> bool {
    // An AppSecret that stands where an appid belongs.
    let secret = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    !secret && (!text.contains("://") || !text.contains(['@', '?']))
}

fn read_secret(path: &Path) -> Result<SecretString, String> {
    let text = fs::read_to_string(path).map_err(|error| error.kind().to_string())?;
    let text = text.trim();
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned().into()) }
}
