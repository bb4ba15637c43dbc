//! When a token of another system ends, by what that system says of it. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Longer than this no token is believed to live.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// Numbers from here on are instants: as a length of time this would be 31 years.
const UNIX_FROM: f64 = 1e9;
/// Numbers from here on count milliseconds.
const UNIX_MILLIS_FROM: f64 = 1e12;

/// How long a token is good for from `now` on, by a number: below 10^9 seconds from now, above a Unix time in seconds,
/// from 10^12 in milliseconds. Zero: it is over. At most a day. `None`: the number is neither.
#[must_use]
pub fn by_number(number: f64, now: DateTime<Utc>) -> Option<Duration> {
    if !number.is_finite() {
        return None;
    }
    if number < UNIX_FROM {
        return Duration::try_from_secs_f64(number.clamp(0.0, LIFETIME_MAX.as_secs_f64())).ok();
    }
    let millis = if number < UNIX_MILLIS_FROM { number * 1000.0 } else { number };
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and an instant that far off is none")]
    let instant = DateTime::from_timestamp_millis(millis as i64)?;
    Some(by_instant(instant, now))
}

/// How long a token is good for from `now` on, by the instant of its end. Zero: it is over. At most a day.
#[must_use]
pub fn by_instant(instant: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (instant - now).to_std().unwrap_or_default().min(LIFETIME_MAX)
}
