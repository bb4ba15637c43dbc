//! Limits: how many calls in how much time.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// The unit a limit counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A rate a second.
    Second,
    /// A rate a minute.
    Minute,
    /// A count for each calendar day of platform time.
    Day,
}

/// So many calls in so much time, at most `burst` of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    count: NonZeroU32,
    per: Per,
    burst: NonZeroU32,
}

/// What is wrong with the text of a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a limit is a count above zero and a unit, such as 200/s, 300/min, 10000/day or \"200/s burst 20\"")]
pub struct LimitSyntax;

impl Limit {
    /// A limit with the default burst: a fortieth of the count, at least 1.
    #[must_use]
    pub fn new(count: NonZeroU32, per: Per) -> Self {
        let burst = NonZeroU32::new(count.get() / 40).unwrap_or(NonZeroU32::MIN);
        Self { count, per, burst }
    }

    /// So many a second, with the default burst.
    #[must_use]
    pub fn per_second(count: NonZeroU32) -> Self {
        Self::new(count, Per::Second)
    }

    /// Calls allowed in one unit of time.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.get()
    }

    /// The unit of time.
    #[must_use]
    pub fn per(&self) -> Per {
        self.per
    }

    /// Calls above an even pace that may arrive at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// The time from one call to the next at an even pace. For a day count it is none: a day count is used as fast as
    /// the rate limits beside it allow.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self.per {
            Per::Second => Some(Duration::from_secs(1) / self.count.get()),
            Per::Minute => Some(Duration::from_secs(60) / self.count.get()),
            Per::Day => None,
        }
    }
}

impl FromStr for Limit {
    type Err = LimitSyntax;

    fn from_str(text: &str) -> Result<Self, LimitSyntax> {
        let mut words = text.split_whitespace();
        let rate = words.next().ok_or(LimitSyntax)?;
        let (count, unit) = rate.split_once('/').ok_or(LimitSyntax)?;
        let count: NonZeroU32 = count.parse().map_err(|_| LimitSyntax)?;
        let per = match unit {
            "s" | "sec" | "second" => Per::Second,
            "min" | "minute" => Per::Minute,
            "day" | "d" => Per::Day,
            _ => return Err(LimitSyntax),
        };
        let mut limit = Self::new(count, per);
        match (words.next(), words.next(), words.next()) {
            (None, _, _) => {}
            (Some("burst"), Some(burst), None) => limit.burst = burst.parse().map_err(|_| LimitSyntax)?,
            _ => return Err(LimitSyntax),
        }
        Ok(limit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => "s",
            Per::Minute => "min",
            Per::Day => "day",
        };
        write!(f, "{}/{unit}", self.count)?;
        if *self == Self::new(self.count, self.per) { Ok(()) } else { write!(f, " burst {}", self.burst) }
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn a_limit_is_printed_as_it_is_written() {
        for text in ["200/s", "300/min", "10000/day", "200/s burst 20", "1/min"] {
            assert_eq!(text.parse::<Limit>().map(|limit| limit.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn zero_and_nonsense_are_no_limits() {
        for text in ["", "0/s", "-1/s", "5", "5/h", "5/s burst", "5/s burst 0", "5/s burst 2 more", "/s", "5 /s"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_burst_is_a_fortieth_and_at_least_one() {
        assert_eq!("200/s".parse::<Limit>().map(|limit| limit.burst()), Ok(5));
        assert_eq!("5/s".parse::<Limit>().map(|limit| limit.burst()), Ok(1));
    }
}
