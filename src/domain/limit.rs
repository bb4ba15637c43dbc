//! Limits: how many calls in how much time. A limit is a rate, a count for each day, or both, and both must admit.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

const DAY: Duration = Duration::from_secs(86_400);
/// More calls a second than this are no limit that anybody means.
const PER_SECOND_MAX: u32 = 1_000_000;

/// The unit a rate counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A rate a second.
    Second,
    /// A rate a minute.
    Minute,
}

impl Per {
    const fn time(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
        }
    }
}

/// An even pace, with some calls above it that may arrive at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    count: NonZeroU32,
    per: Per,
    burst: NonZeroU32,
}

impl Rate {
    /// With the default burst: a fortieth of the count, at least 1.
    fn new(count: NonZeroU32, per: Per) -> Self {
        Self { count, per, burst: NonZeroU32::new(count.get() / 40).unwrap_or(NonZeroU32::MIN) }
    }

    fn interval(self) -> Duration {
        self.per.time() / self.count.get()
    }
}

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    rate: Option<Rate>,
    per_day: Option<NonZeroU32>,
    shadow: bool,
}

/// What is wrong with the text of a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a limit is a count above zero and a unit, such as 200/s, 300/min, 10000/day, \"200/s burst 20\" or \
     \"200/s, 10000/day\", and the word shadow after it when it shall only be counted"
)]
pub struct LimitSyntax;

impl Limit {
    /// An enforced rate with the default burst: a fortieth of the count, at least 1.
    #[must_use]
    pub fn new(count: NonZeroU32, per: Per) -> Self {
        Self { rate: Some(Rate::new(count, per)), per_day: None, shadow: false }
    }

    /// Calls a second, when that is all the limit says; `None` for any other.
    #[must_use]
    pub fn plain_per_second(&self) -> Option<u32> {
        let rate = self.rate.filter(|rate| rate.per == Per::Second && *rate == Rate::new(rate.count, rate.per))?;
        (self.per_day.is_none() && !self.shadow).then_some(rate.count.get())
    }

    /// Calls above an even pace that may arrive at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.rate.map_or(1, |rate| rate.burst.get())
    }

    /// The time from one call to the next at an even pace; `None`: the limit is a count a day alone, which is used as
    /// fast as calls come.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.rate.map(Rate::interval)
    }

    /// Calls allowed in one calendar day of platform time; `None`: days are not counted.
    #[must_use]
    pub fn per_day(&self) -> Option<u32> {
        self.per_day.map(NonZeroU32::get)
    }

    /// For how long unused slots are kept: the burst beyond the default one, which is room for the network's bunching
    /// and is never handed out.
    #[must_use]
    pub fn kept(&self) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let room = Rate::new(rate.count, rate.per).burst.get();
        rate.interval() * rate.burst.get().saturating_sub(room)
    }

    /// The time from one call to the next that keeps the whole limit without counting: a count a day is spread evenly.
    #[must_use]
    pub fn spacing(&self) -> Duration {
        let day = self.per_day.map_or(Duration::ZERO, |count| DAY / count.get());
        self.interval().unwrap_or_default().max(day)
    }

    /// Whether it is only counted what the limit would hold back, and nothing is held back.
    #[must_use]
    pub fn shadow(&self) -> bool {
        self.shadow
    }
}

impl FromStr for Limit {
    type Err = LimitSyntax;

    fn from_str(text: &str) -> Result<Self, LimitSyntax> {
        let text = text.trim();
        let (parts, shadow) = match text.strip_suffix("shadow") {
            Some(parts) if parts.ends_with(char::is_whitespace) => (parts, true),
            _ => (text, false),
        };
        let mut limit = Self { rate: None, per_day: None, shadow };
        for part in parts.split(',') {
            let mut words = part.split_whitespace();
            let (count, unit) = words.next().and_then(|rate| rate.split_once('/')).ok_or(LimitSyntax)?;
            let count: NonZeroU32 = count.parse().map_err(|_| LimitSyntax)?;
            let per = match unit {
                "s" | "sec" | "second" => Some(Per::Second),
                "min" | "minute" => Some(Per::Minute),
                "day" | "d" => None,
                _ => return Err(LimitSyntax),
            };
            let burst: Option<NonZeroU32> = match (words.next(), words.next(), words.next()) {
                (None, _, _) => None,
                (Some("burst"), Some(burst), None) => Some(burst.parse().map_err(|_| LimitSyntax)?),
                _ => return Err(LimitSyntax),
            };
            match per {
                Some(per) if limit.rate.is_none() => {
                    let mut rate = Rate::new(count, per);
                    rate.burst = burst.unwrap_or(rate.burst);
                    if rate.interval() < Duration::from_secs(1) / PER_SECOND_MAX {
                        return Err(LimitSyntax);
                    }
                    limit.rate = Some(rate);
                }
                None if limit.per_day.is_none() && burst.is_none() => limit.per_day = Some(count),
                _ => return Err(LimitSyntax),
            }
        }
        Ok(limit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rate) = self.rate {
            let unit = match rate.per {
                Per::Second => "s",
                Per::Minute => "min",
            };
            write!(f, "{}/{unit}", rate.count)?;
            if rate != Rate::new(rate.count, rate.per) {
                write!(f, " burst {}", rate.burst)?;
            }
        }
        if let Some(count) = self.per_day {
            let comma = if self.rate.is_some() { ", " } else { "" };
            write!(f, "{comma}{count}/day")?;
        }
        if self.shadow { f.write_str(" shadow") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_printed_as_it_is_written() {
        for text in [
            "200/s",
            "300/min",
            "10000/day",
            "200/s burst 20",
            "1/min",
            "200/s, 10000/day",
            "5/s burst 9, 70/day shadow",
        ] {
            assert_eq!(text.parse::<Limit>().map(|limit| limit.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn zero_and_nonsense_are_no_limits() {
        for text in [
            "",
            "0/s",
            "-1/s",
            "5",
            "5/h",
            "5/s burst",
            "5/s burst 0",
            "5/s burst 2 more",
            "/s",
            "5 /s",
            "5/s, 6/s",
            "5/s, 300/min",
            "9/day, 9/day",
            "9/day burst 2",
            "0/day",
            "5/s,",
            ", 9/day",
            "shadow",
            "5/sshadow",
            "5/s shadow shadow",
            "shadow 5/s",
            "5/s shadow, 9/day",
            "2000000/s",
            "4294967296/s",
            "unlimited shadow",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_burst_is_a_fortieth_and_at_least_one_and_is_not_handed_out() {
        assert_eq!("200/s".parse::<Limit>().map(|limit| (limit.burst(), limit.kept())), Ok((5, Duration::ZERO)));
        assert_eq!("5/s".parse::<Limit>().map(|limit| limit.burst()), Ok(1));
        assert_eq!("200/s burst 25".parse::<Limit>().map(|limit| limit.kept()), Ok(Duration::from_millis(100)));
    }

    #[test]
    fn a_merchant_s_count_a_day_is_spread_over_the_day() {
        assert_eq!("24/day".parse::<Limit>().map(|limit| limit.spacing()), Ok(Duration::from_secs(3600)));
        assert_eq!("1/min, 24000/day".parse::<Limit>().map(|limit| limit.spacing()), Ok(Duration::from_secs(60)));
    }
}
