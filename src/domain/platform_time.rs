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

/// WeChat's boundary of days and months as far as clocks tell: what was asked so soon after it may have been counted before it, and
/// what is asked so soon after it may still be.
const SETTLES: TimeDelta = TimeDelta::minutes(5);

/// When a quota of the day that a call asked at `asked_at` met is surely new.
#[must_use]
pub fn after_midnight(asked_at: DateTime<Utc>) -> DateTime<Utc> {
    next_midnight(asked_at - SETTLES) + SETTLES
}

/// The same of a quota of the month.
#[must_use]
pub fn after_month(asked_at: DateTime<Utc>) -> DateTime<Utc> {
    next_month(asked_at - SETTLES) + SETTLES
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
    fn a_quota_is_new_a_little_after_its_boundary_whichever_side_of_it_the_call_was_asked_on() {
        let new = utc("2026-11-30T16:05:00Z");
        for asked_at in ["2026-11-30T15:59:59Z", "2026-11-30T16:00:00Z", "2026-11-30T16:04:59Z"] {
            assert_eq!((after_midnight(utc(asked_at)), after_month(utc(asked_at))), (new, new), "{asked_at}");
        }
        assert_eq!(after_midnight(utc("2026-11-30T16:05:00Z")), utc("2026-12-01T16:05:00Z"));
        assert_eq!(after_month(utc("2026-11-30T16:05:00Z")), utc("2026-12-31T16:05:00Z"));
    }

    #[test]
    fn the_next_minute_is_never_now() {
        assert_eq!(next_minute(utc("2026-11-21T15:59:00Z")), utc("2026-11-21T16:00:00Z"));
        assert_eq!(next_minute(utc("2026-11-21T15:59:59.9Z")), utc("2026-11-21T16:00:00Z"));
    }
}
