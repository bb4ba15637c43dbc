//! The canonical form of a message-push configuration, so that equal configurations have equal digests.
//!
//! Known keys are trimmed (one page of the documentation spells a key with a trailing space), switches become booleans,
//! `text_mode` a number, callbacks are sorted and a known key that is null counts as absent. Unknown keys stay as sent.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::body::Scalar;
use crate::domain::{CallError, Callback, callback::CanonicalConfig};

const ROOT: &[&str] = &["function_config", "container_config"];
const FUNCTION: &[&str] = &["enable", "callbacks"];
const ENTRY: &[&str] = &["msgType", "event", "env", "functionName", "enable"];
const CONTAINER: &[&str] = &["enable", "qbase_env", "qbase_container_path", "text_mode"];

/// The callback configuration that `data` holds.
pub(super) fn canonical(data: Value) -> Result<Callback, CallError> {
    let mut root = match data {
        Value::Null => return Ok(Callback::Absent),
        Value::Object(fields) => known(fields, ROOT),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(CallError::Unreadable("data is no object".to_owned()));
        }
    };
    for (name, form) in [("function_config", function as fn(_) -> _), ("container_config", container)] {
        if let Some(Value::Object(fields)) = root.get_mut(name) {
            *fields = form(std::mem::take(fields));
        }
    }
    if root.is_empty() {
        Ok(Callback::Absent)
    } else {
        Ok(Callback::Configured(CanonicalConfig::of(&Value::Object(root))))
    }
}

fn function(fields: Map<String, Value>) -> Map<String, Value> {
    let mut fields = known(fields, FUNCTION);
    if let Some(Value::Array(entries)) = fields.get_mut("callbacks") {
        for entry in entries.iter_mut() {
            if let Value::Object(fields) = entry {
                *fields = known(std::mem::take(fields), ENTRY);
            }
        }
        entries.sort_by(by_route);
    }
    fields
}

/// By what they route: the order of callbacks is not promised. Those that route the same are told apart by their text.
fn by_route(left: &Value, right: &Value) -> Ordering {
    fn part<'a>(entry: &'a Value, key: &str) -> &'a str {
        entry.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    ["msgType", "event", "env", "functionName"]
        .into_iter()
        .map(|key| part(left, key).cmp(part(right, key)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.to_string().cmp(&right.to_string()))
}

fn container(fields: Map<String, Value>) -> Map<String, Value> {
    let mut fields = known(fields, CONTAINER);
    if let Some(mode) = fields.get_mut("text_mode")
        && let Some(number) = Scalar::of(Some(mode)).integer()
    {
        *mode = Value::from(number);
    }
    fields
}

/// The fields with the known names trimmed, the known nulls dropped and `enable` as a boolean.
fn known(fields: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let mut result = Map::new();
    let mut misspelt = Vec::new();
    for (name, value) in fields {
        if names.contains(&name.as_str()) {
            if !value.is_null() {
                result.insert(name, value);
            }
        } else if names.contains(&name.trim()) {
            misspelt.push((name, value));
        } else {
            result.insert(name, value);
        }
    }
    for (name, value) in misspelt {
        // Beside the right spelling it is an unknown key.
        let trimmed = name.trim();
        if result.contains_key(trimmed) {
            result.insert(name, value);
        } else if !value.is_null() {
            result.insert(trimmed.to_owned(), value);
        }
    }
    if let Some(enable) = result.get_mut("enable")
        && let Some(on) = Scalar::of(Some(enable)).switch()
    {
        *enable = Value::Bool(on);
    }
    result
}
