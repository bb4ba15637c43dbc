//! The schedules of this environment: as the alarm clock has them, and as `wxpatrol schedule` shows them.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{App, AppError};
use crate::{
    config::{Cadence, schedule_names},
    ops::print::{Column, Kind, Table},
    schedule::Schedule,
};

/// Instants to come that are shown.
const NEXT: usize = 5;

const COLUMNS: [(&str, Kind); 15] = [
    ("platform", Kind::Text),
    ("schedule", Kind::Text),
    ("expression", Kind::Text),
    ("zone", Kind::Text),
    ("missed", Kind::Text),
    ("overlap", Kind::Text),
    ("last_tick", Kind::Text),
    ("became", Kind::Text),
    ("reason", Kind::Text),
    ("lag_secs", Kind::Number),
    ("waiting", Kind::Number),
    ("paused", Kind::Text),
    ("paused_since", Kind::Text),
    ("paused_until", Kind::Text),
    ("pause_note", Kind::Text),
];
const NEXT_COLUMNS: [(&str, Kind); 5] = [
    ("platform", Kind::Text),
    ("schedule", Kind::Text),
    ("number", Kind::Number),
    ("in_its_zone", Kind::Text),
    ("utc", Kind::Text),
];

impl App {
    /// The schedules that are on.
    #[must_use]
    pub fn schedules(&self) -> Vec<Schedule> {
        let schedule = |name: &str| {
            let cadence = self.cadence(name)?.clone();
            let policy = self.config.schedule_policies.get(name).copied().unwrap_or_default();
            Some(Schedule { name: name.to_owned(), cadence, policy })
        };
        schedule_names().filter_map(schedule).collect()
    }

    /// When a schedule fires; `None`: it is off.
    fn cadence(&self, name: &str) -> Option<&Cadence> {
        match name.parse() {
            Ok(check) => self.config.check_schedules.get(&check)?.as_ref(),
            Err(_) => self.config.sync_schedule.as_ref().filter(|_| self.can_sync()),
        }
    }

    /// The schedules of each platform, or of the named one, as they stand, and their next instants.
    pub(super) async fn schedule_tables(&self) -> Result<Vec<(&'static str, Table)>, AppError> {
        let named = self.named_platform().await?;
        let members = self.known_platforms().await?;
        let now = self.store.read_clock().await?;
        let names: Vec<&str> = schedule_names().collect();
        let (mut rows, mut next_rows) = (Vec::new(), Vec::new());
        for facts in self.store.schedule_facts(&names).await? {
            let member = members.iter().find(|member| Some(member.appid()) == facts.platform.as_deref());
            if named.is_some() && facts.platform != named {
                continue;
            }
            let on = member.is_none_or(|member| member.row.enabled && member.on(&facts.schedule));
            let cadence = self.cadence(&facts.schedule).filter(|_| on);
            let policy = self.config.schedule_policies.get(&facts.schedule).copied().unwrap_or_default();
            if let Some(cadence) = cadence {
                let next = std::iter::successors(cadence.next_after(now), |next| cadence.next_after(*next));
                next_rows.extend(next.take(NEXT).enumerate().map(|(index, next)| {
                    let local = next.with_timezone(&cadence.zone());
                    vec![
                        facts.platform.clone(),
                        Some(facts.schedule.clone()),
                        Some((index + 1).to_string()),
                        Some(local.format("%Y-%m-%d %H:%M:%S %:z").to_string()),
                        Some(instant(next)),
                    ]
                }));
            }
            rows.push(vec![
                facts.platform,
                Some(facts.schedule),
                Some(cadence.map_or("off", Cadence::expression).to_owned()),
                cadence.map(|cadence| cadence.zone().to_string()),
                Some(policy.missed.to_string()),
                Some(policy.overlap.to_string()),
                facts.fire_at.map(instant),
                facts.state,
                facts.reason,
                facts.lag_secs.map(|secs| format!("{secs:.1}")),
                Some(facts.waiting.to_string()),
                facts.paused.clone(),
                facts.paused_since.map(instant),
                facts.paused_until.map(instant),
                facts.paused.and(facts.pause_note),
            ]);
        }
        Ok(vec![
            ("schedules", table("Schedules: the newest tick of each, and what is paused", &COLUMNS, rows)),
            ("next", table("The next instants of each schedule", &NEXT_COLUMNS, next_rows)),
        ])
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn table(title: &str, columns: &[(&str, Kind)], rows: Vec<Vec<Option<String>>>) -> Table {
    let columns = columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect();
    Table { title: Some(title.to_owned()), columns, rows }
}
