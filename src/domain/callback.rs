//! The message-push configuration: its state, its digest, and what changed from one to the next.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr};

/// What a reading of the configuration showed. Each is a state with its own interval in the history.
#[derive(Debug, Clone, PartialEq)]
pub enum Callback {
    /// Something is configured.
    Configured(CanonicalConfig),
    /// WeChat answered well, and nothing is configured.
    Absent,
    /// Cloud development was never opened: the question does not apply.
    NotApplicable,
}

/// A configuration in its canonical form (known keys trimmed, callbacks sorted, unknown keys kept) as JSON with sorted
/// keys: equal configurations have equal texts. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalConfig(Arc<str>);

impl CanonicalConfig {
    /// Keeps a value that is in the canonical form.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        // `serde_json` keeps object keys sorted.
        Self(value.to_string().into())
    }

    /// The JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// The names of the states of [`Callback`] in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CallbackState {
    /// See [`Callback::Configured`].
    Configured,
    /// See [`Callback::Absent`].
    Absent,
    /// See [`Callback::NotApplicable`].
    NotApplicable,
}

/// One changed field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The path, such as `container_config.enable`; `state` when configured, absent and not applicable change places.
    pub field: String,
    /// As JSON; `None`: the field was not there.
    pub old: Option<String>,
    /// As JSON; `None`: the field is gone.
    pub new: Option<String>,
}

impl Callback {
    /// The state's name.
    #[must_use]
    pub fn state(&self) -> CallbackState {
        match self {
            Self::Configured(_) => CallbackState::Configured,
            Self::Absent => CallbackState::Absent,
            Self::NotApplicable => CallbackState::NotApplicable,
        }
    }

    /// The canonical form, when there is one.
    #[must_use]
    pub fn config(&self) -> Option<&CanonicalConfig> {
        match self {
            Self::Configured(config) => Some(config),
            Self::Absent | Self::NotApplicable => None,
        }
    }

    /// SHA-256 of the state and the canonical form.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        let state: &'static str = self.state().into();
        let mut hash = Sha256::new();
        hash.update(state.as_bytes());
        if let Some(config) = self.config() {
            hash.update(config.text().as_bytes());
        }
        hash.finalize().to_vec()
    }

    /// The fields that differ, in the order of their paths. The callbacks of a function configuration are compared by
    /// what they route (message kind, event, environment, function), not by their place in the list.
    #[must_use]
    pub fn changes_since(&self, old_state: CallbackState, old_config: Option<&Value>) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        if self.state() != old_state {
            let name = |state: CallbackState| Some(format!("\"{}\"", <&'static str>::from(state)));
            changes.push(FieldChange { field: "state".to_owned(), old: name(old_state), new: name(self.state()) });
        }
        let old = old_config.map(leaves_of).unwrap_or_default();
        let new = self.config().map(|config| leaves_of(&config.value())).unwrap_or_default();
        let (mut left, mut right) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(before), Some(after)) => before.0.cmp(&after.0),
            };
            let before = if order.is_le() { left.next() } else { None };
            let after = if order.is_ge() { right.next() } else { None };
            let field = before.as_ref().or(after.as_ref()).map(|(field, _)| field.clone()).unwrap_or_default();
            let (old, new) = (before.map(|(_, value)| value), after.map(|(_, value)| value));
            if old != new {
                changes.push(FieldChange { field, old, new });
            }
        }
        changes
    }
}

/// The leaves of a configuration, each with a path of its own, in the order of these.
fn leaves_of(config: &Value) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    flatten("", config, &mut leaves);
    for (path, _) in &mut leaves {
        shorten(path);
    }
    leaves.sort();
    number_repeated(&mut leaves);
    leaves
}

/// A path that nobody would write, and no index would hold, is told by its beginning and its digest.
fn shorten(path: &mut String) {
    const BYTES_MAX: usize = 300;
    const KEPT: usize = 200;
    if path.len() > BYTES_MAX {
        let digest = Sha256::digest(path.as_bytes());
        path.truncate(path.floor_char_boundary(KEPT));
        *path += "...";
        path.extend(digest.iter().take(8).map(|byte| format!("{byte:02x}")));
    }
}

/// Tells leaves apart that have one path because a key holds a dot: the second is `path#2`. They come and stay sorted.
fn number_repeated(leaves: &mut [(String, String)]) {
    let mut nth = 1;
    for index in 1..leaves.len() {
        let (before, from) = leaves.split_at_mut(index);
        let (path, leaf) = (&before[index - nth].0, &mut from[0].0);
        if path == leaf {
            nth += 1;
            *leaf = format!("{leaf}#{nth}");
        } else {
            nth = 1;
        }
    }
    leaves.sort();
}

