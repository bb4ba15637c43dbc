//! Platform time: WeChat's day and month are counted in Beijing time, which knows no daylight saving.
//!
//! Source: staff answers say that a day is a calendar day; the zone is assumed.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta, Utc};

/// UTC+8.
#[must_use]
pub fn zone() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).expect("eight hours are less than a day")
}

/// The instant of a wall time.
#[must_use]
pub fn instant(wall: NaiveDateTime) -> DateTime<Utc> {
    (wall - TimeDelta::hours(8)).and_utc()
}

/// The calendar day that `now` falls on.
#[must_use]
pub fn day(now: DateTime<Utc>) -> NaiveDate {
    now.with_timezone(&zone()).date_naive()
}

/// The next midnight after `now`.
#[must_use]
pub fn next_midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    instant((day(now) + TimeDelta::days(1)).and_time(chrono::NaiveTime::MIN))
}

/// The first midnight of the next month after `now`.
#[must_use]
pub fn next_month(now: DateTime<Utc>) -> DateTime<Utc> {
    let today = day(now);
    let (year, month) = if today.month() == 12 { (today.year() + 1, 1) } else { (today.year(), today.month() + 1) };
    let first = NaiveDate::from_ymd_opt(year, month, 1).expect("the first of a month exists");
    instant(first.and_time(chrono::NaiveTime::MIN))
}

/// The next full minute after `now`.
#[must_use]
pub fn next_minute(now: DateTime<Utc>) -> DateTime<Utc> {
    let secs = now.timestamp().div_euclid(60) * 60 + 60;
    DateTime::from_timestamp(secs, 0).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("the test names a time").to_utc()
    }

    #[test]
    fn midnight_and_month_are_beijing_s() {
        assert_eq!(next_midnight(utc("2026-11-21T15:59:59Z")), utc("2026-11-21T16:00:00Z"));
        assert_eq!(next_midnight(utc("2026-11-21T16:00:00Z")), utc("2026-11-22T16:00:00Z"));
        assert_eq!(next_month(utc("2026-11-30T15:59:59Z")), utc("2026-11-30T16:00:00Z"));
        assert_eq!(next_month(utc("2026-12-05T00:00:00Z")), utc("2026-12-31T16:00:00Z"));
    }

    #[test]
    fn the_next_minute_is_never_now() {
        assert_eq!(next_minute(utc("2026-11-21T15:59:00Z")), utc("2026-11-21T16:00:00Z"));
        assert_eq!(next_minute(utc("2026-11-21T15:59:59.9Z")), utc("2026-11-21T16:00:00Z"));
    }
}
