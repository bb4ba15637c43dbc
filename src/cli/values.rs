//! The values of flags and arguments: text in, a type that cannot be wrong out. Pure.

use std::{num::NonZeroU32, path::PathBuf, str::FromStr, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::{
    config,
    domain::{CheckName, Endpoint},
};

/// Where a list is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// `-`: what is piped in.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("must be the name of a file, or - for stdin".to_owned()),
            "-" => Ok(Self::Stdin),
            path => Ok(Self::File(path.into())),
        }
    }
}

/// The form of a list of merchants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ListFormat {
    /// Comma-separated, with a header line.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl ListFormat {
    /// What the ending of a file's name says; `None` for stdin and for other endings.
    #[must_use]
    pub fn of(input: &Input) -> Option<Self> {
        let Input::File(path) = input else { return None };
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// An instant as people write it: from now on, or on the calendar of the configured zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long from now.
    In(Duration),
    /// A wall time in the configured zone; a date alone means its first moment.
    Wall(NaiveDateTime),
    /// An exact instant.
    Exact(DateTime<Utc>),
}

impl Moment {
    /// The instant, seen at `now`. A wall time that occurs twice means its first occurrence, one that is skipped the
    /// first instant after the gap.
    #[must_use]
    pub fn resolve(self, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::In(duration) => TimeDelta::from_std(duration)
                .ok()
                .and_then(|delta| now.checked_add_signed(delta))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
            Self::Wall(wall) => {
                // Gaps last a day at most (a zone that crosses the date line), and end on a full minute.
                let minutes = (0..=24 * 60).map(|minutes| wall + TimeDelta::minutes(minutes));
                let first = minutes.filter_map(|wall| zone.from_local_datetime(&wall).earliest()).next();
                first.map_or_else(|| wall.and_utc(), |instant| instant.to_utc())
            }
            Self::Exact(instant) => instant,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(duration) = config::duration(text) {
            return Ok(Self::In(duration));
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Self::Wall(date.and_time(NaiveTime::MIN)));
        }
        for form in ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"] {
            if let Ok(wall) = NaiveDateTime::parse_from_str(text, form) {
                return Ok(Self::Wall(wall));
            }
        }
        DateTime::parse_from_rfc3339(text)
            .map(|instant| Self::Exact(instant.to_utc()))
            .map_err(|_| "must be a length of time (2h, 7d), a date (2026-12-01) or a date with a time".to_owned())
    }
}

/// A limit of the simulated WeChat, as `checkmobile=50/s`.
#[cfg(feature = "demo")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimit {
    /// Where it holds.
    pub endpoint: Endpoint,
    /// How much is answered before a refusal.
    pub limit: crate::domain::Limit,
}

#[cfg(feature = "demo")]
impl FromStr for EndpointLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (endpoint, limit) = text.split_once('=').ok_or("must be an endpoint, = and a limit: checkmobile=50/s")?;
        let names = || Endpoint::ALL.iter().map(|endpoint| endpoint.name()).collect::<Vec<_>>().join(", ");
        Ok(Self {
            endpoint: endpoint.trim().parse().map_err(|_| format!("must name one of the endpoints {}", names()))?,
            limit: limit.trim().parse().map_err(|error: crate::domain::limit::LimitSyntax| error.to_string())?,
        })
    }
}

/// A length of time above zero.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match config::duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// A count above zero.
pub(super) fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "must be a whole number above zero".to_owned())
}

/// The name of a check; a wrong one is answered with all of them.
pub(super) fn check_parser() -> impl TypedValueParser<Value = CheckName> {
    PossibleValuesParser::new(CheckName::ALL.iter().map(|check| check.name()))
        .map(|name| name.parse().expect("only names of checks pass"))
}

/// The name of a schedule; a wrong one is answered with all of them.
pub(super) fn schedule_parser() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(config::schedule_names())
}

/// The name of an endpoint; a wrong one is answered with all of them.
pub(super) fn endpoint_parser() -> impl TypedValueParser<Value = Endpoint> {
    PossibleValuesParser::new(Endpoint::ALL.iter().map(|endpoint| endpoint.name()))
        .map(|name| name.parse().expect("only names of endpoints pass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let now: DateTime<Utc> = "2026-11-21T02:00:00Z".parse().unwrap();
        for (text, instant) in [
            ("2h", "2026-11-21T04:00:00Z"),
            ("7d", "2026-11-28T02:00:00Z"),
            ("2026-12-01", "2026-11-30T16:00:00Z"),
            ("2026-12-01 08:30", "2026-12-01T00:30:00Z"),
            ("2026-12-01T08:30:15", "2026-12-01T00:30:15Z"),
            ("2026-12-01T08:30:00+01:00", "2026-12-01T07:30:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.resolve(now, Tz::Asia__Shanghai), instant.parse::<DateTime<Utc>>().unwrap(), "{text}");
        }
        for text in ["", "tomorrow", "2026-13-01", "12:00", "-2h"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_skipped_wall_time_means_the_first_instant_after_the_gap_and_a_doubled_one_its_first() {
        let now = DateTime::<Utc>::MIN_UTC;
        let berlin = |text: &str| text.parse::<Moment>().unwrap().resolve(now, Tz::Europe__Berlin).to_rfc3339();
        assert_eq!(berlin("2026-03-29 02:30"), "2026-03-29T01:00:00+00:00");
        assert_eq!(berlin("2026-10-25 02:30"), "2026-10-25T00:30:00+00:00");
    }

    #[test]
    fn the_ending_of_a_file_tells_its_form_and_stdin_tells_nothing() {
        let of = |text: &str| ListFormat::of(&text.parse().unwrap());
        assert_eq!(of("merchants.CSV"), Some(ListFormat::Csv));
        assert_eq!(of("merchants.jsonl"), Some(ListFormat::Jsonl));
        assert_eq!(of("merchants.txt"), None);
        assert_eq!(of("-"), None);
    }

    #[cfg(feature = "demo")]
    #[test]
    fn a_limit_of_an_endpoint_names_both() {
        let limit: EndpointLimit = "checkmobile=50/s".parse().unwrap();
        assert_eq!((limit.endpoint, limit.limit.plain_per_second()), (Endpoint::CheckMobile, Some(50)));
        for text in ["50/s", "nowhere=50/s", "checkmobile=", "checkmobile=0/s"] {
            assert!(text.parse::<EndpointLimit>().is_err(), "{text}");
        }
    }
}
