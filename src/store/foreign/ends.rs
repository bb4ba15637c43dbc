//! The end of a token as Postgres sends it: an instant, or a number of any type.

use chrono::{DateTime, Utc};
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _, postgres::PgRow};

/// The end of a token.
pub(super) enum End {
    At(DateTime<Utc>),
    Number(f64),
}

/// The second column, if there is one and it says something.
pub(super) fn end(row: &PgRow) -> Result<Option<End>, sqlx::Error> {
    let Some(column) = row.columns().get(1) else { return Ok(None) };
    let number = match column.type_info().name() {
        "TIMESTAMPTZ" => {
            let value = row.try_get_raw(1)?;
            if value.is_null() {
                return Ok(None);
            }
            let bytes: Result<[u8; 8], _> = value.as_bytes().map_err(sqlx::Error::Decode)?.try_into();
            let micros = i64::from_be_bytes(bytes.map_err(|error| sqlx::Error::Decode(Box::new(error)))?);
            return Ok(Some(End::At(instant(micros))));
        }
        "INT2" => row.try_get::<Option<i16>, _>(1)?.map(f64::from),
        "INT4" => row.try_get::<Option<i32>, _>(1)?.map(f64::from),
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below what an f64 holds exactly")]
        "INT8" => row.try_get::<Option<i64>, _>(1)?.map(|secs| secs as f64),
        "FLOAT4" => row.try_get::<Option<f32>, _>(1)?.map(f64::from),
        "FLOAT8" => row.try_get::<Option<f64>, _>(1)?,
        "NUMERIC" => {
            let value = row.try_get_raw(1)?;
            if value.is_null() {
                return Ok(None);
            }
            Some(numeric(value.as_bytes().map_err(sqlx::Error::Decode)?).unwrap_or(f64::NAN))
        }
        other => return Err(sqlx::Error::Decode(format!("a column of type {other}").into())),
    };
    Ok(number.map(End::Number))
}

/// A `timestamptz` as Postgres sends it: microseconds since 2000. The driver's own reading panics on `infinity`, which
/// stands in tables whose tokens are said to live for ever.
fn instant(micros: i64) -> DateTime<Utc> {
    const UNIX_MICROS_OF_2000: i64 = 946_684_800_000_000;
    let far = if micros > 0 { DateTime::<Utc>::MAX_UTC } else { DateTime::<Utc>::MIN_UTC };
    micros.checked_add(UNIX_MICROS_OF_2000).and_then(DateTime::from_timestamp_micros).unwrap_or(far)
}

/// A `numeric` as Postgres sends it: four 16-bit words (digits, weight, sign, scale), then digits to the base 10 000. It
/// is what `extract(epoch from ...)` gives.
fn numeric(bytes: &[u8]) -> Option<f64> {
    let word = |index: usize| Some(u16::from_be_bytes(bytes.get(2 * index..2 * index + 2)?.try_into().ok()?));
    let digits = usize::from(word(0)?);
    let weight = i32::from(i16::from_be_bytes(word(1)?.to_be_bytes()));
    let sign = match word(2)? {
        0x0000 => 1.0,
        0x4000 => -1.0,
        _ => return None,
    };
    let mut value = 0.0;
    for (place, index) in (4..4 + digits).enumerate() {
        let exponent = weight - i32::try_from(place).ok()?;
        value += f64::from(word(index)?) * 10_000_f64.powi(exponent);
    }
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_read_as_postgres_sends_it() {
        // 7200.5: one digit before the point (weight 0), one after it.
        assert_eq!(numeric(&[0, 2, 0, 0, 0, 0, 0, 1, 0x1c, 0x20, 0x13, 0x88]), Some(7200.5));
        // -10001.
        assert_eq!(numeric(&[0, 2, 0, 1, 0x40, 0, 0, 0, 0, 1, 0, 1]), Some(-10_001.0));
        assert_eq!(numeric(&[0, 0, 0, 0, 0, 0, 0, 0]), Some(0.0));
        for broken in [&[][..], &[0, 2, 0, 0, 0, 0, 0, 1, 0x1c], &[0, 0, 0, 0, 0xc0, 0, 0, 0]] {
            assert_eq!(numeric(broken), None);
        }
    }
}
