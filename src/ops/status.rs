//! How things stand now: a table for each question that an operator asks first.

use super::{
    print::{Column, Kind, Table},
    report,
};
use crate::store::{Store, StoreError, views::ViewWish};
use chrono::{DateTime, SecondsFormat, Utc};

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An age as people say it, in its two largest units: `3d 4h`, `12m 5s`.
fn age(secs: f64) -> String {
    let secs = std::time::Duration::try_from_secs_f64(secs).unwrap_or_default().as_secs();
    let (days, hours, minutes, seconds) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

fn titled(title: &str, columns: &[(&str, Kind)], rows: Vec<Vec<Option<String>>>) -> Table {
    Table {
        title: Some(title.to_owned()),
        columns: columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect(),
        rows,
    }
}

/// The rows of one platform, which their first column names.
fn of(platform: Option<&str>, mut table: Table) -> Table {
    if let Some(appid) = platform {
        table.rows.retain(|row| row.first().is_some_and(|cell| cell.as_deref() == Some(appid)));
    }
    table
}

async fn platforms(store: &Store) -> Result<Table, StoreError> {
    let rows = store.platform_status().await?.into_iter().map(|row| {
        vec![
            Some(row.platform),
            row.ticket_age_secs.map(age),
            Some(if row.halted_at.is_some() { "open" } else { "closed" }.to_owned()),
            row.halted_at.map(instant),
            row.halt_reason,
            Some(row.attention.to_string()),
            Some(row.enabled.to_string()),
        ]
    });
    let columns = [
        ("platform", Kind::Text),
        ("ticket_age", Kind::Text),
        ("breaker", Kind::Text),
        ("halted_at", Kind::Text),
        ("halt_reason", Kind::Text),
        ("attention", Kind::Number),
        ("enabled", Kind::Boolean),
    ];
    Ok(titled(
        "Platforms: the age of the verify ticket, the breaker, and how much wants attention (counted up to 1000)",
        &columns,
        rows.collect(),
    ))
}

async fn merchants(store: &Store) -> Result<Table, StoreError> {
    let rows = store.kind_status().await?.into_iter().map(|row| {
        vec![Some(row.platform), Some(row.kind), Some(row.authorized.to_string()), Some(row.withdrawn.to_string())]
    });
    let columns =
        [("platform", Kind::Text), ("kind", Kind::Text), ("authorized", Kind::Number), ("withdrawn", Kind::Number)];
    Ok(titled("Merchants by kind", &columns, rows.collect()))
}

async fn checks(store: &Store) -> Result<Table, StoreError> {
    let rows = store.check_status().await?.into_iter().map(|row| {
        vec![
            Some(row.platform),
            Some(row.check_name),
            Some(row.items.to_string()),
            Some(row.due.to_string()),
            row.due_since.map(instant),
            Some(row.leased.to_string()),
            Some(row.held.to_string()),
        ]
    });
    let columns = [
        ("platform", Kind::Text),
        ("check_name", Kind::Text),
        ("items", Kind::Number),
        ("due", Kind::Number),
        ("due_since", Kind::Text),
        ("leased", Kind::Number),
        ("held", Kind::Number),
    ];
    Ok(titled("Items of each check (due, leased and held ones counted up to 10000)", &columns, rows.collect()))
}

async fn schedules(store: &Store) -> Result<Table, StoreError> {
    let rows = store.schedule_status().await?.into_iter().map(|row| {
        vec![
            Some(row.platform),
            Some(row.schedule),
            Some(instant(row.fire_at)),
            Some(age(row.age_secs)),
            Some(row.state),
            row.reason,
        ]
    });
    let columns = [
        ("platform", Kind::Text),
        ("schedule", Kind::Text),
        ("last_tick", Kind::Text),
        ("age", Kind::Text),
        ("state", Kind::Text),
        ("reason", Kind::Text),
    ];
    Ok(titled("The newest run of each platform's schedules", &columns, rows.collect()))
}

/// How things stand now: platforms, open runs, schedules, merchants, items, processes, and endpoints that are closed,
/// slowed or held; of one platform or of all. Each table has a name, for programs.
///
/// # Errors
/// Postgres did not answer.
pub async fn status(store: &Store, platform: Option<&str>) -> Result<Vec<(&'static str, Table)>, StoreError> {
    let open = ViewWish { equal: Some(("state", "open")), ..ViewWish::default() };
    let alive = ViewWish { equal: Some(("alive", "true")), ..ViewWish::default() };
    let mut runs = report::own(store, "runs", platform, open).await?;
    runs.title = Some("Open runs".to_owned());
    let mut processes = report::own(store, "processes", None, alive).await?;
    processes.title = Some("Live processes".to_owned());
    let mut limits = report::own(store, "limits", platform, ViewWish::default()).await?;
    limits.title = Some("Endpoints that are closed, slowed or held".to_owned());
    let place = |name| limits.columns.iter().position(|column| column.name == name);
    let (slow, held) = (place("slow_until"), place("held"));
    let cell = |row: &[Option<String>], place: Option<usize>| place.and_then(|place| row.get(place).cloned().flatten());
    limits.rows.retain(|row| cell(row, slow).is_some() || cell(row, held).as_deref() == Some("true"));
    Ok(vec![
        ("platforms", of(platform, platforms(store).await?)),
        ("open_runs", runs),
        ("schedules", of(platform, schedules(store).await?)),
        ("merchants", of(platform, merchants(store).await?)),
        ("checks", of(platform, checks(store).await?)),
        ("processes", processes),
        ("limits", limits),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_shows_its_two_largest_units() {
        let secs = [0.9, 59.0, 60.0, 3_599.0, 3_600.0, 86_399.0, 90_000.0, -3.0];
        assert_eq!(secs.map(age), ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 1h", "0s"]);
    }
}
