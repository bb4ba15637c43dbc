//! Reading views: any view of the schema `wxpatrol`, as text in the order of its columns.
//!
//! The one place where SQL is put together at run time, and only from names that the catalog has just given, quoted.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, FromRow};

use super::{Store, StoreError};

/// A view that people may read.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct View {
    /// Its name.
    pub name: String,
    /// What it shows, in one sentence.
    pub title: String,
}

/// What the text of a column's cells stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Words, names, instants (RFC 3339, UTC).
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// JSON.
    Json,
}

/// One column of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name.
    pub name: String,
    /// What its cells stand for.
    pub kind: CellKind,
    /// What it holds, its unit, and what null means.
    pub comment: String,
}

/// The rows of a view, in the view's own order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRows {
    /// What the view shows, in one sentence.
    pub title: String,
    /// Its columns.
    pub columns: Vec<ViewColumn>,
    /// One cell for each column; `None`: null.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Which rows of a view.
#[derive(Debug, Clone, Copy, Default)]
pub struct ViewWish<'a> {
    /// Only rows whose column has this value.
    pub equal: Option<(&'a str, &'a str)>,
    /// Only rows whose column says nothing.
    pub null: Option<&'a str>,
    /// Rows at most; `None`: all.
    pub rows_max: Option<i64>,
}

#[derive(FromRow)]
struct CatalogColumn {
    name: String,
    type_name: String,
    comment: String,
    title: String,
}

impl CatalogColumn {
    fn kind(&self) -> CellKind {
        match self.type_name.as_str() {
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => CellKind::Number,
            "boolean" => CellKind::Boolean,
            "json" | "jsonb" => CellKind::Json,
            _ => CellKind::Text,
        }
    }

    /// The column as text. Instants are cut to seconds: finer ones say nothing to people and vary with the clock.
    fn expression(&self) -> String {
        let name = quoted(&self.name);
        if self.type_name == "timestamp with time zone" {
            format!(r#"to_char({name} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#)
        } else {
            format!("{name}::text")
        }
    }
}

/// A name as Postgres reads it, whatever it holds.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Store {
    /// The views that people may read, by name.
    ///
    /// # Errors
    /// Postgres did not answer, or the schema is not there yet.
    pub async fn views(&self) -> Result<Vec<View>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/views_list.sql")).fetch_all(&self.pool).await?)
    }

    /// The rows of a view; `None`: there is no such view.
    ///
    /// # Errors
    /// Postgres did not answer, the view has no such column, or the wanted value is none of the column's type.
    pub async fn read_view(&self, view: &str, wish: ViewWish<'_>) -> Result<Option<ViewRows>, StoreError> {
        self.read_view_of(view, None, wish).await
    }

    /// The same of one platform, by its appid. A view that is not told apart by platforms is read whole.
    ///
    /// # Errors
    /// As [`Store::read_view`].
    pub async fn read_view_of(
        &self,
        view: &str,
        platform: Option<&str>,
        wish: ViewWish<'_>,
    ) -> Result<Option<ViewRows>, StoreError> {
        let catalog: Vec<CatalogColumn> =
            sqlx::query_as(include_str!("sql/view_columns.sql")).bind(view).fetch_all(&self.pool).await?;
        let Some(first) = catalog.first() else { return Ok(None) };
        let title = first.title.clone();
        let cells: Vec<String> = catalog.iter().map(CatalogColumn::expression).collect();
        let mut statement = format!("select array[{}]::text[] from wxpatrol.{}", cells.join(", "), quoted(view));
        let platform = platform.filter(|_| catalog.iter().any(|column| column.name == "platform"));
        let wanted: Vec<(&str, &str)> =
            wish.equal.into_iter().chain(platform.map(|appid| ("platform", appid))).collect();
        for (number, (name, _)) in (2..).zip(&wanted) {
            let Some(column) = catalog.iter().find(|column| column.name == *name) else {
                return Err(StoreError::Inconsistent(format!("the view {view} has no column {name}")));
            };
            let word = if number == 2 { "where" } else { "and" };
            write!(statement, " {word} {} = cast(${number}::text as {})", quoted(&column.name), column.type_name)
                .expect("writing to a string cannot fail");
        }
        if let Some(name) = wish.null {
            let Some(column) = catalog.iter().find(|column| column.name == name) else {
                return Err(StoreError::Inconsistent(format!("the view {view} has no column {name}")));
            };
            let word = if wanted.is_empty() { "where" } else { "and" };
            write!(statement, " {word} {} is null", quoted(&column.name)).expect("writing to a string cannot fail");
        }
        statement.push_str(" limit $1");
        let mut query = sqlx::query_scalar(AssertSqlSafe(statement)).bind(wish.rows_max);
        for (_, value) in &wanted {
            query = query.bind(*value);
        }
        let rows: Vec<Vec<Option<String>>> = query.fetch_all(&self.pool).await?;
        let columns = catalog
            .into_iter()
            .map(|column| ViewColumn { kind: column.kind(), name: column.name, comment: column.comment })
            .collect();
        Ok(Some(ViewRows { title, columns, rows }))
    }
}
