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
    own(store, "runs", platform, ViewWish { equal: None, rows_max: Some(i64::from(runs_max)) }).await
}

/// The coverage of one run, a row for each check. Empty: it is open still, or there is no such run.
///
/// # Errors
/// Postgres did not answer.
pub async fn coverage_of(store: &Store, run: uuid::Uuid) -> Result<Table, StoreError> {
    let run = run.to_string();
    own(store, "coverage", None, ViewWish { equal: Some(("run_id", &run)), rows_max: None }).await
}

/// One merchant: who it is, what wants attention, its asks, its links.
///
/// # Errors
/// Postgres did not answer.
pub async fn merchant(store: &Store, appid: &str) -> Result<Vec<Table>, StoreError> {
    let mut tables = Vec::new();
    for (view, column) in [
        ("merchants", "appid"),
        ("attention", "subject"),
        ("missing_phone", "appid"),
        ("asks", "appid"),
        ("callback_current", "appid"),
        ("callback_changes", "appid"),
        ("links", "official_account"),
        ("links", "mini_program"),
        ("failures", "appid"),
    ] {
        let table = own(store, view, None, ViewWish { equal: Some((column, appid)), rows_max: Some(50) }).await?;
        if view == "merchants" || !table.rows.is_empty() {
            tables.push(table);
        }
    }
    Ok(tables)
}

/// The platforms.
///
/// # Errors
/// Postgres did not answer.
pub async fn platforms(store: &Store) -> Result<Table, StoreError> {
    own(store, "platforms", None, ViewWish::default()).await
}
