//! Reports: a view is a report, and its comment the title.

use super::print::{Column, Kind, Table};
use crate::store::{
    Store, StoreError,
    views::{CellKind, ViewRows, ViewWish},
};

/// A view's rows as they are printed.
pub(super) fn table(view: ViewRows) -> Table {
    let kind = |kind| match kind {
        CellKind::Text => Kind::Text,
        CellKind::Number => Kind::Number,
        CellKind::Boolean => Kind::Boolean,
        CellKind::Json => Kind::Json,
    };
    Table {
        title: Some(view.title),
        columns: view.columns.into_iter().map(|column| Column::new(column.name, kind(column.kind))).collect(),
        rows: view.rows,
    }
}

/// A view that this binary's own schema has.
pub(super) async fn own(
    store: &Store,
    name: &str,
    platform: Option<&str>,
    wish: ViewWish<'_>,
) -> Result<Table, StoreError> {
    let view = store.read_view_of(name, platform, wish).await?;
    view.map(table)
        .ok_or_else(|| StoreError::Inconsistent(format!("the view wxpatrol.{name} is missing: run wxpatrol migrate")))
}

/// The list of reports.
///
/// # Errors
/// Postgres did not answer.
pub async fn list(store: &Store) -> Result<Table, StoreError> {
    let views = store.views().await?;
    Ok(Table {
        title: Some("Reports; show one with wxpatrol report NAME".to_owned()),
        columns: vec![Column::new("report", Kind::Text), Column::new("shows", Kind::Text)],
        rows: views.into_iter().map(|view| vec![Some(view.name), Some(view.title)]).collect(),
    })
}

/// One report, of one platform or of all; `None`: there is none of that name.
///
/// # Errors
/// Postgres did not answer.
pub async fn report(store: &Store, platform: Option<&str>, name: &str) -> Result<Option<Table>, StoreError> {
    Ok(store.read_view_of(name, platform, ViewWish::default()).await?.map(table))
}

/// The newest `runs_max` runs, of one platform or of all.
///
/// # Errors
/// Postgres did not answer.
pub async fn runs(store: &Store, platform: Option<&str>, runs_max: u32) -> Result<Table, StoreError> {
    own(store, "runs", platform, ViewWish { rows_max: Some(i64::from(runs_max)), ..ViewWish::default() }).await
}

/// The coverage of one run, a row for each check. Empty: it is open still, or there is no such run.
///
/// # Errors
/// Postgres did not answer.
pub async fn coverage_of(store: &Store, run: uuid::Uuid) -> Result<Table, StoreError> {
    let run = run.to_string();
    own(store, "coverage", None, ViewWish { equal: Some(("run_id", &run)), ..ViewWish::default() }).await
}

/// The views that tell of a merchant, and the columns that name it there.
const OF_A_MERCHANT: [(&str, &[&str]); 11] = [
    ("merchants", &["appid"]),
    ("attention", &["subject", "counterpart"]),
    ("items", &["appid", "counterpart"]),
    ("missing_phone", &["appid"]),
    ("callback_current", &["appid"]),
    ("callback_changes", &["appid"]),
    ("links", &["official_account", "mini_program"]),
    ("intents", &["appid", "counterpart"]),
    ("holds", &["appid"]),
    ("hold_events", &["appid"]),
    ("failures", &["appid", "counterpart"]),
];

/// Everything that is known of one merchant: who it is, what wants attention, its items with what the runbook says, its phone,
/// its configuration and what changed in it, its links, messages, holds (those of everybody among them) and failed calls. Of each
/// at most `rows_max` for each column that names it, and then the title says so. Of one platform or of every one that knows it;
/// `None`: none does.
///
/// # Errors
/// Postgres did not answer.
pub async fn merchant(
    store: &Store,
    platform: Option<&str>,
    appid: &str,
    rows_max: Option<usize>,
) -> Result<Option<Vec<(&'static str, Table)>>, StoreError> {
    // One more tells that there are more.
    let asked = rows_max.map(|rows_max| i64::try_from(rows_max).unwrap_or(i64::MAX).saturating_add(1));
    let mut tables = Vec::new();
    for (view, columns) in OF_A_MERCHANT {
        let mut whole: Option<Table> = None;
        let mut wishes: Vec<ViewWish<'_>> = columns
            .iter()
            .map(|column| ViewWish { equal: Some((column, appid)), rows_max: asked, ..ViewWish::default() })
            .collect();
        if view == "holds" {
            // What holds everybody holds this one too.
            wishes.push(ViewWish { null: Some("appid"), rows_max: asked, ..ViewWish::default() });
        }
        for wish in wishes {
            let mut part = own(store, view, platform, wish).await?;
            let cut = rows_max.is_some_and(|rows_max| part.rows.len() > rows_max);
            if let (true, Some(rows_max)) = (cut, rows_max) {
                part.rows.truncate(rows_max);
                let shown = format!(" (the first {rows_max}; --json and --csv show all)");
                let title = whole.as_mut().map_or(&mut part.title, |whole| &mut whole.title);
                *title = title.take().map(|title| if title.ends_with(&shown) { title } else { title + &shown });
            }
            match &mut whole {
                None => whole = Some(part),
                Some(whole) => whole.rows.extend(part.rows),
            }
        }
        let Some(table) = whole else { continue };
        if view == "merchants" && table.rows.is_empty() {
            return Ok(None);
        }
        tables.push((view, table));
    }
    Ok(Some(tables))
}

/// Purpose and version of each live process.
///
/// # Errors
/// Postgres did not answer.
pub async fn live_processes(store: &Store) -> Result<Vec<(String, String)>, StoreError> {
    let alive = ViewWish { equal: Some(("alive", "true")), ..ViewWish::default() };
    let table = own(store, "processes", None, alive).await?;
    let place = |name| table.columns.iter().position(|column| column.name == name);
    let cell =
        |row: &[Option<String>], name| place(name).and_then(|at| row.get(at).cloned().flatten()).unwrap_or_default();
    Ok(table.rows.iter().map(|row| (cell(row, "purpose"), cell(row, "version"))).collect())
}

/// The platforms.
///
/// # Errors
/// Postgres did not answer.
pub async fn platforms(store: &Store) -> Result<Table, StoreError> {
    own(store, "platforms", None, ViewWish::default()).await
}
