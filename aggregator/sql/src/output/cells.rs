//! Values as text: timestamps as RFC 3339 in UTC, numbers exactly, bytes as base64.

use std::fmt::Write as _;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// What a column's texts are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Numbers that JSON has as such, `true` and `false`.
    Number,
    /// Everything else, exact decimals among them: a JSON number is a double to most who read it.
    Text,
}

/// Cells of a batch.
pub(super) struct Cells {
    names: Vec<String>,
    columns: Vec<ArrayRef>,
    kinds: Vec<Kind>,
}

const TIME: &str = "%Y-%m-%dT%H:%M:%S%.fZ";
const FORMATS: FormatOptions<'_> = FormatOptions::new()
    .with_timestamp_tz_format(Some(TIME))
    .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"));

impl Cells {
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let columns = batch.columns().iter().map(in_utc).collect::<Result<Vec<_>, _>>()?;
        let kinds = columns.iter().map(|column| kind(column.data_type())).collect();
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(Self { names, columns, kinds })
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The cells of a row; `None` for a null.
    pub(super) fn row(&self, row: usize) -> Result<Vec<Option<String>>, ArrowError> {
        self.columns.iter().map(|column| text(column, row)).collect()
    }

    /// A row as a JSON object.
    pub(super) fn object(&self, row: usize) -> Result<String, ArrowError> {
        let mut object = String::from("{");
        for (at, (name, column)) in self.names.iter().zip(&self.columns).enumerate() {
            if at > 0 {
                object.push(',');
            }
            object.push_str(&json(name));
            object.push(':');
            match text(column, row)? {
                None => object.push_str("null"),
                Some(text) if self.kinds[at] == Kind::Number => object.push_str(finite(&text)),
                Some(text) => object.push_str(&json(&text)),
            }
        }
        object.push('}');
        Ok(object)
    }
}

fn in_utc(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            cast(column, &DataType::Timestamp(*unit, Some("UTC".into())))
        }
        DataType::Date64 => cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None)),
        DataType::Dictionary(_, values) => cast(column, values),
        _ => Ok(column.clone()),
    }
}

pub(super) fn kind(of: &DataType) -> Kind {
    if of.is_integer() || of.is_floating() || *of == DataType::Boolean {
        Kind::Number
    } else {
        Kind::Text
    }
}

fn text(column: &ArrayRef, row: usize) -> Result<Option<String>, ArrowError> {
    if column.is_null(row) {
        return Ok(None);
    }
    let bytes = match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(column.as_fixed_size_binary().value(row)),
        DataType::Float64 => {
            let value = column.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
            return Ok(Some(double(value.value(row))));
        }
        _ => None,
    };
    match bytes {
        Some(bytes) => Ok(Some(base64(bytes))),
        None => {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &FORMATS)?;
            formatter.value(row).try_to_string().map(Some)
        }
    }
}

/// A double with the fewest digits that tell it.
fn double(value: f64) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string(), |it| it.to_string())
}

/// What JSON can't tell is null.
fn finite(text: &str) -> &str {
    if matches!(text, "NaN" | "inf" | "-inf") { "null" } else { text }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A cell of a table whose cells are separated by tabs: what would end it is escaped.
pub(super) fn on_one_line(text: &str) -> String {
    crate::failure::visible(text)
}

/// A cell as RFC 4180 has it.
pub(super) fn quoted_for_csv(text: &str) -> String {
    let needs_quotes = text.is_empty() || text.contains(['"', ',', '\n', '\r']);
    if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..4 {
            let is_there = letter <= three.len();
            let place = (bits >> (18 - 6 * letter) & 63) as usize;
            // Writing to a string does not fail.
            _ = write!(text, "{}", if is_there { char::from(LETTERS[place]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BinaryArray, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn each_value_is_told_exactly() {
        let time =
            TimestampMicrosecondArray::from(vec![1_795_874_399_000_001]).with_timezone("+02:00");
        let sum = Decimal128Array::from(vec![12_345_678_901_234_567_890_123_i128]);
        let sum = sum.with_precision_and_scale(38, 2).unwrap();
        let columns: [(&str, ArrayRef); 6] = [
            ("time", Arc::new(time)),
            ("n", Arc::new(Int64Array::from(vec![i64::MIN]))),
            ("sum", Arc::new(sum)),
            ("value", Arc::new(Float64Array::from(vec![0.1]))),
            ("bytes", Arc::new(BinaryArray::from(vec![&b"\xff\x00"[..]]))),
            ("text", Arc::new(StringArray::from(vec!["a \"b\"\n\u{1b}"]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let cells = Cells::of(&batch).unwrap();
        let expected = "{\"time\":\"2026-11-28T13:59:59.000001Z\",\"n\":-9223372036854775808,\
                        \"sum\":\"123456789012345678901.23\",\"value\":0.1,\"bytes\":\"/wA=\",\
                        \"text\":\"a \\\"b\\\"\\n\\u001b\"}";
        assert_eq!(cells.object(0).unwrap(), expected);
        let row = cells.row(0).unwrap();
        assert_eq!(on_one_line(row[5].as_deref().unwrap()), "a \"b\"\\n\\u{1b}");
        assert_eq!(quoted_for_csv("a \"b\",c"), "\"a \"\"b\"\",c\"");
    }

    #[test]
    fn bytes_have_the_letters_of_base64() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, expected) in cases {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn what_json_has_no_number_for_is_null() {
        let values: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(1e300)]));
        let batch = RecordBatch::try_from_iter([("v", values)]).unwrap();
        let cells = Cells::of(&batch).unwrap();
        let objects: Vec<String> = (0..3).map(|row| cells.object(row).unwrap()).collect();
        assert_eq!(objects, ["{\"v\":null}", "{\"v\":null}", "{\"v\":1e+300}"]);
    }
}
