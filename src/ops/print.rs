//! Rows as a table for people, as JSON or as CSV.
//!
//! Whatever a cell holds, a table stays a table: control characters are escaped, a line is never wrapped, and a
//! spreadsheet that opens the CSV runs no formula. Only for people is anything cut, and the last line says so.

mod json;

use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table as Drawing, Width, presets};

use json::JsonRows;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for people.
    Table,
    /// One JSON array of objects.
    Json,
    /// CSV with a header line.
    Csv,
}

/// What the text of a column's cells stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words, names, instants.
    Text,
    /// A number: right-aligned, and a number in JSON where one can hold it exactly.
    Number,
    /// `true`, `t`, `false` or `f`.
    Boolean,
    /// JSON, which becomes part of the JSON output.
    Json,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unique in its table.
    pub name: String,
    /// What its cells stand for.
    pub kind: Kind,
}

impl Column {
    /// A column by its name and kind.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// Rows under a title. A cell of `None` is SQL's null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The line above the table; people only.
    pub title: Option<String>,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with one cell for each column.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Where a table for people is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A terminal so many cells wide.
    Terminal(u16),
    /// A file or a pipe: nothing is drawn around the columns and nothing is cut.
    Plain,
}

impl Screen {
    /// What stdout is right now.
    #[must_use]
    pub fn of_stdout() -> Self {
        match terminal_size::terminal_size_of(io::stdout()) {
            Some((width, _)) => Self::Terminal(width.0),
            None => Self::Plain,
        }
    }
}

