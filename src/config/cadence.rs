//! When a schedule fires: a cron expression in a real time zone.
//!
//! Every [`Cadence`] fires at least once: an expression that never does is refused when it is read.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

/// A cron expression of five fields, or six with seconds first, and the zone it is meant in. When both the day of the
/// month and the day of the week are given, either is enough, as in cron itself.
#[derive(Debug, Clone)]
pub struct Cadence {
    expression: String,
    cron: Cron,
    zone: Tz,
}

impl Cadence {
    /// Reads `0 3 * * *` (in `zone`), or `0 3 * * * Asia/Shanghai` with a zone of its own.
    ///
    /// # Errors
    ///
    /// The rule, when the text is no cron expression, names an unknown zone, or never fires.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let mut fields: Vec<&str> = text.split_whitespace().collect();
        let mut zone = zone;
        if let Some(last) = fields.last().copied().filter(|_| fields.len() > 5) {
            // `MON` is a day of the week; names of zones are tried only where they cannot be one.
            if let Ok(own) = last.parse() {
                zone = own;
                fields.pop();
            } else if last.contains('/') && last.starts_with(|c: char| c.is_ascii_alphabetic()) {
                return Err("must end in the IANA name of a time zone when it has a zone of its own".to_owned());
            }
        }
        if !(5..=6).contains(&fields.len()) {
            return Err("must be five cron fields, six with seconds first, or off".to_owned());
        }
        let expression = fields.join(" ");
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build()
            .parse(&expression)
            .map_err(|error| format!("must be a cron expression ({error})"))?;
        // Any fixed start will do: what fires at all fires within the years that the search covers.
        let start = zone.timestamp_opt(1_767_225_600, 0).single().expect("an instant is never ambiguous");
        if cron.find_next_occurrence(&start, false).is_err() {
            return Err("must fire some day, and this expression never does".to_owned());
        }
        Ok(Self { expression, cron, zone })
    }

    /// The cron fields without the zone, with single spaces.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The parsed expression.
    #[must_use]
    pub fn cron(&self) -> &Cron {
        &self.cron
    }

    /// The zone that the expression is meant in.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first instant after `instant` at which the schedule fires, in whole seconds; `None` when the search ends
    /// without one.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The answer of the search keeps the fraction of its start.
        let whole = Utc.timestamp_opt(instant.timestamp(), 0).single()?.with_timezone(&self.zone);
        self.cron.find_next_occurrence(&whole, false).ok().map(|next| next.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Cadence, String> {
        Cadence::parse(text, Tz::Asia__Shanghai)
    }

    #[test]
    fn five_fields_fire_in_the_given_zone() {
        let cadence = parse("0  3 * * *").unwrap();
        let next = cadence.next_after("2026-11-21T02:00:00.750Z".parse().unwrap());
        assert_eq!(next, Some("2026-11-21T19:00:00Z".parse().unwrap()));
        assert_eq!(cadence.expression(), "0 3 * * *");
    }

    #[test]
    fn six_fields_count_seconds_and_a_zone_may_follow_either_form() {
        let cadence = parse("30 0 3 * * * UTC").unwrap();
        let next = cadence.next_after("2026-11-21T02:00:00Z".parse().unwrap());
        assert_eq!(next, Some("2026-11-21T03:00:30Z".parse().unwrap()));
        assert_eq!(parse("0 3 * * * Europe/Berlin").unwrap().zone(), Tz::Europe__Berlin);
        assert_eq!(parse("0 0 3 * * MON").unwrap().zone(), Tz::Asia__Shanghai);
    }

    #[test]
    fn a_schedule_that_never_fires_is_refused() {
        assert!(parse("0 0 31 2 *").unwrap_err().contains("never"));
        assert!(parse("0 0 29 2 *").is_ok());
    }

    #[test]
    fn nonsense_and_unknown_zones_are_refused() {
        for text in [
            "",
            "daily",
            "@daily",
            "* * * *",
            "60 * * * *",
            "0 3 * * * Mars/Base",
            "0 0 3 * * * 2027",
            "0 0 3 * * * * UTC",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
