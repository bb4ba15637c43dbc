//! When a schedule fires: a cron expression in a real time zone.
//!
//! Every [`Cadence`] fires at least once: an expression that never does is refused when it is read. `croner` searches wall
//! times only, on a calendar without a zone; which instant a wall time is, is decided here, by one rule for every kind of
//! expression: one that occurs twice is its first occurrence, one in a gap the first instant after it. (Its own search in a
//! zone has another rule for `*/30` than for `30`, and answers with instants before its start in the hour that is repeated.)

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset as _, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
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
        let start = Utc.timestamp_opt(1_767_225_600, 0).single().expect("an instant is never ambiguous");
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

    /// The zone that the expression is meant in.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first instant after `instant` at which the schedule fires, in whole seconds; `None` when the search ends
    /// without one.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = self.cron.find_next_occurrence(&self.reached(instant)?.and_utc(), false).ok()?;
        self.fires_at(wall.naive_utc())
    }

    /// The last instant at which the schedule fired, not after `instant`; `None` when the search ends without one.
    #[must_use]
    pub fn last_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = self.cron.find_previous_occurrence(&self.reached(instant)?.and_utc(), true).ok()?;
        self.fires_at(wall.naive_utc())
    }

    /// The instant of a wall time: the first of two, or the first after a gap. Grows with the wall time.
    fn fires_at(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let local = match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(local) | LocalResult::Ambiguous(local, _) => local,
            LocalResult::None => GapInfo::new(&wall, &self.zone)?.end?,
        };
        Some(local.to_utc())
    }

    /// The latest wall time whose instant is not after this one; a fraction of a second is cut. It is what a clock on the
    /// wall shows, but where it shows a time for the second time: then everything that is repeated has had its instant.
    fn reached(&self, instant: DateTime<Utc>) -> Option<NaiveDateTime> {
        let instant = Utc.timestamp_opt(instant.timestamp(), 0).single()?;
        let wall = instant.with_timezone(&self.zone).naive_local();
        let LocalResult::Ambiguous(first, _) = self.zone.from_local_datetime(&wall) else { return Some(wall) };
        let first = first.to_utc();
        if first == instant {
            return Some(wall);
        }
        // The clocks were turned back after the first occurrence, and not after this one: the first instant in between at
        // which they show another offset.
        let offset = |at: DateTime<Utc>| self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let before = offset(first);
        let (mut before_turn, mut turned) = (first, instant);
        while turned - before_turn > TimeDelta::seconds(1) {
            let middle = before_turn + TimeDelta::seconds((turned - before_turn).num_seconds() / 2);
            if offset(middle) == before { before_turn = middle } else { turned = middle }
        }
        Some(before_turn.naive_utc() + TimeDelta::seconds(i64::from(before.local_minus_utc())))
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
        assert!(parse("0 0 30 2 *").unwrap_err().contains("never"));
        assert!(parse("0 0 0 31 4,6,9,11 *").unwrap_err().contains("never"));
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

    /// What fires, by the design's words and nothing else: the clock on the wall is watched step by step, and each wall time
    /// that it passes for the first time fires then. Knows neither `croner` nor which wall times are doubled or missing.
    mod model {
        use std::collections::BTreeSet;

        use chrono::{Datelike as _, Timelike as _};
        use proptest::{collection::btree_set, prelude::*};

        use super::*;

        const ZONES: [Tz; 5] = [
            Tz::Europe__Berlin,
            Tz::America__New_York,
            Tz::Australia__Lord_Howe,
            Tz::Asia__Shanghai,
            Tz::Africa__Casablanca,
        ];

        /// Allowed values; `None`: all.
        type Field = Option<BTreeSet<u32>>;

        #[derive(Debug, Clone)]
        struct Expression {
            second: Field,
            minute: Field,
            hour: Field,
            day: Field,
            month: Field,
            weekday: Field,
        }

        impl Expression {
            fn text(&self, seconds: bool) -> String {
                let text = |field: &Field| match field {
                    None => "*".to_owned(),
                    Some(values) => values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
                };
                let fields = [&self.second, &self.minute, &self.hour, &self.day, &self.month, &self.weekday];
                let skipped = usize::from(!seconds);
                fields.into_iter().skip(skipped).map(text).collect::<Vec<_>>().join(" ")
            }

            fn names(&self, wall: NaiveDateTime, seconds: bool) -> bool {
                let allows = |field: &Field, value: u32| field.as_ref().is_none_or(|values| values.contains(&value));
                let (day, weekday) = (wall.day(), wall.weekday().num_days_from_sunday());
                let on = match (&self.day, &self.weekday) {
                    (Some(days), Some(weekdays)) => days.contains(&day) || weekdays.contains(&weekday),
                    (days, weekdays) => allows(days, day) && allows(weekdays, weekday),
                };
                let second = if seconds { allows(&self.second, wall.second()) } else { wall.second() == 0 };
                second
                    && allows(&self.minute, wall.minute())
                    && allows(&self.hour, wall.hour())
                    && allows(&self.month, wall.month())
                    && on
            }
        }

        /// Every instant after `from` and up to `to` at which it fires.
        fn fires(
            names: impl Fn(NaiveDateTime) -> bool,
            zone: Tz,
            from: DateTime<Utc>,
            to: DateTime<Utc>,
            step: TimeDelta,
        ) -> Vec<DateTime<Utc>> {
            let shows = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
            let mut fired = Vec::new();
            // Half a day before, so that an hour that began to be repeated before `from` is known to have passed.
            let mut at = from - TimeDelta::hours(12);
            let mut passed = shows(at);
            while at < to {
                at += step;
                let mut fires = false;
                while passed < shows(at) {
                    passed += step;
                    fires |= names(passed);
                }
                if fires && at > from {
                    fired.push(at);
                }
            }
            fired
        }

        fn forward(cadence: &Cadence, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
            let next = |after: &DateTime<Utc>| cadence.next_after(*after).filter(|next| *next <= to);
            std::iter::successors(next(&from), next).collect()
        }

        fn backward(cadence: &Cadence, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
            let last = |until: DateTime<Utc>| cadence.last_until(until).filter(|last| *last > from);
            let mut fired: Vec<_> =
                std::iter::successors(last(to), |later| last(*later - TimeDelta::seconds(1))).collect();
            fired.reverse();
            fired
        }

        /// Around the hours at which each zone's clocks are turned in 2026 and 2027, and any other time.
        fn moment(zone: Tz) -> impl Strategy<Value = DateTime<Utc>> {
            let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
            let offset = move |hour: i64| {
                let at = start + TimeDelta::hours(hour);
                zone.offset_from_utc_datetime(&at.naive_utc()).fix()
            };
            let mut turns: Vec<i64> = (0..2 * 365 * 24).filter(|hour| offset(*hour) != offset(hour + 1)).collect();
            turns.push(5_000);
            (proptest::sample::select(turns), -7_200_i64..7_200)
                .prop_map(move |(hour, seconds)| start + TimeDelta::hours(hour) + TimeDelta::seconds(seconds))
        }

        fn field(values: std::ops::Range<u32>, most: usize) -> impl Strategy<Value = Field> {
            prop_oneof![Just(None), btree_set(values, 1..most).prop_map(Some)]
        }

        fn expression() -> impl Strategy<Value = Expression> {
            let [second, minute] = [(); 2].map(|()| field(0..60, 4));
            // The hours at which clocks are turned, more often than others.
            let hour = prop_oneof![field(0..24, 4), field(0..4, 4)];
            (second, minute, hour, field(1..29, 12), field(1..13, 12), field(0..7, 5)).prop_map(
                |(second, minute, hour, day, month, weekday)| Expression { second, minute, hour, day, month, weekday },
            )
        }

        fn case() -> impl Strategy<Value = (Expression, Tz, DateTime<Utc>)> {
            let zone = proptest::sample::select(ZONES.to_vec());
            zone.prop_flat_map(|zone| (expression(), Just(zone), moment(zone)))
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(192))]

            #[test]
            fn minutes_fire_as_the_clock_on_the_wall_first_passes_them((expression, zone, about) in case()) {
                let cadence = Cadence::parse(&expression.text(false), zone).unwrap();
                let minute = TimeDelta::minutes(1);
                let about = Utc.timestamp_opt(about.timestamp() / 60 * 60, 0).unwrap();
                let (from, to) = (about - TimeDelta::hours(30), about + TimeDelta::hours(30));
                let expected = fires(|wall| expression.names(wall, false), zone, from, to, minute);
                prop_assert_eq!(&forward(&cadence, from, to), &expected);
                prop_assert_eq!(&backward(&cadence, from, to), &expected);
                let split = expected.partition_point(|at| *at <= about);
                prop_assert_eq!(cadence.next_after(about).filter(|next| *next <= to), expected.get(split).copied());
                let last = cadence.last_until(about).filter(|last| *last > from);
                prop_assert_eq!(last, expected[..split].last().copied());
            }

            #[test]
            fn seconds_fire_as_the_clock_on_the_wall_first_passes_them((expression, zone, about) in case()) {
                let cadence = Cadence::parse(&expression.text(true), zone).unwrap();
                let (from, to) = (about - TimeDelta::minutes(10), about + TimeDelta::minutes(10));
                let expected = fires(|wall| expression.names(wall, true), zone, from, to, TimeDelta::seconds(1));
                prop_assert_eq!(&forward(&cadence, from, to), &expected);
                prop_assert_eq!(&backward(&cadence, from, to), &expected);
            }
        }

        #[test]
        fn a_year_of_each_zone_fires_as_the_clock_on_the_wall_first_passes_it() {
            let (from, to) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2027-01-01T00:00:00Z".parse().unwrap());
            for zone in [Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe] {
                for (text, minutes, hours) in [
                    ("30 2 * * *", vec![30], vec![2]),
                    ("*/20 1-3 * * *", vec![0, 20, 40], vec![1, 2, 3]),
                    ("45 1,14 * * *", vec![45], vec![1, 14]),
                ] {
                    let names = |wall: NaiveDateTime| minutes.contains(&wall.minute()) && hours.contains(&wall.hour());
                    let expected = fires(names, zone, from, to, TimeDelta::minutes(1));
                    let cadence = Cadence::parse(text, zone).unwrap();
                    assert_eq!(forward(&cadence, from, to), expected, "{text} {zone}");
                    // One for each of the year's wall times, but those of a gap, which share their instant.
                    let whole = 365 * minutes.len() * hours.len();
                    assert!((whole - 3..=whole).contains(&expected.len()), "{text} {zone}: {}", expected.len());
                }
            }
        }
    }
}
