//! Whether a person may be messaged now: one pure decision over what the database says.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, NaiveTime, TimeDelta, Utc};

use super::platform_time;

/// What limits the messages of one purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagePolicy {
    /// A subject is not messaged again before this is over.
    pub cooldown: Duration,
    /// Messages to one subject before an operator must say more; `None`: no maximum.
    pub messages_max: Option<u32>,
    /// Messages a platform and day of platform time; `None`: no cap.
    pub per_day: Option<u32>,
    /// No messages from the first to the second, in platform time.
    pub quiet_hours: Option<(NaiveTime, NaiveTime)>,
}

/// What the database knows about a subject that may be messaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFacts {
    /// The wish or the reading that asks for the message still stands.
    pub wanted: bool,
    /// The merchant took its authorization back.
    pub withdrawn: bool,
    /// A hold covers the merchant, the check or the endpoint.
    pub held: bool,
    /// When the newest message was sent, or may have been.
    pub last_at: Option<DateTime<Utc>>,
    /// Messages that count towards the maximum.
    pub counted: u32,
    /// Messages that operators granted above the maximum.
    pub granted: u32,
    /// Messages taken from today's cap.
    pub used_today: u32,
}

/// The answer to "may this subject be messaged now?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Yes.
    Granted,
    /// Not now: again at the given time.
    Later {
        /// Why, in one word of the coverage.
        reason: &'static str,
        /// When it may be tried again.
        until: DateTime<Utc>,
    },
    /// Not until something changes; no time helps.
    No {
        /// Why, in one word of the coverage.
        reason: &'static str,
    },
}

impl MessagePolicy {
    /// Decides. Reasons that only a person or a change can lift come first, then the longest waits.
    #[must_use]
    pub fn decide(&self, facts: &MessageFacts, now: DateTime<Utc>) -> Permission {
        if facts.withdrawn {
            return Permission::No { reason: "withdrawn" };
        }
        if !facts.wanted {
            return Permission::No { reason: "not_wanted" };
        }
        if facts.held {
            return Permission::No { reason: "held" };
        }
        if self.messages_max.is_some_and(|max| facts.counted >= max.saturating_add(facts.granted)) {
            return Permission::No { reason: "maximum_reached" };
        }
        if let Some(last) = facts.last_at {
            let over = last + TimeDelta::from_std(self.cooldown).unwrap_or(TimeDelta::MAX);
            if now < over {
                return Permission::Later { reason: "cooldown", until: over };
            }
        }
        if let Some(until) = self.quiet_until(now) {
            return Permission::Later { reason: "quiet_hours", until };
        }
        if self.per_day.is_some_and(|cap| facts.used_today >= cap) {
            return Permission::Later { reason: "day_cap", until: platform_time::next_midnight(now) };
        }
        Permission::Granted
    }

    /// The end of the quiet hours that `now` falls into.
    #[must_use]
    pub fn quiet_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (from, to) = self.quiet_hours?;
        let local: DateTime<FixedOffset> = now.with_timezone(&platform_time::zone());
        let time = local.time();
        let wraps = from > to;
        let quiet = if wraps { time >= from || time < to } else { time >= from && time < to };
        if !quiet {
            return None;
        }
        let day = if wraps && time >= from { local.date_naive() + TimeDelta::days(1) } else { local.date_naive() };
        Some(platform_time::instant(day.and_time(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> MessagePolicy {
        MessagePolicy {
            cooldown: Duration::from_secs(7 * 86_400),
            messages_max: Some(3),
            per_day: Some(500),
            quiet_hours: NaiveTime::from_hms_opt(21, 0, 0).zip(NaiveTime::from_hms_opt(9, 0, 0)),
        }
    }

    fn shanghai(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(&format!("{text}+08:00")).expect("the test names a time").to_utc()
    }

    fn wanted() -> MessageFacts {
        MessageFacts { wanted: true, ..MessageFacts::default() }
    }

    #[test]
    fn quiet_hours_end_at_nine_on_both_sides_of_midnight() {
        let nine = Permission::Later { reason: "quiet_hours", until: shanghai("2026-11-22T09:00:00") };
        assert_eq!(policy().decide(&wanted(), shanghai("2026-11-21T20:59:59")), Permission::Granted);
        assert_eq!(policy().decide(&wanted(), shanghai("2026-11-21T21:00:00")), nine);
        assert_eq!(policy().decide(&wanted(), shanghai("2026-11-22T08:59:59")), nine);
        assert_eq!(policy().decide(&wanted(), shanghai("2026-11-22T09:00:00")), Permission::Granted);
    }

    #[test]
    fn the_cool_down_holds_to_its_last_second() {
        let facts = MessageFacts { last_at: Some(shanghai("2026-11-14T12:00:00")), counted: 1, ..wanted() };
        let over = shanghai("2026-11-21T12:00:00");
        let early = over - TimeDelta::seconds(1);
        assert_eq!(policy().decide(&facts, early), Permission::Later { reason: "cooldown", until: over });
        assert_eq!(policy().decide(&facts, over), Permission::Granted);
    }

    #[test]
    fn the_third_message_is_the_last_unless_one_more_is_granted() {
        let noon = shanghai("2026-11-21T12:00:00");
        let facts = |counted, granted| MessageFacts { counted, granted, ..wanted() };
        assert_eq!(policy().decide(&facts(2, 0), noon), Permission::Granted);
        assert_eq!(policy().decide(&facts(3, 0), noon), Permission::No { reason: "maximum_reached" });
        assert_eq!(policy().decide(&facts(3, 1), noon), Permission::Granted);
        assert_eq!(policy().decide(&facts(4, 1), noon), Permission::No { reason: "maximum_reached" });
    }

    #[test]
    fn the_last_message_of_the_cap_is_granted_and_the_next_waits_for_midnight() {
        let noon = shanghai("2026-11-21T12:00:00");
        let facts = |used_today| MessageFacts { used_today, ..wanted() };
        assert_eq!(policy().decide(&facts(499), noon), Permission::Granted);
        let midnight = shanghai("2026-11-22T00:00:00");
        assert_eq!(policy().decide(&facts(500), noon), Permission::Later { reason: "day_cap", until: midnight });
    }

    #[test]
    fn a_withdrawn_merchant_is_not_messaged_whatever_else_holds() {
        let facts = MessageFacts { withdrawn: true, ..wanted() };
        assert_eq!(policy().decide(&facts, shanghai("2026-11-21T12:00:00")), Permission::No { reason: "withdrawn" });
    }
}
