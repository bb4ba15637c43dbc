//! Rows as JSON: objects whose keys stand in the order of the columns.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Column, Kind, Table};

/// The rows of a table as an array.
pub(super) struct JsonRows<'a>(pub &'a Table);

impl Serialize for JsonRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows.iter().map(|row| JsonRow { columns: &self.0.columns, row }))
    }
}

struct JsonRow<'a> {
    columns: &'a [Column],
    row: &'a [Option<String>],
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.row) {
            object.serialize_entry(&column.name, &json_cell(column.kind, cell.as_deref()))?;
        }
        object.end()
    }
}

/// The cell as its kind says; text that does not fit the kind stays text rather than being lost.
fn json_cell(kind: Kind, cell: Option<&str>) -> serde_json::Value {
    let Some(text) = cell else { return serde_json::Value::Null };
    let parsed = match kind {
        Kind::Text => None,
        Kind::Boolean => match text {
            "t" | "true" => Some(true.into()),
            "f" | "false" => Some(false.into()),
            _ => None,
        },
        Kind::Number => serde_json::from_str::<serde_json::Number>(text)
            .ok()
            // Sixteen digits and a fraction are more than a double holds exactly.
            .filter(|number| !number.is_f64() || text.chars().filter(char::is_ascii_digit).count() <= 15)
            .map(Into::into),
        Kind::Json => serde_json::from_str(text).ok(),
    };
    parsed.unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_its_kind_cannot_hold_stays_text() {
        assert_eq!(json_cell(Kind::Number, Some("123456789012345678901234567890")), "123456789012345678901234567890");
        assert_eq!(json_cell(Kind::Number, Some("97.25")), 97.25);
        assert_eq!(json_cell(Kind::Number, Some("NaN")), "NaN");
        assert_eq!(json_cell(Kind::Boolean, Some("t")), true);
        assert_eq!(json_cell(Kind::Json, Some("{\"a\":[1]}")), serde_json::json!({"a": [1]}));
    }
}
