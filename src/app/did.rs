//! What a command did, for a program that asks: one row of counts. A person is told in a sentence.

use super::{App, AppError};
use crate::ops::print::{Column, Format, Kind, Table};

/// One thing that a command did.
pub(super) struct Fact {
    kind: Kind,
    text: String,
}

impl From<u64> for Fact {
    fn from(count: u64) -> Self {
        Self { kind: Kind::Number, text: count.to_string() }
    }
}

impl From<usize> for Fact {
    fn from(count: usize) -> Self {
        Self::from(count as u64)
    }
}

impl From<i64> for Fact {
    fn from(count: i64) -> Self {
        Self { kind: Kind::Number, text: count.to_string() }
    }
}

impl From<bool> for Fact {
    fn from(whether: bool) -> Self {
        Self { kind: Kind::Boolean, text: whether.to_string() }
    }
}

impl From<&str> for Fact {
    fn from(word: &str) -> Self {
        Self { kind: Kind::Text, text: word.to_owned() }
    }
}

impl App {
    /// Prints what a command did, when a program asked for it.
    pub(super) fn did<const N: usize>(&self, facts: [(&str, Fact); N]) -> Result<(), AppError> {
        let (columns, cells) =
            facts.into_iter().map(|(name, fact)| (Column::new(name, fact.kind), Some(fact.text))).unzip();
        self.print_to_programs(&Table { title: None, columns, rows: vec![cells] })
    }

    /// Prints a table that a person needs not, who was told.
    pub(super) fn print_to_programs(&self, table: &Table) -> Result<(), AppError> {
        if self.format == Format::Table { Ok(()) } else { self.print(table) }
    }
}
