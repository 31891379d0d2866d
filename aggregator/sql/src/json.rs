//! `tags->>'site'`: the value of a name in a JSON object, as text.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// The function behind the arrow: `json_text(object, name)`.
pub(crate) fn json_text() -> ScalarUDF {
    ScalarUDF::from(JsonText { signature: Signature::string(2, Volatility::Immutable) })
}

/// Plans `->>` and `->` as the function.
#[derive(Debug)]
pub(crate) struct Arrows;

impl ExprPlanner for Arrows {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        match expr.op {
            BinaryOperator::LongArrow | BinaryOperator::Arrow => {
                let RawBinaryExpr { left, right, .. } = expr;
                Ok(PlannerResult::Planned(json_text().call(vec![left, right])))
            }
            _ => Ok(PlannerResult::Original(expr)),
        }
    }
}

#[derive(Debug, Eq, Hash, PartialEq)]
struct JsonText {
    signature: Signature,
}

impl ScalarUDFImpl for JsonText {
    fn name(&self) -> &'static str {
        "json_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [object, name] = args.args.as_slice() else {
            return plan_err!("json_text takes an object and a name");
        };
        let is_one = [object, name].iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { args.number_rows };
        let (objects, names) = (texts(object, rows)?, texts(name, rows)?);
        let (objects, names) = (objects.as_string_view(), names.as_string_view());
        let (mut values, mut found) = (Values::default(), StringViewBuilder::new());
        for row in 0..rows {
            let is_there = objects.is_valid(row) && names.is_valid(row);
            let value = is_there.then(|| values.of(objects.value(row), names.value(row)));
            found.append_option(value.flatten());
        }
        let found: ArrayRef = Arc::new(found.finish());
        match is_one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)),
            false => Ok(ColumnarValue::Array(found)),
        }
    }
}

fn texts(arg: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    arg.cast_to(&DataType::Utf8View, None)?.into_array(rows)
}

/// Objects that were taken apart: the same few stand in many rows, one behind the other.
#[derive(Default)]
struct Values {
    objects: HashMap<String, HashMap<String, String>>,
}

/// Objects that are remembered. More different ones than that are rare in a batch of 8,192 rows.
const OBJECTS_MAX: usize = 1_024;

impl Values {
    fn of(&mut self, object: &str, name: &str) -> Option<&str> {
        if !self.objects.contains_key(object) {
            if self.objects.len() >= OBJECTS_MAX {
                self.objects.clear();
            }
            self.objects.insert(object.to_owned(), taken_apart(object));
        }
        self.objects.get(object)?.get(name).map(String::as_str)
    }
}

/// Names and values of an object, values as text: a text without its quotes, all others as JSON has them. None, if it is no
/// object; a null is not there.
fn taken_apart(object: &str) -> HashMap<String, String> {
    let pairs: HashMap<String, serde_json::Value> =
        serde_json::from_str(object).unwrap_or_default();
    let text = |(name, value)| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    pairs.into_iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_value_and_a_name_that_is_not_there_has_none() {
        let mut values = Values::default();
        let object = r#"{"a":"one","b":2,"c":null,"d":{"e":1}}"#;
        let cases = [
            ("a", Some("one")),
            ("b", Some("2")),
            ("c", None),
            ("d", Some(r#"{"e":1}"#)),
            ("x", None),
        ];
        for (name, expected) in cases {
            assert_eq!(values.of(object, name), expected, "{name}");
        }
        for other in ["", "[]", "null", "{", "7"] {
            assert_eq!(values.of(other, "a"), None, "{other}");
        }
    }
}
