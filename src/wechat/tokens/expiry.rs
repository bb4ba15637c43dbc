//! What an external source says in JSON about the end of a token. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::expiry::{by_instant, by_number};

/// How long a token is good for from `now` on: a number as [`by_number`] reads it, or a text that is such a number or an
/// RFC 3339 instant. `Ok(None)`: nothing is said.
pub(super) fn good_for(said: Option<&Value>, now: DateTime<Utc>) -> Result<Option<Duration>, ()> {
    let number = match said {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64().ok_or(())?,
        Some(Value::String(text)) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => {
                let instant = DateTime::parse_from_rfc3339(text.trim()).map_err(|_| ())?;
                return Ok(Some(by_instant(instant.to_utc(), now)));
            }
        },
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err(()),
    };
    by_number(number, now).map(Some).ok_or(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: Value) -> Result<Option<Duration>, ()> {
        good_for(Some(&value), DateTime::from_timestamp(1_800_000_000, 0).unwrap())
    }

    #[test]
    fn a_number_is_seconds_from_now_or_an_instant() {
        for (value, secs) in [
            (json!(7200), 7200.0),
            (json!("7200"), 7200.0),
            (json!(59.5), 59.5),
            (json!(1_800_000_060), 60.0),
            (json!("1800000060"), 60.0),
            (json!(1_800_000_060_500_i64), 60.5),
            (json!("2027-01-15T08:01:00Z"), 60.0),
            (json!("2027-01-15T16:01:00+08:00"), 60.0),
            (json!(999_999_999), 86_400.0),
            (json!("2040-01-01T00:00:00Z"), 86_400.0),
        ] {
            assert_eq!(said(value.clone()), Ok(Some(Duration::from_secs_f64(secs))), "{value}");
        }
    }

    #[test]
    fn what_is_past_is_over_and_not_a_fault() {
        for value in [json!(0), json!(-5), json!(1_799_999_999), json!("2026-01-01T00:00:00Z"), json!(1_000_000_000)] {
            assert_eq!(said(value.clone()), Ok(Some(Duration::ZERO)), "{value}");
        }
    }

    #[test]
    fn nothing_said_is_no_fault_and_nonsense_is_one() {
        assert_eq!(said(Value::Null), Ok(None));
        assert_eq!(good_for(None, Utc::now()), Ok(None));
        for value in [json!("soon"), json!(true), json!([]), json!({}), json!("NaN"), json!(1e300), json!("")] {
            assert_eq!(said(value.clone()), Err(()), "{value}");
        }
    }
}