impl Table {
    /// Writes the table. It ends with a line break in every format.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written to, such as a closed pipe.
    pub fn write(&self, format: Format, screen: Screen, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Table => self.write_table(screen, out),
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &JsonRows(self))?;
                writeln!(out)
            }
            Format::Csv => self.write_csv(out),
        }
    }

    fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(self.columns.iter().map(|column| column.name.as_str())).map_err(unwrapped)?;
        for row in &self.rows {
            let cells = self.columns.iter().zip(row).map(|(column, cell)| csv_cell(column.kind, cell.as_deref()));
            writer.write_record(cells).map_err(unwrapped)?;
        }
        writer.flush()
    }

    fn write_table(&self, screen: Screen, out: &mut impl Write) -> io::Result<()> {
        if let Some(title) = &self.title {
            writeln!(out, "{}", visible(title))?;
        }
        if self.rows.is_empty() {
            return writeln!(out, "(no rows)");
        }
        let mut drawing = self.drawing(screen);
        let mut cut = false;
        if let Screen::Terminal(width) = screen {
            match fit(&drawing.column_max_content_widths(), width) {
                Fit::Whole => {}
                Fit::Cut(widths) => {
                    cut = true;
                    drawing
                        .set_constraints(widths.iter().map(|w| ColumnConstraint::Absolute(Width::Fixed(w + PADDING))));
                }
                Fit::Never => return self.write_records(width, out),
            }
        }
        for line in drawing.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        let count = self.rows.len();
        let rows = if count == 1 { "row" } else { "rows" };
        let hint = if cut { "; cut to fit, --json and --csv show everything" } else { "" };
        writeln!(out, "({count} {rows}{hint})")
    }

    /// Every cell is one line: what does not fit is cut by the drawing, never wrapped.
    fn drawing(&self, screen: Screen) -> Drawing {
        let mut drawing = Drawing::new();
        drawing.load_style(match screen {
            Screen::Terminal(_) => presets::UTF8_FULL_CONDENSED,
            Screen::Plain => presets::NOTHING,
        });
        drawing.set_content_arrangement(ContentArrangement::Disabled);
        drawing.set_truncation_indicator("…");
        let one_line = |cells: Vec<String>| {
            let mut row = Row::from(cells);
            row.max_height(1);
            row
        };
        drawing.set_header(one_line(self.columns.iter().map(|column| visible(&column.name)).collect()));
        for row in &self.rows {
            drawing.add_row(one_line(row.iter().map(|cell| visible(cell.as_deref().unwrap_or_default())).collect()));
        }
        for (column, drawn) in self.columns.iter().zip(drawing.column_iter_mut()) {
            // A delimiter that no cell holds: text is cut at the last character that fits, not at a word before it.
            drawn.set_delimiter('\u{0}');
            if column.kind == Kind::Number {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        drawing
    }

    /// Rows below each other, for a terminal too narrow for columns beside each other.
    fn write_records(&self, width: u16, out: &mut impl Write) -> io::Result<()> {
        let name_chars = self.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
        for (index, row) in self.rows.iter().enumerate() {
            let rule = format!("── {} ", index + 1);
            writeln!(out, "{rule:─<width$}", width = usize::from(width).min(40))?;
            for (column, cell) in self.columns.iter().zip(row) {
                writeln!(
                    out,
                    "{:name_chars$}  {}",
                    visible(&column.name),
                    visible(cell.as_deref().unwrap_or_default())
                )?;
            }
        }
        Ok(())
    }
}

/// Cells left and right of a column's content.
const PADDING: u16 = 2;

/// A column is not cut below so many cells: less shows nothing of an appid or a name.
const COLUMN_MIN: u16 = 8;

enum Fit {
    Whole,
    /// The content width of each column.
    Cut(Vec<u16>),
    Never,
}

/// Takes from the widest columns until the whole fits.
fn fit(natural: &[u16], width: u16) -> Fit {
    let frame = natural.len() * usize::from(PADDING + 1) + 1;
    let sum = |widths: &[u16]| widths.iter().map(|width| usize::from(*width)).sum::<usize>();
    let Some(room) = usize::from(width).checked_sub(frame) else { return Fit::Never };
    if sum(natural) <= room {
        return Fit::Whole;
    }
    let least: Vec<u16> = natural.iter().map(|width| (*width).min(COLUMN_MIN)).collect();
    if sum(&least) > room {
        return Fit::Never;
    }
    // The largest common bound under which the columns fit; what rounding leaves over goes to the first cut ones.
    let bounded = |bound: u16| natural.iter().map(|width| (*width).min(bound)).collect::<Vec<u16>>();
    let mut bound = COLUMN_MIN;
    while sum(&bounded(bound + 1)) <= room {
        bound += 1;
    }
    let mut widths = bounded(bound);
    let mut left = room - sum(&widths);
    for (width, natural) in widths.iter_mut().zip(natural) {
        if left > 0 && *width < *natural {
            *width += 1;
            left -= 1;
        }
    }
    Fit::Cut(widths)
}

/// The text with everything escaped that moves the cursor, breaks the line or turns the direction of writing.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let unseen = matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || unseen {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The cell, with an apostrophe before what a spreadsheet would take for a formula.
fn csv_cell(kind: Kind, cell: Option<&str>) -> String {
    let cell = cell.unwrap_or_default();
    let formula = kind == Kind::Text && cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{cell}") } else { cell.to_owned() }
}

/// Writes several tables: one below the other for people; as CSV the same, each after a line with its name; as JSON one object with
/// a field for each.
///
/// # Errors
///
/// `out` cannot be written to.
pub fn write_all(tables: &[(&str, Table)], format: Format, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    if format == Format::Json {
        let object: std::collections::BTreeMap<&str, JsonRows<'_>> =
            tables.iter().map(|(name, table)| (*name, JsonRows(table))).collect();
        serde_json::to_writer_pretty(&mut *out, &object)?;
        return writeln!(out);
    }
    for (index, (name, table)) in tables.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        if format == Format::Csv {
            writeln!(out, "# {name}")?;
        }
        table.write(format, screen, out)?;
    }
    Ok(())
}

/// The error of the pipe itself: `csv` would make it one of another kind.
fn unwrapped(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

#[cfg(test)]
mod tests;