/// The leaves of a value with their paths.
fn flatten(path: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, field) in fields {
                flatten(&join(key), field, leaves);
            }
        }
        Value::Array(entries) if path.ends_with("callbacks") && !entries.is_empty() => {
            let mut seen = std::collections::HashMap::new();
            for entry in entries {
                let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
                let route = format!("{}/{}/{}/{}", text("msgType"), text("event"), text("env"), text("functionName"));
                let nth = seen.entry(route.clone()).and_modify(|n| *n += 1).or_insert(1);
                let name = if *nth == 1 { format!("[{route}]") } else { format!("[{route}#{nth}]") };
                leaves.push((format!("{path}{name}"), entry.to_string()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            leaves.push((path.to_owned(), value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(field: &str, old: Option<&str>, new: Option<&str>) -> FieldChange {
        FieldChange { field: field.to_owned(), old: old.map(str::to_owned), new: new.map(str::to_owned) }
    }

    #[test]
    fn a_switch_that_is_turned_off_is_one_change() {
        let old = json!({"container_config": {"enable": true, "text_mode": 1}});
        let new =
            Callback::Configured(CanonicalConfig::of(&json!({"container_config": {"enable": false, "text_mode": 1}})));
        let changes = new.changes_since(CallbackState::Configured, Some(&old));
        assert_eq!(changes, [change("container_config.enable", Some("true"), Some("false"))]);
    }

    #[test]
    fn a_callback_that_is_added_leaves_the_others_alone() {
        let entry = |kind: &str| json!({"msgType": kind, "event": "", "env": "e", "functionName": "f", "enable": true});
        let old = json!({"function_config": {"callbacks": [entry("text")]}});
        let new = Callback::Configured(CanonicalConfig::of(
            &json!({"function_config": {"callbacks": [entry("image"), entry("text")]}}),
        ));
        let changes = new.changes_since(CallbackState::Configured, Some(&old));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].field, "function_config.callbacks[image//e/f]");
    }

    #[test]
    fn leaves_whose_paths_read_alike_because_a_key_holds_a_dot_are_told_apart() {
        let old = json!({"a": {"b": 1}, "a.b": 2, "a.b!": 3});
        let new = Callback::Configured(CanonicalConfig::of(&json!({"a": {"b": 3}, "a.b": 4, "a.b!": 5})));
        let changes = new.changes_since(CallbackState::Configured, Some(&old));
        let change = |field, old, new| change(field, Some(old), Some(new));
        assert_eq!(changes, [change("a.b", "1", "3"), change("a.b!", "3", "5"), change("a.b#2", "2", "4")]);
    }

    #[test]
    fn a_field_of_any_length_has_a_short_name_of_its_own() {
        let key = |end: &str| "键".repeat(100_000) + end;
        let old = json!({ key("a"): 1, key("b"): 1 });
        let new = Callback::Configured(CanonicalConfig::of(&json!({ key("a"): 1, key("b"): 2 })));
        let changes = new.changes_since(CallbackState::Configured, Some(&old));
        let [change] = &changes[..] else { panic!("{} changes", changes.len()) };
        assert_eq!((change.old.as_deref(), change.new.as_deref()), (Some("1"), Some("2")));
        assert!(change.field.len() <= 300 && change.field.starts_with("键键"), "{}", change.field);
    }

    #[test]
    fn losing_the_configuration_names_the_state_and_every_field() {
        let old = json!({"container_config": {"enable": true}});
        let changes = Callback::Absent.changes_since(CallbackState::Configured, Some(&old));
        assert_eq!(
            changes,
            [
                change("state", Some("\"configured\""), Some("\"absent\"")),
                change("container_config.enable", Some("true"), None)
            ]
        );
    }

    #[test]
    fn equal_configurations_have_equal_digests_and_no_changes() {
        let config = json!({"a": {"b": [1, 2]}, "c": null});
        let callback = Callback::Configured(CanonicalConfig::of(&config));
        assert_eq!(callback.digest(), Callback::Configured(CanonicalConfig::of(&config)).digest());
        assert_eq!(callback.changes_since(CallbackState::Configured, Some(&config)), []);
        assert_ne!(callback.digest(), Callback::Absent.digest());
        assert_ne!(Callback::NotApplicable.digest(), Callback::Absent.digest());
    }
}
