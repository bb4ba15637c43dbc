//! `merchant` and `forget`: what is known of one merchant, and the end of its names.

use super::{App, AppError, Exit};
use crate::ops::{
    print::{Column, Format, Kind, Table},
    report,
};

/// Rows of each view that a person is shown of one merchant.
const ROWS_MAX: usize = 100;

impl App {
    /// Shows everything that is known of one merchant.
    pub(super) async fn merchant(&self, appid: &str) -> Result<Exit, AppError> {
        let platform = self.named_platform().await?;
        let rows_max = (self.format == Format::Table).then_some(ROWS_MAX);
        let Some(mut tables) = report::merchant(&self.store, platform.as_deref(), appid, rows_max).await? else {
            return Err(stranger(appid));
        };
        if self.format == Format::Table {
            // A person is told what there is; a program finds every field.
            tables.retain(|(_, table)| !table.rows.is_empty());
            for (name, table) in &mut tables {
                match *name {
                    "merchants" => upright(table, &[]),
                    "items" => upright(table, &["platform", "nickname", "run_id", "leased", "held", "attempts"]),
                    _ => {}
                }
            }
        }
        self.print_all(&tables)?;
        Ok(Exit::Done)
    }

    /// Erases the names of a merchant that withdrew.
    pub(super) async fn forget(&self, appid: &str) -> Result<Exit, AppError> {
        let appids = [appid.to_owned()];
        let platform = self.platform_of(&appids).await?;
        if let Some(intents) = self.store.forget_merchant(platform, appid).await? {
            tell!("forget: the names of {appid} are erased; its appid, its history and {intents} intents stay");
            self.did([("appid", appid.into()), ("names_erased", true.into()), ("intents_kept", intents.into())])?;
            return Ok(Exit::Done);
        }
        if self.store.known_merchants(platform, &appids).await?.contains_key(appid) {
            return Err(AppError::Input(format!(
                "forget: nothing was erased, because {appid} still is authorized: that is for merchants that withdrew"
            )));
        }
        Err(stranger(appid))
    }
}

fn stranger(appid: &str) -> AppError {
    AppError::Input(format!(
        "{appid} is no known merchant: run `wxpatrol sync`, or import it, and check the appid (and --platform, if it was \
         given)"
    ))
}

/// A table of many columns and few rows, turned: a line for each value that is there, for people. Of the columns in `quiet`
/// they are told no more than that something is leased, held or tried; a program finds all of them.
fn upright(table: &mut Table, quiet: &[&str]) {
    let says = |column: &Column, cell: &str| match column.name.as_str() {
        name if !quiet.contains(&name) => !cell.is_empty(),
        "leased" | "held" | "attempts" => cell != "false" && cell != "0",
        _ => false,
    };
    let mut rows = Vec::new();
    for (number, row) in table.rows.iter().enumerate() {
        if number > 0 {
            rows.push(vec![None, None]);
        }
        let cells = table.columns.iter().zip(row);
        let filled = cells.filter(|(column, cell)| cell.as_ref().is_some_and(|cell| says(column, cell)));
        rows.extend(filled.map(|(column, cell)| vec![Some(column.name.clone()), cell.clone()]));
    }
    table.columns = vec![Column::new("what", Kind::Text), Column::new("value", Kind::Text)];
    table.rows = rows;
}
